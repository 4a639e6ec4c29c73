//! Rounding to int8 steps in float, so that training sees what int8 will do.

mod levels;
mod rows;

use crate::Result;
use crate::autograd::{Ctx, Param, Role, Var};
use crate::int8::{
    Encoding, Granularity, Int8Error, Int8Weight, QParams, QWeight, Scales, WeightBits,
};
use crate::ops::{Attachment, AttachmentKind, Part, PartMut, Place, Weight};
use crate::tensor::{Shape, Tensor};
use levels::{FakeQuantize, Kind, step};
use rows::FakeQuantizeRows;
use serde::{Deserialize, Serialize};

/// How a weight and what it multiplies are rounded, without the learned steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FakeQuantConfig {
    /// How many bits the weight's values use.
    pub bits: WeightBits,
    /// How many weights share a step: all, or those of an output channel.
    pub granularity: Granularity,
    /// How the input is rounded.
    pub input: FakeInput,
    /// Whether something is added to each output channel beside the layer's bias.
    #[serde(default)]
    pub shift: bool,
}

/// How the input of a weight is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FakeInput {
    /// Not at all.
    Float,
    /// To 256 levels over each row's own range.
    Dynamic,
    /// To 65,535 levels as far as each row's largest value, which is too fine for training to notice.
    Dynamic16,
    /// To 256 levels with a learned step. The level that stands for 0 is an integer and stays.
    Static {
        /// That level.
        zero_point: u8,
    },
}

/// Rounds a weight and what it multiplies to int8 steps while both stay floats, and learns the steps
/// (learned step size quantization: Esser et al., 2020).
///
/// A step is trained as its natural logarithm, so that one learning rate suits steps of any size and none
/// becomes 0 or negative (Jain et al., 2020).
#[derive(Clone, Debug)]
pub struct FakeQuant {
    config: FakeQuantConfig,
    /// Of the weight, `[1]` or `[out]`.
    weight_log_step: Param,
    /// Of a static input, `[1]`.
    input_log_step: Option<Param>,
    /// What a folded batch norm adds to the channels of a convolution without a bias, `[out]`.
    shift: Option<Param>,
}

impl FakeQuant {
    /// Rounding that starts with the steps that quantizing `weight` without any training would take, and
    /// with the `shift` of a folded batch norm.
    ///
    /// # Errors
    /// [`Int8Error::LearnedBlocks`], or as [`Scales::covering`].
    pub fn start(
        weight: &Tensor,
        granularity: Granularity,
        bits: WeightBits,
        input: Encoding,
        shift: Option<&[f32]>,
    ) -> Result<FakeQuant> {
        let (input, input_log_step) = match input {
            Encoding::F32 => (FakeInput::Float, None),
            Encoding::PerRow => (FakeInput::Dynamic, None),
            Encoding::PerRow16 => (FakeInput::Dynamic16, None),
            Encoding::Static(QParams { scale, zero_point }) => {
                (FakeInput::Static { zero_point }, Some(learned(&[scale])?))
            }
        };
        let config = FakeQuantConfig { bits, granularity, input, shift: shift.is_some() };
        let weight_log_step = match Scales::covering(weight, granularity, bits)? {
            Scales::PerTensor(scale) => learned(&[scale])?,
            Scales::PerChannel(scales) => learned(&scales)?,
            Scales::Blocks(_) => return Err(Int8Error::LearnedBlocks.into()),
        };
        let vector = |values: &[f32]| Tensor::from_vec(values.to_vec(), [values.len()]);
        let shift = shift.map(vector).transpose()?.map(|shift| Param::new(shift, Role::Vector));
        Ok(FakeQuant { config, weight_log_step, input_log_step, shift })
    }

    /// The weight's steps as they have been learned.
    ///
    /// # Errors
    /// [`AutogradError::NotLoaded`](crate::autograd::AutogradError::NotLoaded) without values.
    pub fn weight_scales(&self) -> Result<Scales> {
        let steps: Vec<f32> =
            self.weight_log_step.value()?.to_vec::<f32>()?.into_iter().map(step).collect();
        Ok(match self.config.granularity {
            Granularity::PerTensor => Scales::PerTensor(steps[0]),
            _ => Scales::PerChannel(steps.into()),
        })
    }

    /// The int8 weight that a float one becomes.
    ///
    /// # Errors
    /// [`Int8Error`] for steps or a shift that are NaN or infinite.
    pub fn pack(&self, weight: &Tensor) -> Result<Int8Weight> {
        let packed = QWeight::round(weight, self.weight_scales()?, self.config.bits)?;
        let packed = match &self.shift {
            Some(shift) => packed.with_shift(shift.value()?.to_vec::<f32>()?.into())?,
            None => packed,
        };
        Ok(Int8Weight::new(packed, self.input()?))
    }

