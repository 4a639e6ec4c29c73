//! The layers of a report, drawn.

use super::headline::row;
use super::svg::{Histogram, bar, largest, share};
use super::text::{bytes, microseconds, number, with_unit};
use crate::audit::{Distribution, LayerReport};
use maud::{Markup, html};

/// Layers that are shown in full at once; of more there is a table, and the rest on request.
const AT_A_GLANCE: usize = 6;

/// Every layer, with bars on scales that all layers of the model share.
pub(super) fn list(layers: &[LayerReport]) -> Markup {
    if layers.is_empty() {
        return html! { p.quiet { "No layer with a weight ran." } };
    }
    let scales = Scales::of(layers);
    html! {
        p.quiet {
            "Bars of one kind share one scale, so that layers compare. Own error is what a layer adds "
            "to the float model's input, of which rounding to 8 bits explains a part; gathered error is what has come together up to its output. "
            "Histograms have logarithmic heights; values in the red part would be clipped."
        }
        @if layers.len() <= AT_A_GLANCE {
            @for layer in layers { (card(layer, &scales)) }
        } @else {
            (table(layers, &scales))
            details.all {
                summary { "Every layer with its histograms" }
                @for layer in layers { (card(layer, &scales)) }
            }
        }
    }
}

/// A line for each layer.
fn table(layers: &[LayerReport], scales: &Scales) -> Markup {
    html! {
        div.scroll {
            table.layers {
                thead {
                    tr {
                        th { "Layer" } th { "Kernel" } th { "Own error" } th { "Rounding explains" }
                        th { "Gathered error" } th { "Bytes, f32" } th { "int8" } th { "Time, f32" }
                        th { "int8" }
                    }
                }
                tbody { @for layer in layers { (line(layer, scales)) } }
            }
        }
    }
}

fn line(layer: &LayerReport, scales: &Scales) -> Markup {
    let percent = |value: f64| with_unit(value, "%");
    let own = share(layer.own_error_percent, scales.error);
    let gathered = share(layer.propagated_error_percent, scales.error);
    html! {
        tr {
            th scope="row" { (layer.name) (node(layer)) } td { code { (layer.kernel) } }
            td.number { (percent(layer.own_error_percent)) (bar("own", own, "own error")) }
            td.number { (percent(layer.expected_error_percent)) }
            td.number {
                (percent(layer.propagated_error_percent)) (bar("gathered", gathered, "gathered error"))
            }
            td.number { (bytes(layer.float_bytes)) } td.number { (bytes(layer.int8_bytes)) }
            @for time in [layer.float_microseconds, layer.int8_microseconds] {
                td.number { (time.map_or("–".to_string(), microseconds)) }
            }
        }
    }
}

/// What the user's own graph calls it.
fn node(layer: &LayerReport) -> Markup {
    html! { @if let Some(node) = &layer.node { " " span.quiet { (node) } } }
}

/// The largest value of each kind.
struct Scales {
    error: f64,
    bytes: f64,
    time: f64,
}

impl Scales {
    fn of(layers: &[LayerReport]) -> Scales {
        let errors = |l: &LayerReport| {
            [l.own_error_percent, l.expected_error_percent, l.propagated_error_percent]
        };
        let times = |l: &LayerReport| [l.float_microseconds, l.int8_microseconds];
        let sizes = |l: &LayerReport| [l.float_bytes as f64, l.int8_bytes as f64];
        Scales {
            error: largest(layers.iter().flat_map(errors)),
            bytes: largest(layers.iter().flat_map(sizes)),
            time: largest(layers.iter().flat_map(times).flatten()),
        }
    }
}

fn card(layer: &LayerReport, scales: &Scales) -> Markup {
    let shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
    html! {
        article.layer {
            header {
                h4 { (layer.name) }
                p { (layer.op) " " span.quiet { (shape.join(" × ")) } (node(layer)) }
                p.kernel { "ran " code { (layer.kernel) } }
            }
            div.bars {
                (group("Error", &[
                    error("own", "own", layer.own_error_percent, scales),
                    error("explained", "explained", layer.expected_error_percent, scales),
                    error("gathered", "gathered", layer.propagated_error_percent, scales),
                ]))
                (group("Bytes", &[
                    size("f32", "float", layer.float_bytes, scales),
                    size("int8", "int8", layer.int8_bytes, scales),
                ]))
                @if let (Some(float), Some(int8)) = (layer.float_microseconds, layer.int8_microseconds) {
                    (group("Median time for 32 samples", &[
                        time("f32", "float", float, scales),
                        time("int8", "int8", int8, scales),
                    ]))
                }
            }
            (distribution("Weight", "weights", &layer.weight))
            @match &layer.activation {
                Some(activation) => (distribution("Input", "input values", activation)),
                None => div.distribution { h5 { "Input" } p.quiet { "Indices, which stay as they are." } },
            }
        }
    }
}

fn group(title: &str, rows: &[Markup]) -> Markup {
    html! { div.group { h5 { (title) } @for row in rows { (row) } } }
}

fn error(label: &str, class: &str, percent: f64, scales: &Scales) -> Markup {
    let value = with_unit(percent, "%");
    row(label, bar(class, share(percent, scales.error), &format!("{label} error {value}")), &value)
}

fn size(label: &str, class: &str, count: usize, scales: &Scales) -> Markup {
    let bar = bar(class, share(count as f64, scales.bytes), &format!("{count} bytes in {label}"));
    row(label, bar, &bytes(count))
}

fn time(label: &str, class: &str, time: f64, scales: &Scales) -> Markup {
    let value = microseconds(time);
    row(label, bar(class, share(time, scales.time), &format!("{value} in {label}")), &value)
}

fn distribution(title: &str, what: &str, of: &Distribution) -> Markup {
    let range = of.int8.as_ref();
    let several = range.filter(|range| range.narrowest_max < range.max);
    let marks: Vec<f64> =
        several.into_iter().flat_map(|range| [-range.narrowest_max, range.narrowest_max]).collect();
    let histogram = Histogram {
        low: of.low,
        high: of.high,
        counts: &of.counts,
        range: range.map(|range| (range.min, range.max)),
        marks: &marks,
    };
    let values: u64 = of.counts.iter().sum();
    let (low, high) = (number(of.low), number(of.high));
    let shown = format!("Histogram of {values} {what} from {low} to {high}");
    html! {
        div.distribution {
            h5 { (title) }
            @if of.counts.is_empty() {
                p.quiet { "No finite values." }
            } @else {
                (histogram.draw(&shown))
                p.axis { span { (low) } span { (high) } }
            }
            @match range {
                None => p.quiet { "No fixed int8 range: it stays float, or each row has its own." },
                Some(range) => {
                    p.facts {
                        "int8 holds " (number(range.min)) " to " (number(range.max))
                        @if several.is_some() {
                            ", the narrowest channel ±" (number(range.narrowest_max))
                        }
                        "; " (with_unit(range.clipped_percent, "%")) " clipped"
                    }
                    (row("levels", bar("int8", share(range.levels_used as f64, range.levels as f64),
                        &format!("{} of {} levels occur", range.levels_used, range.levels)),
                        &format!("{} of {}", range.levels_used, range.levels)))
                }
            }
        }
    }
}
