//! What `inspect` and `run` do with an ONNX file.

use crate::Verdict;
use crate::output::Screen;
use crate::problem::Problem;
use crate::table::Table;
use anyhow::Result;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::{Npz, read_npy, write_npy, write_npz};
use tinytorch::files::check_writable;
use tinytorch::tensor::{Dtype, Element};
use tinytorch_onnx::{OnnxModel, Report, ValueInfo};

/// Whether a file is ONNX by its name.
pub(crate) fn is_onnx(file: &Path) -> bool {
    has_extension(file, "onnx")
}

fn has_extension(file: &Path, wanted: &str) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
}

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
            dtype: info.dtype.to_string(),
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
    let model = OnnxModel::open(file)?;
    check_writable(out)?;
    let is_npy = has_extension(out, "npy");
    if is_npy && model.outputs().len() != 1 {
        return Err(Problem::SeveralOutputs { count: model.outputs().len() }.into());
    }
    let inputs = read_inputs(&model, input)?;
    let outputs = model.run(&inputs)?;
    let named: Vec<(&str, &Tensor)> =
        model.outputs().iter().map(|info| info.name.as_str()).zip(&outputs).collect();
    match is_npy {
        true => write_npy(out, &outputs[0])?,
        false => write_npz(out, &named)?,
    }
    for (name, output) in named {
        writeln!(screen, "{}: {name}: {} {}", out.display(), output.dtype(), output.shape())?;
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

/// Integers and truth values as the model has them: files are read as wider types than they were written with.
fn exactly(tensor: Tensor, dtype: Dtype) -> Result<Tensor> {
    let converted = match (tensor.dtype(), dtype) {
        (Dtype::I64, Dtype::I32) => same::<i32>(&tensor)?,
        (Dtype::U8, Dtype::Bool) => same::<bool>(&tensor)?,
        _ => None,
    };
    Ok(converted.unwrap_or(tensor))
}

/// The same numbers as another type, if it has all of them.
fn same<T: Element>(tensor: &Tensor) -> Result<Option<Tensor>> {
    let converted = tensor.to_dtype::<T>()?;
    let back = converted.to_dtype::<i64>()?.to_vec::<i64>()?;
    let are_same = back == tensor.to_dtype::<i64>()?.to_vec::<i64>()?;
    Ok(are_same.then_some(converted))
}
