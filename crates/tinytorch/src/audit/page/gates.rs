//! The gates of a report, drawn.

use super::meaning;
use super::svg::Gauge;
use super::text::{number, plural, with_unit};
use super::verdict::{class, glyph};
use crate::audit::{Gate, Outcome, Side};
use maud::{Markup, html};

/// Every gate: first what failed, then what was not decided, and what passed on request.
pub(super) fn list(gates: &[Gate], model: &str) -> Markup {
    let of = |wanted: &[Outcome]| -> Vec<&Gate> {
        wanted.iter().flat_map(|w| gates.iter().filter(move |gate| gate.result == *w)).collect()
    };
    let open = of(&[Outcome::Fail, Outcome::Unknown]);
    let passed = of(&[Outcome::Pass, Outcome::NotApplicable]);
    html! {
        @if gates.is_empty() { p.quiet { "No gate was asked." } }
        @if !open.is_empty() { (items(&open, gates, model)) }
        @if !passed.is_empty() {
            details.all open[open.is_empty()] {
                summary { (plural(passed.len(), "gate")) " passed or did not apply" }
                (items(&passed, gates, model))
            }
        }
    }
}

fn items(gates: &[&Gate], all: &[Gate], model: &str) -> Markup {
    html! {
        ul.gates {
            @for gate in gates {
                li.gate.(class(gate.result)) id={ (model) "-" (gate.id) } {
                    (glyph(gate.result))
                    div.question {
                        p { strong { (gate.id) } span.result { (gate.result.word()) } }
                        p { (meaning::of(gate.id)) }
                        p.quiet { (gate.reason) }
                    }
                    div.measured { (measured(gate, all)) }
                }
            }
        }
    }
}

fn measured(gate: &Gate, all: &[Gate]) -> Markup {
    let (Some(value), Some(limit)) = (gate.value, gate.limit) else { return html! {} };
    let unit = if gate.unit.starts_with('%') { "%" } else { "" };
    let limit_text = match gate.side {
        _ if limit == 0.0 => "none allowed".to_string(),
        Side::AtMost => format!("at most {}", with_unit(limit, unit)),
        Side::AtLeast if limit == f64::MIN_POSITIVE => "more than 0".to_string(),
        Side::AtLeast => format!("at least {}", with_unit(limit, unit)),
    };
    let value_text = with_unit(value, &gate.unit);
    let axis = Axis::of(gate, all);
    let gauge = Gauge {
        limit: axis.share(limit),
        value: axis.share(value),
        forbidden_above: gate.side == Side::AtMost,
    };
    html! {
        p.numbers { strong { (value_text) } span.quiet { (limit_text) } }
        @if limit != 0.0 {
            (gauge.draw(class(gate.result), &format!("{value_text}, {limit_text}")))
            p.axis { span { (number(axis.low)) } span { (number(axis.high)) } }
        }
    }
}

/// What gauges must have in common to be comparable at a glance, and so to share an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Kind<'a> {
    unit: &'a str,
    /// Whether it is a share that should be near the whole.
    near_whole: bool,
    side: Side,
}

impl Kind<'_> {
    fn of(gate: &Gate) -> Kind<'_> {
        let share = gate.unit.starts_with('%') && gate.side == Side::AtLeast;
        let near_whole = share && gate.limit.is_some_and(|limit| limit >= 50.0);
        Kind { unit: if near_whole { "%" } else { &gate.unit }, near_whole, side: gate.side }
    }
}

/// What the track of a gauge spans.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Of a gate, and of all that are of its kind.
    ///
    /// Shares near 100 % would all look alike from 0 on: for them the track starts nearer.
    fn of(gate: &Gate, all: &[Gate]) -> Axis {
        let kind = Kind::of(gate);
        let alike = all.iter().chain([gate]).filter(|other| Kind::of(other) == kind);
        let numbers = alike.flat_map(|other| [other.value, other.limit]).flatten();
        let known: Vec<f64> = numbers.filter(|number| number.is_finite()).collect();
        let range = |(low, high): (f64, f64), &v: &f64| (low.min(v), high.max(v));
        let (low, high) = known.iter().fold((0f64, 0f64), range);
        let whole = kind.side == Side::AtLeast && kind.unit.starts_with('%') && high <= 100.0;
        if kind.near_whole && whole {
            let lowest = known.iter().copied().fold(100.0, f64::min);
            return Axis { low: (100.0 - (100.0 - lowest) * 1.25 - 0.5).max(low), high: 100.0 };
        }
        let room = if kind.side == Side::AtMost { 1.25 } else { 1.1 };
        let roomy = if high > 0.0 { high * room } else { 1.0 };
        Axis { low, high: if whole { 100.0 } else { roomy } }
    }

    fn share(self, value: f64) -> f64 {
        match (value - self.low) / (self.high - self.low) {
            share if share.is_nan() => 0.0,
            share => share.clamp(0.0, 1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_of_one_kind_share_an_axis() {
        let least = |value, limit, unit: &'static str| {
            Gate::at_least("g", value, limit, unit, String::new())
        };
        let all = [
            least(99.7, 99.0, "% of f32"),
            least(92.0, 97.0, "% of f32 recall"),
            least(3.98, 3.9, "x smaller"),
            least(3.6, 3.5, "x smaller"),
            least(55.0, f64::MIN_POSITIVE, "% saved"),
            Gate::at_most("g", 0.5, 1.0, "%", String::new()),
        ];
        let axes = all.each_ref().map(|gate| Axis::of(gate, &all));
        assert_eq!(axes[0], axes[1]);
        assert_eq!((axes[0].low, axes[0].high), (89.5, 100.0));
        assert_eq!(axes[2], axes[3]);
        assert_eq!((axes[4].low, axes[4].high), (0.0, 100.0));
        assert_eq!((axes[5].low, axes[5].high), (0.0, 1.25));
    }
}
