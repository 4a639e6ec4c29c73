//! The times of both models, drawn.

use super::headline::median;
use super::svg::tenth;
use super::text::{microseconds, number};
use crate::audit::LatencyPairs;
use maud::{Markup, html};
use std::fmt::Write;

/// Points of one picture; more would lie on each other.
const POINTS: usize = 800;

/// Side of the square that the points lie in, and where it starts.
const SIDE: f64 = 300.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 12.0;

/// A picture for each batch size: every pair of passes is a point, float to the right, int8 upwards.
pub(super) fn panels(latency: &[LatencyPairs]) -> Markup {
    html! {
        p.quiet {
            "Each point is the mean of a few passes of each model, taken in turn. Below the diagonal "
            "int8 was faster. What is slower than the frame shows lies on its edge."
        }
        div.panels {
            @for pairs in latency { (panel(pairs)) }
        }
    }
}

fn panel(pairs: &LatencyPairs) -> Markup {
    let points: Vec<(f64, f64)> = pairs
        .float_us
        .iter()
        .copied()
        .zip(pairs.int8_us.iter().copied())
        .filter(|(float, int8)| float.is_finite() && int8.is_finite())
        .collect();
    let ratios: Vec<f64> = points.iter().map(|(float, int8)| int8 / float).collect();
    let faster = points.iter().filter(|(float, int8)| int8 < float).count();
    let (float, int8) = (median(&pairs.float_us), median(&pairs.int8_us));
    let summary = format!(
        "{} pairs at batch {}: median {} in float and {} in int8; int8 faster in {faster}",
        points.len(),
        pairs.batch,
        microseconds(float),
        microseconds(int8)
    );
    html! {
        figure.scatter {
            figcaption { "Batch " (pairs.batch) }
            @if points.is_empty() {
                p.quiet { "No pairs were timed." }
            } @else {
                (Frame::around(&points).draw(&points, &summary))
                p.facts {
                    (summary) ". Median of int8 / float: " (number(median(&ratios))) "."
                }
            }
        }
    }
}

/// The times that a picture spans, alike on both axes.
struct Frame {
    low: f64,
    high: f64,
}

impl Frame {
    /// All times but the slowest tenth, which interruptions can stretch until the others crowd
    /// together in a corner; they lie on the edge.
    fn around(points: &[(f64, f64)]) -> Frame {
        let mut times: Vec<f64> = points.iter().flat_map(|&(a, b)| [a, b]).collect();
        times.sort_by(f64::total_cmp);
        let last = times.len() - 1;
        let (low, high) = (times[0], times[last * 9 / 10]);
        let room = (high - low).max(high * 0.01).max(f64::MIN_POSITIVE) * 0.08;
        Frame { low: (low - room).max(0.0), high: high + room }
    }

    fn share(&self, time: f64) -> f64 {
        ((time - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn draw(&self, points: &[(f64, f64)], title: &str) -> Markup {
        let step = points.len().div_ceil(POINTS).max(1);
        let mut path = String::new();
        for &(float, int8) in points.iter().step_by(step) {
            let (x, y) = (LEFT + SIDE * self.share(float), TOP + SIDE * (1.0 - self.share(int8)));
            // Writing to a string cannot fail.
            let _ = write!(path, "M{} {}h0", tenth(x), tenth(y));
        }
        let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
        let (low, high) = (microseconds(self.low), microseconds(self.high));
        html! {
            svg.pairs viewBox="0 0 372 352" role="img" {
                title { (title) }
                path.faster d={ "M" (LEFT) " " (bottom) "H" (right) "V" (TOP) "Z" } {}
                path.frame d={ "M" (LEFT) " " (TOP) "H" (right) "V" (bottom) "H" (LEFT) "Z" } {}
                path.diagonal d={ "M" (LEFT) " " (bottom) "L" (right) " " (TOP) } {}
                path.points d=(path) {}
                text x=(LEFT) y=(bottom + 16.0) { (low) }
                text x=(right) y=(bottom + 16.0) text-anchor="end" { (high) }
                text.name x=(LEFT + SIDE / 2.0) y=(bottom + 32.0) text-anchor="middle" { "float" }
                text x=(LEFT - 6.0) y=(bottom) text-anchor="end" { (low) }
                text x=(LEFT - 6.0) y=(TOP + 10.0) text-anchor="end" { (high) }
                text.name x=(LEFT - 6.0) y=(TOP + SIDE / 2.0) text-anchor="end" { "int8" }
                text.name x=(right - 8.0) y=(TOP + SIDE / 2.0) text-anchor="end" { "int8 faster" }
            }
        }
    }
}
