//! What quantizing moves the mean of an output channel by, taken off again: bias correction.
//!
//! Rounding nine weights of a depthwise kernel leaves a sum that is not zero, and behind a positive part all that the
//! kernel reads is positive: the whole channel moves (Nagel et al., 2019, "Data-Free Quantization Through Weight
//! Equalization and Bias Correction", section 4.2). Here the mean is measured on calibration data, layer after layer in
//! a model whose layers before are corrected already, so that it takes in what they have added too.

use super::fold::Fold;
use super::is_weight;
use super::moments::Moments;
use crate::Result;
use crate::autograd::{Ctx, Observer, OpRun, ParamId, Role};
use crate::nn::{Forward, Module};
use crate::tensor::{Dtype, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// What is added to each output channel of layers, by the names of their weights.
pub(crate) type Corrections = BTreeMap<String, Vec<f32>>;

/// The output channels of layers, by the names of their weights.
pub(crate) type Channels = BTreeMap<String, Vec<Moments>>;

/// The means of the output channels of layers, by the names of their weights.
type Means = BTreeMap<String, Vec<f64>>;

/// A layer with channels: its name, and the axis that they lie along.
#[derive(Clone, Debug)]
struct Layer {
    name: String,
    is_conv: bool,
}

/// The layers of a model that have output channels.
fn layers<M: Module + ?Sized>(model: &M) -> BTreeMap<ParamId, Layer> {
    let params = model.named_params().into_iter();
    let with_channels = params.filter(|(_, p)| is_weight(p) && p.role() != Role::Embedding);
    let layer = |name, role| Layer { name, is_conv: matches!(role, Role::ConvWeight { .. }) };
    with_channels.map(|(name, param)| (param.id(), layer(name, param.role()))).collect()
}

/// Takes down the output channels of layers that are used once in a pass.
#[derive(Default)]
struct Gathered {
    layers: BTreeMap<ParamId, Layer>,
    channels: Channels,
    again: BTreeSet<String>,
}

impl Observer for Gathered {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let Some(layer) = run.weight.and_then(|weight| self.layers.get(&weight)) else {
            return Ok(());
        };
        let Some(moments) = moments_of(run.output, layer)? else { return Ok(()) };
        if self.channels.insert(layer.name.clone(), moments).is_some() {
            self.again.insert(layer.name.clone());
        }
        Ok(())
    }
}

/// The output channels in a pass over one batch; none of a layer that is used more than once.
///
/// # Errors
/// If the model does not run on the batch.
pub(crate) fn channels<M, X>(model: &M, batch: &X) -> Result<Channels>
where
    M: Forward<X> + ?Sized,
{
    let mut gathered = Gathered { layers: layers(model), ..Gathered::default() };
    model.call(batch, &mut Ctx::eval().observed(&mut gathered))?;
    let Gathered { mut channels, again, .. } = gathered;
    channels.retain(|name, _| !again.contains(name));
    Ok(channels)
}

/// What the float model's layers give on each of some batches, to correct int8 models by.
pub(super) struct Corrector<'x, X> {
    batches: Vec<&'x X>,
    float: Vec<Means>,
}

impl<'x, X> Corrector<'x, X> {
    /// Runs the float model.
    pub(super) fn new<M>(model: &M, batches: Vec<&'x X>, folds: &[Fold]) -> Result<Self>
    where
        M: Forward<X> + ?Sized,
    {
        let float = batches.iter().map(|batch| {
            let mut channels = channels(model, batch)?;
            for fold in folds {
                if let Some(channels) = channels.get_mut(&fold.weight) {
                    fold.norm(channels);
                }
            }
            let means = |of: Vec<Moments>| of.iter().map(Moments::mean).collect();
            Ok(channels.into_iter().map(|(name, channels)| (name, means(channels))).collect())
        });
        let float = float.collect::<Result<_>>()?;
        Ok(Corrector { batches, float })
    }

    pub(super) fn batches(&self) -> &[&'x X] {
        &self.batches
    }

    /// What is to be added to the channels of the model's int8 layers, so that their means are the float model's.
    pub(super) fn corrections<M>(&self, model: &M) -> Result<Corrections>
    where
        M: Forward<X> + ?Sized,
    {
        let mut fitting = self.fitting(model);
        for batch in &self.batches {
            fitting.pass(model, batch)?;
        }
        Ok(fitting.corrections())
    }

    /// Corrections that become better with every batch, which are to be passed in order.
    pub(super) fn fitting<M: Module + ?Sized>(&self, model: &M) -> Fitting<'_> {
        let params = model.named_params().into_iter();
        let int8: BTreeSet<ParamId> =
            params.filter(|(_, p)| p.int8().is_some()).map(|(_, p)| p.id()).collect();
        let mut layers = layers(model);
        layers.retain(|id, _| int8.contains(id));
        Fitting { layers, float: &self.float, passed: 0, moved: BTreeMap::new() }
    }
}

