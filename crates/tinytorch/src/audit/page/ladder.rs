//! The models that a search within a budget judged, by what they take and how far they are off.

use super::svg::{largest, share};
use super::text::with_unit;
use crate::quant::Tried;
use maud::{Markup, html};

/// Width and height of the picture in its own units.
const SIZE: (f64, f64) = (1000.0, 240.0);

/// Space around the points.
const EDGE: f64 = 12.0;

/// A point for each model, and the same in numbers. What no other model beats in both is marked.
pub(super) fn list(tried: &[Tried]) -> Markup {
    let first = tried.first().map_or(1.0, |model| model.time);
    let error = largest(tried.iter().map(|model| model.error));
    let time = largest(tried.iter().map(|model| model.time));
    let class = |model: &Tried| if is_front(model, tried) { "front" } else { "beaten" };
    let words = |model: &Tried| {
        let (error, times) = (with_unit(model.error * 100.0, "%"), model.time / first);
        format!("{error} off at {times:.2}x, {} layers raised", model.raised)
    };
    html! {
        p.quiet {
            "Each model was judged on samples held out from calibration. To the right is slower, by the time of its layers on the machine "
            "that quantized it, and further up is further off; no other model is both faster and nearer than a filled one."
        }
        svg.search viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" {
            title { "Error and time of the models that were tried" }
            @for model in tried {
                circle.(class(model)) r="7"
                    cx=(format!("{:.1}", EDGE + share(model.time, time) * (SIZE.0 - 2.0 * EDGE)))
                    cy=(format!("{:.1}", SIZE.1 - EDGE - share(model.error, error) * (SIZE.1 - 2.0 * EDGE))) {
                    title { (words(model)) }
                }
            }
        }
        div.scroll {
            table.layers {
                thead { tr { th { "Layers raised" } th { "Error" } th { "Time" } } }
                tbody {
                    @for model in tried {
                        tr {
                            th scope="row" { (model.raised) }
                            td.number { (with_unit(model.error * 100.0, "%")) }
                            td.number { (format!("{:.2}x", model.time / first)) }
                        }
                    }
                }
            }
        }
    }
}

/// Whether no other model is as fast and nearer, or as near and faster.
fn is_front(model: &Tried, tried: &[Tried]) -> bool {
    let beats = |other: &Tried| {
        other.error <= model.error
            && other.time <= model.time
            && (other.error < model.error || other.time < model.time)
    };
    !tried.iter().any(beats)
}
