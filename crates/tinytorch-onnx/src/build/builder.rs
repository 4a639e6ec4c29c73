//! From the messages of a graph to a program: names become places, constants are computed, and what is left of them
//! becomes parameters.

use super::ends::{open, value_info};
use super::held::held;
use super::idioms::{Read, Steps};
use super::pairs::Pair;
use crate::apply::{Arg, Args, Held, Operator, Use};
use crate::error::{MissingNode, OnnxError, shown};
use crate::file::Files;
use crate::memory::BATCH_NORM;
use crate::node::{Node, operator, title, title_of_values};
use crate::operators;
use crate::program::{Program, Slot, Source, Step, ValueInfo};
use crate::proto::{GraphProto, ModelProto, NodeProto};
use crate::{frame, tensor};
use std::collections::{BTreeMap, BTreeSet};
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::tensor::{Number, Tensor};

/// Elements that constants may grow to when they are computed, beside eight times as many as the file holds: a
/// mask of 4,096 x 4,096 fits.
const CONSTANTS: usize = 1 << 24;

/// Operations that computing constants may take, beside a thousand for each element that the file holds.
const WORK: u64 = 1 << 30;

/// A graph, and the nodes that it cannot run.
#[derive(Default)]
pub(crate) struct Built {
    pub(crate) program: Program,
    /// The file without the values of its parameters.
    pub(crate) frame: ModelProto,
    pub(crate) missing: Vec<MissingNode>,
    /// Weights in 8 bits that became floats, and why.
    pub(crate) floats: Vec<(String, String)>,
}

/// The floats without data whose values come later.
pub(super) enum Elsewhere {
    All,
    Some(BTreeSet<String>),
}

impl Elsewhere {
    fn has(&self, name: &str) -> bool {
        match self {
            Elsewhere::All => true,
            Elsewhere::Some(names) => names.contains(name),
        }
    }
}

/// What is known of a value while a graph is read.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Computed,
    Constant(Tensor),
    /// A constant of a type that is not held.
    Unreadable(String),
}

pub(crate) struct Builder<'b> {
    opsets: &'b BTreeMap<String, i64>,
    files: &'b mut Files,
    slots: BTreeMap<String, Slot>,
    values: Vec<Value>,
    /// The name under which a value was met first.
    names: Vec<String>,
    /// How the file declares constants and inputs, where it does.
    numbers: BTreeMap<Slot, Number>,
    inputs: Vec<ValueInfo>,
    input_slots: Vec<Slot>,
    steps: Vec<Step>,
    missing: Vec<MissingNode>,
    /// Elements that constants may still grow by.
    room: usize,
    /// Operations that computing constants may still take.
    work: u64,
    /// Whether it is a graph within a node, whose constants are no parameters.
    is_body: bool,
    elsewhere: Elsewhere,
    /// Constants whose values are elsewhere: of their shapes, and 0.
    absent: BTreeSet<Slot>,
    /// Nodes that are not run and still say something, by their places: that a value has another name, or how it is
    /// rounded.
    kept: Vec<usize>,
}

fn graph_error(problem: String) -> OnnxError {
    OnnxError::Graph { problem }
}

impl<'b> Builder<'b> {
    /// Reads a whole graph.
    pub(super) fn built(
        opsets: &'b BTreeMap<String, i64>,
        files: &'b mut Files,
        elsewhere: Elsewhere,
        graph: &GraphProto,
    ) -> Result<Built, OnnxError> {
        let mut builder = Builder { elsewhere, ..Builder::new(opsets, files) };
        builder.begin(graph)?;
        for (at, node) in graph.node.iter().enumerate() {
            builder.node(graph, at, node)?;
        }
        builder.finish(graph)
    }

