//! The figures at the head of a report.

use super::svg::{bar, largest, share};
use super::text::{bytes, microseconds, number, with_unit};
use crate::audit::{BytesPair, Gate, LatencyPairs, Metric, ModelReport};
use maud::{Markup, html};

/// What the model gained and what it cost, side by side.
pub(super) fn figures(model: &ModelReport) -> Markup {
    html! {
        div.figures {
            @for pair in &model.bytes { (size(pair)) }
            (quality(model))
            @if let Some(gate) = model.gates.iter().find(|gate| gate.id == "output_error") {
                (error(gate))
            }
            @for pairs in &model.latency { (speed(pairs)) }
        }
        details.architecture {
            summary { "Architecture" }
            code { (model.architecture) }
        }
    }
}

fn size(pair: &BytesPair) -> Markup {
    let full = pair.float.max(pair.int8) as f64;
    let (float, int8) = (pair.float as f64, pair.int8 as f64);
    let (before, after) = (bytes(pair.float), bytes(pair.int8));
    let ratio = (pair.int8 > 0).then(|| float / int8);
    html! {
        figure {
            figcaption { "Bytes of the " (pair.what) }
            p.big {
                @match ratio {
                    Some(ratio) => { (format!("{ratio:.2}")) span.unit { "× smaller" } },
                    None => "none in int8",
                }
            }
            (row("f32", bar("float", share(float, full), &format!("{} bytes in float", pair.float)), &before))
            (row("int8", bar("int8", share(int8, full), &format!("{} bytes in int8", pair.int8)), &after))
        }
    }
}

fn quality(model: &ModelReport) -> Markup {
    let (float, int8) = (model.float_quality, model.int8_quality);
    let task = &model.task;
    let measure = task.measure();
    let title = format!("{} against float", capitalized(measure));
    // Percentages of a whole are compared in points, anything else by how much it has changed.
    let is_share = task.unit() == "%";
    let (full, change, unit) = match is_share {
        true => (100.0, int8 - float, " points"),
        false => (largest([float, int8]), (int8 / float - 1.0) * 100.0, " %"),
    };
    let (before, after) = (quantity(is_share, float), quantity(is_share, int8));
    html! {
        figure {
            figcaption { (title) }
            p.big {
                (format!("{change:+.2}")) span.unit { (unit) }
            }
            (row("f32", bar("float", share(float, full), &format!("{measure} {before} in float")), &before))
            (row("int8", bar("int8", share(int8, full), &format!("{measure} {after} in int8")), &after))
        }
    }
}

/// How far the outputs are from the float model's, and how far they may be.
fn error(gate: &Gate) -> Markup {
    let (Some(value), Some(limit)) = (gate.value, gate.limit) else { return html! {} };
    let full = largest([value, limit]);
    let (measured, allowed) = (with_unit(value, "%"), with_unit(limit, "%"));
    html! {
        figure {
            figcaption { "Error of the outputs" }
            p.big { (number(value)) span.unit { " %" } }
            (row("int8", bar("int8", share(value, full), &format!("outputs {measured} off")), &measured))
            (row("limit", bar("float", share(limit, full), &format!("at most {allowed}")), &allowed))
        }
    }
}

fn speed(pairs: &LatencyPairs) -> Markup {
    let (float, int8) = (median(&pairs.float_us), median(&pairs.int8_us));
    let full = largest([float, int8]);
    let (before, after) = (microseconds(float), microseconds(int8));
    let ratio = float / int8;
    html! {
        figure {
            figcaption { "Median time, batch " (pairs.batch) }
            p.big {
                @if ratio.is_finite() {
                    (format!("{ratio:.2}")) span.unit { "× as fast" }
                } @else {
                    "not measured"
                }
            }
            (row("f32", bar("float", share(float, full), &format!("float: {before}")), &before))
            (row("int8", bar("int8", share(int8, full), &format!("int8: {after}")), &after))
        }
    }
}

/// A labeled bar with its number.
pub(super) fn row(label: &str, bar: Markup, value: &str) -> Markup {
    html! { div.row { span.label { (label) } (bar) span.value { (value) } } }
}

/// The middle of the values; NaN if there are none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn quantity(is_share: bool, value: f64) -> String {
    match is_share {
        _ if !value.is_finite() => number(value),
        true => format!("{value:.2} %"),
        false => format!("{value:.3}"),
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
