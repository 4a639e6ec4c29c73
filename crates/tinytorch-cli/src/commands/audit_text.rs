//! An audit's result on a terminal, in lines of at most 80 columns.

use crate::table::Table;
use std::fmt::{self, Write};
use tinytorch::audit::{
    Advice, Gate, LayerReport, ModelOrigin, ModelReport, Origins, Outcome, Saturation, Side,
};

/// Columns of a line.
const WIDTH: usize = 80;

/// Columns of a layer's name; more of it would leave none for the figures.
const NAME: usize = 34;

/// What an audit has found about a model, as text.
pub(super) fn of(model: &ModelReport, styled: bool) -> Result<String, fmt::Error> {
    let style = Style(styled);
    let mut text = String::new();
    let verdict = style.outcome(model.verdict, model.verdict.word());
    writeln!(text, "{}: {verdict}\n", shortened(&model.name, WIDTH - 12))?;
    if let Some(why) = &model.answers_alone {
        let told =
            format!("judged by its answers alone, and not by its weights, layers and sums: {why}");
        writeln!(text, "{}", wrapped(&told, "  "))?;
    }
    write_origins(&mut text, model)?;
    writeln!(text, "{}", gates(&model.gates))?;
    for gate in by_weight(&model.gates) {
        let word = style.outcome(gate.result, gate.result.word());
        writeln!(text, "  {} {word}:", gate.id)?;
        text.push_str(&wrapped(&gate.reason, "    "));
    }
    if by_weight(&model.gates).next().is_some() {
        text.push('\n');
    }
    // Of a black box none are known.
    if !model.layers.is_empty() {
        writeln!(text, "{}", layers(&model.layers))?;
    }
    write_advice(&mut text, &model.advice)?;
    for saturation in &model.saturation {
        text.push_str(&wrapped(&room(saturation), "  "));
    }
    Ok(text)
}

/// What did not pass, what failed first.
fn by_weight(gates: &[Gate]) -> impl Iterator<Item = &Gate> {
    let of = |outcome| gates.iter().filter(move |gate| gate.result == outcome);
    of(Outcome::Fail).chain(of(Outcome::Unknown))
}

fn write_origins(text: &mut String, model: &ModelReport) -> fmt::Result {
    let Origins { float, int8, data, seed, max_error_percent, float_floor, isa, .. } =
        &model.origins;
    let mut line = |what: &str, told: String| {
        let told = wrapped(&told, "           ");
        writeln!(text, "  {what:8} {}", told.trim())
    };
    line("float", file(float))?;
    line("int8", file(int8))?;
    let part = data.part.as_ref().map_or(String::new(), |part| format!(", {part}"));
    let name = data.name.as_deref().unwrap_or("data without a name");
    line("data", format!("{} samples of {name}{part}, {}", data.samples, sha(&data.sha256)))?;
    let floor = float_floor.map_or(String::new(), |floor| {
        format!(", float {} {floor} as stated", model.task.measure())
    });
    let seed = seed.map_or(String::new(), |seed| format!(", seed {seed}"));
    let error = number(*max_error_percent);
    line("budget", format!("output error at most {error} %{floor}{seed}, on {isa}"))?;
    writeln!(text)
}

fn file(origin: &ModelOrigin) -> String {
    match (&origin.file, &origin.file_sha256) {
        (Some(file), Some(sha256)) => format!("{file}, {}", sha(sha256)),
        _ => format!("in no file, parameters {}", sha(&origin.params_sha256)),
    }
}

/// Enough of a digest to tell files apart; the report has all of it.
fn sha(digest: &str) -> String {
    format!("sha256 {}", digest.get(..12).unwrap_or(digest))
}

fn gates(gates: &[Gate]) -> Table<4> {
    let mut table = Table::new(["gate", "result", "measured", "limit"]);
    for gate in gates {
        // What has no unit is a share of 1, of which thousandths count.
        let number = |value: f64| match gate.unit.is_empty() && value.fract() != 0.0 {
            true => format!("{value:.4}"),
            false => number(value),
        };
        let limit = match (gate.limit, gate.side) {
            (None, _) => String::new(),
            (Some(0.0), _) => "none".to_string(),
            (Some(limit), Side::AtLeast) if limit == f64::MIN_POSITIVE => "more than 0".to_string(),
            (Some(limit), Side::AtLeast) => format!("at least {}", number(limit)),
            (Some(limit), Side::AtMost) => format!("at most {}", number(limit)),
        };
        table.row([
            gate.id.to_string(),
            gate.result.word().to_string(),
            gate.value.map_or(String::new(), |v| {
                format!("{} {}", number(v), gate.unit).trim_end().into()
            }),
            limit,
        ]);
    }
    table
}

fn layers(layers: &[LayerReport]) -> Table<5> {
    let mut table = Table::new(["layer", "own error", "gathered", "f32", "int8"]);
    for layer in layers {
        table.row([
            shortened(&layer.name, NAME),
            format!("{:.3} %", layer.own_error_percent),
            format!("{:.3} %", layer.propagated_error_percent),
            format!("{} B", layer.float_bytes),
            format!("{} B", layer.int8_bytes),
        ]);
    }
    table
}