    /// How the int8 weight that this becomes quantizes its input.
    ///
    /// # Errors
    /// As [`FakeQuant::weight_scales`].
    pub fn input(&self) -> Result<Encoding> {
        Ok(match (self.config.input, &self.input_log_step) {
            (FakeInput::Static { zero_point }, Some(log_step)) => {
                Encoding::Static(QParams { scale: step(log_step.value()?.item()?), zero_point })
            }
            (FakeInput::Dynamic, _) => Encoding::PerRow,
            (FakeInput::Dynamic16, _) => Encoding::PerRow16,
            _ => Encoding::F32,
        })
    }
}

impl Weight {
    /// The fake quantization, if the weight is prepared for it.
    pub fn fake_quant(&self) -> Option<&FakeQuant> {
        self.attachment()
    }

    /// Rounds the weight, and what it multiplies, from here on.
    pub fn set_fake_quant(&mut self, fake_quant: FakeQuant) {
        self.attach(fake_quant);
    }

    /// Ends the rounding, whose steps stay in the returned value.
    pub fn take_fake_quant(&mut self) -> Option<FakeQuant> {
        self.detach()
    }
}

const WEIGHT_STEP: Place = Place::Suffix("_log_step");
const INPUT_STEP: Place = Place::Suffix("_input_log_step");
const SHIFT: Place = Place::Suffix("_shift");

impl Attachment for FakeQuant {
    fn parts(&self) -> Vec<(Place, Part<'_>)> {
        let input = self.input_log_step.as_ref().map(|step| (INPUT_STEP, Part::Param(step)));
        let shift = self.shift.as_ref().map(|shift| (SHIFT, Part::Param(shift)));
        let weight = (WEIGHT_STEP, Part::Param(&self.weight_log_step));
        [weight].into_iter().chain(input).chain(shift).collect()
    }

    fn parts_mut(&mut self) -> Vec<(Place, PartMut<'_>)> {
        let input = self.input_log_step.as_mut().map(|step| (INPUT_STEP, PartMut::Param(step)));
        let shift = self.shift.as_mut().map(|shift| (SHIFT, PartMut::Param(shift)));
        let weight = (WEIGHT_STEP, PartMut::Param(&mut self.weight_log_step));
        [weight].into_iter().chain(input).chain(shift).collect()
    }

    fn boxed_clone(&self) -> Box<dyn Attachment> {
        Box::new(self.clone())
    }

    fn order(&self) -> u8 {
        2
    }

    fn input(&self, x: &Var, row_axes: usize, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        Ok(match (self.config.input, &self.input_log_step) {
            (FakeInput::Static { zero_point }, Some(log_step)) => {
                let log_step = ctx.param(log_step)?;
                let op = FakeQuantize { kind: Kind::Input { zero_point } };
                Some(ctx.apply(op, &[x, &log_step])?)
            }
            (FakeInput::Dynamic, _) => Some(ctx.apply(FakeQuantizeRows { row_axes }, &[x])?),
            _ => None,
        })
    }

    /// A traced pass takes the rounded weight as a constant, as it takes a weight.
    fn floats(&self, weight: &Param, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        let op = FakeQuantize { kind: Kind::Weight { max: self.config.bits.max() } };
        if ctx.traces() {
            let (weight, log_step) = (weight.value()?, self.weight_log_step.value()?);
            return Ctx::eval().apply(op, &[&weight.into(), &log_step.into()]).map(Some);
        }
        let (weight, log_step) = (ctx.param(weight)?, ctx.param(&self.weight_log_step)?);
        ctx.apply(op, &[&weight, &log_step]).map(Some)
    }

    fn shift(&self) -> Option<&Param> {
        self.shift.as_ref()
    }
}

impl AttachmentKind for FakeQuant {
    type Config = FakeQuantConfig;

    fn config(&self) -> FakeQuantConfig {
        self.config
    }

    /// # Errors
    /// [`Int8Error::LearnedBlocks`].
    fn absent(config: FakeQuantConfig, layer: &Shape, _: Role) -> Result<FakeQuant> {
        let channels = layer.first().copied().unwrap_or(1);
        let steps = match config.granularity {
            Granularity::PerTensor => 1,
            Granularity::PerChannel => channels,
            Granularity::Blocks => return Err(Int8Error::LearnedBlocks.into()),
        };
        let absent =
            |len| -> Result<Param> { Ok(Param::absent(Shape::new(&[len])?, Role::Vector)) };
        let input_log_step = match config.input {
            FakeInput::Static { .. } => Some(absent(1)?),
            FakeInput::Float | FakeInput::Dynamic | FakeInput::Dynamic16 => None,
        };
        let shift = config.shift.then(|| absent(channels)).transpose()?;
        Ok(FakeQuant { config, weight_log_step: absent(steps)?, input_log_step, shift })
    }
}

/// A parameter of the logarithms of these steps.
fn learned(steps: &[f32]) -> Result<Param> {
    let logs: Vec<f32> = steps.iter().map(|&step| f64::from(step).ln() as f32).collect();
    let len = logs.len();
    Ok(Param::new(Tensor::from_vec(logs, [len])?, Role::Vector))
}
