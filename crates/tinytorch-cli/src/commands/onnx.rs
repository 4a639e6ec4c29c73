//! What `inspect` and `run` do with an ONNX file.

use crate::Verdict;
use crate::arrays::{Arrays, exactly};
use crate::feedback::States;
use crate::open::has_extension;
use crate::output::{Screen, warn_of_not_finite};
use crate::pictures::Pictures;
use crate::problem::Problem;
use crate::table::Table;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Npz, read_npy, write_npy_as, write_npz_as};
use tinytorch::files::check_writable;
use tinytorch::models::{Model, compile, run as deployed};
use tinytorch::tensor::Number;
use tinytorch_onnx::{OnnxModel, Report, ValueInfo};

/// The stable form of `inspect --json`.
#[derive(Serialize)]
struct Contents<'a> {
    file: String,
    producer: &'a str,
    opsets: BTreeMap<&'a str, i64>,
    inputs: Vec<ValueRow<'a>>,
    outputs: Vec<ValueRow<'a>>,
    params: Vec<ParamRow<'a>>,
    values: usize,
    operators: &'a BTreeMap<String, usize>,
    steps: usize,
    missing: Vec<MissingRow<'a>>,
    int8: &'a [String],
    floats: Vec<FloatRow<'a>>,
}

/// A weight of 8 bits that multiplies as floats.
#[derive(Serialize)]
struct FloatRow<'a> {
    tensor: &'a str,
    reason: &'a str,
}

#[derive(Serialize)]
struct ValueRow<'a> {
    name: &'a str,
    dtype: String,
    dims: Option<Vec<String>>,
}

#[derive(Serialize)]
struct ParamRow<'a> {
    name: &'a str,
    shape: &'a [usize],
}

#[derive(Serialize)]
struct MissingRow<'a> {
    node: &'a str,
    operator: &'a str,
    reason: &'a str,
}

impl<'a> Contents<'a> {
    fn of(file: &Path, report: &'a Report) -> Contents<'a> {
        let value = |info: &'a ValueInfo| ValueRow {
            name: &info.name,
            dtype: info.number.to_string(),
            dims: info.dims.as_ref().map(|dims| dims.iter().map(ToString::to_string).collect()),
        };
        let params = report.params.iter();
        let missing = report.missing.iter();
        Contents {
            file: file.display().to_string(),
            producer: &report.producer,
            opsets: report.opsets.iter().map(|(domain, version)| (&**domain, *version)).collect(),
            inputs: report.inputs.iter().map(value).collect(),
            outputs: report.outputs.iter().map(value).collect(),
            params: params.map(|(name, shape)| ParamRow { name, shape: shape.dims() }).collect(),
            values: report.values(),
            operators: &report.operators,
            steps: report.steps,
            missing: missing
                .map(|m| MissingRow { node: &m.node, operator: &m.operator, reason: &m.reason })
                .collect(),
            int8: &report.int8,
            floats: report
                .floats
                .iter()
                .map(|(tensor, reason)| FloatRow { tensor, reason })
                .collect(),
        }
    }
}

/// Says what a file holds, and fails if some of its nodes cannot run.
pub(crate) fn inspect(file: &Path, json: bool, screen: &mut Screen) -> Result<Verdict> {
    let report = OnnxModel::inspect(file)?;
    match json {
        true => screen.json(&Contents::of(file, &report))?,
        false => print(file, &report, screen)?,
    }
    Ok(if report.missing.is_empty() { Verdict::Good } else { Verdict::GateFailed })
}

/// What `inspect --json` prints.
pub(crate) fn contents(file: &Path) -> Result<serde_json::Value> {
    Ok(serde_json::to_value(Contents::of(file, &OnnxModel::inspect(file)?))?)
}

fn print(file: &Path, report: &Report, screen: &mut Screen) -> Result<()> {
    let mut params = Table::new(["parameter", "shape"]);
    for (name, shape) in &report.params {
        params.row([name.clone(), shape.to_string()]);
    }
    writeln!(screen, "{params}")?;
    let operators = report.operators.iter().map(|(name, count)| format!("{name} {count}"));
    writeln!(screen, "operators: {}", operators.collect::<Vec<_>>().join(", "))?;
    for (what, values) in [("input", &report.inputs), ("output", &report.outputs)] {
        for value in values {
            writeln!(screen, "{what} {value}")?;
        }
    }
    let (params, values, steps) = (report.params.len(), report.values(), report.steps);
    writeln!(screen, "{params} parameters, {values} values; {steps} steps")?;
    if !report.int8.is_empty() {
        writeln!(screen, "{} of the parameters are int8", report.int8.len())?;
    }
    for (tensor, reason) in &report.floats {
        writeln!(screen, "{tensor} is stored in 8 bits and multiplies as floats: {reason}")?;
    }
    if report.missing.is_empty() {
        writeln!(screen, "{}: every node can run", file.display())?;
        return Ok(());
    }
    let mut missing = Table::new(["missing node", "why"]);
    for node in &report.missing {
        missing.row([node.node.clone(), node.reason.clone()]);
    }
    writeln!(screen, "\n{missing}")?;
    writeln!(screen, "{}: {} nodes cannot run", file.display(), report.missing.len())?;
    Ok(())
}

