//! Whether quantizing has changed anything but how weights are stored.

use crate::Result;
use crate::audit::{Evidence, Gate, Subject, compare, corrected, rounding};
use crate::autograd::{Param, ParamId, Stored, Var};
use crate::files::digest_params;
use crate::int8::WeightBits;
use crate::models::ListModel;
use crate::nn::LayerInfo;
use crate::quant::{Folded, biases_of_layers, product_steps};
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// How far a row of an int8 weight may lie from its floats, in steps and as root mean square. Rounding
/// to the nearest level gives 0.29, and no value may be more than half a step from the level of its scale; but
/// a learned scale clips values, which then lie as far beyond the last level as they may. A scale that is off by
/// 10 % moves a Gaussian row by 4 steps.
const FURTHEST: f64 = 1.0;

/// Quantizing has changed how weights are stored and nothing else, and the original not at all: int8
/// weights stand for the float ones, a bias that took in a batch norm has the value that folding gives, and
/// everything else is as it was. What a layer adds to correct the means of its channels has to do that. Biases may be rounded to the steps of their layer's products, in which other
/// engines keep them.
pub(crate) fn structure(subject: &Subject, evidence: &Evidence) -> Result<Gate> {
    let mut faults = Vec::new();
    let digest = match &subject.given {
        Some(given) => given.digest.clone(),
        None => digest_params(subject.original())?,
    };
    if digest != subject.float_digest {
        faults.push("the float model is not the one that was quantized".to_string());
    }
    if let Some(given) = &subject.given
        && !compare::all_same_bits(&given.outputs, &evidence.float)?
    {
        let fault = "the float model with other channels gives other outputs than the float model";
        faults.push(fault.to_string());
    }
    let (float, int8) = (subject.float.named_layers(), subject.int8.named_layers());
    compare_layers(&float, &int8, &evidence.folded, &mut faults);
    let biases = biases(subject)?;
    let clipped = compare_params(subject, &evidence.folded, &biases, &mut faults)?;
    faults.extend_from_slice(&evidence.out_of_order);
    faults.extend(corrected::faults(subject, &evidence.folded, &biases.by_weight)?);
    let tuned = match &subject.tuning {
        Some(tuning) => format!("; {} fine-tuned since", tuning.names.len()),
        None => String::new(),
    };
    let clipped = match clipped {
        0 => String::new(),
        n => format!("; {n} lie beyond the last level, by a step at most"),
    };
    let equal = match subject.given {
        Some(_) => "; channels were equalized, which changes no bit of the float model's outputs",
        None => "",
    };
    let means = match subject.corrected.len() {
        0 => String::new(),
        n => format!(
            "; {n} layers add to their channels what takes their means to the float model's"
        ),
    };
    let checked = format!(
        "{} layers and {} parameters: names, order, shapes, types, and values, int8 ones to half a step{clipped}{tuned}{equal}{means}",
        subject.int8.named_layers().len(),
        subject.int8.named_params().len()
    );
    Ok(Gate::no_faults("structure", &faults, "faults", checked))
}

fn compare_layers(
    float: &[(String, LayerInfo)],
    int8: &[(String, LayerInfo)],
    folded: &Folded,
    faults: &mut Vec<String>,
) {
    /// A batch norm that was folded into its convolution says so; that is its one difference.
    const FOLDED: &str = "folded";
    if float.len() != int8.len() {
        faults.push(format!("{} layers became {}", float.len(), int8.len()));
    }
    for ((name, was), (other, is)) in float.iter().zip(int8) {
        let without_fold = |info: &LayerInfo| {
            let kept = info.config.iter().filter(|(key, _)| *key != FOLDED);
            kept.cloned().collect::<Vec<_>>()
        };
        let says_folded = is.config.contains(&(FOLDED, true.to_string()));
        let is_folded = folded.norms.contains(name);
        if name != other {
            faults.push(format!("layer `{name}` is now called `{other}`"));
        } else if was.kind != is.kind {
            faults.push(format!("layer `{name}` was a {} and is a {}", was.kind, is.kind));
        } else if without_fold(was) != without_fold(is) {
            faults.push(format!("layer `{name}` {}", difference(was, is)));
        } else if is_folded && !says_folded {
            faults.push(format!("`{name}` is folded into its convolution and does not say so"));
        } else if says_folded && !is_folded {
            faults.push(format!("`{name}` says that it is folded, into nothing"));
        }
    }
}

