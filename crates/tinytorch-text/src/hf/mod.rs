//! Tokenizers as Hugging Face's `tokenizer.json` describes them.

mod decoder;
mod library;
mod models;
mod schema;
mod shape;
mod template;

pub(super) use models::{bpe_from_file, bpe_to_file, chars_from_file, chars_to_file};
pub(super) use schema::{File, MAX_FILE_BYTES};
pub use shape::{Direction, Encoding, Padding, PaddingStrategy, Truncation, TruncationStrategy};

use super::{TextError, Tokenizer, Vocab, file};
use library::LibraryTokenizer;
use std::{path::Path, sync::Arc};
use template::Template;
use tinytorch_core::{Result, Tensor};

/// Ids in a batch at most: 2 GB in each of its three tensors.
const MAX_BATCH: usize = 1 << 28;

/// The tokenizer of a model, from its `tokenizer.json`: the special tokens that the model expects
/// around a text, truncation and padding included.
///
/// These are read by this crate:
///
/// | model | normalizer | pre-tokenizer | decoder |
/// |---|---|---|---|
/// | `WordPiece` | `BertNormalizer` | `BertPreTokenizer` | `WordPiece` |
/// | `BPE` | none | `ByteLevel` | `ByteLevel` |
/// | `WordLevel` of characters | none | `Split` into characters | `Fuse` |
///
/// Every other model, normalizer and pre-tokenizer is run by Hugging Face's own library, such as byte
/// fallback, splits by regular expressions, NFC and NFKC, Metaspace and Unigram; its decoder must be one of
/// ByteLevel, Metaspace, WordPiece, none, or a Sequence of Replace, ByteFallback, Fuse, Strip and Metaspace.
/// Post-processors are `TemplateProcessing`, `BertProcessing`, `RobertaProcessing`, `ByteLevel`, a Sequence
/// of them, or none. Anything else is a typed error that names the component.
///
/// ```
/// use tinytorch_text::{BpeTokenizer, HfTokenizer, Padding, Tokenizer};
/// let json = BpeTokenizer::train("to be or not to be", 260)?.to_json();
/// let tokenizer = HfTokenizer::from_json(&json)?.with_padding(Some(Padding::new(0, "!")))?;
/// let batch = tokenizer.encode_batch(["to", "to be"])?;
/// assert_eq!(batch.ids.shape().to_vec(), [2, 2]);
/// assert_eq!(batch.attention_mask.to_vec::<i64>()?, [1, 0, 1, 1]);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct HfTokenizer {
    model: Arc<dyn Tokenizer>,
    template: Template,
    truncation: Option<Truncation>,
    padding: Option<Padding>,
}

/// One text, or a pair of texts that are judged together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input<'a> {
    /// The text, or the first of the two.
    pub first: &'a str,
    /// The second text.
    pub second: Option<&'a str>,
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(first: &'a str) -> Input<'a> {
        Input { first, second: None }
    }
}

impl<'a> From<&'a String> for Input<'a> {
    fn from(first: &'a String) -> Input<'a> {
        Input { first, second: None }
    }
}

impl<'a> From<(&'a str, &'a str)> for Input<'a> {
    fn from((first, second): (&'a str, &'a str)) -> Input<'a> {
        Input { first, second: Some(second) }
    }
}

/// Inputs of one length, as i64 tensors of shape `[inputs, tokens]`.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Token ids.
    pub ids: Tensor,
    /// The segment of each token: 0 for the first text, 1 for the second.
    pub type_ids: Tensor,
    /// 1 for each token, 0 for padding.
    pub attention_mask: Tensor,
}

/// A model and what is around it, if the readers here know all its parts.
fn own(file: File) -> Result<Arc<dyn Tokenizer>, TextError> {
    Ok(match file.model.kind() {
        "WordPiece" => Arc::new(models::wordpiece_from_file(file)?),
        "BPE" => Arc::new(models::bpe_from_file(file)?),
        "WordLevel" => Arc::new(models::chars_from_file(file)?),
        other => return Err(TextError::unsupported("model", other, "WordPiece, BPE, WordLevel")),
    })
}