/// Which layers to raise, and what that was measured to bring and to cost.
fn write_advice(text: &mut String, advice: &[Advice]) -> fmt::Result {
    if advice.is_empty() {
        return Ok(());
    }
    let first = "What would help, each after the one before (quantize --max-error finds such \
                 layers, --skip leaves one as floats):";
    text.push_str(&wrapped(first, "  "));
    for Advice {
        layer,
        to,
        error_before_percent,
        error_after_percent,
        more_bytes,
        slower_percent,
    } in advice
    {
        let slower = slower_percent.map_or(String::new(), |p| format!(", {p:+.0} % time"));
        let line = format!(
            "{layer} to {}: error {error_before_percent:.2} to {error_after_percent:.2} %, \
             {more_bytes:+} bytes{slower}",
            to.word()
        );
        text.push_str(&wrapped(&line, "    "));
    }
    writeln!(text)
}

fn room(saturation: &Saturation) -> String {
    let Saturation { factor, percent, worst_layer, worst_percent, agreement } = saturation;
    let alike = agreement.map_or(String::new(), |agreement| {
        format!("; {agreement:.2} % of the answers are those of the float model")
    });
    format!(
        "inputs x{factor}: {percent:.3} % of the activations lie outside of their ranges, of \
         {worst_layer} {worst_percent:.3} %{alike}"
    )
}

fn number(value: f64) -> String {
    let digits = if value.fract() == 0.0 { 0 } else { 2 };
    format!("{value:.digits$}")
}

/// A name of at most so many columns, without its middle if it is longer.
fn shortened(name: &str, columns: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= columns {
        return name.to_string();
    }
    let start = (columns - 1) / 2;
    let end = letters.len() - (columns - 1 - start);
    [&letters[..start], &['…'], &letters[end..]].concat().into_iter().collect()
}

/// Words in lines that begin with `indent`; what is longer than a line has one of its own.
fn wrapped(words: &str, indent: &str) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    for word in words.split_whitespace() {
        let columns = |text: &str| text.chars().count();
        if !line.is_empty() && columns(indent) + columns(&line) + 1 + columns(word) > WIDTH {
            text.push_str(&format!("{indent}{line}\n"));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    match line.is_empty() {
        true => text,
        false => text + &format!("{indent}{line}\n"),
    }
}

/// Colors, where a person looks.
pub(super) struct Style(pub(super) bool);

impl Style {
    /// A text in the color of an outcome.
    pub(super) fn outcome(&self, outcome: Outcome, text: &str) -> String {
        let color = match outcome {
            Outcome::Pass => 32,
            Outcome::Fail => 31,
            Outcome::Unknown => 33,
            Outcome::NotApplicable => 2,
        };
        match self.0 {
            true => format!("\u{1b}[{color}m{text}\u{1b}[0m"),
            false => text.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(styled: bool) -> String {
        let long = "blocks.11.self_attention.query_key_value.weight".to_string();
        let reason = format!("{} {}", "word ".repeat(60), "x".repeat(100));
        let gates = vec![
            Gate::at_least("f32_floor", 99.5, 95.0, "%", "of little interest".to_string()),
            Gate::unknown("agreement", "too few".to_string()),
            Gate::at_most("no_f32_copy", 12_345_678.0, 12_288.0, "% of the f32 weights", reason),
            Gate::at_least("calibration", 55.123, f64::MIN_POSITIVE, "% saved", String::new()),
            Gate::at_most("structure", 0.0, 0.0, "faults", String::new()),
        ];
        let saturation = vec![Saturation {
            factor: 1.5,
            percent: 3.25,
            worst_layer: long,
            worst_percent: 12.5,
            agreement: Some(96.0),
        }];
        let report = ModelReport::of_gates("n".repeat(200), gates);
        of(&ModelReport { saturation, ..report }, styled).unwrap()
    }

    #[test]
    fn no_line_is_wider_than_80_columns() {
        let text = model(false);
        for line in text.lines().filter(|line| !line.contains("xxxx")) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        assert!(text.contains("more than 0") && text.contains("at most 12288"));
    }

    #[test]
    fn what_failed_is_explained_first_and_what_passed_is_not() {
        let text = model(false);
        let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("{words}: {text}"));
        assert!(at("no_f32_copy fail:") < at("agreement unknown:"));
        assert!(!text.contains("of little interest") && !text.contains('\u{1b}'));
        assert!(model(true).contains("\u{1b}[31mfail\u{1b}[0m"));
    }

    #[test]
    fn a_long_name_keeps_its_ends() {
        assert_eq!(shortened("abcdefghij", 7), "abc…hij");
        assert_eq!(shortened("abc", 3), "abc");
        assert_eq!(wrapped("a bc", "  "), "  a bc\n");
    }
}
