//! The classes and groups of a report, and what fixed ranges leave room for, as tables.

use super::text::{number, with_unit};
use crate::audit::{ClassReport, Saturation};
use maud::{Markup, html};

/// Classes that are shown at once; of more, those that keep least.
const AT_A_GLANCE: usize = 12;

/// Every class, those first that keep least of their recall.
pub(super) fn list(classes: &[ClassReport]) -> Markup {
    let mut sorted: Vec<&ClassReport> = classes.iter().collect();
    let kept = |class: &ClassReport| class.kept.unwrap_or(100.0);
    sorted.sort_by(|a, b| kept(a).total_cmp(&kept(b)));
    let (first, others) = sorted.split_at(sorted.len().min(AT_A_GLANCE));
    html! {
        (table(first))
        @if !others.is_empty() {
            details.all {
                summary { (others.len()) " more" }
                (table(others))
            }
        }
    }
}

fn table(classes: &[&ClassReport]) -> Markup {
    html! {
        div.scroll {
            table.layers {
                thead {
                    tr {
                        th { "Class" } th { "Samples" } th { "Recall, f32" } th { "int8" } th { "Kept" }
                        th { "95 % interval" } th { "Lost samples" }
                    }
                }
                tbody {
                    @for class in classes {
                        tr {
                            th scope="row" { (class.name) }
                            td.number { (class.samples) }
                            td.number { (with_unit(class.float_recall, "%")) }
                            td.number { (with_unit(class.int8_recall, "%")) }
                            td.number { (class.kept.map_or(String::new(), |kept| with_unit(kept, "%"))) }
                            td.number {
                                @if let Some(interval) = class.interval {
                                    (number(interval.low)) " to " (number(interval.high))
                                }
                            }
                            td { (joined(&class.lost)) }
                        }
                    }
                }
            }
        }
    }
}

fn joined(samples: &[usize]) -> String {
    samples.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// How many activations lie outside of their ranges, for inputs of growing size.
pub(super) fn room(saturation: &[Saturation]) -> Markup {
    html! {
        p.quiet {
            "Ranges that calibration fixed hold what it has seen. What lies outside becomes the last level: "
            "here of the samples as they are, and of inputs that are larger."
        }
        div.scroll {
            table.layers {
                thead {
                    tr {
                        th { "Inputs" } th { "Outside" } th { "Most of all in" } th { "Outside there" }
                        th { "Same answer as float" }
                    }
                }
                tbody {
                    @for of in saturation {
                        tr {
                            th scope="row" { "×" (number(of.factor)) }
                            td.number { (with_unit(of.percent, "%")) }
                            td { (of.worst_layer) }
                            td.number { (with_unit(of.worst_percent, "%")) }
                            td.number { (of.agreement.map_or(String::new(), |a| with_unit(a, "%"))) }
                        }
                    }
                }
            }
        }
    }
}
