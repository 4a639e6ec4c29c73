use crate::Result;
use crate::audit::{Gate, Subject, compare};
use crate::autograd::{Param, Stored, Var};
use crate::io::digest_params;
use crate::nn::Module;
use crate::quant::fold;

/// Quantizing has changed how weights are stored and nothing else, and the original not at all.
pub(crate) fn structure(subject: &Subject) -> Result<Gate> {
    let mut faults = Vec::new();
    if digest_params(&*subject.float)? != subject.float_digest {
        faults.push("the float model is not the one that was quantized".to_string());
    }
    compare_layers(&*subject.float, &*subject.int8, &mut faults);
    compare_params(subject, &mut faults)?;
    compare_shifts(subject, &mut faults)?;
    let checked = format!(
        "{} layers and {} parameters: names, order, shapes, types, and all values that are not int8",
        subject.int8.named_layers().len(),
        subject.int8.named_params().len()
    );
    Ok(Gate::no_faults("structure", &faults, "faults", checked))
}

fn compare_layers(float: &dyn Module, int8: &dyn Module, faults: &mut Vec<String>) {
    let (float, int8) = (float.named_layers(), int8.named_layers());
    if float.len() != int8.len() {
        faults.push(format!("{} layers became {}", float.len(), int8.len()));
    }
    for ((name, was), (other, is)) in float.iter().zip(&int8) {
        // A batch norm that was folded into its convolution says so; that is its one difference.
        let without_fold = |info: &crate::nn::LayerInfo| {
            let kept = info.config.iter().filter(|(key, _)| *key != "folded");
            kept.cloned().collect::<Vec<_>>()
        };
        if name != other {
            faults.push(format!("layer `{name}` is now called `{other}`"));
        } else if was.kind != is.kind {
            faults.push(format!("layer `{name}` was a {} and is a {}", was.kind, is.kind));
        } else if without_fold(was) != without_fold(is) {
            faults.push(format!("layer `{name}` was {:?} and is {:?}", was.config, is.config));
        }
    }
}

fn compare_params(subject: &Subject, faults: &mut Vec<String>) -> Result<()> {
    let (float, int8) = (subject.float.named_params(), subject.int8.named_params());
    if float.len() != int8.len() {
        faults.push(format!("{} parameters became {}", float.len(), int8.len()));
    }
    for ((name, was), (other, is)) in float.iter().zip(&int8) {
        if name != other {
            faults.push(format!("parameter `{name}` is now called `{other}`"));
        } else if was.shape() != is.shape() {
            faults.push(format!("`{name}` was {} and is {}", was.shape(), is.shape()));
        } else if is.int8().is_none() && !subject.changed.contains(name) && !same_values(was, is)? {
            faults.push(format!("`{name}` has other values, and the report does not say so"));
        }
    }
    Ok(())
}

/// What int8 weights add to their channels is what folding leaves over of the float model's norms.
fn compare_shifts(subject: &Subject, faults: &mut Vec<String>) -> Result<()> {
    let example = Var::from(subject.held_out.inputs().slice(0, 0..1)?);
    let folded = fold(&*subject.float, &example, &subject.config)?;
    let bits = |shift: &[f32]| shift.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for ((name, was), (_, is)) in
        subject.float.named_params().iter().zip(subject.int8.named_params())
    {
        let expected = folded.shifts.get(&was.id()).map(|shift| bits(shift));
        let got = is.int8().and_then(|weight| weight.shift()).map(bits);
        if got.is_some() && got != expected {
            faults.push(format!("`{name}` has a shift that no batch norm has left to it"));
        }
    }
    Ok(())
}

fn same_values(a: &Param, b: &Param) -> Result<bool> {
    let (Stored::F32(a), Stored::F32(b)) = (a.stored(), b.stored()) else { return Ok(false) };
    compare::same_bits(a, b)
}
