//! Runs one plan of an ONNX model on inputs of several sizes, one after the other, and writes what it gives.
//!
//! ```sh
//! cargo run --release --example plan_outputs -- model.onnx a.npz a_out.npz b.npz b_out.npz
//! ```
//!
//! The inputs are .npz files with an array under the name of each input. The model is read and compiled once, for the
//! sizes of the first.

use std::error::Error;
use tinytorch::Tensor;
use tinytorch::data::{Npz, write_npz_as};
use tinytorch_onnx::OnnxModel;

fn inputs(model: &OnnxModel, path: &str) -> Result<Vec<Tensor>, Box<dyn Error>> {
    let mut arrays = Npz::open(path)?;
    let names: Vec<String> = arrays.names().map(String::from).collect();
    let read = |name: String| Ok((name.clone(), arrays.read(&name)?));
    let named = names.into_iter().map(read).collect::<tinytorch::Result<Vec<_>>>()?;
    Ok(model.arrange(named)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (Some((path, files)), [_, _, _, ..]) = (words.split_first(), &words[..]) else {
        return Err("plan_outputs MODEL IN OUT [IN OUT]..".into());
    };
    let model = OnnxModel::open(path)?;
    let mut plan = model.plan_for(&inputs(&model, &files[0])?)?;
    for pair in files.chunks_exact(2) {
        let given = inputs(&model, &pair[0])?;
        let outputs = plan.run_many(&given.iter().collect::<Vec<_>>())?;
        let named = model.outputs().iter().zip(&outputs);
        let named: Vec<_> = named.map(|(info, y)| (&*info.name, y, info.number)).collect();
        write_npz_as(&pair[1], &named)?;
    }
    Ok(())
}
