//! The report as one page to look at: `report.html`.
//!
//! The page holds everything it shows: pictures are inline SVG, there are no scripts, and nothing is
//! loaded. Every picture has its numbers beside it or in its title.
//!
//! ```
//! use tinytorch::audit::{Report, page};
//! let html = page::render(&Report::new(Vec::new()));
//! assert!(html.starts_with("<!DOCTYPE html>"));
//! ```

mod advice;
mod changed;
mod classes;
mod gates;
mod graph;
mod headline;
mod ladder;
mod latency;
mod layers;
mod meaning;
mod origins;
mod svg;
#[cfg(test)]
mod tests;
mod text;
mod verdict;

use super::{ModelReport, Report};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use text::plural;
use verdict::Verdict;

/// Refuses everything but the page's own style, should a name ever get past the escaping.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page for a report.
pub fn render(report: &Report) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                title { "tinytorch audit: " (Verdict::of_report(report).words()) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                header.top {
                    p.brand { "tinytorch audit" }
                    p.legend {
                        "Throughout this page " span.swatch.float {} " is the float model and "
                        span.swatch.int8 {} " the int8 model made from it."
                    }
                    @if report.models.len() != 1 { (overview(report)) }
                }
                main {
                    @for (i, model) in report.models.iter().enumerate() {
                        (model_section(model, &format!("m{i}")))
                    }
                }
                (provenance(report))
            }
        }
    };
    page.into_string()
}

/// Every model's verdict at a glance.
fn overview(report: &Report) -> Markup {
    let models = report.models.len();
    let intact = report.models.iter().filter(|model| Verdict::of(model) == Verdict::Intact).count();
    html! {
        nav.overview aria-label="Models" {
            @if models == 0 {
                p.lead { "No model was audited." }
            } @else {
                p.lead { (intact) " of " (plural(models, "model")) " intact." }
            }
            @for (i, model) in report.models.iter().enumerate() {
                @let verdict = Verdict::of(model);
                a.chip.(verdict.class()) href={ "#m" (i) } {
                    (verdict.glyph()) span { (model.name) }
                    span.quiet { (verdict.words().to_lowercase()) }
                }
            }
        }
    }
}

fn model_section(model: &ModelReport, id: &str) -> Markup {
    html! {
        section.model id=(id) {
            (verdict::banner(model, id))
            (headline::figures(model))
            h3 { "Gates" }
            (gates::list(&model.gates, id))
            @if !model.advice.is_empty() {
                h3 { "What would help" }
                (advice::list(&model.advice))
            }
            @if !model.tried.is_empty() {
                h3 { "The search for this model" }
                (ladder::list(&model.tried))
            }
            @if !model.latency.is_empty() {
                h3 { "Latency" }
                (latency::panels(&model.latency))
            }
            @if !model.classes.is_empty() {
                h3 { "Classes" }
                (classes::list(&model.classes))
            }
            @if !model.changed.is_empty() {
                h3 { "Samples that get another answer" }
                (changed::samples(&model.changed))
                (changed::confusions(&model.confusions))
            }
            @if let Some(errors) = &model.sample_errors {
                h3 { "Error of each sample" }
                (changed::errors(errors))
            }
            @if !model.saturation.is_empty() {
                h3 { "Room in the ranges" }
                (classes::room(&model.saturation))
            }
            @if graph::is_known(&model.layers) {
                h3 { "The graph" }
                (graph::draw(&model.layers))
            }
            h3 { "Layers" }
            (layers::list(&model.layers))
            (origins::list(model))
        }
    }
}

/// What measured, and where.
fn provenance(report: &Report) -> Markup {
    let machine = &report.machine;
    html! {
        footer {
            h3 { "Measured by" }
            dl {
                dt { "Tool" } dd { (report.tool) }
                dt { "Date" } dd { (report.date) }
                dt { "Command" } dd { code { (report.command.join(" ")) } }
                dt { "Processor" }
                dd { (machine.processor.as_deref().unwrap_or("not named by the system")) }
                dt { "Platform" } dd { (machine.platform) }
                dt { "Instruction set" } dd { (machine.isa) }
                dt { "Threads" } dd { (machine.threads) }
            }
            p.quiet { "The same figures, for programs, are in report.json." }
        }
    }
}