/// Corrects each int8 layer as it runs, by the mean that it has been moved by until then.
pub(super) struct Fitting<'c> {
    layers: BTreeMap<ParamId, Layer>,
    float: &'c [Means],
    passed: usize,
    /// The sum over all batches.
    moved: BTreeMap<String, Vec<f64>>,
}

impl Fitting<'_> {
    /// Passes the next batch, whose outputs are those of the corrected model.
    pub(super) fn pass<M, X>(&mut self, model: &M, batch: &X) -> Result<M::Output>
    where
        M: Forward<X> + ?Sized,
    {
        let outputs = model.call(batch, &mut Ctx::eval().observed(self))?;
        self.passed += 1;
        Ok(outputs)
    }

    fn corrections(self) -> Corrections {
        let batches = self.passed.max(1) as f64;
        let mean = |moved: Vec<f64>| moved.into_iter().map(|sum| (-sum / batches) as f32).collect();
        self.moved.into_iter().map(|(name, moved)| (name, mean(moved))).collect()
    }
}

impl Observer for Fitting<'_> {
    fn instead(&mut self, run: &OpRun<'_>) -> Result<Option<Tensor>> {
        let Some(layer) = run.weight.and_then(|weight| self.layers.get(&weight)) else {
            return Ok(None);
        };
        let float = self.float.get(self.passed).and_then(|channels| channels.get(&layer.name));
        let (Some(float), Some(int8)) = (float, moments_of(run.output, layer)?) else {
            return Ok(None);
        };
        let moved = self.moved.entry(layer.name.clone()).or_insert_with(|| vec![0.0; float.len()]);
        for (sum, (int8, float)) in moved.iter_mut().zip(int8.iter().zip(float)) {
            *sum += int8.mean() - float;
        }
        let batches = (self.passed + 1) as f64;
        let mean: Vec<f32> = moved.iter().map(|sum| (sum / batches) as f32).collect();
        let mut sizes = vec![1; run.output.rank()];
        sizes[axis(run.output, layer)] = mean.len();
        let mean = Tensor::from_vec(mean, &sizes[..])?;
        run.output.sub(&mean).map(Some)
    }
}

/// The axis of a layer's channels.
fn axis(output: &Tensor, layer: &Layer) -> usize {
    if layer.is_conv { 1 } else { output.rank() - 1 }
}

/// The channels of an output; `None` where it has none.
fn moments_of(output: &Tensor, layer: &Layer) -> Result<Option<Vec<Moments>>> {
    if output.dtype() != Dtype::F32 || output.rank() < 2 || output.is_empty() {
        return Ok(None);
    }
    let axis = axis(output, layer);
    let (shape, dense) = (*output.shape(), output.contiguous()?);
    let channels = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    let mut moments = vec![Moments::default(); channels];
    for (i, run) in dense.as_slice::<f32>()?.chunks(inner).enumerate() {
        let add = |(sum, squares), v: &f32| (sum + f64::from(*v), squares + f64::from(*v).powi(2));
        let (sum, squares) = run.iter().fold((0.0, 0.0), add);
        moments[i % channels].add(&Moments { count: run.len() as f64, sum, squares });
    }
    Ok(Some(moments))
}
