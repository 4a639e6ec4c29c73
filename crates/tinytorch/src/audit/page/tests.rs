//! Tests of the page.

use super::render;
use crate::audit::*;

const GATES: [&str; 18] = [
    "f32_floor",
    "unseen",
    "structure",
    "coverage",
    "output_error",
    "accuracy",
    "agreement",
    "classes",
    "batches",
    "weight_bytes",
    "file_bytes",
    "process_memory",
    "no_f32_copy",
    "latency",
    "round_trip",
    "determinism",
    "overflow",
    "calibration",
];

fn model(name: &str, verdict: Outcome, gates: Vec<Gate>) -> ModelReport {
    ModelReport {
        verdict,
        held_out_samples: 360,
        float_quality: 98.0,
        int8_quality: 97.5,
        bytes: vec![BytesPair { what: "weights", float: 4000, int8: 1004 }],
        ..ModelReport::of_gates(name, gates)
    }
}

fn layer(name: &str, weight: Distribution, activation: Option<Distribution>) -> LayerReport {
    LayerReport {
        name: name.to_string(),
        node: None,
        after: Vec::new(),
        op: "linear",
        kernel: "gemm_int8_scalar",
        shape: vec![10, 100],
        float_bytes: 4000,
        int8_bytes: 1040,
        own_error_percent: 0.25,
        expected_error_percent: 0.2,
        propagated_error_percent: 0.5,
        float_microseconds: Some(120.0),
        int8_microseconds: Some(40.0),
        weight,
        activation,
    }
}

fn distribution() -> Distribution {
    let int8 = Int8Range {
        min: -1.0,
        max: 1.0,
        narrowest_max: 0.25,
        clipped_percent: 0.125,
        levels_used: 213,
        levels: 255,
    };
    Distribution { low: -1.5, high: 1.0, counts: vec![1, 500, 20], int8: Some(int8) }
}

fn page(models: Vec<ModelReport>) -> String {
    render(&Report::new(models))
}

fn pass(id: &'static str) -> Gate {
    Gate::at_most(id, 0.5, 1.0, "%", format!("why {id}"))
}

#[test]
fn every_gate_is_named_explained_and_measured() {
    let html = page(vec![model("m", Outcome::Pass, GATES.map(pass).to_vec())]);
    for id in GATES {
        assert!(html.contains(&format!("<strong>{id}</strong>")), "{id}");
        assert!(html.contains(&format!("why {id}")), "{id}");
        assert!(!super::meaning::of(id).is_empty(), "{id}");
        assert!(html.contains(super::meaning::of(id)), "{id}");
    }
    assert_eq!(html.matches("at most 1 %</span>").count(), GATES.len());
    assert!(html.contains("<p class=\"verdict\">Intact</p>"));
}

#[test]
fn classes_that_keep_least_come_first_and_ranges_show_their_room() {
    let class = |name: &str, kept: f64| ClassReport {
        name: name.to_string(),
        samples: 32,
        float_recall: 100.0,
        int8_recall: kept,
        kept: Some(kept),
        interval: Some(Interval { low: kept - 1.0, high: kept }),
        lost: vec![77, 202],
    };
    let mut report = model("m", Outcome::Fail, Vec::new());
    report.classes = vec![class("class 0", 99.0), class("class <2>", 12.0)];
    report.saturation = vec![Saturation {
        factor: 1.5,
        percent: 3.25,
        worst_layer: "conv1.weight".to_string(),
        worst_percent: 12.5,
        agreement: Some(96.0),
    }];
    let html = page(vec![report]);
    let (first, second) = (html.find("class &lt;2&gt;").unwrap(), html.find("class 0").unwrap());
    assert!(first < second && html.contains("77, 202"));
    assert!(html.contains("×1.5") && html.contains("3.25") && html.contains("conv1.weight"));
}

