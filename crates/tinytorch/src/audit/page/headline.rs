use super::svg::{bar, largest, share};
use super::text::{bytes, microseconds, number};
use crate::audit::{BytesPair, LatencyPairs, ModelReport};
use maud::{Markup, html};

/// What the model gained and what it cost, side by side.
pub(super) fn figures(model: &ModelReport) -> Markup {
    html! {
        div.figures {
            @for pair in &model.bytes { (size(pair)) }
            (accuracy(model))
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

fn accuracy(model: &ModelReport) -> Markup {
    let (float, int8) = (model.float_accuracy_percent, model.int8_accuracy_percent);
    let difference = int8 - float;
    html! {
        figure {
            figcaption { "Accuracy against float" }
            p.big {
                (format!("{difference:+.2}")) span.unit { " points" }
            }
            (row("f32", bar("float", share(float, 100.0), &format!("{float} % right in float")), &percent(float)))
            (row("int8", bar("int8", share(int8, 100.0), &format!("{int8} % right in int8")), &percent(int8)))
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

fn percent(value: f64) -> String {
    if value.is_finite() { format!("{value:.2} %") } else { number(value) }
}
