//! The embedded text, and samples for language models.

use super::{DataError, Examples};
use crate::text::{CharTokenizer, Tokenizer};
use crate::{Result, Tensor};

/// A text in three parts: to learn from, to choose by, and to judge by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSplits {
    /// What it is called, for reports.
    pub name: &'static str,
    /// Learned from.
    pub train: &'static str,
    /// Decides when a training ends.
    pub valid: &'static str,
    /// Nothing is learned from it.
    pub test: &'static str,
}

/// The short questions and answers that ship with the library: 18 kB of simple English, no pair of
/// which is in two parts.
///
/// Source: TinyTalks by the TinyTorch contributors, 2025, CC BY 4.0.
///
/// ```
/// use tinytorch::data::tinytalks;
/// let talks = tinytalks();
/// assert!(talks.train.starts_with("Q: Where do you watch movies?\nA: "));
/// let tokenizer = talks.tokenizer()?;
/// let test = talks.windows(&tokenizer, 64)?.test;
/// assert_eq!(test.inputs().shape().dims(), [40, 64]);
/// assert_eq!(test.labels().shape().dims(), [40, 64]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
pub fn tinytalks() -> TextSplits {
    TextSplits {
        name: "tinytalks",
        train: include_str!("../../data/tinytalks/train.txt"),
        valid: include_str!("../../data/tinytalks/val.txt"),
        test: include_str!("../../data/tinytalks/test.txt"),
    }
}

impl TextSplits {
    /// The [windows](next_tokens) of a length that a model takes.
    ///
    /// # Errors
    /// [`DataError::ShortText`] if a part is shorter than a window.
    pub fn windows(&self, tokenizer: &dyn Tokenizer, length: usize) -> Result<TextWindows> {
        TextWindows::new([self.train, self.valid, self.test], tokenizer, length)
    }

    /// A tokenizer for the characters of the part that is learned from.
    ///
    /// # Errors
    /// [`TextError::EmptyCorpus`](crate::text::TextError::EmptyCorpus) if that part is empty.
    pub fn tokenizer(&self) -> Result<CharTokenizer> {
        CharTokenizer::from_corpus(self.train)
    }
}

/// A text as a language model takes it, in windows of next tokens.
#[derive(Clone, Debug)]
pub struct TextWindows {
    /// Learned from; the windows overlap, so that a token stands at eight places of a window.
    pub train: Examples,
    /// Decides when a training ends; the windows lie side by side.
    pub valid: Examples,
    /// Nothing is learned from them; they lie side by side.
    pub test: Examples,
}

impl TextWindows {
    /// The [windows](next_tokens) of the parts of a text: what is learned from, chosen by and judged by.
    ///
    /// # Errors
    /// [`DataError::ShortText`] if a part is shorter than a window.
    pub fn new(parts: [&str; 3], tokenizer: &dyn Tokenizer, length: usize) -> Result<TextWindows> {
        /// Windows that a token is in.
        const PLACES: usize = 8;
        let part = |text, stride| next_tokens(&tokenizer.encode(text)?, length, stride);
        let [train, valid, test] = parts;
        Ok(TextWindows {
            train: part(train, (length / PLACES).max(1))?,
            valid: part(valid, length)?,
            test: part(test, length)?,
        })
    }
}

/// What a language model learns from: windows of `length` tokens that begin `stride` tokens apart, each
/// with the tokens that follow its own as labels. Inputs and labels are i64 `[windows, length]`.
///
/// ```
/// use tinytorch::data::next_tokens;
/// let windows = next_tokens(&[1, 2, 3, 4, 5, 6], 2, 3)?;
/// assert_eq!(windows.inputs().to_vec::<i64>()?, [1, 2, 4, 5]);
/// assert_eq!(windows.labels().to_vec::<i64>()?, [2, 3, 5, 6]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`DataError::ShortText`] unless there are more than `length` tokens, and `length` and `stride` are
/// positive.
pub fn next_tokens(ids: &[i64], length: usize, stride: usize) -> Result<Examples> {
    if length == 0 || stride == 0 || ids.len() <= length {
        return Err(DataError::ShortText { tokens: ids.len(), length, stride }.into());
    }
    let starts = (0..ids.len() - length).step_by(stride);
    let shape = [starts.len(), length];
    let gather = |offset: usize| {
        let windows = starts.clone().flat_map(|start| &ids[start + offset..][..length]);
        Tensor::from_vec(windows.copied().collect(), shape)
    };
    Examples::new(gather(0)?, gather(1)?)
}
