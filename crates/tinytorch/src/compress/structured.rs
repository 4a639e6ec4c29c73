//! Pruning whole channels.

use super::CompressError;
use super::magnitude::{check_sparsity, largest};
use crate::Result;
use crate::autograd::Role;
use crate::nn::{Chain, Link, Module};
use crate::ops::Weight;

/// What [`structured_prune`] has done to a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StructuredReport {
    /// For each layer that lost outputs: its weight's name, and their number before and after.
    pub layers: Vec<(String, usize, usize)>,
}

/// Removes whole output channels of every layer but the last, with the biases and batch norm entries that
/// belong to them and the weights of the next layer that read them: what is left is a smaller model of the
/// same kind, with a smaller file and fewer operations.
///
/// Of the `n` channels of a layer `floor(sparsity * n)` go, at least one stays: those whose weights have the
/// least sum of magnitudes (Li et al., 2017).
///
/// ```
/// use tinytorch::compress::structured_prune;
/// use tinytorch::nn::{Init, Linear, Module, Relu, Sequential};
/// let init = &mut Init::seed(0);
/// let (first, second) = (Linear::new(8, 6, init)?, Linear::new(6, 3, init)?);
/// let mut net = Sequential::new().push(first).push(Relu).push(second);
/// let report = structured_prune(&mut net, 0.5)?;
/// assert_eq!(report.layers, [("0.weight".to_string(), 6, 3)]);
/// assert_eq!(net.named_params()[2].1.shape().dims(), [3, 3]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`CompressError::Sparsity`], [`CompressError::NotAChain`] for a model with branches,
/// [`CompressError::NothingToPrune`] for one with fewer than two weights, [`CompressError::NotPlain`],
/// [`CompressError::NotFinite`], [`CompressError::Widths`].
pub fn structured_prune<M: Chain + Clone>(
    model: &mut M,
    sparsity: f64,
) -> Result<StructuredReport> {
    check_sparsity(sparsity)?;
    let mut pruned = model.clone();
    let names = checked_names(&pruned)?;
    let mut links = pruned.links().map_err(|kind| CompressError::NotAChain { kind })?;
    let stages: Vec<usize> = (0..links.len()).filter(|&i| weight_of(&links[i]).is_some()).collect();
    if stages.len() < 2 {
        return Err(CompressError::NothingToPrune.into());
    }
    let mut report = StructuredReport::default();
    for (pair, names) in stages.windows(2).zip(names.windows(2)) {
        let (from, to) = (pair[0], pair[1]);
        let Some(kept) = kept_outputs(&links[from], sparsity)? else { continue };
        let outputs = keep_outputs(&mut links[from], &kept)?;
        for between in &mut links[from + 1..to] {
            if let Link::BatchNorm2d(norm) = between {
                norm.keep_channels(&kept)?;
            }
        }
        keep_inputs(&mut links[to], &kept, outputs, names)?;
        report.layers.push((names[0].clone(), outputs, kept.len()));
    }
    pruned.resized();
    *model = pruned;
    Ok(report)
}

/// The names of the weights, all of which are plain and finite.
fn checked_names(model: &dyn Module) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for (weight, found) in model.named_weights() {
        if let Role::ConvWeight { groups: 2.. } = found.role() {
            return Err(CompressError::NotAChain { kind: "convolution with groups" }.into());
        }
        if !found.is_plain_float() {
            let form = if found.int8().is_some() { "int8" } else { "not stored alone" };
            return Err(CompressError::NotPlain { weight, form, change: "removed" }.into());
        }
        let values = found.value()?.to_vec::<f32>()?;
        if let Some(index) = values.iter().position(|v| !v.is_finite()) {
            return Err(CompressError::NotFinite { weight, value: values[index], index }.into());
        }
        names.push(weight);
    }
    Ok(names)
}

fn weight_of<'l>(link: &'l Link<'_>) -> Option<&'l Weight> {
    match link {
        Link::Linear(layer) => Some(&layer.weight),
        Link::Conv2d(layer) => Some(&layer.weight),
        Link::BatchNorm2d(_) | Link::Channelwise => None,
    }
}

/// The outputs that stay, unless all do.
fn kept_outputs(link: &Link<'_>, sparsity: f64) -> Result<Option<Vec<usize>>> {
    let Some(weight) = weight_of(link) else { return Ok(None) };
    let (outputs, values) = (weight.shape()[0], weight.value()?.to_vec::<f32>()?);
    let rows = values.chunks((values.len() / outputs.max(1)).max(1));
    let sums: Vec<f32> = rows.map(|row| row.iter().map(|w| w.abs()).sum()).collect();
    let stays = largest(&sums, sparsity).into_iter().enumerate().filter(|(_, stays)| *stays);
    let kept: Vec<usize> = stays.map(|(i, _)| i).collect();
    Ok((kept.len() < outputs).then_some(kept))
}

/// Returns how many outputs there were.
fn keep_outputs(link: &mut Link<'_>, kept: &[usize]) -> Result<usize> {
    let before = weight_of(link).map_or(0, |weight| weight.shape()[0]);
    match link {
        Link::Linear(layer) => layer.keep_outputs(kept)?,
        Link::Conv2d(layer) => layer.keep_outputs(kept)?,
        Link::BatchNorm2d(_) | Link::Channelwise => {}
    }
    Ok(before)
}

