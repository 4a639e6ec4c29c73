//! All that the golden values need of the interface of quantization.

use super::support::{AnyModel, Architecture, Input};
use super::values::exact;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::fit::{convert, prepare_qat};
use tinytorch::int8::{Granularity, WeightBits};
use tinytorch::nn::Forward;
use tinytorch::quant::{
    Activations, Prepared, Prices, QuantReport, RangeMethod, Scheme, Search, apply, calibrate,
    is_weight, prepare_without_data, quantize_model, quantize_within,
};

pub(crate) use tinytorch::quant::QuantConfig;

/// Ways of quantizing, beside the one that suits the architecture.
pub(crate) const WAYS: [&str; 6] =
    ["static", "dynamic", "wide", "blocks", "blocks-wide", "weight-only"];

/// Ways that are tried on few models.
pub(crate) const RARE_WAYS: [&str; 4] = ["per-tensor", "four-bits", "percentile", "mse"];

/// The settings of a way of quantizing.
pub(crate) fn way(name: &str) -> QuantConfig {
    let of = |granularity, activations| {
        QuantConfig::new(Scheme::new(granularity, activations)).knowingly()
    };
    let wide = |granularity| {
        let wide = Scheme::new(granularity, Activations::Dynamic16);
        of(granularity, Activations::Dynamic).with("*weight", wide)
    };
    let channels = Granularity::PerChannel;
    match name {
        "static" => of(channels, Activations::Static),
        "dynamic" => of(channels, Activations::Dynamic),
        "wide" => wide(channels),
        "blocks" => of(Granularity::Blocks, Activations::Dynamic),
        "blocks-wide" => wide(Granularity::Blocks),
        "weight-only" => of(channels, Activations::Float),
        "per-tensor" => of(Granularity::PerTensor, Activations::Static),
        "four-bits" => {
            QuantConfig::new(Scheme::STATIC.with_bits(WeightBits::new(4).unwrap())).knowingly()
        }
        "percentile" => QuantConfig {
            range: RangeMethod::Percentile(0.01),
            ..of(channels, Activations::Static)
        },
        "mse" => QuantConfig { range: RangeMethod::Mse, ..of(channels, Activations::Static) },
        _ => panic!("no way is called {name}"),
    }
}

/// The settings that suit an architecture.
pub(crate) fn suited(architecture: &Architecture) -> QuantConfig {
    QuantConfig { destroys_floats_knowingly: true, ..QuantConfig::for_architecture(architecture) }
}

fn entered<F: Input>(inputs: &[F]) -> Vec<F::Input> {
    inputs.iter().map(|input| input.enter(&mut Ctx::eval())).collect()
}

/// A quantized copy with what its report says, or nothing if the model does not take the settings.
pub(crate) fn quantized<M, F>(
    model: &M,
    calibration: &[F],
    config: &QuantConfig,
) -> Option<(M, QuantReport)>
where
    M: Forward<F::Input, Output = Var> + Clone,
    F: Input,
{
    let mut int8 = model.clone();
    let report =
        quantize_model(&mut int8, entered(calibration).into_iter().map(Ok), config).ok()?;
    Some((int8, report))
}

/// A line for each thing that a report says.
pub(crate) fn report_lines(report: &QuantReport) -> Vec<String> {
    let weights = report.weights.iter().map(|w| {
        let shape = w.shape.to_vec();
        let range = w.input_range.map_or("-".to_string(), |(low, high)| {
            format!("{} {}", exact(low.into()), exact(high.into()))
        });
        let sizes = format!("{} {}", w.float_bytes, w.int8_bytes);
        format!("{} {shape:?} {sizes} {range} {}", w.name, exact(w.error))
    });
    let skipped = report.skipped.iter().map(|(name, _)| format!("skipped {name}"));
    let changed = report.changed.iter().map(|name| format!("changed {name}"));
    let folded = report.folded.iter().map(|name| format!("folded {name}"));
    weights.chain(skipped).chain(changed).chain(folded).collect()
}

/// Prepared for training with the rounding.
pub(crate) fn prepared(
    model: &AnyModel,
    calibration: &[Tensor],
    config: &QuantConfig,
) -> Option<AnyModel> {
    let mut prepared = model.clone();
    let inputs = entered(calibration).into_iter().map(Ok);
    prepare_qat(&mut prepared, inputs, config).ok()?;
    Some(prepared)
}

/// After that training.
pub(crate) fn converted(mut model: AnyModel) -> (AnyModel, Vec<String>) {
    let report = convert(&mut model).unwrap();
    (model, report_lines(&report))
}

/// The range of what each weight multiplies, from two calibrations merged.
pub(crate) fn merged_ranges(model: &AnyModel, calibration: &[Tensor; 2]) -> Vec<String> {
    let [mut first, second] = [0, 1].map(|part| {
        let inputs = entered(&calibration[part..part + 1]);
        calibrate(model, inputs.into_iter().map(Ok), &way("mse")).unwrap()
    });
    first.merge(&second).unwrap();
    range_lines(model, &first)
}

fn range_lines(model: &AnyModel, ranges: &Prepared) -> Vec<String> {
    let params = model.named_params().into_iter().filter(|(_, param)| is_weight(param));
    let lines = params.filter_map(|(name, _)| {
        let (low, high) = ranges.range(&name)?;
        Some(format!("{name} {} {}", exact(low.into()), exact(high.into())))
    });
    lines.collect()
}

/// Quantized with ranges that no data was needed for, and those ranges; nothing where there are none.
pub(crate) fn quantized_without_data(
    model: &AnyModel,
    example: &Tensor,
) -> Option<(AnyModel, Vec<String>)> {
    let mut int8 = model.clone();
    let example = example.into();
    let ranges = prepare_without_data(&int8, &example, &way("static"), None).ok()?;
    let lines = range_lines(model, &ranges);
    apply(&mut int8, &ranges).unwrap();
    Some((int8, lines))
}

/// A model that was quantized within a budget: where its layers stand, and the error.
pub(crate) struct Climbed {
    pub(crate) model: AnyModel,
    pub(crate) raised: Vec<String>,
    pub(crate) error: f64,
}

/// Quantizes a copy within `budget`, judged by the last of the inputs.
pub(crate) fn climbed(
    model: &AnyModel,
    inputs: &[Tensor],
    budget: f64,
    config: &QuantConfig,
) -> Climbed {
    let mut int8 = model.clone();
    let (calibration, held_out) = inputs.split_at(inputs.len() - 1);
    let (calibration, held_out) = (entered(calibration), entered(held_out));
    // What rungs were priced at when the values were recorded, and how they were called.
    let mut prices = Prices::table([1.0, 1.1, 1.4, 2.5, 3.0]);
    let silent = &mut |_, _| ();
    let ladder = quantize_within(
        &mut int8,
        Search {
            calibration: &calibration,
            held_out: &held_out,
            max_error: budget,
            config,
            prices: &mut prices,
            has_classes: true,
        },
        silent,
    )
    .unwrap();
    let called = |rung: &Scheme| match *rung {
        Scheme::DYNAMIC_BLOCKS => "a8 in blocks".to_string(),
        Scheme::DYNAMIC16_BLOCKS => "a16".to_string(),
        other => other.to_string(),
    };
    let raised = ladder.raised.iter().map(|(name, rung)| format!("{name}: {}", called(rung)));
    let raised = raised.collect();
    Climbed { model: int8, raised, error: ladder.error }
}
