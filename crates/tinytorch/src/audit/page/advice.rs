//! What would help a model that failed, as a table.

use super::text::{bytes, with_unit};
use crate::audit::Advice;
use maud::{Markup, html};

/// The layers to raise, in the order in which they were measured.
pub(super) fn list(advice: &[Advice]) -> Markup {
    html! {
        p.quiet {
            "Each layer was raised after those above it, and the model was measured again on all samples. "
            code { "tinytorch quantize --max-error" } " finds such layers, "
            code { "--skip" } " leaves one as floats."
        }
        div.scroll {
            table.layers {
                thead {
                    tr {
                        th { "Raise" } th { "to" } th { "Output error before" } th { "after" }
                        th { "More memory" } th { "More time" }
                    }
                }
                tbody {
                    @for Advice { layer, to, error_before_percent, error_after_percent, more_bytes, slower_percent } in advice {
                        tr {
                            th scope="row" { (layer) }
                            td { (to.word()) }
                            td.number { (with_unit(*error_before_percent, "%")) }
                            td.number { (with_unit(*error_after_percent, "%")) }
                            td.number { (bytes(*more_bytes)) }
                            td.number {
                                @match slower_percent {
                                    Some(slower) => { (format!("{slower:+.0} %")) },
                                    None => "not timed",
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
