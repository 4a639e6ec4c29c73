//! What is digested of audits: every gate's answer with its measurement, and every layer's errors. No time
//! and nothing that needs a process of its own is measured.

use super::battery::Case;
use super::support::AnyModel;
use super::values::{Values, exact};
use tinytorch::Tensor;
use tinytorch::audit::{
    AuditOptions, Budget, Distribution, LayerReport, REFERENCES, Subject, audit_model,
};
use tinytorch::data::Examples;
use tinytorch::files::digest_params;
use tinytorch::quant::quantize_model;
use tinytorch::train::NoProgress;
use tinytorch_kernels::Isa;

/// A reference model, trained and quantized as the audit without arguments does it.
pub(crate) fn reference(name: &str, values: &mut Values) {
    let reference = REFERENCES.iter().find(|reference| reference.name == name).unwrap();
    let (subject, budget) = reference.prepare(0, NoProgress).unwrap();
    values.digest("audit/float/stored", &subject.float_digest);
    values.digest("audit/int8/stored", &digest_params(&*subject.int8).unwrap());
    judge(&subject, &budget, values);
}

/// A case's model, quantized with the settings that suit it and judged on these samples.
pub(crate) fn short(case: &Case<AnyModel, Tensor>, held_out: Examples, values: &mut Values) {
    let mut int8 = case.model.clone();
    let report = quantize_model(&mut int8, [Ok((&case.training).into())], &case.suited).unwrap();
    let subject = Subject::new("golden", &*case.model, &*int8, held_out).unwrap();
    let subject = subject.quantized_by(&case.suited, &report);
    judge(&subject, &Budget::default(), values);
}

fn judge(subject: &Subject, budget: &Budget, values: &mut Values) {
    // The sets that every machine has which can run this one, so that the answer does not depend on the others.
    let mut isas = vec![Isa::Scalar, Isa::active()];
    isas.dedup();
    let options = AuditOptions { probe: None, latency: false, deployed: Isa::active(), isas };
    let report = audit_model(subject, budget, &options).unwrap();
    values.put("audit/verdict", report.verdict.word());
    for gate in &report.gates {
        let number = |n: Option<f64>| n.map_or("-".to_string(), exact);
        let (value, limit) = (number(gate.value), number(gate.limit));
        let text = format!("{}, {value} against {limit}", gate.result.word());
        values.put(&format!("audit/gate/{}", gate.id), text);
    }
    values.number("audit/quality/float", report.float_quality);
    values.number("audit/quality/int8", report.int8_quality);
    for pair in &report.bytes {
        values.put(&format!("audit/bytes/{}", pair.what), format!("{} {}", pair.float, pair.int8));
    }
    let mut kernels = Vec::new();
    for (i, layer) in report.layers.iter().enumerate() {
        values.put(&format!("audit/layer/{i:02}"), line(layer));
        let mut shown = numbers(&layer.weight);
        shown.extend(layer.activation.iter().flat_map(numbers));
        values.digest_of_lines(&format!("audit/layer/{i:02}/distribution"), &shown);
        kernels.push(format!("{} | {} | {}", layer.name, layer.op, layer.kernel));
    }
    values.lines("audit/kernels", kernels);
}

fn line(layer: &LayerReport) -> String {
    let errors =
        [layer.own_error_percent, layer.expected_error_percent, layer.propagated_error_percent];
    let bytes = format!("{} to {} bytes", layer.float_bytes, layer.int8_bytes);
    format!("{} {:?}, {bytes}, {}", layer.name, layer.shape, errors.map(exact).join(" "))
}

fn numbers(distribution: &Distribution) -> Vec<String> {
    let Distribution { low, high, counts, int8 } = distribution;
    let mut lines = vec![exact(*low), exact(*high)];
    lines.extend(counts.iter().map(ToString::to_string));
    if let Some(range) = int8 {
        lines.extend([range.min, range.max, range.narrowest_max, range.clipped_percent].map(exact));
        lines.push(format!("{} of {}", range.levels_used, range.levels));
    }
    lines
}