impl HfTokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextError::Read`] if it cannot be read; [`TextError::InFile`] with the reason if it is not
    /// such a file, or asks for something that is not supported.
    pub fn load(path: impl AsRef<Path>) -> Result<HfTokenizer> {
        Ok(file::read(path.as_ref(), MAX_FILE_BYTES, HfTokenizer::from_json)?)
    }

    /// Reads the content of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`TextError::Format`] if it is something else, [`TextError::Unsupported`] for a component
    /// that is not supported, and the errors of a vocabulary that contradicts itself.
    pub fn from_json(json: &[u8]) -> Result<HfTokenizer, TextError> {
        let mut file = File::parse(json)?;
        let (truncation, padding) = (file.truncation.take(), file.padding.take());
        let template = models::template_settings(file.post_processor.take())?;
        let model = match own(file) {
            // What the readers here do not know, the library knows.
            Err(TextError::Unsupported { .. } | TextError::IdGap { .. }) => {
                Arc::new(LibraryTokenizer::from_json(json)?)
            }
            known => known?,
        };
        let template = match template {
            Some(settings) => Template::new(settings, model.vocab())?,
            None => Template::plain(),
        };
        let tokenizer = HfTokenizer { model, template, truncation, padding };
        tokenizer.check_padding()?;
        Ok(tokenizer)
    }

    /// The same tokenizer with another truncation, or none.
    pub fn with_truncation(self, truncation: Option<Truncation>) -> HfTokenizer {
        HfTokenizer { truncation, ..self }
    }

    /// The same tokenizer with another padding, or none.
    ///
    /// # Errors
    /// [`TextError::Id`] if the padding's id is outside the vocabulary.
    pub fn with_padding(self, padding: Option<Padding>) -> Result<HfTokenizer> {
        let tokenizer = HfTokenizer { padding, ..self };
        tokenizer.check_padding()?;
        Ok(tokenizer)
    }

    fn check_padding(&self) -> Result<(), TextError> {
        self.padding.as_ref().map_or(Ok(()), |p| self.vocab().token(p.pad_id).map(drop))
    }

    /// How inputs that are too long are cut.
    pub fn truncation(&self) -> Option<&Truncation> {
        self.truncation.as_ref()
    }

    /// How inputs are filled up.
    pub fn padding(&self) -> Option<&Padding> {
        self.padding.as_ref()
    }

    /// One input, truncated, with its special tokens, not padded.
    ///
    /// # Errors
    /// [`TextError::Truncation`] if truncation leaves no room.
    pub fn encode_input<'a>(&self, input: impl Into<Input<'a>>) -> Result<Encoding> {
        let Input { first, second } = input.into();
        let mut first = self.model.encode(first)?;
        let mut second = second.map(|second| self.model.encode(second)).transpose()?;
        if let Some(truncation) = &self.truncation {
            let special = self.template.special(second.is_some());
            truncation.apply(&mut first, second.as_mut(), special)?;
        }
        Ok(Encoding::new(&self.template.fill(&first, second.as_deref())))
    }

    /// Inputs as tensors, truncated and padded; without padding they must be equally long.
    ///
    /// # Errors
    /// [`TextError::EmptyBatch`] for no inputs, [`TextError::Ragged`] for inputs of different
    /// lengths, [`TextError::TooLarge`] for more than 2^28 ids, [`TextError::Truncation`] if
    /// truncation leaves no room.
    pub fn encode_batch<'a, I>(&self, inputs: I) -> Result<Batch>
    where
        I: IntoIterator,
        I::Item: Into<Input<'a>>,
    {
        let mut inputs: Vec<Encoding> =
            inputs.into_iter().map(|input| self.encode_input(input)).collect::<Result<_>>()?;
        let longest = inputs.iter().map(|input| input.ids.len()).max();
        let longest = longest.ok_or(TextError::EmptyBatch)?;
        let length = self.padding.as_ref().map_or(Some(longest), |p| p.length(longest));
        let size = length.and_then(|length| length.checked_mul(inputs.len()));
        let (Some(length), Some(_)) = (length, size.filter(|&size| size <= MAX_BATCH)) else {
            let size = size.unwrap_or(usize::MAX) as u64;
            let what = "a batch (in ids)";
            return Err(TextError::TooLarge { what, size, limit: MAX_BATCH as u64 }.into());
        };
        if let Some(padding) = &self.padding {
            inputs.iter_mut().for_each(|input| input.pad(padding, length));
        }
        if let Some(short) = inputs.iter().find(|input| input.ids.len() != length) {
            return Err(TextError::Ragged { shortest: short.ids.len(), longest: length }.into());
        }
        let tensor = |field: fn(&Encoding) -> &[i64]| {
            let values = inputs.iter().flat_map(field).copied().collect::<Vec<i64>>();
            Tensor::from_vec(values, [inputs.len(), length])
        };
        Ok(Batch {
            ids: tensor(|input| &input.ids)?,
            type_ids: tensor(|input| &input.type_ids)?,
            attention_mask: tensor(|input| &input.attention_mask)?,
        })
    }
}

impl Tokenizer for HfTokenizer {
    /// One text, truncated, with its special tokens.
    ///
    /// # Errors
    /// As [`HfTokenizer::encode_input`].
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        Ok(self.encode_input(text)?.ids)
    }

    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        self.model.append(before, id, out)
    }

    fn vocab(&self) -> &Vocab {
        self.model.vocab()
    }

    fn special_tokens(&self) -> &[i64] {
        self.model.special_tokens()
    }
}
