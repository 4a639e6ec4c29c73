//! The verdict of a report, drawn.

use super::text::plural;
use crate::audit::{Gate, ModelReport, Outcome, Report};
use maud::{Markup, html};

/// What the gates add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Intact,
    /// The float model itself is not worth the test, whatever int8 has made of it.
    NotWorth,
    /// A gate failed.
    Broken,
    /// No gate failed, but one could not be measured or decided.
    Unproven,
    /// There was no model.
    Nothing,
}

impl Verdict {
    pub(super) fn of(model: &ModelReport) -> Verdict {
        let floor = model.gates.iter().find(|gate| gate.id == "f32_floor");
        if model.verdict == Outcome::Pass {
            Verdict::Intact
        } else if floor.is_some_and(|gate| gate.result == Outcome::Fail) {
            Verdict::NotWorth
        } else if model.gates.iter().any(|gate| gate.result == Outcome::Fail) {
            Verdict::Broken
        } else {
            Verdict::Unproven
        }
    }

    /// The worst of all models' verdicts.
    pub(super) fn of_report(report: &Report) -> Verdict {
        let has = |verdict| report.models.iter().any(|model| Verdict::of(model) == verdict);
        let order = [Verdict::Broken, Verdict::NotWorth, Verdict::Unproven, Verdict::Intact];
        order.into_iter().find(|&verdict| has(verdict)).unwrap_or(Verdict::Nothing)
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Verdict::Intact => "Intact",
            Verdict::NotWorth => "Float model not worth the test",
            Verdict::Broken => "Not intact",
            Verdict::Unproven => "Not proven",
            Verdict::Nothing => "Nothing audited",
        }
    }

    pub(super) fn class(self) -> &'static str {
        self.outcome().map_or("na", class)
    }

    pub(super) fn glyph(self) -> Markup {
        self.outcome().map_or_else(|| glyph(Outcome::NotApplicable), glyph)
    }

    fn outcome(self) -> Option<Outcome> {
        match self {
            Verdict::Intact => Some(Outcome::Pass),
            Verdict::NotWorth | Verdict::Broken => Some(Outcome::Fail),
            Verdict::Unproven => Some(Outcome::Unknown),
            Verdict::Nothing => None,
        }
    }
}

/// The class that colors an outcome.
pub(super) fn class(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::NotApplicable => "na",
        Outcome::Unknown => "unknown",
    }
}

/// A sign for an outcome that does not rest on color: tick, cross, bar, question mark.
pub(super) fn glyph(outcome: Outcome) -> Markup {
    let path = match outcome {
        Outcome::Pass => "M6.5 12.5l4 4 7.5-9",
        Outcome::Fail => "M7.5 7.5l9 9m0-9l-9 9",
        Outcome::NotApplicable => "M7 12h10",
        Outcome::Unknown => "M9 9.2a3 3 0 1 1 4.2 2.8c-.8.4-1.2.9-1.2 2m0 3v.2",
    };
    html! {
        svg.glyph.(class(outcome)) viewBox="0 0 24 24" role="img" {
            title { (outcome.word()) }
            circle cx="12" cy="12" r="12" {}
            path d=(path) {}
        }
    }
}

/// The verdict, large, and what it rests on.
pub(super) fn banner(model: &ModelReport, id: &str) -> Markup {
    let verdict = Verdict::of(model);
    html! {
        div.banner.(verdict.class()) {
            (verdict.glyph())
            div {
                h2 { (model.name) }
                p.verdict {
                    (verdict.words())
                    @if model.answers_alone.is_some() { ", by its answers alone" }
                }
                p.because { (because(model, id)) }
            }
        }
    }
}

fn because(model: &ModelReport, id: &str) -> Markup {
    let of = |outcome| model.gates.iter().filter(move |gate| gate.result == outcome);
    let (failed, unknown) = (of(Outcome::Fail).count(), of(Outcome::Unknown).count());
    html! {
        (of(Outcome::Pass).count()) " of " (plural(model.gates.len(), "gate")) " passed"
        @if failed > 0 { "; failed: " (links(of(Outcome::Fail), id)) }
        @if unknown > 0 { "; undecided: " (links(of(Outcome::Unknown), id)) }
        @match of(Outcome::NotApplicable).count() {
            0 => {},
            1 => "; 1 does not apply",
            n => { "; " (n) " do not apply" },
        }
        "."
        @if let Some(why) = &model.answers_alone {
            " Weights, layers and sums were not judged: " (why) "."
        }
        @if model.held_out_samples > 0 {
            " Judged on " (plural(model.held_out_samples, "held-out sample")) "."
        }
    }
}

fn links<'a>(gates: impl Iterator<Item = &'a Gate>, id: &str) -> Markup {
    html! {
        @for (i, gate) in gates.enumerate() {
            @if i > 0 { ", " }
            a href={ "#" (id) "-" (gate.id) } { (gate.id) }
        }
    }
}
