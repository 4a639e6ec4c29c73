//! The few shapes that the page's pictures are made of. All scale with the box they stand in, so
//! words stay outside, in HTML; each has a title that says in words what it shows.

use maud::{Markup, html};
use std::fmt::Write;

/// Width of a picture in its own units; the page stretches it.
const WIDTH: f64 = 1000.0;

/// Height of a histogram in its own units.
const HEIGHT: f64 = 100.0;

/// `value` as a share of `full`, within 0 to 1; what is not a number has none.
pub(super) fn share(value: f64, full: f64) -> f64 {
    if value == f64::INFINITY {
        1.0
    } else if value > 0.0 && full > 0.0 {
        (value / full).min(1.0)
    } else {
        0.0
    }
}

/// The largest finite value, 0 if there is none.
pub(super) fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// A bar that fills a share of its track.
pub(super) fn bar(class: &str, share: f64, title: &str) -> Markup {
    html! {
        svg.bar viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" {
            title { (title) }
            rect.track width="1000" height="10" {}
            rect.(class) width=(position(share)) height="10" {}
        }
    }
}

/// A measurement on a track from which part is forbidden.
pub(super) struct Gauge {
    /// Share of the track where the limit lies.
    pub(super) limit: f64,
    /// Share of the track where the measurement lies.
    pub(super) value: f64,
    /// Whether what lies above the limit is forbidden, and not what lies below.
    pub(super) forbidden_above: bool,
}

impl Gauge {
    pub(super) fn draw(&self, class: &str, title: &str) -> Markup {
        let (limit, value) = (self.limit * WIDTH, self.value * WIDTH);
        let (start, width) =
            if self.forbidden_above { (limit, WIDTH - limit) } else { (0.0, limit) };
        html! {
            svg.gauge viewBox="0 0 1000 20" preserveAspectRatio="none" role="img" {
                title { (title) }
                rect.track y="4" width="1000" height="12" {}
                rect.forbidden y="4" x=(tenth(start)) width=(tenth(width)) height="12" {}
                rect.(class) y="7" width=(tenth(value)) height="6" {}
                line.limit x1=(tenth(limit)) x2=(tenth(limit)) y1="0" y2="20" {}
            }
        }
    }
}

/// A histogram over `low..high`, with bars as high as the logarithm of the counts, so that a tail of
/// a few values shows beside a peak of thousands.
pub(super) struct Histogram<'a> {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) counts: &'a [u64],
    /// Values that int8 can hold; beyond it they are clipped.
    pub(super) range: Option<(f64, f64)>,
    /// Further marks inside the range.
    pub(super) marks: &'a [f64],
}

impl Histogram<'_> {
    pub(super) fn draw(&self, title: &str) -> Markup {
        let edges = self.range.map(|(min, max)| (self.x(min), self.x(max)));
        html! {
            svg.histogram viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" {
                title { (title) }
                @if let Some((min, max)) = edges {
                    rect.clipped width=(tenth(min)) height="100" {}
                    rect.clipped x=(tenth(max)) width=(tenth(WIDTH - max)) height="100" {}
                }
                path.counts d=(self.outline()) {}
                @if self.low < 0.0 && self.high > 0.0 { (mark("zero", self.x(0.0))) }
                @for &value in self.marks { (mark("inner", self.x(value))) }
                @if let Some((min, max)) = edges { (mark("edge", min)) (mark("edge", max)) }
            }
        }
    }

    fn x(&self, value: f64) -> f64 {
        if self.high > self.low {
            ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0) * WIDTH
        } else {
            WIDTH / 2.0
        }
    }

    fn outline(&self) -> String {
        let most = self.counts.iter().copied().max().unwrap_or(0);
        let width = WIDTH / self.counts.len().max(1) as f64;
        let mut path = format!("M0 {HEIGHT}");
        for (i, &count) in self.counts.iter().enumerate() {
            let height = (1.0 + count as f64).ln() / (1.0 + most.max(1) as f64).ln() * HEIGHT;
            let (top, end) = (tenth(HEIGHT - height), tenth((i + 1) as f64 * width));
            // Writing to a string cannot fail.
            let _ = write!(path, "V{top}H{end}");
        }
        path + "V100Z"
    }
}

fn mark(class: &str, x: f64) -> Markup {
    html! { line.(class) x1=(tenth(x)) x2=(tenth(x)) y1="0" y2="100" {} }
}

fn position(share: f64) -> String {
    tenth(share * WIDTH)
}

/// With one decimal, a tenth of which no screen shows.
pub(super) fn tenth(value: f64) -> String {
    format!("{value:.1}")
}