/// The first setting of a layer that differs.
fn difference(was: &LayerInfo, is: &LayerInfo) -> String {
    let setting = |info: &LayerInfo, i: usize| match info.config.get(i) {
        Some((key, value)) => format!("{key} {value}"),
        None => "nothing".to_string(),
    };
    let most = was.config.len().max(is.config.len());
    let place = (0..most).find(|&i| was.config.get(i) != is.config.get(i)).unwrap_or(0);
    format!("had {} and has {}", setting(was, place), setting(is, place))
}

/// The biases of the int8 model's layers.
#[derive(Default)]
struct Biases {
    by_weight: BTreeMap<ParamId, ParamId>,
    /// The steps of the products that each is added to.
    steps: BTreeMap<ParamId, Vec<f32>>,
    /// Those that correct the means of a layer, as what other engines read has no other place for that.
    correcting: BTreeSet<ParamId>,
}

fn biases(subject: &Subject) -> Result<Biases> {
    let batch = subject.held_out.first(subject.held_out.fixed().unwrap_or(1))?;
    let batch: Vec<Var> = batch.iter().map(Var::from).collect();
    let params = subject.int8.named_params();
    let params: BTreeMap<ParamId, (&str, &Param)> =
        params.iter().map(|(name, param)| (param.id(), (name.as_str(), *param))).collect();
    let mut biases = Biases::default();
    for [weight, bias] in biases_of_layers(&*subject.int8 as &dyn ListModel, &batch)? {
        let Some(&(name, param)) = params.get(&weight) else { continue };
        let Some(int8) = param.int8() else { continue };
        biases.by_weight.insert(weight, bias);
        if let Some(steps) = product_steps(int8) {
            biases.steps.insert(bias, steps);
        }
        if subject.corrected.contains(name) && int8.shift().is_none() {
            biases.correcting.insert(bias);
        }
    }
    Ok(biases)
}

/// Gives the number of int8 values that lie beyond the last level of their scale.
fn compare_params(
    subject: &Subject,
    folded: &Folded,
    biases: &Biases,
    faults: &mut Vec<String>,
) -> Result<usize> {
    let mut clipped = 0;
    let (float, int8) = (subject.float.named_params(), subject.int8.named_params());
    let originals: BTreeMap<String, &Param> =
        subject.original().named_params().into_iter().collect();
    if float.len() != int8.len() {
        faults.push(format!("{} parameters became {}", float.len(), int8.len()));
    }
    for ((name, was), (other, is)) in float.iter().zip(&int8) {
        if name != other {
            faults.push(format!("parameter `{name}` is now called `{other}`"));
        } else if was.shape() != is.shape() {
            faults.push(format!("`{name}` was {} and is {}", was.shape(), is.shape()));
        } else if is.int8().is_some() {
            let bits = subject.weight_bits(name, is.int8().map(|weight| &**weight))?;
            let has_own_shift = subject.corrected.contains(name);
            let (fault, beyond) = weight_fault(name, [was, is], folded, bits, has_own_shift)?;
            faults.extend(fault);
            clipped += beyond;
            continue;
        }
        let steps = biases.steps.get(&is.id()).map(Vec::as_slice);
        if subject.is_tuned(name) || biases.correcting.contains(&is.id()) {
            continue;
        } else if let Some(expected) = folded.values.get(&was.id()) {
            if !has_values(is, expected, steps)? {
                faults.push(format!("`{name}` is not what folding the batch norm after it gives"));
            }
        } else {
            let original = originals.get(name).copied();
            let same = |original: &Param| match original.stored() {
                Stored::F32(expected) => has_values(is, expected, steps),
                _ => Ok(false),
            };
            if !original.map_or(Ok(false), same)? {
                faults.push(format!("`{name}` has other values, and no batch norm explains them"));
            }
        }
    }
    Ok(clipped)
}

