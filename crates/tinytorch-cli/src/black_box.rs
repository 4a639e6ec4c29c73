//! Audits of two graphs that are not the same one: by their answers.

use crate::arrays::Arrays;
use crate::data::Source;
use crate::diagnosis::{Suspect, held_against};
use crate::engine::Engine;
use crate::open::{is_onnx, open};
use crate::own_form::other_graph;
use crate::pictures::Pictures;
use crate::problem::Problem;
use anyhow::Result;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::audit::{HeldOut, Outside, Probe};
use tinytorch::models::{Model, Rebuild};
use tinytorch::quant::QuantRecord;
use tinytorch_onnx::OnnxModel;

/// Samples on which it is found out what is wrong with an engine.
const SUSPECT: usize = 64;

/// A float and an int8 model of which the second was not made from the first here, or not by quantizing alone: a
/// graph that another program has quantized has other nodes, and does not tell how it came about.
pub struct Foreign {
    float: Box<dyn Model>,
    /// `None` of a file that only another engine reads.
    int8: Option<Box<dyn Model>>,
}

/// Where the float and the int8 model are.
#[derive(Clone, Copy)]
pub struct Places<'p> {
    /// The files that were given.
    pub files: [&'p Path; 2],
    /// The same models in a form that the probe's processes read.
    pub ours: [&'p Path; 2],
}

impl Foreign {
    /// The models in two files, if they are graphs and not the same one.
    ///
    /// # Errors
    /// What is wrong with a file.
    pub fn of([float, int8]: [&Path; 2]) -> Result<Option<Foreign>> {
        let [float, int8] = [open(float)?, open(int8)?];
        let are_graphs = [&float, &int8].iter().all(|one| one.model.kind() == OnnxModel::NAME);
        let has_int8 = |model: &dyn Model| {
            model.named_params().iter().any(|(_, param)| param.int8().is_some())
        };
        // What is no float model, or no int8 one, is refused there, too.
        let is_same = has_int8(&*float.model)
            || float.model.description()? == int8.model.description()?
                && (QuantRecord::read(&int8.provenance).is_ok() || !has_int8(&*int8.model));
        let foreign = Foreign { float: float.model, int8: Some(int8.model) };
        Ok((are_graphs && !is_same).then_some(foreign))
    }

    /// The models in two files, whatever they are, for an engine that reads the second.
    pub(crate) fn any([float, int8]: [&Path; 2]) -> Result<Foreign> {
        let float = open(float)?.model;
        let int8 = open(int8).map(|int8| int8.model);
        Ok(Foreign { float, int8: int8.inspect_err(not_held).ok() })
    }

    /// The float model, which says what the inputs are.
    pub fn float(&self) -> &dyn Model {
        &*self.float
    }

    /// What tells the int8 model's graph from the float model's.
    pub fn other_graph(&self) -> Option<String> {
        other_graph(&*self.float, self.int8.as_deref()?)
    }

    /// The samples that `data` names: arrays for each input, or pictures.
    ///
    /// # Errors
    /// [`Problem::Arrays`] for other data, or what is wrong with it.
    pub(crate) fn samples(&self, data: &Source, pictures: &Pictures) -> Result<HeldOut> {
        let path = data.path().filter(|path| Arrays::are_in(path, &*self.float));
        let path = path.ok_or_else(|| Problem::Arrays { inputs: self.float.input_names() })?;
        let Arrays { inputs, labels, .. } = Arrays::read(path, &*self.float, pictures)?;
        Ok(HeldOut::new(inputs, labels)?)
    }

    /// Both models as black boxes that plans run, for these samples.
    ///
    /// # Errors
    /// If only another engine reads the int8 file, or a model cannot be compiled for the samples.
    pub fn boxes(
        &self,
        places: Places<'_>,
        samples: &HeldOut,
        probe: Option<&Probe>,
    ) -> Result<[Outside; 2]> {
        let boxed = |name: &str, model: &dyn Model, i: usize| -> Result<Outside> {
            let outside = planned(name, model, samples)?.in_file(places.files[i]);
            Ok(match probe {
                Some(probe) => outside.probed(places.ours[i], samples, probe.clone())?,
                None => outside,
            })
        };
        let path = places.files[1];
        let int8 = self.int8.as_deref().ok_or_else(|| Problem::OnlyEngine { path: path.into() })?;
        let of_int8 = boxed(&name_of(path), int8, 1)?;
        let of_int8 = held_against(of_int8, path, [&*self.float, int8], samples)?;
        Ok([boxed("float", &*self.float, 0)?, of_int8])
    }

    /// Both models as another engine runs what it can read, the int8 one held to what its integers give.
    ///
    /// # Errors
    /// What the engine says, or if a model cannot be compiled for the samples.
    pub(crate) fn boxes_in(
        &self,
        engine: Engine,
        places: Places<'_>,
        samples: &HeldOut,
        probe: &Probe,
    ) -> Result<[Outside; 2]> {
        let [float, int8] = places.files;
        if !is_onnx(int8) {
            return Err(Problem::NotForEngine { path: int8.into() }.into());
        }
        let of_int8 = engine.open(&name_of(int8), int8)?;
        let of_int8 = match self.int8.as_deref() {
            Some(model) => {
                held_to(of_int8, engine, [Some(&*self.float), Some(model)], int8, samples)?
            }
            None => of_int8,
        };
        let of_float = match is_onnx(float) {
            true => engine.open("float", float)?,
            false => {
                let of_float = planned("float", &*self.float, samples)?.in_file(float);
                of_float.probed(places.ours[0], samples, probe.clone())?
            }
        };
        Ok([of_float, of_int8])
    }
}

/// What runs the models in files.
pub trait Reads: Send + Sync + 'static {
    /// The model in a file.
    ///
    /// # Errors
    /// What the engine says.
    fn open(&self, name: &str, file: &Path) -> Result<Outside>;

    /// The same model without what the engine makes of its graph first; `None` of an engine that cannot be told.
    ///
    /// # Errors
    /// As [`Reads::open`].
    fn open_plainly(&self, name: &str, file: &Path) -> Result<Option<Outside>>;
}

