//! An ONNX file as a model.

use crate::build::{self, Built, Values};
use crate::error::OnnxError;
use crate::file::{self, Files};
use crate::int8::{between, counterparts, distance, is_same_constant, take_values};
use crate::memory::Memory;
use crate::program::{Dim, Program, ValueInfo};
use crate::proto::{GraphProto, ModelProto};
use crate::report::Report;
use crate::tensor;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::module::{Forward, LayerInfo, Module, Path, Visitor, VisitorMut};
use tinytorch_core::plan::Plan;
use tinytorch_core::tensor::{Dtype, Tensor};

/// A model that was read from an ONNX file: a [`Module`] whose parameters are the file's tensors under their own
/// names, and a [`Forward`] of all its inputs in the file's order.
#[derive(Clone, Debug)]
pub struct OnnxModel {
    program: Program,
    frame: Arc<ModelProto>,
    metadata: BTreeMap<String, String>,
}

impl OnnxModel {
    /// Reads a model; its weights are in memory once, whatever order they are needed in.
    ///
    /// # Errors
    /// [`OnnxError`]: for nodes that cannot run all of them at once, in [`OnnxError::Missing`].
    pub fn open(path: impl AsRef<FilePath>) -> Result<OnnxModel> {
        let (proto, files) = Files::open(path.as_ref())?;
        OnnxModel::build(&proto, files, Values::Present)
    }