/// Keeps what a layer reads from the channels that stay. Behind a flattening, each channel is a run of
/// inputs: its pixels.
fn keep_inputs(
    link: &mut Link<'_>,
    kept: &[usize],
    channels: usize,
    names: &[String],
) -> Result<()> {
    let inputs = weight_of(link).map_or(0, |weight| weight.shape()[1]);
    let run = inputs / channels.max(1);
    let whole = run > 0 && inputs == run * channels;
    let unfit = || {
        let (from, to) = (names[0].clone(), names[1].clone());
        CompressError::Widths { from, outputs: channels, to, inputs }
    };
    match link {
        Link::Linear(layer) if whole => {
            let entries: Vec<usize> =
                kept.iter().flat_map(|&channel| channel * run..(channel + 1) * run).collect();
            layer.keep_inputs(&entries)
        }
        Link::Conv2d(layer) if run == 1 && whole => layer.keep_inputs(kept),
        _ => Err(unfit().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::{Ctx, Var};
    use crate::graph::{ConvGeometry, PoolGeometry};
    use crate::nn::{
        BatchNorm2d, Conv2d, Flatten, Forward, Init, LayerNorm, Linear, MaxPool2d, Relu, Sequential,
    };
    use crate::{Rng, Tensor};

    fn image_net() -> Sequential {
        let init = &mut Init::seed(1);
        let same = ConvGeometry::default().with_padding(1);
        Sequential::new()
            .push(Conv2d::new(1, 4, [3, 3], same, init).unwrap())
            .push(BatchNorm2d::new(4, init).unwrap())
            .push(Relu)
            .push(
                Sequential::new()
                    .push(MaxPool2d::new(PoolGeometry::square(2)))
                    .push(Conv2d::new(4, 6, [3, 3], same, init).unwrap()),
            )
            .push(Relu)
            .push(Flatten)
            .push(Linear::new(6 * 4, 5, init).unwrap())
    }

    /// Silences the same channels by hand: their weights and biases, so that they give 0, and then what reads
    /// them.
    fn silenced(net: &Sequential, sparsity: f64) -> Sequential {
        let mut net = net.clone();
        let mut silent: Vec<usize> = Vec::new();
        for link in &mut net.links().unwrap() {
            if let Link::Conv2d(layer) = link {
                let &[_, inputs, h, w] = layer.weight.shape().dims() else { unreachable!() };
                let weight = layer.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap();
                for (i, value) in weight.iter_mut().enumerate() {
                    if silent.contains(&(i / (h * w) % inputs)) {
                        *value = 0.0;
                    }
                }
            }
            let Some(kept) = kept_outputs(link, sparsity).unwrap() else { continue };
            let Link::Conv2d(layer) = link else { continue };
            let outputs = layer.weight.shape()[0];
            let row = layer.weight.shape().len() / outputs;
            silent = (0..outputs).filter(|i| !kept.contains(i)).collect();
            let bias = layer.bias.as_mut().unwrap().value_mut().unwrap();
            let bias = bias.as_mut_slice::<f32>().unwrap();
            let weight = layer.weight.value_mut().unwrap().as_mut_slice::<f32>().unwrap();
            for &channel in &silent {
                weight[channel * row..][..row].fill(0.0);
                bias[channel] = 0.0;
            }
        }
        net
    }

    #[test]
    fn the_smaller_model_is_the_one_whose_channels_are_silent() {
        let net = image_net();
        let mut pruned = net.clone();
        let report = structured_prune(&mut pruned, 0.5).unwrap();
        let (first, second) = ("0.weight".to_string(), "3.1.weight".to_string());
        assert_eq!(report.layers, [(first, 4, 2), (second, 6, 3)]);
        let shapes: Vec<_> = pruned.named_params().iter().map(|(_, p)| p.shape()).collect();
        assert_eq!(shapes[0].dims(), [2, 1, 3, 3]);
        assert_eq!(shapes[6].dims(), [3, 2, 3, 3]);
        assert_eq!(shapes[8].dims(), [5, 12]);

        // The batch norm is the identity at first, so that what gives 0 before it gives 0 after it.
        let x = Var::from(Tensor::randn([3, 1, 4, 4], 1.0, &mut Rng::seed(2)).unwrap());
        let want = silenced(&net, 0.5).forward(&x, &mut Ctx::eval()).unwrap();
        let got = pruned.forward(&x, &mut Ctx::eval()).unwrap();
        assert!(got.value().allclose(want.value(), 1e-5, 1e-5).unwrap());
    }

    #[test]
    fn one_channel_always_stays() {
        let mut net = image_net();
        structured_prune(&mut net, 0.999).unwrap();
        assert_eq!(net.named_params()[0].1.shape()[0], 1);
    }

    #[test]
    fn what_is_no_chain_is_named_and_stays() {
        let init = &mut Init::seed(1);
        let mut net = Sequential::new()
            .push(Linear::new(4, 8, init).unwrap())
            .push(LayerNorm::new(8, init).unwrap())
            .push(Linear::new(8, 2, init).unwrap());
        let error = structured_prune(&mut net, 0.5).unwrap_err().to_string();
        assert!(error.contains("LayerNorm"), "{error}");
        let mut alone = Linear::new(4, 8, init).map(|layer| Sequential::new().push(layer)).unwrap();
        assert!(structured_prune(&mut alone, 0.5).unwrap_err().to_string().contains("nothing"));
        let mut unfit = Sequential::new()
            .push(Linear::new(4, 8, init).unwrap())
            .push(Linear::new(9, 2, init).unwrap());
        let error = structured_prune(&mut unfit, 0.5).unwrap_err().to_string();
        assert!(error.contains("`0.weight` gives 8") && error.contains("9 inputs"), "{error}");
        assert_eq!(unfit.named_params()[0].1.shape().dims(), [8, 4]);
    }
}