/// What is wrong if an int8 weight does not stand for the float one, with the batch norm that was folded in,
/// and how many of its values are clipped. A shift of its own is judged by what it does.
fn weight_fault(
    name: &str,
    [was, is]: [&Param; 2],
    folded: &Folded,
    bits: WeightBits,
    has_own_shift: bool,
) -> Result<(Option<String>, usize)> {
    let Some(int8) = is.int8() else { return Ok((None, 0)) };
    let float = folded.values.get(&was.id()).map_or_else(|| was.value(), Ok)?;
    let steps = product_steps(int8);
    let is_as_expected = match (int8.shift(), folded.shifts.get(&was.id())) {
        (None, None) => true,
        (Some(is), Some(expected)) => are_near(is, expected, steps.as_deref()),
        _ => false,
    };
    if !is_as_expected && !has_own_shift {
        let fault = format!("`{name}` has a shift that no batch norm has left to it");
        return Ok((Some(fault), 0));
    }
    let Some(furthest) = rounding::furthest(float, int8, bits)? else { return Ok((None, 0)) };
    if compare::exceeds(furthest.steps, FURTHEST) {
        let rounding::Furthest { row, steps, shifted, .. } = furthest;
        let why = shifted.map_or_else(String::new, |above| {
            let is = f64::from(int8.panels().zero_point(row));
            format!(", as by a zero point of {is} instead of {}", is + above)
        });
        let fault = format!(
            "`{name}` does not stand for its floats: row {row} is {steps:.1} steps off{why}"
        );
        return Ok((Some(fault), 0));
    }
    let fault = furthest.value.map(|(row, place, steps)| {
        format!(
            "`{name}` does not stand for its floats: value {place} of row {row} is {steps:.1} steps off, \
             where rounding explains half a step"
        )
    });
    Ok((fault, furthest.clipped))
}

/// Whether a parameter holds these values, or the nearest multiples of these steps.
fn has_values(is: &Param, expected: &Tensor, steps: Option<&[f32]>) -> Result<bool> {
    let Stored::F32(value) = is.stored() else { return Ok(false) };
    if steps.is_none() || value.shape() != expected.shape() {
        return compare::same_bits(expected, value);
    }
    Ok(are_near(&value.to_vec()?, &expected.to_vec()?, steps))
}