/// Runs a model on the arrays of a file, by name where they have one.
pub(crate) fn run(file: &Path, input: &Path, out: &Path, screen: &mut Screen) -> Result<Verdict> {
    check_writable(out)?;
    let model = OnnxModel::open(file)?;
    let values = model.outputs();
    let one = check_outputs(out, values.len())?;
    let outputs = model.run(&read_inputs(&model, input)?)?;
    let named = values.iter().zip(&outputs);
    let named = named.map(|(info, output)| (&*info.name, output, info.number)).collect::<Vec<_>>();
    write(out, one, &named, screen)
}

/// [`run`] of a model that was made from an ONNX file, or on pictures.
pub(crate) fn run_named(
    model: &dyn Model,
    input: &Path,
    (pictures, states): (&Pictures, &States),
    out: &Path,
    screen: &mut Screen,
) -> Result<Verdict> {
    check_writable(out)?;
    let names = model.output_names();
    let one = check_outputs(out, names.len())?;
    if let Some(feedback) = states.of(model)? {
        let sequence = Arrays::sequence(input, model, pictures, &feedback)?;
        let mut plan = compile(model, &sequence.first()?)?;
        let outputs = sequence.outputs(|inputs| deployed(&mut plan, inputs))?;
        return write(out, one, &declared(model, &names, &outputs), screen);
    }
    let Arrays { inputs, told, .. } = Arrays::read(input, model, pictures)?;
    if let Some(told) = told {
        writeln!(screen, "{}: {told}", input.display())?;
    }
    let inputs: Vec<Var> = inputs.iter().map(Var::from).collect();
    let outputs = model.forward_list(&inputs, &mut Ctx::eval())?;
    let outputs: Vec<Tensor> = outputs.into_iter().map(Var::into_value).collect();
    write(out, one, &declared(model, &names, &outputs), screen)
}

/// Outputs under their names, with numbers as an ONNX graph declares them, and else as they hold them.
fn declared<'a>(
    model: &dyn Model,
    names: &'a [String],
    outputs: &'a [Tensor],
) -> Vec<(&'a str, &'a Tensor, Number)> {
    let graph = model.as_any().and_then(|model| model.downcast_ref::<OnnxModel>());
    let number = |i: usize, output: &Tensor| match graph.and_then(|graph| graph.outputs().get(i)) {
        Some(info) if info.dtype == output.dtype() => info.number,
        _ => output.dtype().into(),
    };
    let named = names.iter().zip(outputs).enumerate();
    named.map(|(i, (name, output))| (name.as_str(), output, number(i, output))).collect()
}

/// Whether the outputs are to be one array without a name.
fn check_outputs(out: &Path, count: usize) -> Result<bool> {
    let is_npy = has_extension(out, "npy");
    if is_npy && count != 1 {
        return Err(Problem::SeveralOutputs { count }.into());
    }
    Ok(is_npy)
}

fn write(
    out: &Path,
    is_npy: bool,
    named: &[(&str, &Tensor, Number)],
    screen: &mut Screen,
) -> Result<Verdict> {
    match (is_npy, named) {
        (true, [(_, output, number)]) => write_npy_as(out, output, *number)?,
        _ => write_npz_as(out, named)?,
    }
    for (name, output, number) in named {
        warn_of_not_finite(&format!(" of `{name}`"), output)?;
        writeln!(screen, "{}: {name}: {number} {}", out.display(), output.shape())?;
    }
    Ok(Verdict::Good)
}

fn read_inputs(model: &OnnxModel, input: &Path) -> Result<Vec<Tensor>> {
    let inputs = if has_extension(input, "npz") {
        let mut arrays = Npz::open(input)?;
        let names: Vec<String> = arrays.names().map(String::from).collect();
        let read = |name: String| Ok((name.clone(), arrays.read(&name)?));
        model.arrange(names.into_iter().map(read).collect::<Result<_>>()?)?
    } else {
        vec![read_npy(input)?]
    };
    let pairs = inputs.into_iter().zip(model.inputs());
    pairs.map(|(tensor, info)| exactly(tensor, info.dtype)).collect()
}