impl Reads for Engine {
    fn open(&self, name: &str, file: &Path) -> Result<Outside> {
        Ok(Engine::open(*self, name, file)?)
    }

    fn open_plainly(&self, name: &str, file: &Path) -> Result<Option<Outside>> {
        Ok(Engine::open_plainly(*self, name, file)?)
    }
}

/// The int8 model in a file as an engine runs it, held to what the integers of the file give and to the float model's
/// weights, as far as these are known here.
pub(crate) fn held_to(
    of_int8: Outside,
    engine: impl Reads,
    [float, int8]: [Option<&dyn Model>; 2],
    file: &Path,
    samples: &HeldOut,
) -> Result<Outside> {
    let exact = int8.map(|model| integers(model, samples).map(|exact| (model, exact)));
    let Some((model, exact)) = exact.transpose().inspect_err(not_held).ok().flatten() else {
        return Ok(of_int8);
    };
    let (name, file) = (name_of(file), file.to_path_buf());
    let inputs = first(model, samples, SUSPECT)?;
    let suspect = Suspect { file, inputs, engine: of_int8.clone(), exact: exact.clone() };
    let of_int8 = match float {
        Some(float) => held_against(of_int8, &suspect.file, [float, model], samples)?,
        None => of_int8,
    };
    Ok(of_int8.held_to(exact, risk(model)).diagnosed_by(move || {
        let plain = || engine.open_plainly(&name, &suspect.file);
        let why = suspect.why(|file| engine.open(&name, file), plain);
        Ok(why.unwrap_or_else(|error| Some(format!("why could not be found out: {error:#}"))))
    }))
}

/// What the integers of a model give, if they can be computed: a sample is, to see.
fn integers(model: &dyn Model, samples: &HeldOut) -> Result<Outside> {
    let exact = planned("integers", model, samples)?;
    exact.answer(&first(model, samples, 1)?)?;
    Ok(exact)
}

/// The first so many samples, or as many as the model takes if it takes no other number.
fn first(model: &dyn Model, samples: &HeldOut, count: usize) -> Result<Vec<Tensor>> {
    let batch = model.fixed_batch().unwrap_or(count).min(samples.len());
    let first = samples.inputs().iter().map(|input| input.rows(0..batch));
    Ok(first.collect::<tinytorch::Result<Vec<_>>>()?)
}

/// Says why an engine is not held to the integers of a file.
pub(crate) fn not_held(error: &anyhow::Error) {
    tracing::warn!("the engine is not held to the integers of its file: {error}");
}

/// A model as a black box that a plan runs.
fn planned(name: &str, model: &dyn Model, samples: &HeldOut) -> Result<Outside> {
    Ok(Outside::planned(name, model, &first(model, samples, 1)?)?)
}

fn name_of(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// What may make an engine give something else than a model's integers.
fn risk(model: &dyn Model) -> String {
    let params = model.named_params();
    let weights: Vec<_> = params.iter().filter_map(|(_, param)| param.int8()).collect();
    let broken = weights.iter().filter(|weight| !weight.panels().pair_rule_holds()).count();
    format!(
        "{broken} of {} int8 weights have neighbours of which two products do not fit 16 bits, where products saturate \
         that use neither VNNI nor wider sums",
        weights.len()
    )
}
