//! A sentence encoder without its tokenizer, from a folder.

use super::folder::{check_described, read_architecture, weights};
use super::import::import_into;
use super::pooling::read_pooling;
use super::provenance::is_own;
use super::settings::{json_problem, read_text};
use super::{ContentError, Loaded, Provenance, load, read_description};
use crate::Result;
use crate::models::{Architecture, Bert, Model, Pooling, Rebuild, SentenceConfig, SentenceEncoder};
use crate::nn::Init;
use serde::Deserialize;
use std::path::{Component, Path};

/// What says how the parts of a sentence encoder follow each other.
pub(super) const STAGES: &str = "modules.json";

/// A part of a sentence encoder.
#[derive(Deserialize)]
struct Stage {
    path: String,
    #[serde(rename = "type")]
    kind: String,
}

/// The encoder of a folder as sentence-transformers publishes them, floats of another program or a file of
/// our own.
///
/// # Errors
/// As [`Embedder::load`](super::Embedder::load), the tokenizer apart.
pub(super) fn read_encoder(folder: &Path) -> Result<Loaded<SentenceEncoder>> {
    let architecture = read_architecture(folder)?;
    let Architecture::Bert(config) = &architecture else {
        let problem = "the model is no encoder; sentences are encoded by a BERT".to_string();
        return Err(json_problem(&folder.join("config.json"), problem));
    };
    let (pooling, normalize) = stages(folder, config.dim)?;
    let weights = weights(folder)?;
    if is_own(&weights)? {
        return read_own(
            folder,
            &weights,
            SentenceConfig { bert: config.clone(), pooling, normalize },
        );
    }
    let mut bert = Bert::new(config, &mut Init::absent())?;
    import_into(&mut bert, &weights, &architecture)?;
    let model = SentenceEncoder { bert, pooling, normalize };
    Ok(Loaded { model, provenance: Provenance::default() })
}

/// The encoder in a file of our own, which must be what the folder describes.
fn read_own(
    folder: &Path,
    weights: &Path,
    described: SentenceConfig,
) -> Result<Loaded<SentenceEncoder>> {
    let SentenceConfig { pooling, normalize, .. } = described;
    let is_whole = read_description(weights)?.contains(SentenceEncoder::NAME);
    let loaded = match is_whole {
        true => load::<SentenceEncoder>(weights)?,
        false => {
            let Loaded { model: bert, provenance } = load::<Bert>(weights)?;
            Loaded { model: SentenceEncoder { bert, pooling, normalize }, provenance }
        }
    };
    check_described(folder, (&loaded.model as &dyn Model).backbone())?;
    if loaded.model.config() != described {
        let problem = ContentError::Metadata {
            key: "architecture".to_string(),
            detail: format!("it pools in another way than {STAGES} beside it says"),
        };
        return Err(super::FileError::content(weights, problem).into());
    }
    Ok(loaded)
}

/// How the stages that follow the encoder pool its vectors of `dim` entries, and whether they normalize.
fn stages(folder: &Path, dim: usize) -> Result<(Pooling, bool)> {
    let path = folder.join(STAGES);
    if !path.exists() {
        return Ok((Pooling::Mean, false));
    }
    let problem = |problem: String| json_problem(&path, problem);
    let stages: Vec<Stage> =
        serde_json::from_str(&read_text(&path)?).map_err(|error| problem(error.to_string()))?;
    let kinds: Vec<&str> =
        stages.iter().map(|s| s.kind.rsplit('.').next().unwrap_or_default()).collect();
    let normalize = match kinds[..] {
        ["Transformer", "Pooling"] => false,
        ["Transformer", "Pooling", "Normalize"] => true,
        _ => {
            let kinds = kinds.join(", ");
            return Err(problem(format!(
                "the stages are {kinds}; supported are Transformer, Pooling and Normalize"
            )));
        }
    };
    let inside = Path::new(&stages[1].path);
    if !inside.components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(problem(format!("{:?} is no path below the folder", stages[1].path)));
    }
    let pooling = read_pooling(&folder.join(inside).join("config.json"), dim)?;
    Ok((pooling, normalize))
}
