//! Byte-level byte-pair encoding: any text, no unknown tokens, exact round trip.

mod alphabet;
mod split;
mod train;

pub(crate) use alphabet::append_bytes;
pub use train::BpeTrainer;

use super::added::{AddedTokens, Piece};
use super::{AddedToken, TextError, Tokenizer, Vocab, file, hf, merge};
use std::{borrow::Cow, collections::HashMap, fmt, path::Path};
use tinytorch_core::Result;

/// Byte-level BPE, as GPT-2 has it: text is split into words, and the bytes of a word are merged
/// pair by pair, in the order in which the merges were learned.
///
/// The vocabulary writes bytes as printable characters (a space is `Ġ`), as `tokenizer.json` does.
/// Text that spells an added token becomes that token; decoding leaves special tokens out. All
/// other text decodes to exactly itself.
///
/// ```
/// use tinytorch_text::{BpeTokenizer, Tokenizer};
/// let tokenizer = BpeTokenizer::train("the cat on the mat, the cat on the hat", 280)?;
/// let ids = tokenizer.encode("the bat")?;
/// assert_eq!(ids.iter().map(|&id| tokenizer.token(id)).collect::<Result<Vec<_>, _>>()?,
///            ["the", "Ġ", "b", "at"]);
/// assert_eq!(tokenizer.decode(&ids)?, "the bat");
/// let same = BpeTokenizer::from_json(&tokenizer.to_json())?;
/// assert_eq!(same, tokenizer);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct BpeTokenizer {
    vocab: Vocab,
    byte_ids: [u32; 256],
    merges: HashMap<(u32, u32), Merge>,
    added: AddedTokens,
    add_prefix_space: bool,
}

impl fmt::Debug for BpeTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BpeTokenizer")
            .field("vocab", &self.vocab)
            .field("merges", &self.merges.len())
            .field("added", &self.added)
            .field("add_prefix_space", &self.add_prefix_space)
            .finish_non_exhaustive()
    }
}

/// When a pair is merged, and into what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merge {
    rank: u32,
    id: u32,
}

impl BpeTokenizer {
    /// Learns a vocabulary of at most `vocab_size` tokens from one text; [`BpeTrainer`] takes more
    /// texts and settings.
    ///
    /// # Errors
    /// As [`BpeTrainer::train`].
    pub fn train(corpus: &str, vocab_size: usize) -> Result<BpeTokenizer> {
        BpeTrainer::new(vocab_size).train([corpus])
    }

    /// The tokenizer without merges: one token per byte.
    pub fn bytes() -> BpeTokenizer {
        let chars: String = alphabet::bytes_in_order().map(alphabet::char_of).collect();
        let tokens = chars.char_indices().map(|(at, c)| &chars[at..at + c.len_utf8()]);
        Vocab::new(tokens)
            .and_then(|vocab| BpeTokenizer::new(vocab, HashMap::new(), Vec::new(), false))
            .expect("256 different characters, one for each byte")
    }

    pub(super) fn new(
        mut vocab: Vocab,
        merges: HashMap<(u32, u32), Merge>,
        added: Vec<AddedToken>,
        add_prefix_space: bool,
    ) -> Result<BpeTokenizer, TextError> {
        let byte_ids = byte_ids(&vocab)?;
        let added = AddedTokens::new(added, &mut vocab, str::to_owned)?;
        Ok(BpeTokenizer { vocab, byte_ids, merges, added, add_prefix_space })
    }

    /// Builds the table of merges from pairs of tokens, the first learned first.
    pub(super) fn merge_table<'a>(
        vocab: &Vocab,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<HashMap<(u32, u32), Merge>, TextError> {
        let mut table = HashMap::new();
        for (rank, (left, right)) in pairs.into_iter().enumerate() {
            let index = |token: &str| {
                vocab.index(token).ok_or_else(|| TextError::Merge {
                    rank,
                    left: left.into(),
                    right: right.into(),
                    missing: token.into(),
                })
            };
            let pair = (index(left)?, index(right)?);
            let merge = Merge { rank: rank as u32, id: index(&[left, right].concat())? };
            table.entry(pair).or_insert(merge);
        }
        Ok(table)
    }

