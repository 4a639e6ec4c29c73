//! Tables in Markdown.

use crate::comparison::{Output, Row};
use std::fmt::Write;

/// Farther from tinytorch's output than this, a float output is another result.
const AGREES: f64 = 1e-4;

/// The head of a table of cases.
pub(crate) fn head() -> String {
    let columns =
        "| case | threads | engine | numbers | ms | over tinytorch (quartiles) | output |";
    format!("{columns}\n|---|---|---|---|---|---|---|\n")
}

/// The rows of a case.
pub(crate) fn rows(case: &str, threads: usize, rows: &[Row]) -> String {
    let mut text = String::new();
    for Row { engine, variant, output, outcome } in rows {
        let (time, ratio) = match outcome {
            Ok(figures) => {
                let ratio = figures.ratio.map_or_else(String::new, |r| {
                    format!("{:.2} ({:.2}-{:.2})", r.median, r.low, r.high)
                });
                (milliseconds(figures.seconds), ratio)
            }
            Err(_) => ("-".into(), String::new()),
        };
        let output = match outcome {
            Ok(_) => describe(*output),
            Err(why) => cell(why),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| {case} | {threads} | {engine} | {variant} | {time} | {ratio} | {output} |"
        );
    }
    text
}

fn describe(output: Output) -> String {
    match output {
        Output::Reference => String::new(),
        Output::Apart(distance) if distance <= AGREES => "agrees".into(),
        Output::Apart(distance) => format!("**differs by {distance:.1e}**"),
        Output::Error(error) if error < 1e-6 => "exact".into(),
        Output::Error(error) => format!("error {:.2} %", error * 100.0),
    }
}

/// Three significant digits.
fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1e3;
    let digits = (2 - ms.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{ms:.digits$}")
}

/// The first line of a text, short enough for a cell.
fn cell(text: &str) -> String {
    const LONGEST: usize = 120;
    let line = text.lines().next().unwrap_or_default().replace('|', "\\|");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::Figures;

    #[test]
    fn rows_are_markdown() {
        let row = |engine: &str, output, outcome| Row {
            engine: engine.into(),
            variant: "f32".into(),
            output,
            outcome,
        };
        let figures = |times: &[f64]| Ok(Figures::of(times, Some(&[0.001])));
        let text = rows(
            "MLP, batch 1",
            2,
            &[
                row("tinytorch", Output::Reference, figures(&[0.001])),
                row("torch", Output::Apart(1e-6), figures(&[0.0025])),
                row("openvino", Output::Apart(0.01), figures(&[0.000_012_34])),
                row("numpy", Output::Reference, Err("a | b\nc".into())),
            ],
        );
        let expected = "\
            | MLP, batch 1 | 2 | tinytorch | f32 | 1.00 | 1.00 (1.00-1.00) |  |\n\
            | MLP, batch 1 | 2 | torch | f32 | 2.50 | 2.50 (2.50-2.50) | agrees |\n\
            | MLP, batch 1 | 2 | openvino | f32 | 0.0123 | 0.01 (0.01-0.01) | **differs by 1.0e-2** |\n\
            | MLP, batch 1 | 2 | numpy | f32 | - |  | a \\| b |\n";
        assert_eq!(text, expected);
        assert_eq!(head().lines().count(), 2);
    }

    #[test]
    fn an_output_is_told_by_what_it_is_held_against() {
        assert_eq!(describe(Output::Error(0.0)), "exact");
        assert_eq!(describe(Output::Error(0.0123)), "error 1.23 %");
        assert!(describe(Output::Apart(f64::NAN)).contains("differs"));
    }

    #[test]
    fn times_have_three_digits() {
        assert_eq!(milliseconds(1.5), "1500");
        assert_eq!(milliseconds(0.0345), "34.5");
        assert_eq!(milliseconds(1e-6), "0.00100");
    }

    #[test]
    fn long_reasons_are_cut() {
        assert_eq!(cell(&"x".repeat(300)).len(), 123);
    }
}
