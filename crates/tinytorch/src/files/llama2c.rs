//! Model files of llama2.c, in its first form: seven 32-bit integers, then the weights as floats, all
//! little-endian, layer after layer for each kind of weight.

use super::file::decoded;
use super::sniff::foreign_file;
use super::{FileError, FormatError, Loaded, Provenance};
use crate::Result;
use crate::autograd::{Param, Stored};
use crate::models::{Architecture, LlamaConfig};
use crate::nn::{Init, Module};
use crate::tensor::Tensor;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of the sizes that a file begins with.
const HEADER: usize = 7 * 4;

/// First number of the later forms, "ak42".
const LATER_FORMS: i32 = 0x616b_3432;

/// The cosines and sines of the rotary positions, which are computed anew.
const TABLES: &str = "tables";

/// The order of the weights; a block's come once for each block.
const ORDER: [&str; 13] = [
    "tokens.weight",
    "blocks.*.norm1.weight",
    "blocks.*.attention.q_proj.weight",
    "blocks.*.attention.k_proj.weight",
    "blocks.*.attention.v_proj.weight",
    "blocks.*.attention.out_proj.weight",
    "blocks.*.norm2.weight",
    "blocks.*.mlp.gate_proj.weight",
    "blocks.*.mlp.down_proj.weight",
    "blocks.*.mlp.up_proj.weight",
    "norm.weight",
    TABLES,
    "head.weight",
];

/// Reads a model file of llama2.c (`stories15M.bin`). The length of the file must be what its sizes
/// say, which is checked before anything is allocated.
///
/// # Errors
/// [`FileError::Read`], [`FileError::NotAFile`], or [`FormatError::Llama2c`] for anything that is no such file.
pub fn load_llama2c(path: impl AsRef<Path>) -> Result<Loaded> {
    let path = path.as_ref();
    let read = |source| FileError::Read { path: path.to_path_buf(), source };
    let problem = |detail| {
        let problem = FormatError::Llama2c { detail };
        crate::Error::from(FileError::Format { path: path.to_path_buf(), problem })
    };
    let about = std::fs::metadata(path).map_err(read)?;
    if !about.is_file() {
        return Err(FileError::NotAFile { path: path.to_path_buf() }.into());
    }
    let mut file = File::open(path).map_err(read)?;
    if let Some(foreign) = foreign_file(path) {
        let (path, problem) = (path.to_path_buf(), FormatError::Foreign(foreign));
        return Err(FileError::Format { path, problem }.into());
    }
    if about.len() < HEADER as u64 {
        let detail = format!("it has {} bytes where the sizes alone take {HEADER}", about.len());
        return Err(problem(detail));
    }
    let mut header = [0; HEADER];
    file.read_exact(&mut header).map_err(read)?;
    let config = sizes(&header).map_err(problem)?;
    let mut model = Architecture::Llama(config.clone())
        .build(&mut Init::absent())
        .map_err(|error| problem(error.to_string()))?;
    let table = config.context as u64 * (config.dim / config.heads) as u64;
    let count = model.param_count() as u64 + table;
    if about.len() != HEADER as u64 + 4 * count {
        let detail = format!(
            "it has {} bytes where its sizes ask for {HEADER} and {count} floats",
            about.len()
        );
        return Err(problem(detail));
    }

    let mut params: BTreeMap<String, &mut Param> = model.named_params_mut().into_iter().collect();
    let mut values = Vec::with_capacity(params.len());
    for name in names(config.layers) {
        if name == TABLES {
            floats(&mut file, table as usize).map_err(read)?;
        } else if let Some(param) = params.remove(&name) {
            let shape = param.shape();
            let value = Tensor::from_vec(floats(&mut file, shape.len()).map_err(read)?, shape)?;
            values.push((param, value));
        }
    }
    for (param, value) in values {
        param.store(Stored::F32(value));
    }
    Ok(Loaded { model, provenance: Provenance::default() })
}

/// The names of all parameters in the order of the file; a model with a tied head lacks the last.
fn names(layers: usize) -> impl Iterator<Item = String> {
    ORDER.into_iter().flat_map(move |name| {
        let copies = if name.contains('*') { layers } else { 1 };
        (0..copies).map(move |i| name.replace('*', &i.to_string()))
    })
}

fn floats(file: &mut File, count: usize) -> std::io::Result<Vec<f32>> {
    let mut bytes = vec![0; 4 * count];
    file.read_exact(&mut bytes)?;
    Ok(decoded(&bytes, f32::from_le_bytes).collect())
}

/// The sizes that a file begins with. A vocabulary below 0 says that the output head is separate.
fn sizes(header: &[u8; HEADER]) -> Result<LlamaConfig, String> {
    let (numbers, _) = header.as_chunks::<4>();
    let at = |i: usize| i32::from_le_bytes(numbers[i]);
    if at(0) == LATER_FORMS {
        let version = at(1);
        return Err(format!("it has version {version} of the format; export it as version 0"));
    }
    let size = |i: usize| {
        let value = at(i);
        usize::try_from(value).map_err(|_| format!("number {i} of its sizes is {value}"))
    };
    Ok(LlamaConfig {
        dim: size(0)?,
        hidden: size(1)?,
        layers: size(2)?,
        heads: size(3)?,
        kv_heads: size(4)?,
        vocab: at(5).unsigned_abs() as usize,
        context: size(6)?,
        tied: at(5) > 0,
        ..LlamaConfig::LLAMA2_C
    })
}
