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
        @if !open.is_empty() { (items(&open, model)) }
        @if !passed.is_empty() {
            details.all open[open.is_empty()] {
                summary { (plural(passed.len(), "gate")) " passed or did not apply" }
                (items(&passed, model))
            }
        }
    }
}

fn items(gates: &[&Gate], model: &str) -> Markup {
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
                    div.measured { (measured(gate)) }
                }
            }
        }
    }
}

fn measured(gate: &Gate) -> Markup {
    let (Some(value), Some(limit)) = (gate.value, gate.limit) else { return html! {} };
    let unit = if gate.unit.starts_with('%') { "%" } else { "" };
    let limit_text = match gate.side {
        _ if limit == 0.0 => "none allowed".to_string(),
        Side::AtMost => format!("at most {}", with_unit(limit, unit)),
        Side::AtLeast if limit == f64::MIN_POSITIVE => "more than 0".to_string(),
        Side::AtLeast => format!("at least {}", with_unit(limit, unit)),
    };
    let value_text = with_unit(value, &gate.unit);
    let axis = Axis::around(value, limit, gate.side, &gate.unit);
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

/// What the track of a gauge spans.
#[derive(Clone, Copy, Debug)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Shares near 100 % would all look alike from 0 on: for them the track starts nearer.
    fn around(value: f64, limit: f64, side: Side, unit: &str) -> Axis {
        let known = || [value, limit].into_iter().filter(|v| v.is_finite());
        let (low, high) = known().fold((0f64, 0f64), |(low, high), v| (low.min(v), high.max(v)));
        let share = unit.starts_with('%') && side == Side::AtLeast && high <= 100.0;
        if share && limit >= 50.0 {
            let furthest = known().map(|v| 100.0 - v).fold(0.0, f64::max);
            let room = (furthest * 1.25).max(2.0 * (100.0 - limit));
            return Axis { low: (100.0 - room).max(low), high: 100.0 };
        }
        let room = if side == Side::AtMost { 1.25 } else { 1.1 };
        let roomy = if high > 0.0 { high * room } else { 1.0 };
        Axis { low, high: if share { 100.0 } else { roomy } }
    }

    fn share(self, value: f64) -> f64 {
        match (value - self.low) / (self.high - self.low) {
            share if share.is_nan() => 0.0,
            share => share.clamp(0.0, 1.0),
        }
    }
}
