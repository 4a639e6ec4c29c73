//! What an own struct implements to be kept in files, loaded by name, quantized and audited.

use super::{Decoder, ModelError, Sample};
use crate::Result;
use crate::autograd::Var;
use crate::nn::{Chain, Forward, Init};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A model that can be made again from a few settings, and so be kept in a file, loaded by its name and
/// judged.
///
/// ```
/// use tinytorch::autograd::{Ctx, Var};
/// use tinytorch::models::{Kinds, Model, Rebuild, Sample};
/// use tinytorch::nn::{Forward, Init, Linear, Module};
/// use tinytorch::tensor::Shape;
/// use tinytorch::{Result, Tensor, files};
///
/// #[derive(Module, Clone)]
/// struct Net {
///     hidden: Linear,
///     head: Linear,
/// }
///
/// impl Forward for Net {
///     type Output = Var;
///     fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
///         let hidden = self.hidden.forward(x, ctx)?.relu(ctx)?;
///         self.head.forward(&hidden, ctx)
///     }
/// }
///
/// impl Rebuild for Net {
///     type Input = Var;
///     type Config = ();
///     const NAME: &'static str = "net";
///     fn config(&self) {}
///     fn build(_: &(), init: &mut Init) -> Result<Net> {
///         Ok(Net { hidden: Linear::new(4, 8, init)?, head: Linear::new(8, 3, init)? })
///     }
///     fn samples(&self) -> Result<Vec<Sample>> {
///         Ok(vec![Sample::Values(Shape::new(&[4])?)])
///     }
/// }
///
/// let net = Net::build(&(), &mut Init::seed(0))?;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("net.safetensors");
/// files::save_model(&path, &net, &files::Provenance::default())?;
///
/// let typed: Net = files::load(&path)?.model;
/// assert_eq!(files::digest_params(&typed)?, files::digest_params(&net)?);
/// let kinds = Kinds::built_in().with::<Net>();
/// let by_name: Box<dyn Model> = files::load_with(&path, &kinds)?.model;
/// let x = Tensor::ones([2, 4])?;
/// assert_eq!(by_name.forward(&x.into(), &mut Ctx::eval())?.shape().dims(), [2, 3]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub trait Rebuild: Forward<<Self as Rebuild>::Input> + Clone + Send + Sync + 'static {
    /// What `forward` takes: a [`Var`], or several as a tuple or a list.
    type Input: Inputs;

    /// What [`Rebuild::build`] needs to know: a struct with named fields, or `()`. No field can be called
    /// `architecture`, which is where files keep the name.
    type Config: Serialize + DeserializeOwned;

    /// The name by which files know this kind of model.
    const NAME: &'static str;

    /// The settings that make this model again.
    fn config(&self) -> Self::Config;

    /// A model of these settings. Layers of the same settings always have the same names and shapes.
    ///
    /// # Errors
    /// For settings that make no model; they may come from a file that someone has tampered with.
    fn build(config: &Self::Config, init: &mut Init) -> Result<Self>;

    /// One sample of each input, without the batch.
    ///
    /// # Errors
    /// [`TensorError::TooLarge`](crate::tensor::TensorError::TooLarge) for an impossible shape.
    fn samples(&self) -> Result<Vec<Sample>>;

    /// What the inputs are called where data are given by name; empty where they have no names.
    fn input_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// How many samples a pass takes, if it takes no other number.
    fn fixed_batch(&self) -> Option<usize> {
        None
    }

    /// Whether a pass records as many steps as its input is long, so that another length is another graph.
    fn unrolls(&self) -> bool {
        false
    }

    /// The first size of each input, `None` where any will do; empty if that is so of all.
    fn first_sizes(&self) -> Vec<Option<usize>> {
        Vec::new()
    }

    /// The node of the user's own graph that multiplies by this weight, operator and name, where there is such a graph.
    fn node_of(&self, weight: &str) -> Option<String> {
        let _ = weight;
        None
    }

    /// What the outputs are called in reports; `output 0` and so on where there is no name.
    fn output_names(&self) -> Vec<String> {
        Vec::new()
    }

    /// The model as one that generates text, if it is one.
    fn as_decoder(&self) -> Option<&dyn Decoder> {
        None
    }

    /// The model as a chain of layers, if it is one.
    fn as_chain(&mut self) -> Option<&mut dyn Chain> {
        None
    }
}

/// What a model takes, made of a list of values.
pub trait Inputs: Sized {
    /// The values in their order.
    ///
    /// # Errors
    /// [`ModelError::InputCount`] for another number of values.
    fn from_list(values: &[Var]) -> Result<Self>;
}

impl Inputs for Var {
    fn from_list(values: &[Var]) -> Result<Var> {
        let [value] = exactly(values)?;
        Ok(value.clone())
    }
}

impl Inputs for Vec<Var> {
    fn from_list(values: &[Var]) -> Result<Vec<Var>> {
        Ok(values.to_vec())
    }
}

impl Inputs for (Var, Var) {
    fn from_list(values: &[Var]) -> Result<(Var, Var)> {
        let [a, b] = exactly(values)?;
        Ok((a.clone(), b.clone()))
    }
}

impl Inputs for (Var, Var, Var) {
    fn from_list(values: &[Var]) -> Result<(Var, Var, Var)> {
        let [a, b, c] = exactly(values)?;
        Ok((a.clone(), b.clone(), c.clone()))
    }
}

fn exactly<const N: usize>(values: &[Var]) -> Result<&[Var; N]> {
    let error = ModelError::InputCount { got: values.len(), expected: N };
    Ok(values.try_into().map_err(|_| error)?)
}