    /// The pairs that are merged, the first learned first, as their tokens.
    pub fn merges(&self) -> Vec<(&str, &str)> {
        let mut merges: Vec<_> = self.merges.iter().collect();
        merges.sort_unstable_by_key(|(_, merge)| merge.rank);
        merges.iter().map(|((l, r), _)| (self.vocab.at(*l), self.vocab.at(*r))).collect()
    }

    /// The tokens that are found in text as a whole, by id.
    pub fn added_tokens(&self) -> &[AddedToken] {
        self.added.as_slice()
    }

    /// Whether a text that does not begin with a space is encoded as if it did.
    pub fn adds_prefix_space(&self) -> bool {
        self.add_prefix_space
    }

    /// Reads a Hugging Face `tokenizer.json` with byte-level BPE.
    ///
    /// # Errors
    /// [`TextError::Read`] if it cannot be read; [`TextError::InFile`] with the reason if it is not
    /// such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<BpeTokenizer> {
        Ok(file::read(path.as_ref(), hf::MAX_FILE_BYTES, BpeTokenizer::from_json)?)
    }

    /// Reads the content of a Hugging Face `tokenizer.json` with byte-level BPE.
    ///
    /// # Errors
    /// [`TextError::Format`] if it is something else, [`TextError::Unsupported`] for a component
    /// that is not part of byte-level BPE, and the errors of a vocabulary that contradicts itself.
    pub fn from_json(json: &[u8]) -> Result<BpeTokenizer, TextError> {
        hf::bpe_from_file(hf::File::parse(json)?)
    }

    /// Writes the tokenizer as a Hugging Face `tokenizer.json`, whole or not at all.
    ///
    /// # Errors
    /// [`TextError::Write`] if it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        Ok(file::write(path.as_ref(), &self.to_json())?)
    }

    /// The tokenizer as a Hugging Face `tokenizer.json`.
    pub fn to_json(&self) -> Vec<u8> {
        hf::bpe_to_file(self).to_json()
    }

    fn encode_text(&self, text: &str, ids: &mut Vec<i64>) {
        let text = match self.add_prefix_space && !text.starts_with(' ') {
            true => Cow::Owned(format!(" {text}")),
            false => Cow::Borrowed(text),
        };
        let join = |left, right| self.merges.get(&(left, right)).map(|m| (m.rank, m.id));
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        for word in split::words(&text) {
            let tokens = known.entry(word).or_insert_with(|| {
                let bytes = word.bytes().map(|byte| self.byte_ids[usize::from(byte)]);
                merge::merge(&bytes.collect::<Vec<_>>(), join)
            });
            ids.extend(tokens.iter().map(|&id| i64::from(id)));
        }
    }
}

impl Tokenizer for BpeTokenizer {
    /// The ids of `text`.
    ///
    /// # Errors
    /// [`TextError::TooLarge`] for a text of more than 2 GB.
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        super::check_length(text)?;
        let mut ids = Vec::new();
        self.added.split(text, Cow::Borrowed, |piece| match piece {
            Piece::Token(id) => ids.push(id),
            Piece::Text(text) => self.encode_text(text, &mut ids),
        });
        Ok(ids)
    }

    fn append(&self, _before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        let token = self.vocab.token(id)?;
        if !self.added.contains(id) {
            alphabet::append_bytes(token, out);
        } else if !self.added.is_special(id) {
            out.extend_from_slice(token.as_bytes());
        }
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        self.added.special()
    }
}

/// The ids of the 256 single bytes.
fn byte_ids(vocab: &Vocab) -> Result<[u32; 256], TextError> {
    let mut ids = [0; 256];
    for byte in 0..=255u8 {
        let c = alphabet::char_of(byte);
        ids[usize::from(byte)] = vocab.index(c.encode_utf8(&mut [0; 4])).ok_or_else(|| {
            TextError::not_json(format!("the vocabulary has no token {c:?} for byte {byte:#04x}"))
        })?;
    }
    Ok(ids)
}