    /// A model that is in memory; errors call it `name`. Data in other files is refused.
    ///
    /// # Errors
    /// As [`OnnxModel::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<OnnxModel> {
        OnnxModel::from_proto(&file::decode(name, Bytes::from(bytes))?)
    }

    /// A model that is decoded already. Data in other files is refused.
    ///
    /// # Errors
    /// As [`OnnxModel::open`].
    pub fn from_proto(proto: &ModelProto) -> Result<OnnxModel> {
        OnnxModel::build(proto, Files::default(), Values::Present)
    }

    /// The model without the values of its parameters, from which [`OnnxModel::from_frame`] makes it again.
    pub fn frame(&self) -> Vec<u8> {
        self.frame.encode_to_vec()
    }

    /// A model whose parameters have no values yet, from what [`OnnxModel::frame`] gave.
    ///
    /// # Errors
    /// As [`OnnxModel::open`].
    pub fn from_frame(bytes: Vec<u8>) -> Result<OnnxModel> {
        let proto = file::decode("the graph", Bytes::from(bytes))?;
        OnnxModel::build(&proto, Files::default(), Values::Elsewhere)
    }

    /// What the steps of an int8 form of this model do otherwise than the steps of this model that give values of the same
    /// names, a sentence each, and how many steps have such names. Quantizing changes weights and adds roundings, and leaves the
    /// operators between them as they are.
    pub fn steps_changed_by(&self, int8: &OnnxModel) -> (Vec<String>, usize) {
        between(&self.frame, &int8.frame, &|a, b| self.is_same_value(a, b))
    }

    /// Whether two constants or parameters hold the same.
    fn is_same_value(&self, a: &str, b: &str) -> bool {
        let constants = self.frame.graph.iter().flat_map(|graph| &graph.initializer);
        let constant = |name: &str| constants.clone().find(|one| one.name == name);
        let param = |name: &str| {
            let found = self.program.params.iter().find(|(known, _)| known == name);
            found.and_then(|(_, held)| held.value().ok())
        };
        match (param(a), param(b), constant(a), constant(b)) {
            (Some(a), Some(b), ..) => {
                a.shape() == b.shape() && a.to_vec::<f32>().ok() == b.to_vec::<f32>().ok()
            }
            (None, None, Some(a), Some(b)) => is_same_constant(a, b),
            _ => false,
        }
    }

    /// This float model over the values of an int8 model, if the graph of that is this one: the same steps with the same settings on
    /// the same values, whatever they are called, but for batch norms, which may be folded. What the int8 file says of itself is not asked.
    ///
    /// # Errors
    /// [`OnnxError::OtherGraph`], which tells the first difference.
    pub fn over_values_of(&self, int8: &OnnxModel) -> Result<OnnxModel> {
        let apart = |problem: String| OnnxError::OtherGraph { problem };
        let [was, is] = [self, int8].map(|model| move |name: &str| model.single(name));
        let apart_by = |was: &str, is: &str| distance([&self.program, &int8.program], was, is);
        let found = counterparts((&self.frame, &was), (&int8.frame, &is), &apart_by);
        let found = found.map_err(apart)?;
        let mut model = self.clone().with_metadata(int8.metadata.clone());
        take_values(&mut model.program, &int8.program, &found).map_err(apart)?;
        Ok(model)
    }

    /// The number that a constant or a parameter of one value and at most one axis holds.
    fn single(&self, name: &str) -> Option<f32> {
        let mut constants = self.frame.graph.iter().flat_map(|graph| &graph.initializer);
        let constant = constants.find(|one| one.name == name && one.dims.len() < 2)?;
        let param = self.program.params.iter().find(|(known, _)| known == name);
        let values = match param {
            Some((_, held)) => held.value().ok()?.to_vec::<f32>().ok()?,
            None => tensor::numbers(constant, &mut Files::default()).ok()?,
        };
        <[f32; 1]>::try_from(values).ok().map(|[value]| value)
    }

    /// What the file says beside its graph, by key.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The same model, to be written with this beside its graph.
    pub fn with_metadata(self, metadata: BTreeMap<String, String>) -> OnnxModel {
        OnnxModel { metadata, ..self }
    }

    pub(crate) fn graph(&self) -> &ModelProto {
        &self.frame
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    fn build(proto: &ModelProto, files: Files, values: Values) -> Result<OnnxModel> {
        let Built { program, frame, missing, .. } = build::build(proto, files, values)?;
        match missing.is_empty() {
            true => {
                let frame = Arc::new(apart(&frame)?);
                Ok(OnnxModel { program, frame, metadata: metadata(proto) })
            }
            false => Err(OnnxError::Missing { nodes: missing }.into()),
        }
    }

    /// What a file holds and whether it will run, without running it.
    ///
    /// # Errors
    /// [`OnnxError`] for a file that is not consistent; nodes that are missing are no error here.
    pub fn inspect(path: impl AsRef<FilePath>) -> Result<Report> {
        let (proto, files) = Files::open(path.as_ref())?;
        let Built { program, missing, floats, .. } = build::build(&proto, files, Values::Present)?;
        Ok(Report { floats, ..Report::new(&proto, &program, missing) })
    }

    /// The files beside a model's file that hold its data.
    ///
    /// # Errors
    /// [`OnnxError`] for a file that cannot be read.
    pub fn external_files(path: impl AsRef<FilePath>) -> Result<Vec<PathBuf>> {
        let (path, (proto, _)) = (path.as_ref(), Files::open(path.as_ref())?);
        let folder = path.parent().unwrap_or(FilePath::new(""));
        Ok(file::locations(&proto).into_iter().map(|location| folder.join(location)).collect())
    }

    /// What it takes, in order.
    pub fn inputs(&self) -> &[ValueInfo] {
        &self.program.inputs
    }

    /// What it gives, in order.
    pub fn outputs(&self) -> &[ValueInfo] {
        &self.program.outputs
    }

    /// Tensors under their names in the order in which the model takes them.
    ///
    /// # Errors
    /// [`OnnxError::InputName`] for a name that it does not have, and for one that is missing or there twice.
    pub fn arrange(&self, named: Vec<(String, Tensor)>) -> Result<Vec<Tensor>> {
        let problem = |problem: String| OnnxError::InputName { problem, names: self.names() };
        let mut slots: Vec<Option<Tensor>> = vec![None; self.inputs().len()];
        for (name, tensor) in named {
            let found = self.inputs().iter().position(|input| input.name == name);
            let slot = found.ok_or_else(|| problem(format!("there is no input `{name}`")))?;
            if slots[slot].replace(tensor).is_some() {
                return Err(problem(format!("input `{name}` is given twice")).into());
            }
        }
        let pairs = slots.into_iter().zip(self.inputs());
        let all = pairs.map(|(slot, input)| {
            slot.ok_or_else(|| problem(format!("input `{}` is missing", input.name)))
        });
        Ok(all.collect::<Result<Vec<_>, _>>()?)
    }

    fn names(&self) -> String {
        self.inputs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// What it gives for tensors in the order of [`OnnxModel::inputs`], in the order of [`OnnxModel::outputs`].
    ///
    /// # Errors
    /// [`OnnxError::Input`] and [`OnnxError::InputCount`] for inputs that it does not take, [`OnnxError::Run`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
        let outputs = self.forward(&inputs, &mut Ctx::eval())?;
        Ok(outputs.into_iter().map(Var::into_value).collect())
    }

    /// The model compiled for inputs of the sizes that the file names; an open size is 1 until the plan meets
    /// another.
    ///
    /// # Errors
    /// As [`OnnxModel::plan_for`], or [`OnnxError::Input`] if the file leaves the number of dimensions open.
    pub fn plan(&self) -> Result<Plan> {
        let examples = self.inputs().iter().map(ValueInfo::example).collect::<Result<Vec<_>>>()?;
        self.plan_for(&examples)
    }

    /// The model compiled by tracing a pass on these inputs. A model that [unrolls](OnnxModel::unrolls) is traced anew
    /// for other lengths; its plan keeps a copy of it for that, which shares its weights.
    ///
    /// # Errors
    /// What [`Plan::compile`] reports.
    pub fn plan_for(&self, examples: &[Tensor]) -> Result<Plan> {
        let plan = Plan::compile(self, &examples.to_vec())?;
        if !self.unrolls() {
            return Ok(plan);
        }
        let model = self.clone();
        let trace = move |inputs: &[Tensor]| Plan::compile(&model, &inputs.to_vec());
        Ok(plan.tracing_anew(examples, trace))
    }

    /// Whether a pass records as many steps as its input is long: it has a recurrent layer or a loop.
    pub fn unrolls(&self) -> bool {
        self.frame.graph.as_ref().is_some_and(unrolls)
    }

    /// How many samples it takes at once, if the file fixes that: the first dimension of its first input.
    pub fn fixed_batch(&self) -> Option<usize> {
        match self.inputs().first()?.dims.as_ref()?.first()? {
            Dim::Size(size) => Some(*size),
            Dim::Open(_) => None,
        }
    }

    fn check(&self, inputs: &[Var]) -> Result<()> {
        let (expected, got) = (self.inputs().len(), inputs.len());
        if expected != got {
            return Err(OnnxError::InputCount { expected, names: self.names(), got }.into());
        }
        for (info, var) in self.inputs().iter().zip(inputs) {
            let (dtype, shape): (Dtype, _) = (var.value().dtype(), *var.shape());
            if !info.takes(dtype, &shape) {
                let (input, expected) = (info.name.clone(), info.spec());
                return Err(OnnxError::Input { input, expected, dtype, shape }.into());
            }
        }
        Ok(())
    }
}