/// Whether numbers are these to the bit, or the nearest multiples of these steps, one for all or one for each.
fn are_near(is: &[f32], expected: &[f32], steps: Option<&[f32]>) -> bool {
    let near = |(i, (is, expected)): (usize, (&f32, &f32))| {
        let step =
            steps.and_then(|steps| if steps.len() == 1 { steps.first() } else { steps.get(i) });
        // A level of 0 has no sign.
        let nearest =
            step.map(|step| (f64::from(*expected) / f64::from(*step)).round() as f32 * step + 0.0);
        is.to_bits() == expected.to_bits() || nearest.is_some_and(|n| n.to_bits() == is.to_bits())
    };
    is.len() == expected.len() && is.iter().zip(expected).enumerate().all(near)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::Role;
    use crate::models::{Architecture, MlpConfig, Model};
    use crate::nn::Init;

    fn mlp(hidden: &[usize]) -> Box<dyn Model> {
        let config = MlpConfig { inputs: 6, hidden: hidden.to_vec(), outputs: 3 };
        Architecture::Mlp(config).build(&mut Init::seed(1)).unwrap()
    }

    fn faults_of(float: &[(String, LayerInfo)], int8: &[(String, LayerInfo)]) -> Vec<String> {
        let mut faults = Vec::new();
        compare_layers(float, int8, &Folded::default(), &mut faults);
        faults
    }

    #[test]
    fn layers_are_compared_by_number_name_kind_and_settings() {
        let float = mlp(&[8]).named_layers();
        assert!(faults_of(&float, &float).is_empty());
        let more = faults_of(&float, &mlp(&[8, 8]).named_layers());
        assert!(more.iter().any(|fault| fault.contains("layers became")), "{more:?}");
        let sizes = faults_of(&float, &mlp(&[9]).named_layers());
        assert!(
            sizes.iter().any(|fault| fault.contains("had out_features 8 and has out_features 9")),
            "{sizes:?}"
        );
        let mut renamed = float.clone();
        renamed[0].0.push('x');
        assert!(faults_of(&float, &renamed)[0].contains("is now called"));
        let mut other = float.clone();
        other[0].1.kind = "other";
        assert!(faults_of(&float, &other)[0].contains("and is a other"));
        let mut folded = float.clone();
        folded[0].1.config.push(("folded", "true".to_string()));
        assert!(faults_of(&float, &folded)[0].contains("folded, into nothing"));
    }

    #[test]
    fn numbers_are_the_nearest_multiples_of_their_steps_and_0_is_one() {
        assert!(are_near(&[0.5, 0.0, 0.0], &[0.6, -0.2, 0.2], Some(&[0.5])));
        assert!(are_near(&[-0.0, 0.3], &[-0.0, 0.3], Some(&[0.5])));
        assert!(!are_near(&[0.5], &[0.2], Some(&[0.5])));
        assert!(!are_near(&[0.0], &[-0.3], Some(&[0.5])));
        assert!(are_near(&[-1.5, 0.0], &[-1.6, -0.4], Some(&[0.5, 1.0])));
        assert!(!are_near(&[0.0], &[-0.2], None));
    }

    #[test]
    fn parameters_are_compared_by_number_name_shape_and_value() {
        let samples = Tensor::zeros([40, 6]).unwrap();
        let labels = Tensor::from_vec((0..40i64).map(|i| i % 3).collect(), [40]).unwrap();
        let held_out = crate::audit::HeldOut::new([samples], [labels]).unwrap();
        let of = |other: Box<dyn Model>| {
            let float = mlp(&[8]);
            let mut subject = Subject::new("m", &*float, &*float, held_out.clone()).unwrap();
            subject.int8 = other;
            let mut faults = Vec::new();
            compare_params(&subject, &Folded::default(), &Biases::default(), &mut faults).unwrap();
            faults
        };
        assert!(of(mlp(&[8])).is_empty());
        let more = of(mlp(&[8, 8]));
        assert!(more[0].contains("4 parameters became 6"), "{more:?}");
        let wider = of(mlp(&[9]));
        assert!(wider[0].contains("`layers.0.weight` was [8, 6] and is [9, 6]"), "{wider:?}");
        let named =
            of(Architecture::preset("digits-cnn").unwrap().build(&mut Init::seed(1)).unwrap());
        assert!(named.iter().any(|fault| fault.contains("`layers.0.weight` is now called")));
        let mut moved = mlp(&[8]);
        for (name, param) in moved.named_params_mut() {
            if name == "layers.1.bias" {
                *param.value_mut().unwrap() = Tensor::ones([3]).unwrap();
            }
        }
        let moved = of(moved);
        assert!(
            moved.len() == 1 && moved[0].contains("`layers.1.bias` has other values"),
            "{moved:?}"
        );
    }

    /// Gaussian values at a scale that is 4 % off: the whole row is off, and that is what is told. At 2 % no row is a
    /// step off, and the furthest value is told.
    #[test]
    fn a_row_that_is_off_is_told_as_a_row() {
        use crate::Rng;
        use crate::int8::{Encoding, Granularity, Int8Weight, QWeight, Scales};
        let weight = Tensor::randn([3, 256], 1.0, &mut Rng::seed(1)).unwrap();
        let was = Param::new(weight.clone(), Role::LinearWeight);
        let int8 = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
        let fault = |weight: QWeight| {
            let mut is = was.clone();
            is.store(Stored::Int8(Int8Weight::new(weight, Encoding::PerRow)));
            weight_fault("w", [&was, &is], &Folded::default(), WeightBits::EIGHT, false).unwrap().0
        };
        assert_eq!(fault(int8.clone()), None);
        let Scales::PerChannel(scales) = int8.scales() else { panic!("one for each row") };
        let off = |times: f32| {
            let wide = scales.iter().enumerate().map(|(i, s)| if i == 1 { times * s } else { *s });
            let wide = Scales::PerChannel(wide.collect());
            let off = QWeight::from_rows(int8.shape(), wide, |row, out| int8.row_into(row, out));
            fault(off.unwrap()).unwrap()
        };
        let (row, value) = (off(1.04), off(1.02));
        assert!(row.starts_with("`w` does not stand for its floats: row 1 is 1."), "{row}");
        assert!(value.contains(" of row 1 is ") && value.contains("half a step"), "{value}");
        let shifted = fault(int8.with_shift(vec![0.0; 3].into()).unwrap()).unwrap();
        assert_eq!(shifted, "`w` has a shift that no batch norm has left to it");
    }
}
