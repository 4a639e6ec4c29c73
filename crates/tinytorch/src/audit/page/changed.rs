//! The samples whose answers have changed, and the errors of all.

use super::svg::Histogram;
use super::text::{number, plural, with_unit};
use crate::audit::{Changed, Confusion, Picture, SampleErrors};
use maud::{Markup, html};

/// Side of a pixel in a picture's own units.
const PIXEL: usize = 10;

/// Every sample that is told with both answers.
pub(super) fn samples(changed: &[Changed]) -> Markup {
    html! {
        div.changed {
            @for of in changed {
                figure {
                    @if let Some(picture) = &of.picture { (draw(picture, of.sample)) }
                    figcaption { "Sample " (of.sample) }
                    p.facts {
                        "float " strong { (of.float) } ", int8 " strong { (of.int8) }
                        @if let Some(right) = of.right { ", right is " strong { (right) } }
                    }
                }
            }
        }
    }
}

/// Pixels of one shade that follow each other are one rectangle.
fn draw(picture: &Picture, sample: usize) -> Markup {
    let width = picture.width.max(1);
    let rows: Vec<&[u8]> = picture.shades.chunks(width).collect();
    let size = format!("0 0 {} {}", width * PIXEL, rows.len() * PIXEL);
    html! {
        svg.picture viewBox=(size) role="img" shape-rendering="crispEdges" {
            title { "Sample " (sample) }
            @for (y, row) in rows.iter().enumerate() {
                @for (x, run) in runs(row) {
                    @let shade = row[x];
                    rect x=(x * PIXEL) y=(y * PIXEL) width=(run * PIXEL) height=(PIXEL)
                        fill={ "rgb(" (shade) "," (shade) "," (shade) ")" } {}
                }
            }
        }
    }
}

/// Where runs of equal values begin, and how long they are.
fn runs(row: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (x, shade) in row.iter().enumerate() {
        match runs.last_mut() {
            Some((start, run)) if row[*start] == *shade => *run += 1,
            _ => runs.push((x, 1)),
        }
    }
    runs
}

/// Which classes became which others.
pub(super) fn confusions(confusions: &[Confusion]) -> Markup {
    html! {
        div.scroll {
            table.layers {
                thead { tr { th { "Class in float" } th { "in int8" } th { "Answers" } } }
                tbody {
                    @for Confusion { float, int8, answers } in confusions {
                        tr {
                            th scope="row" { (float) } td { (int8) } td.number { (answers) }
                        }
                    }
                }
            }
        }
    }
}

/// How far the outputs of single samples are off.
pub(super) fn errors(errors: &SampleErrors) -> Markup {
    let samples: u64 = errors.counts.iter().sum();
    let histogram = Histogram {
        low: 0.0,
        high: errors.largest_percent,
        counts: &errors.counts,
        range: None,
        marks: &[],
    };
    let title = format!("Histogram of the errors of {}", plural(samples as usize, "sample"));
    html! {
        @if samples > 0 {
            (histogram.draw(&title))
            p.axis { span { "0" } span { (with_unit(errors.largest_percent, "%")) } }
            p.facts {
                "Of what the outputs of samples differ by; sample " (errors.largest_sample)
                " is furthest off, " (number(errors.largest_percent)) " %. Heights are logarithmic."
            }
        }
    }
}