    fn new(opsets: &'b BTreeMap<String, i64>, files: &'b mut Files) -> Builder<'b> {
        Builder {
            opsets,
            files,
            slots: BTreeMap::new(),
            values: Vec::new(),
            names: Vec::new(),
            numbers: BTreeMap::new(),
            inputs: Vec::new(),
            input_slots: Vec::new(),
            steps: Vec::new(),
            missing: Vec::new(),
            room: CONSTANTS,
            work: WORK,
            is_body: false,
            elsewhere: Elsewhere::Some(BTreeSet::new()),
            absent: BTreeSet::new(),
            kept: Vec::new(),
        }
    }

    fn value(&mut self, name: &str, value: Value) -> Slot {
        self.values.push(value);
        self.names.push(name.to_string());
        self.values.len() - 1
    }

    fn name(&mut self, name: &str, slot: Slot) -> Result<(), OnnxError> {
        match self.slots.insert(name.to_string(), slot) {
            None => Ok(()),
            Some(_) => Err(graph_error(format!("the name `{}` is given twice", shown(name)))),
        }
    }

    /// The value of this name.
    pub(crate) fn slot(&self, name: &str) -> Option<Slot> {
        self.slots.get(name).copied()
    }

    /// What is known of a value.
    pub(crate) fn known(&self, slot: Slot) -> &Value {
        &self.values[slot]
    }

    /// Reads a graph within the node `title`, which knows some values of this one and takes those that are computed as
    /// inputs after its own. Gives how many of its nodes cannot run.
    pub(crate) fn within(
        &mut self,
        title: &str,
        graph: &GraphProto,
        known: Vec<(String, Value)>,
    ) -> Result<(Program, usize), OnnxError> {
        let mut inner = Builder::new(self.opsets, self.files);
        (inner.room, inner.work, inner.is_body) = (self.room, self.work, true);
        inner.begin(graph)?;
        for (name, value) in known {
            let is_computed = matches!(value, Value::Computed);
            let slot = inner.value(&name, value);
            inner.name(&name, slot)?;
            if is_computed {
                inner.input_slots.push(slot);
            }
        }
        for (at, node) in graph.node.iter().enumerate() {
            inner.node(graph, at, node)?;
        }
        let (room, work) = (inner.room, inner.work);
        let Built { program, mut missing, .. } = inner.finish(graph)?;
        (self.room, self.work) = (room, work);
        let count = missing.len();
        missing.iter_mut().for_each(|node| node.node = format!("{title}: {}", node.node));
        self.missing.append(&mut missing);
        Ok((program, count))
    }

    /// The values that a graph begins with.
    fn begin(&mut self, graph: &GraphProto) -> Result<(), OnnxError> {
        if let Some(sparse) = graph.sparse_initializer.first() {
            let name = sparse.values.as_ref().map_or("", |values| &values.name);
            let problem = "sparse tensors are not supported".to_string();
            return Err(OnnxError::Tensor { tensor: shown(name), problem });
        }
        for proto in &graph.initializer {
            if self.elsewhere.has(&proto.name) && frame::is_absent(proto) {
                let slot = self.value(&proto.name, Value::Constant(frame::zeros(proto)?));
                self.name(&proto.name, slot)?;
                self.absent.insert(slot);
                continue;
            }
            let value = match tensor::number(proto.data_type) {
                Ok(_) => {
                    let value = tensor::tensor(proto, self.files)?;
                    self.allow(&value);
                    Value::Constant(value)
                }
                Err(problem) => Value::Unreadable(problem),
            };
            let slot = self.value(&proto.name, value);
            self.name(&proto.name, slot)?;
            self.numbers.extend(tensor::number(proto.data_type).map(|number| (slot, number)).ok());
        }
        let initialized: BTreeSet<&str> =
            graph.initializer.iter().map(|t| t.name.as_str()).collect();
        // Old files list their constants among the inputs.
        for input in graph.input.iter().filter(|input| !initialized.contains(input.name.as_str())) {
            let info = if self.is_body { open(input) } else { value_info(input)? };
            let slot = self.value(&input.name, Value::Computed);
            self.name(&input.name, slot)?;
            self.numbers.insert(slot, info.number);
            self.inputs.push(info);
            self.input_slots.push(slot);
        }
        Ok(())
    }

    /// The values that a node reads.
    fn read(
        &self,
        graph: &GraphProto,
        at: usize,
        node: &NodeProto,
    ) -> Result<Vec<Option<Slot>>, OnnxError> {
        let find = |name: &String| {
            if name.is_empty() {
                return Ok(None);
            }
            self.slots.get(name).copied().map(Some).ok_or_else(|| {
                let later = graph.node[at..].iter().any(|node| node.output.contains(name));
                let why = if later {
                    "which it or a later node gives: the graph is cyclic or out of order"
                } else {
                    "which no input, initializer or node gives"
                };
                graph_error(format!("node {} reads `{}`, {why}", title(node, at), shown(name)))
            })
        };
        node.input.iter().map(find).collect()
    }

    fn node(&mut self, graph: &GraphProto, at: usize, proto: &NodeProto) -> Result<(), OnnxError> {
        let title = title(proto, at);
        let title_of_values = title_of_values(proto, &title);
        let is_given = |(i, name): &(usize, &String)| {
            !name.is_empty()
                && (self.slots.contains_key(*name) || proto.output[..*i].contains(name))
        };
        if let Some((_, name)) = proto.output.iter().enumerate().find(is_given) {
            let name = shown(name);
            return Err(graph_error(format!(
                "the name `{name}` is given twice, the second time by node {title}"
            )));
        }
        let mut inputs = self.read(graph, at, proto)?;
        let constant = |slot: Slot| match &self.values[slot] {
            Value::Constant(value) => Some(value),
            _ => None,
        };
        let pair = Pair::ending(proto, &inputs, &self.steps, constant);
        if let Some(Pair { first, from, operator }) = pair {
            self.kept.push(first);
            let (titles, runs) = ((title, title_of_values), ("RoundToLevels", operator));
            return self.push(proto, titles, at, runs, vec![Some(from)]);
        }
        let constants: Vec<Option<Tensor>> = inputs
            .iter()
            .map(|slot| match slot.map(|slot| &self.values[slot]) {
                Some(Value::Constant(tensor)) => Some(tensor.clone()),
                _ => None,
            })
            .collect();
        let unreadable = inputs.iter().flatten().find_map(|&slot| match &self.values[slot] {
            Value::Unreadable(problem) => {
                Some(format!("`{}`: {problem}", shown(&self.names[slot])))
            }
            _ => None,
        });
        let domain = if proto.domain == "ai.onnx" { "" } else { &proto.domain };
        let read = match (unreadable, self.opsets.get(domain)) {
            (Some(problem), _) => Err(problem),
            (None, None) => {
                Err(format!("the model imports no operators of the domain {:?}", shown(domain)))
            }
            (None, Some(&opset)) => {
                if let Some(value) = self.stored(proto)? {
                    let value = Value::Constant(value);
                    return self.outputs(proto, |_| value.clone()).map(drop);
                }
                let number = |slot: &Option<Slot>| self.numbers.get(slot.as_ref()?).copied();
                let numbers = inputs.iter().map(number).collect();
                let node = Node::new(proto, opset, constants, numbers);
                let read = match self.control(&title, proto, &node, &mut inputs)? {
                    Some(control) => control,
                    None => operators::read(proto, &node),
                };
                read.map(|(name, operator)| (name, operator, node.consumed()))
            }
        };
        let (name, operator, consumed) = match read {
            Ok(read) => read,
            Err(reason) => {
                let operator = shown(&operator(proto));
                self.missing.push(MissingNode { node: title, operator, reason });
                return self.outputs(proto, |_| Value::Computed).map(drop);
            }
        };
        consumed.into_iter().for_each(|i| inputs[i] = None);
        if let (true, [Some(input), ..], [output]) =
            (operator.passes(), &inputs[..], &proto.output[..])
            && !output.is_empty()
        {
            self.kept.push(at);
            return self.name(output, *input);
        }
        let is_constant = |slot: &Option<Slot>| {
            slot.is_none_or(|slot| matches!(self.values[slot], Value::Constant(_)))
        };
        if inputs.iter().all(is_constant) {
            let values = self.compute(&title_of_values, name, &operator, &inputs)?;
            let mut values = values.into_iter();
            return self
                .outputs(proto, |_| values.next().map_or(Value::Computed, Value::Constant))
                .map(drop);
        }
        self.push(proto, (title, title_of_values), at, (name, operator), inputs)
    }

    /// Adds a node as a step, and what it gives as values that are computed.
    fn push(
        &mut self,
        proto: &NodeProto,
        (title, title_of_values): (String, String),
        at: usize,
        (name, operator): (&'static str, Operator),
        inputs: Vec<Option<Slot>>,
    ) -> Result<(), OnnxError> {
        let outputs = self.outputs(proto, |_| Value::Computed)?;
        let (last, norm) = (Vec::new(), None);
        self.steps.push(Step {
            title,
            title_of_values,
            at,
            name,
            operator,
            inputs,
            outputs,
            last,
            norm,
        });
        Ok(())
    }

    /// The tensor that a `Constant` holds, which may lie in a file.
    fn stored(&mut self, node: &NodeProto) -> Result<Option<Tensor>, OnnxError> {
        let [attribute] = &node.attribute[..] else { return Ok(None) };
        let is_constant = node.op_type == "Constant" && node.input.is_empty();
        if !is_constant || !matches!(&*node.domain, "" | "ai.onnx") || attribute.name != "value" {
            return Ok(None);
        }
        match &attribute.t {
            Some(proto) if tensor::number(proto.data_type).is_ok() => {
                let value = tensor::tensor(proto, self.files)?;
                self.allow(&value);
                Ok(Some(value))
            }
            _ => Ok(None),
        }
    }

    /// Lets constants grow by what a tensor of the file is worth.
    fn allow(&mut self, value: &Tensor) {
        self.room = self.room.saturating_add(value.len().saturating_mul(8));
        let work = Ctx::OF_AN_OP.saturating_mul(value.len() as u64);
        self.work = self.work.saturating_add(work);
    }

    /// Names what a node gives.
    fn outputs(
        &mut self,
        node: &NodeProto,
        mut value: impl FnMut(usize) -> Value,
    ) -> Result<Vec<Option<Slot>>, OnnxError> {
        let mut slots = Vec::with_capacity(node.output.len());
        for (i, name) in node.output.iter().enumerate() {
            let value = value(i);
            if name.is_empty() {
                slots.push(None);
                continue;
            }
            let slot = self.value(name, value);
            self.name(name, slot)?;
            slots.push(Some(slot));
        }
        Ok(slots)
    }

    /// What a node gives that depends on constants alone.
    fn compute(
        &mut self,
        title: &str,
        name: &'static str,
        operator: &Operator,
        inputs: &[Option<Slot>],
    ) -> Result<Vec<Tensor>, OnnxError> {
        if let Some(slot) = inputs.iter().flatten().find(|slot| self.absent.contains(slot)) {
            let name = shown(&self.names[*slot]);
            return Err(graph_error(format!(
                "node {title} computes with `{name}` before it is loaded"
            )));
        }
        let args = inputs.iter().map(|slot| match slot.map(|slot| &self.values[slot]) {
            Some(Value::Constant(tensor)) => Arg::Value(Var::from(tensor)),
            _ => Arg::Absent,
        });
        let args = Args { operator: name, args: args.collect() };
        let run = |source| OnnxError::Run { node: title.to_string(), source: Box::new(source) };
        let mut ctx = Ctx::eval().at_most(self.room).within(self.work);
        let outputs = operator.run(&args, &mut ctx).map_err(run)?;
        self.work = ctx.work_left();
        let dense = outputs.into_iter().map(|output| output.into_value().contiguous());
        let outputs = dense.collect::<Result<Vec<_>, _>>().map_err(run)?;
        let elements = outputs.iter().map(Tensor::len).sum::<usize>();
        self.room = self.room.saturating_sub(elements);
        Ok(outputs)
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Built, OnnxError> {
        let mut outputs = Vec::with_capacity(graph.output.len());
        let mut output_slots = Vec::with_capacity(graph.output.len());
        let mut given = BTreeSet::new();
        for output in &graph.output {
            if !self.is_body && !given.insert(&output.name) {
                let name = shown(&output.name);
                return Err(graph_error(format!("the output `{name}` is named twice")));
            }
            let slot = self.slots.get(&output.name).copied().ok_or_else(|| {
                graph_error(format!("nothing gives the output `{}`", shown(&output.name)))
            })?;
            // A node that is missing has said so.
            let is_open = self.is_body || !self.missing.is_empty();
            let info = if is_open { open(output) } else { value_info(output)? };
            outputs.push(info);
            output_slots.push(slot);
        }
        if outputs.is_empty() {
            return Err(graph_error("it has no outputs".into()));
        }
        self.respell(graph, &output_slots);
        self.drop_dead(&output_slots);
        let (sources, params) = self.sources(&output_slots)?;
        let frame = match self.is_body || !self.missing.is_empty() {
            true => ModelProto::default(),
            false => self.frame(graph, &sources)?,
        };
        let norms = self.norms(&sources, &params);
        let Builder { inputs, input_slots, steps, missing, .. } = self;
        let program =
            Program { inputs, outputs, input_slots, output_slots, sources, params, steps, norms };
        Ok(Built { program, frame, missing, floats: Vec::new() })
    }

    /// The graph as it is run, its parameters without values.
    fn frame(&self, graph: &GraphProto, sources: &[Source]) -> Result<ModelProto, OnnxError> {
        let kept = self.steps.iter().map(|step| step.at).chain(self.kept.iter().copied());
        frame::frame(graph, kept.collect(), |name| {
            let slot = self.slot(name)?;
            match (&sources[slot], &self.values[slot]) {
                (Source::Param(_), Value::Constant(tensor)) => Some((slot, tensor, true)),
                (_, Value::Constant(tensor)) => Some((slot, tensor, false)),
                _ => None,
            }
        })
    }

    /// The batch norms that a convolution before them can do, each told apart by its scale, which is its own.
    fn norms(&mut self, sources: &[Source], params: &[(String, Held)]) -> Vec<(String, bool)> {
        let scale = |step: &Step| match step.inputs.get(1).copied().flatten() {
            Some(slot) if step.name == BATCH_NORM => match sources[slot] {
                Source::Param(param) => Some(param),
                _ => None,
            },
            _ => None,
        };
        let mut readers = vec![0usize; params.len()];
        self.steps.iter().filter_map(scale).for_each(|param| readers[param] += 1);
        let mut norms = Vec::new();
        for step in &mut self.steps {
            let Some(param) = scale(step).filter(|param| readers[*param] == 1) else { continue };
            let name = &params[param].0;
            step.norm = Some(norms.len());
            norms.push((name.strip_suffix(".weight").unwrap_or(name).to_string(), false));
        }
        norms
    }

    /// Makes one operator of the steps that spell it. A graph within a node, whose constants are no parameters, stays.
    fn respell(&mut self, graph: &GraphProto, outputs: &[Slot]) {
        if self.is_body {
            return;
        }
        let constant = |slot: Slot| match &self.values[slot] {
            Value::Constant(value) => Some(value),
            _ => None,
        };
        let steps = Steps::new(graph, &self.steps, &self.slots, outputs, constant);
        let spelled = |at| Some((at, steps.spelled(at)?.read(constant, &self.numbers)?));
        let spelled: Vec<_> = (0..self.steps.len()).filter_map(spelled).collect();
        for (at, Read { name, operator, inputs, parts }) in spelled {
            self.kept.extend(parts.into_iter().map(|part| self.steps[part].at));
            let step = &mut self.steps[at];
            (step.name, step.operator) = (name, operator);
            step.inputs = inputs.into_iter().map(Some).collect();
        }
    }

    /// Leaves out the steps that no output depends on, and notes which values each step is the last to read.
    fn drop_dead(&mut self, outputs: &[Slot]) {
        let mut wanted = vec![false; self.values.len()];
        outputs.iter().for_each(|&slot| wanted[slot] = true);
        let mut kept = Vec::with_capacity(self.steps.len());
        for mut step in std::mem::take(&mut self.steps).into_iter().rev() {
            let own = step.outputs.iter().flatten();
            if !own.clone().any(|&slot| wanted[slot]) {
                continue;
            }
            step.last = own.copied().filter(|&slot| !wanted[slot]).collect();
            for &slot in step.inputs.iter().flatten() {
                if !std::mem::replace(&mut wanted[slot], true) {
                    step.last.push(slot);
                }
            }
            kept.push(step);
        }
        kept.reverse();
        self.steps = kept;
    }

    /// What each value is: floats that a step reads become parameters, in the form that all uses agree on. Of those
    /// nothing but the shape is left here, so that one in another order is there once.
    fn sources(
        &mut self,
        outputs: &[Slot],
    ) -> Result<(Vec<Source>, Vec<(String, Held)>), OnnxError> {
        let mut uses: Vec<Vec<Use>> = vec![Vec::new(); self.values.len()];
        for step in &self.steps {
            for (i, &slot) in step.inputs.iter().enumerate() {
                if let Some(slot) = slot {
                    uses[slot].push(step.operator.how(i));
                }
            }
        }
        outputs.iter().for_each(|&slot| uses[slot].push(Use::Value));
        let mut sources = Vec::with_capacity(self.values.len());
        let mut params = Vec::new();
        for (slot, uses) in uses.iter().enumerate() {
            let tensor = match &self.values[slot] {
                Value::Constant(tensor) if !uses.is_empty() => tensor.clone(),
                _ => {
                    sources.push(Source::Computed);
                    continue;
                }
            };
            let is_absent = self.absent.contains(&slot);
            let wrong = |problem: String| {
                let tensor = shown(&self.names[slot]);
                OnnxError::Tensor { tensor, problem }
            };
            let held = match self.is_body {
                true => None,
                false => {
                    held(&tensor, uses, is_absent).map_err(|error| wrong(error.to_string()))?
                }
            };
            match held {
                Some(held) => {
                    let shape =
                        frame::of_shape(*tensor.shape()).map_err(|e| wrong(e.to_string()))?;
                    params.push((self.names[slot].clone(), held));
                    sources.push(Source::Param(params.len() - 1));
                    self.values[slot] = Value::Constant(shape);
                }
                None if is_absent && !self.is_body => return Err(wrong("it has no values".into())),
                None => sources.push(Source::Constant(tensor)),
            }
        }
        Ok((sources, params))
    }
}
