//! The command `inspect`.

use super::onnx;
use crate::Verdict;
use crate::open::{is_onnx, kinds};
use crate::output::Screen;
use crate::table::Table;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use tinytorch::files::TensorFile;

/// List what a safetensors file holds: every tensor, the metadata, the totals. Of an ONNX model: its inputs, outputs,
/// parameters and operators, and which nodes cannot run; the exit code is 1 if there are any.
#[derive(Args)]
pub(crate) struct Inspect {
    /// Any safetensors file, or an ONNX model
    file: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// The stable form of `--json`.
#[derive(Serialize)]
struct Contents<'a> {
    file: String,
    bytes: usize,
    tensors: Vec<TensorRow<'a>>,
    metadata: &'a BTreeMap<String, String>,
    totals: Totals,
}

#[derive(Serialize)]
struct TensorRow<'a> {
    name: &'a str,
    dtype: String,
    shape: &'a [usize],
    bytes: usize,
}

#[derive(Serialize, Default)]
struct Totals {
    tensors: usize,
    values: usize,
    bytes: usize,
    bytes_by_dtype: BTreeMap<String, usize>,
}

impl Inspect {
    pub(crate) fn run(self, screen: &mut Screen) -> Result<Verdict> {
        if is_onnx(&self.file) {
            return onnx::inspect(&self.file, self.json, screen);
        }
        let file = TensorFile::open(&self.file)?;
        let contents = Contents::of(&file);
        match self.json {
            true => screen.json(&contents)?,
            false => contents.print(screen)?,
        }
        Ok(Verdict::Good)
    }
}

/// What `--json` prints.
pub(crate) fn contents(file: &Path) -> Result<Value> {
    if is_onnx(file) {
        return onnx::contents(file);
    }
    Ok(serde_json::to_value(Contents::of(&TensorFile::open(file)?))?)
}

impl<'a> Contents<'a> {
    fn of(file: &'a TensorFile) -> Contents<'a> {
        let mut totals = Totals::default();
        let mut tensors = Vec::with_capacity(file.tensors().len());
        for (name, info) in file.tensors() {
            let (dtype, bytes) = (info.dtype.to_string(), info.bytes());
            totals.tensors += 1;
            totals.values += info.shape.len();
            totals.bytes += bytes;
            *totals.bytes_by_dtype.entry(dtype.clone()).or_default() += bytes;
            tensors.push(TensorRow { name, dtype, shape: info.shape.dims(), bytes });
        }
        let path = file.path().display().to_string();
        Contents {
            file: path,
            bytes: file.file_bytes(),
            tensors,
            metadata: file.metadata(),
            totals,
        }
    }

    /// The kind of the model, if it is one that only the program knows which has saved it.
    fn own_kind(&self) -> Option<String> {
        let description: Value = serde_json::from_str(self.metadata.get("architecture")?).ok()?;
        let kind = description.get("architecture")?.as_str()?;
        let is_known = kinds().names().any(|known| known == kind);
        (!is_known).then(|| kind.to_string())
    }

    fn print(&self, screen: &mut Screen) -> Result<()> {
        let mut table = Table::new(["tensor", "dtype", "shape", "bytes"]);
        for tensor in &self.tensors {
            table.row([
                escaped(tensor.name),
                tensor.dtype.clone(),
                format!("{:?}", tensor.shape),
                tensor.bytes.to_string(),
            ]);
        }
        writeln!(screen, "{table}")?;
        for (key, value) in self.metadata {
            writeln!(screen, "{}: {}", escaped(key), shown(value))?;
        }
        if !self.metadata.is_empty() {
            writeln!(screen)?;
        }
        if let Some(kind) = self.own_kind() {
            writeln!(
                screen,
                "The model is of the kind {kind:?}, which is its program's own: load and audit it with the library, in a program that has the type.\n"
            )?;
        }
        let Totals { tensors, values, bytes, bytes_by_dtype } = &self.totals;
        let shares = bytes_by_dtype.iter().map(|(dtype, bytes)| format!("{dtype} {bytes}"));
        let shares = shares.collect::<Vec<_>>().join(", ");
        writeln!(screen, "{tensors} tensors, {values} values, {bytes} bytes ({shares})")?;
        writeln!(screen, "{}: {} bytes", self.file, self.bytes)?;
        Ok(())
    }
}

/// A value of the metadata, if it is long only its beginning.
fn shown(value: &str) -> String {
    const LONG: usize = 4096;
    match value.char_indices().nth(LONG) {
        Some((end, _)) => format!("{}.. ({} bytes)", escaped(&value[..end]), value.len()),
        None => escaped(value),
    }
}

/// Text that a file holds, without what would move the cursor or color the screen of whoever looks.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c.is_control() {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
        shown
    })
}