#[test]
fn the_verdict_names_what_failed_and_what_is_unknown() {
    let failed = Gate::at_least("accuracy", 90.0, 99.0, "% of f32", "too low".into());
    let unknown = Gate::unknown("latency", "no clock".into());
    let apart = Gate::not_applicable("calibration", "dynamic".into());
    let html = page(vec![model("m", Outcome::Fail, vec![failed, unknown.clone(), apart])]);
    assert!(html.contains("Not intact"));
    assert!(html.contains("0 of 3 gates passed; failed: <a href=\"#m0-accuracy\">accuracy</a>"));
    assert!(html.contains("undecided: <a href=\"#m0-latency\">latency</a>"));
    assert!(html.contains("1 does not apply") && html.contains("dynamic"));
    assert!(html.contains("at least 99 %</span>"));
    assert!(page(vec![model("m", Outcome::Fail, vec![unknown])]).contains("Not proven"));
}

#[test]
fn what_failed_comes_first_and_what_passed_is_folded() {
    let failed = Gate::at_most("output_error", 2.0, 1.0, "%", "far off".to_string());
    let html = page(vec![model("m", Outcome::Fail, vec![pass("structure"), failed])]);
    let at = |words: &str| html.find(words).unwrap_or_else(|| panic!("{words}"));
    assert!(at("id=\"m0-output_error\"") < at("<details class=\"all\">"));
    assert!(at("<details class=\"all\">") < at("id=\"m0-structure\""));
    assert!(html.contains("1 gate passed or did not apply"));
    assert!(html.contains("Error of the outputs"));
    let intact = page(vec![model("m", Outcome::Pass, vec![pass("structure")])]);
    assert!(intact.contains("<details class=\"all\" open>"));
}

#[test]
fn a_float_model_that_is_worth_nothing_has_a_verdict_of_its_own() {
    let floor = Gate::at_least("f32_floor", 12.0, 95.0, "%", "at chance".to_string());
    let html = page(vec![model("m", Outcome::Fail, vec![floor])]);
    assert!(html.contains("<p class=\"verdict\">Float model not worth the test</p>"));
    assert!(!html.contains("Not intact"));
}