/// Whether a graph, or one inside of it, takes its input apart step by step.
fn unrolls(graph: &GraphProto) -> bool {
    graph.node.iter().any(|node| {
        matches!(node.op_type.as_str(), "RNN" | "GRU" | "LSTM" | "Loop" | "Scan")
            || node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).any(unrolls)
    })
}

/// The same messages without a share in the bytes of the file that they were read from, which would keep all of it in
/// memory.
fn apart(proto: &ModelProto) -> Result<ModelProto, OnnxError> {
    file::decode("the graph", Bytes::from(proto.encode_to_vec()))
}

/// What a file says beside its graph, but for what reading it has used.
fn metadata(proto: &ModelProto) -> BTreeMap<String, String> {
    let entries = proto.metadata_props.iter().filter(|entry| !Memory::is_entry(&entry.key));
    entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

impl Module for OnnxModel {
    fn visit<'a>(&'a self, path: &mut Path, visitor: &mut dyn Visitor<'a>) {
        visitor.layer(path, LayerInfo { kind: "OnnxModel", config: Vec::new() });
        self.program.visit(path, visitor);
    }

    fn visit_mut<'a>(&'a mut self, path: &mut Path, visitor: &mut dyn VisitorMut<'a>) {
        self.program.visit_mut(path, visitor);
    }
}

impl Forward<Vec<Var>> for OnnxModel {
    type Output = Vec<Var>;

    fn forward(&self, inputs: &Vec<Var>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        self.check(inputs)?;
        self.program.run(inputs, ctx)
    }
}
