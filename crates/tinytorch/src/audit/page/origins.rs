//! What was judged and how, as a list.

use super::text::{bytes, number};
use crate::audit::{ModelOrigin, ModelReport, Origins};
use maud::{Markup, html};

/// What was judged and how.
pub(super) fn list(model: &ModelReport) -> Markup {
    let Origins { float, int8, data, calibration_samples, trained_on, .. } = &model.origins;
    let Origins { seed, max_error_percent, float_floor, isa, isas, .. } = &model.origins;
    html! {
        details.origins {
            summary { "What was judged" }
            dl {
                dt { "Float model" } dd { (origin(float)) }
                dt { "Int8 model" } dd { (origin(int8)) }
                dt { "Samples" }
                dd {
                    (data.samples) " of " (data.name.as_deref().unwrap_or("data without a name"))
                    @if let Some(part) = &data.part { ", " (part) }
                    "; SHA-256 " code { (data.sha256) }
                }
                @if let Some(trained_on) = trained_on {
                    dt { "Trained on" } dd { (trained_on) ", by the float model's own account" }
                }
                @if let Some(samples) = calibration_samples {
                    dt { "Calibrated on" } dd { (samples) " samples" }
                }
                dt { "Budget" }
                dd {
                    "output error at most " (number(*max_error_percent)) " %"
                    @if let Some(floor) = float_floor {
                        "; float " (model.task.measure()) " " (number(*floor)) " as stated"
                    }
                }
                @if let Some(seed) = seed { dt { "Seed" } dd { (seed) } }
                dt { "Deployed on" } dd { (isa) ", run on " (isas.join(", ")) }
            }
        }
    }
}

fn origin(model: &ModelOrigin) -> Markup {
    let ModelOrigin { file, file_bytes, file_sha256, file_checksums, params_sha256 } = model;
    html! {
        @match file {
            Some(file) => {
                (file)
                @if let Some(count) = file_bytes { ", " (bytes(*count)) }
                @match file_checksums {
                    Some(true) => ", agrees with its checksums",
                    Some(false) => ", has no checksums",
                    None => "",
                }
                @if let Some(sha256) = file_sha256 { "; SHA-256 " code { (sha256) } }
                "; "
            }
            None => "in no file; ",
        }
        "parameters " code { (params_sha256) }
    }
}
