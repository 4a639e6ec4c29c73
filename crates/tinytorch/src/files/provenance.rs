//! Where a saved model comes from.

use super::int8::InputModes;
use super::params::with_own;
use super::{ContentError, TensorFile};
use super::{attached, flags};
use crate::Result;
use crate::text::{CharTokenizer, HfTokenizer, TextError};
use std::collections::BTreeMap;
use std::path::Path;

/// Where a saved model comes from; it travels in the file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The tinytorch that made the model.
    pub version: String,
    /// [`digest_params`](super::digest_params) of the float model that was quantized.
    pub float_sha256: Option<String>,
    /// [`digest_tensors`](super::digest_tensors) of the calibration data.
    pub calibration_sha256: Option<String>,
    /// The settings of the quantization, as JSON.
    pub quantization: Option<serde_json::Value>,
    /// Anything else worth telling, such as the data it was trained on.
    pub notes: BTreeMap<String, String>,
}

impl Default for Provenance {
    /// A float model made by this version.
    fn default() -> Self {
        Provenance {
            version: env!("CARGO_PKG_VERSION").to_string(),
            float_sha256: None,
            calibration_sha256: None,
            quantization: None,
            notes: BTreeMap::new(),
        }
    }
}

impl Provenance {
    /// Makes the file carry the characters of its language model, so that text can be given to it and
    /// read from it without another file.
    ///
    /// ```
    /// use tinytorch::{files::Provenance, text::{CharTokenizer, Tokenizer}};
    /// let mut provenance = Provenance::default();
    /// provenance.set_tokenizer(&CharTokenizer::from_corpus("abc")?);
    /// let tokenizer = provenance.tokenizer()?.expect("it was set");
    /// assert_eq!(tokenizer.encode("cab")?, [3, 1, 2]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    pub fn set_tokenizer(&mut self, tokenizer: &CharTokenizer) {
        let json = String::from_utf8_lossy(&tokenizer.to_json()).into_owned();
        self.notes.insert(TOKENIZER.to_string(), json);
    }

    /// What a file of another format can say of it, by key.
    ///
    /// # Errors
    /// [`ContentError::Metadata`](super::ContentError::Metadata) for a note under a key of tinytorch's own.
    pub fn to_entries(&self) -> Result<BTreeMap<String, String>, ContentError> {
        with_own(&self.notes, self.own())
    }

    /// What [`Provenance::to_entries`] gave; other entries are notes.
    ///
    /// ```
    /// use tinytorch::files::Provenance;
    /// let float_sha256 = Some("00".repeat(32));
    /// let provenance = Provenance { float_sha256, ..Provenance::default() };
    /// assert_eq!(Provenance::from_entries(provenance.to_entries()?)?, provenance);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ContentError::Metadata`](super::ContentError::Metadata) for settings that are no JSON.
    pub fn from_entries(entries: BTreeMap<String, String>) -> Result<Provenance, ContentError> {
        let mut notes = entries;
        let version = notes.remove(VERSION).unwrap_or_else(|| Provenance::default().version);
        let quantization = notes.remove(QUANTIZATION).map(|text| serde_json::from_str(&text));
        let quantization =
            quantization.transpose().map_err(|error| unusable(QUANTIZATION, error.to_string()))?;
        let (float_sha256, calibration_sha256) = (notes.remove(FLOAT), notes.remove(CALIBRATION));
        Ok(Provenance { version, float_sha256, calibration_sha256, quantization, notes })
    }

    /// Whether entries are of a model that tinytorch has written.
    pub fn are_entries(entries: &BTreeMap<String, String>) -> bool {
        entries.contains_key(VERSION)
    }

    fn own(&self) -> [(&'static str, Option<String>); 4] {
        [
            (VERSION, Some(self.version.clone())),
            (FLOAT, self.float_sha256.clone()),
            (CALIBRATION, self.calibration_sha256.clone()),
            (QUANTIZATION, self.quantization.as_ref().map(|json| json.to_string())),
        ]
    }

    /// The tokenizer that the file carries, if it carries one.
    ///
    /// # Errors
    /// As [`HfTokenizer::from_json`].
    pub fn tokenizer(&self) -> Result<Option<HfTokenizer>, TextError> {
        let json = self.notes.get(TOKENIZER);
        json.map(|json| HfTokenizer::from_json(json.as_bytes())).transpose()
    }
}

pub(super) const ARCHITECTURE: &str = "architecture";
const VERSION: &str = "tinytorch_version";
const FLOAT: &str = "float_sha256";
const CALIBRATION: &str = "calibration_sha256";
const QUANTIZATION: &str = "quantization";

/// The note that holds a `tokenizer.json`.
const TOKENIZER: &str = "tokenizer";

/// The state of a training: it belongs to a checkpoint, not to the model in it.
pub(crate) const TRAINING: &str = "training";

/// The metadata of a model's file.
pub(super) fn to_metadata(
    description: String,
    provenance: &Provenance,
) -> Result<BTreeMap<String, String>, ContentError> {
    let entries = with_own(&provenance.notes, provenance.own())?;
    with_own(&entries, [(ARCHITECTURE, Some(description))])
}

/// What [`to_metadata`] wrote, apart from the entries that belong to the parameters or to their
/// training.
pub(super) fn from_metadata(file: &TensorFile) -> Result<(String, Provenance)> {
    let mut notes = file.metadata().clone();
    notes.remove(InputModes::KEY);
    notes.remove(flags::KEY);
    notes.remove(attached::KEY);
    notes.remove(TRAINING);
    let missing = |key| file.problem(ContentError::MissingMetadata { key });
    let description = notes.remove(ARCHITECTURE).ok_or_else(|| missing(ARCHITECTURE))?;
    if !notes.contains_key(VERSION) {
        return Err(missing(VERSION));
    }
    let provenance = Provenance::from_entries(notes).map_err(|problem| file.problem(problem))?;
    Ok((description, provenance))
}

pub(super) fn unusable(key: &str, detail: String) -> ContentError {
    ContentError::Metadata { key: key.to_string(), detail }
}
/// Whether a file is one that [`save_model`](super::save_model) wrote.
pub(super) fn is_own(file: &Path) -> Result<bool> {
    match file.extension().is_some_and(|extension| extension == "json") {
        true => Ok(false),
        false => Ok(TensorFile::open(file)?.metadata().contains_key(ARCHITECTURE)),
    }
}
