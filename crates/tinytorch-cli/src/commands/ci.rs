//! An audit's result as systems for continuous integration read it: JUnit's XML and GitHub's annotations.

use std::fmt::Write;
use tinytorch::audit::{Gate, ModelReport, Outcome, Report};

/// The result as JUnit's XML: a suite for each model, a case for each gate. What could not be decided is an
/// error, what does not apply is skipped.
pub(super) fn junit(report: &Report) -> String {
    let all: Vec<&Gate> = report.models.iter().flat_map(|model| &model.gates).collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    xml.push_str(&format!("<testsuites name=\"tinytorch audit\" {}>\n", counts(&all)));
    for model in &report.models {
        let gates: Vec<&Gate> = model.gates.iter().collect();
        let name = escaped(&model.name);
        xml.push_str(&format!("  <testsuite name=\"{name}\" {}>\n", counts(&gates)));
        if let Some(why) = &model.answers_alone {
            let why = escaped(why);
            xml.push_str(&format!(
                "    <properties><property name=\"answers_alone\" value=\"{why}\"/></properties>\n"
            ));
        }
        for gate in gates {
            let (id, reason) = (escaped(gate.id), escaped(&gate.reason));
            xml.push_str(&format!("    <testcase classname=\"{name}\" name=\"{id}\">\n"));
            xml.push_str(&match gate.result {
                Outcome::Pass => format!("      <system-out>{reason}</system-out>\n"),
                Outcome::Fail => format!("      <failure message=\"{reason}\"/>\n"),
                Outcome::Unknown => format!("      <error message=\"{reason}\"/>\n"),
                Outcome::NotApplicable => format!("      <skipped message=\"{reason}\"/>\n"),
            });
            xml.push_str("    </testcase>\n");
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(gates: &[&Gate]) -> String {
    let of = |outcome| gates.iter().filter(|gate| gate.result == outcome).count();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        gates.len(),
        of(Outcome::Fail),
        of(Outcome::Unknown),
        of(Outcome::NotApplicable)
    )
}

/// Text as it may stand in XML, in an attribute too; what XML 1.0 has no way to write is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' | '\t' | '\r' => {
                // Writing to a string cannot fail.
                let _ = write!(out, "&#{};", u32::from(c));
            }
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => {}
            c => out.push(c),
        }
    }
    out
}

/// The lines by which GitHub annotates a run: an error for each gate that did not pass, and a notice of
/// each model's verdict.
pub(super) fn github(report: &Report) -> String {
    let mut lines = String::new();
    for model in &report.models {
        let name = property(&model.name);
        for gate in &model.gates {
            let what = match gate.result {
                Outcome::Fail => "failed",
                Outcome::Unknown => "could not be decided",
                Outcome::Pass | Outcome::NotApplicable => continue,
            };
            let reason = data(&gate.reason);
            lines.push_str(&format!("::error title={name}%3A {} {what}::{reason}\n", gate.id));
        }
        lines.push_str(&format!("::notice title={name}::{}\n", data(&verdict(model))));
    }
    lines
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A model's verdict in one line, with the gates that decided it.
pub(super) fn verdict(model: &ModelReport) -> String {
    let of = |outcome| -> Vec<&str> {
        model.gates.iter().filter(|gate| gate.result == outcome).map(|gate| gate.id).collect()
    };
    let (failed, unknown) = (of(Outcome::Fail), of(Outcome::Unknown));
    let mut line = format!("{} {}", model.name, model.verdict.word());
    if model.answers_alone.is_some() {
        line.push_str(", by its answers alone");
    }
    if failed.contains(&"f32_floor") {
        line.push_str(", the float model is not worth the test");
    }
    for (what, gates) in [("failed", failed), ("undecided", unknown)] {
        if !gates.is_empty() {
            line.push_str(&format!(" ({what}: {})", gates.join(", ")));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let gates = vec![
            Gate::at_most("round_trip", 0.0, 0.0, "faults", "same & \"whole\"".to_string()),
            Gate::at_least("accuracy", 90.0, 99.0, "%", "100 % -> 90 %\nof <all>".to_string()),
            Gate::unknown("agreement", "too few".to_string()),
            Gate::not_applicable("calibration", "nothing\u{1} fixed".to_string()),
        ];
        Report::new(vec![ModelReport::of_gates("a, b: <c>", gates)])
    }

    #[test]
    fn junit_counts_and_escapes() {
        let xml = junit(&report());
        let suite = "<testsuite name=\"a, b: &lt;c&gt;\" tests=\"4\" failures=\"1\" errors=\"1\" skipped=\"1\">";
        assert!(xml.contains(suite), "{xml}");
        assert!(
            xml.contains("<failure message=\"100 % -&gt; 90 %&#10;of &lt;all&gt;\"/>"),
            "{xml}"
        );
        assert!(xml.contains("<error message=\"too few\"/>"), "{xml}");
        assert!(xml.contains("<skipped message=\"nothing fixed\"/>"), "{xml}");
        assert!(xml.contains("<system-out>same &amp; &quot;whole&quot;</system-out>"), "{xml}");
    }

    #[test]
    fn what_was_judged_by_its_answers_alone_says_so() {
        let mut report = report();
        report.models[0].answers_alone = Some("another \"graph\"".to_string());
        let property = "<property name=\"answers_alone\" value=\"another &quot;graph&quot;\"/>";
        assert!(junit(&report).contains(property));
        assert!(verdict(&report.models[0]).contains("fail, by its answers alone (failed"));
    }

    #[test]
    fn github_gets_a_line_for_each_gate_that_did_not_pass() {
        assert_eq!(
            github(&report()),
            "::error title=a%2C b%3A <c>%3A accuracy failed::100 %25 -> 90 %25%0Aof <all>\n\
             ::error title=a%2C b%3A <c>%3A agreement could not be decided::too few\n\
             ::notice title=a%2C b%3A <c>::a, b: <c> fail (failed: accuracy) (undecided: agreement)\n"
        );
    }
}