#[test]
fn samples_that_changed_are_drawn_with_both_answers() {
    let mut model = model("m", Outcome::Pass, Vec::new());
    let picture = Some(Picture { width: 2, shades: vec![0, 0, 255, 128] });
    model.changed = vec![Changed { sample: 17, float: 3, int8: 5, right: Some(3), picture }];
    model.confusions = vec![Confusion { float: 3, int8: 5, answers: 1 }];
    let counts = vec![9, 1];
    model.sample_errors = Some(SampleErrors { largest_percent: 4.5, largest_sample: 17, counts });
    let html = page(vec![model]);
    for words in [
        "Sample 17",
        "float <strong>3</strong>, int8 <strong>5</strong>, right is <strong>3</strong>",
        "rgb(255,255,255)",
        "width=\"20\"",
        "Histogram of the errors of 10 samples",
        "sample 17 is furthest off, 4.5 %",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn advice_is_told_with_its_price() {
    let mut model = model("m", Outcome::Fail, Vec::new());
    model.advice = vec![Advice {
        layer: "head.weight".to_string(),
        to: Raised::Float,
        error_before_percent: 1.5,
        error_after_percent: 0.75,
        more_bytes: 12_000,
        slower_percent: Some(8.4),
    }];
    let html = page(vec![model]);
    for words in ["What would help", "head.weight", "1.5 %", "0.75 %", "12 kB", "+8 %"] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn a_layer_shows_its_numbers_in_words() {
    let mut model = model("m", Outcome::Pass, Vec::new());
    model.layers = vec![layer("net.0.weight", distribution(), Some(distribution()))];
    let html = page(vec![model]);
    for words in [
        "net.0.weight",
        "gemm_int8_scalar",
        "10 × 100",
        "0.25 %",
        "0.5 %",
        "4 kB",
        "1.04 kB",
        "120 µs",
        "40 µs",
        "Histogram of 521 weights from -1.5 to 1",
        "Histogram of 521 input values from -1.5 to 1",
        "0.125 % clipped",
        "213 of 255",
        "the narrowest channel ±0.25",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn names_are_text_and_never_markup() {
    let hostile = "<script>alert(1)</script>\"'&";
    let gate = Gate::unknown("latency", hostile.to_string());
    let mut model = model(hostile, Outcome::Fail, vec![gate]);
    model.architecture = serde_json::json!({ hostile: hostile });
    model.layers = vec![layer(hostile, distribution(), None)];
    let mut report = Report::new(vec![model]);
    report.machine.processor = Some(hostile.to_string());
    report.tool = hostile.to_string();
    let html = render(&report);
    assert!(!html.contains("<script"));
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn what_was_judged_is_said() {
    let mut model = model("m", Outcome::Pass, Vec::new());
    model.origins = Origins {
        int8: ModelOrigin {
            file: Some("q.safetensors".to_string()),
            file_bytes: Some(18_000),
            file_sha256: Some("ba7816bf".to_string()),
            file_checksums: Some(true),
            params_sha256: "248d6a61".to_string(),
        },
        data: DataOrigin {
            name: Some("digits".to_string()),
            part: Some("test part".to_string()),
            samples: 600,
            sha256: "cf5b16a7".to_string(),
        },
        seed: Some(42),
        max_error_percent: 1.5,
        float_floor: Some(95.0),
        isa: "scalar",
        isas: vec!["scalar", "avx2"],
        ..Origins::default()
    };
    let mut report = Report::new(vec![model]);
    report.date = "2026-02-28T13:05:09Z".to_string();
    report.command = vec!["tinytorch".to_string(), "audit".to_string()];
    let html = render(&report);
    for words in [
        "q.safetensors, 18 kB, agrees with its checksums; SHA-256 <code>ba7816bf</code>",
        "in no file; parameters",
        "600 of digits, test part; SHA-256 <code>cf5b16a7</code>",
        "output error at most 1.5 %; float accuracy 95 as stated",
        "<dt>Seed</dt><dd>42</dd>",
        "scalar, run on scalar, avx2",
        "2026-02-28T13:05:09Z",
        "<code>tinytorch audit</code>",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn the_page_loads_nothing() {
    let mut model = model("m", Outcome::Pass, GATES.map(pass).to_vec());
    model.layers = vec![layer("l", distribution(), None)];
    model.latency = vec![LatencyPairs { batch: 1, float_us: vec![2.0], int8_us: vec![1.0] }];
    let html = page(vec![model]);
    for reference in ["http:", "https:", "src=", "url(", "@import", "<link", "<script"] {
        assert!(!html.contains(reference), "{reference}");
    }
}

#[test]
fn what_is_missing_or_not_a_number_is_said() {
    let nowhere = Distribution { low: 0.0, high: 0.0, counts: Vec::new(), int8: None };
    let point = Distribution { low: 1e30, high: 1e30, counts: vec![0, 3], int8: None };
    let mut broken = layer("l", nowhere, Some(point));
    broken.own_error_percent = f64::NAN;
    broken.propagated_error_percent = f64::INFINITY;
    broken.float_microseconds = Some(f64::NAN);
    broken.int8_bytes = 0;
    let gates = vec![
        Gate::at_most("output_error", f64::NAN, 1.0, "%", String::new()),
        Gate::at_most("latency", f64::INFINITY, 1.0, "", String::new()),
        Gate::at_least("accuracy", f64::NEG_INFINITY, f64::NAN, "%", String::new()),
        Gate::at_least("from_tomorrow", -3.0, 2.0, "fish", String::new()),
    ];
    let mut model = model("m", Outcome::Fail, gates);
    model.float_quality = f64::NAN;
    model.bytes = vec![BytesPair { what: "weights", float: 0, int8: 0 }];
    model.layers = vec![broken];
    model.latency = vec![
        LatencyPairs { batch: 1, float_us: Vec::new(), int8_us: Vec::new() },
        LatencyPairs { batch: 2, float_us: vec![5.0, f64::NAN], int8_us: vec![5.0, 1.0] },
    ];
    let html = page(vec![model]);
    assert!(html.contains("not a number %") && html.contains("infinite"));
    assert!(html.contains("from_tomorrow") && html.contains("-3 fish"));
    assert!(html.contains("No finite values.") && html.contains("No pairs were timed."));
    for attribute in html.split('"').skip(1).step_by(2) {
        assert!(!attribute.contains("NaN") && !attribute.contains("inf "), "{attribute}");
    }
}

#[test]
fn many_layers_come_as_a_table_and_in_full_on_request() {
    let mut model = model("m", Outcome::Pass, Vec::new());
    model.layers = (0..7).map(|i| layer(&format!("l{i}"), distribution(), None)).collect();
    let html = page(vec![model.clone()]);
    assert_eq!(html.matches("<tr><th scope=\"row\">").count(), 7);
    assert!(html.find("<details class=\"all\">") < html.find("<article class=\"layer\">"));
    model.layers.truncate(6);
    assert!(!page(vec![model]).contains("<table"));
}

#[test]
fn a_language_model_is_shown_by_its_perplexity() {
    let mut model = model("m", Outcome::Pass, Vec::new());
    (model.task, model.float_quality, model.int8_quality) = (Task::LanguageModel, 5.0, 5.01);
    let html = page(vec![model]);
    assert!(html.contains("Perplexity against float") && html.contains("+0.20"));
    assert!(html.contains("5.010"));
}

#[test]
fn a_report_without_models_or_layers_says_so() {
    assert!(page(Vec::new()).contains("No model was audited."));
    let html = page(vec![model("m", Outcome::Pass, Vec::new())]);
    assert!(html.contains("No layer with a weight ran.") && html.contains("No gate was asked."));
}

#[test]
fn a_large_report_stays_small() {
    let mut model = model("m", Outcome::Pass, GATES.map(pass).to_vec());
    let wide = Distribution { counts: vec![12_345; 48], ..distribution() };
    model.layers = vec![layer("blocks.11.mlp.weight", wide.clone(), Some(wide)); 75];
    let times: Vec<f64> = (0..20_000).map(|i| 100.0 + f64::from(i % 97)).collect();
    let pairs = LatencyPairs { batch: 32, float_us: times.clone(), int8_us: times };
    model.latency = vec![pairs.clone(), pairs];
    let size = page(vec![model]).len();
    assert!(size < 1_000_000, "{size} bytes");
}

#[test]
fn the_search_for_the_model_is_drawn_with_what_nothing_else_beats() {
    use crate::quant::Tried;
    let tried = [(0.04, 1.0, 0), (0.05, 2.0, 3), (0.01, 2.5, 5)];
    let tried = tried.map(|(error, time, raised)| Tried { error, time, raised });
    let html = render(&Report::new(vec![ModelReport {
        tried: tried.to_vec(),
        layers: vec![LayerReport {
            node: Some("Conv `first`".to_string()),
            ..layer("w", distribution(), None)
        }],
        ..model("m", Outcome::Pass, Vec::new())
    }]));
    assert_eq!(html.matches("class=\"front\"").count(), 2, "the second is slower and worse");
    assert!(html.contains(">5 %<") && html.contains(">2.50x<"), "{html}");
    assert!(html.contains("Conv `first`"));
    let without = render(&Report::new(vec![model("m", Outcome::Pass, Vec::new())]));
    assert!(!without.contains("class=\"search\""), "{without}");
}

#[test]
fn the_graph_is_drawn_with_each_layer_below_what_it_reads() {
    let of = |name: &str, after: &[&str]| LayerReport {
        after: after.iter().map(|name| name.to_string()).collect(),
        node: Some(format!("Conv `{name}`")),
        ..layer(name, distribution(), None)
    };
    let layers = vec![of("a", &[]), of("b", &["a"]), of("c", &["a"]), of("d", &["b", "c"])];
    let drawn = |layers: Vec<LayerReport>| {
        render(&Report::new(vec![ModelReport { layers, ..model("m", Outcome::Pass, Vec::new()) }]))
    };
    let html = drawn(layers);
    let graph = html.split("class=\"graph\"").nth(1).unwrap().split("</svg>").next().unwrap();
    assert_eq!(graph.matches("<path").count(), 4, "an edge for each layer that is read");
    let heights: Vec<&str> = graph
        .split("class=\"layer\"")
        .skip(1)
        .map(|rect| rect.split("y=\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert!(
        heights[1] == heights[2] && heights[0] != heights[1] && heights[3] != heights[1],
        "{heights:?}"
    );
    assert!(graph.contains("Conv `d`") && graph.contains("0.25 %"), "{graph}");
    assert!(!drawn(vec![of("a", &[])]).contains("class=\"graph\""), "nothing is known of it");
}
