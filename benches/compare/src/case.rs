//! What is run: a case, as a folder of files that every engine reads.

use crate::nodes::Node;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::data::{read_npy, write_npy};
use tinytorch::nn::Module;

/// One case. Its folder holds this description as `case.json`, and arrays as NPY files.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    /// The ways to run it, each as far as an engine has it.
    pub(crate) variants: Vec<String>,
    pub(crate) work: Work,
}

/// The kinds of cases.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Work {
    Product(Product),
    Model(Model),
    Onnx(Onnx),
    Decode(Decode),
    Train(Train),
}

/// A batch of products of `a` and `b`, `m x k` and `k x n`, and which of the two are stored transposed.
/// Int8 ones multiply `a_levels`, whose zero point is [`ZERO_POINT`], by `b_levels`; `exact` is the result.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Product {
    pub(crate) batch: usize,
    pub(crate) m: usize,
    pub(crate) k: usize,
    pub(crate) n: usize,
    pub(crate) a_transposed: bool,
    pub(crate) b_transposed: bool,
}

/// The level that stands for 0 in `a_levels`.
pub(crate) const ZERO_POINT: u8 = 128;

/// A network on one batch, `input`; `calibration` is what its ranges are found on.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Model {
    pub(crate) model: String,
    /// Its weights are in the folder's `weights`, by their names.
    pub(crate) nodes: Vec<Node>,
}

/// A model in a file, on `input-0` and so on, its inputs in this order; it is calibrated on as many lists of batches,
/// `calibration-0` and so on.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Onnx {
    pub(crate) file: PathBuf,
    /// The names of its inputs.
    pub(crate) inputs: Vec<String>,
}

/// One token of a GPT after `position` others whose keys and values are cached: `ids` holds all of them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Decode {
    pub(crate) gpt: GptSizes,
    pub(crate) position: usize,
}

/// The sizes of a GPT with norms first, biases, GELU by the error function, and the token table as its head.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct GptSizes {
    pub(crate) vocab: usize,
    pub(crate) context: usize,
    pub(crate) dim: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
}

/// A step of AdamW on `input` and `targets`; the output is the losses of the first [`LOSSES`] steps.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Train {
    pub(crate) model: String,
    pub(crate) lr: f64,
    /// The network, or nothing for a GPT.
    pub(crate) nodes: Vec<Node>,
    pub(crate) gpt: Option<GptSizes>,
}

/// Steps whose losses are compared.
pub(crate) const LOSSES: usize = 5;

impl Case {
    /// Where its description is.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("case.json")
    }

    /// Makes the folder with the description in it.
    pub(crate) fn save(&self) -> Result<()> {
        std::fs::create_dir_all(self.folder.join("weights"))?;
        std::fs::write(self.file(), serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    pub(crate) fn load(file: &Path) -> Result<Case> {
        let text = std::fs::read(file).with_context(|| format!("no case {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no case", file.display()))
    }

    /// Whether an engine should run it in this way.
    pub(crate) fn wants(&self, variant: &str) -> bool {
        self.variants.iter().any(|wanted| wanted == variant)
    }

    fn array(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.npy"))
    }

    pub(crate) fn write(&self, name: &str, values: &Tensor) -> Result<()> {
        Ok(write_npy(self.array(name), values)?)
    }

    pub(crate) fn read(&self, name: &str) -> Result<Tensor> {
        Ok(read_npy(self.array(name))?)
    }

    /// What int8 products are held against, if it does not depend on the engine.
    pub(crate) fn exact(&self) -> Result<Option<Tensor>> {
        self.array("exact").exists().then(|| self.read("exact")).transpose()
    }

    /// Gives a model the weights that [`Case::write_weights`] wrote of one like it.
    pub(crate) fn read_weights(&self, model: &mut dyn Module) -> Result<()> {
        for (name, param) in model.named_params_mut() {
            let values = self.read(&format!("weights/{name}"))?;
            let place = param.value_mut()?;
            ensure!(values.shape() == place.shape(), "the weight {name} has another shape");
            *place = values;
        }
        Ok(())
    }

    /// Writes all parameters of a model as files of their names.
    pub(crate) fn write_weights(&self, model: &dyn Module) -> Result<()> {
        for (name, param) in model.named_params() {
            write_npy(self.array(&format!("weights/{name}")), param.value()?)?;
        }
        Ok(())
    }
}
