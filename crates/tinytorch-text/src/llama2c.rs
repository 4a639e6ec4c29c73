//! SentencePiece's pieces as llama2.c stores them.

use super::{Shown, TextError, Tokenizer, Vocab, file, merge};
use std::{collections::HashMap, fmt, path::Path};
use tinytorch_core::Result;

const FORMAT: &str = "llama2.c tokenizer.bin";
/// The vocabularies in use stay below 5 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// SentencePiece's BPE with byte fallback, as llama-style models use it, from a `tokenizer.bin` of
/// llama2.c.
///
/// The file is a 32-bit length of the longest token, then for each token a 32-bit float score, its
/// length in bytes as 32 bits, and its bytes, all little-endian. Tokens 0, 1 and 2 are unknown, the
/// begin and the end of a text; 256 tokens `<0x00>` to `<0xFF>` are the bytes.
///
/// `encode` gives the begin token, then the pieces of the text with a blank put before it: the pair
/// of neighbors with the highest score is joined first. A character without a token of its own is
/// spelled in bytes. `decode` leaves out the begin and end tokens, and the blank after the begin,
/// so that every text decodes to exactly itself.
///
/// ```
/// use tinytorch_text::{Llama2cTokenizer, Tokenizer};
/// let mut pieces = vec![("<unk>".to_owned(), 0.0), ("<s>".to_owned(), 0.0), ("</s>".to_owned(), 0.0)];
/// pieces.extend((0..256).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
/// pieces.extend([(" a", -1.0), (" ", -2.0), ("a", -3.0)].map(|(p, s)| (p.to_owned(), s)));
/// let tokenizer = Llama2cTokenizer::new(pieces)?;
/// assert_eq!(tokenizer.encode("a!")?, [1, 259, 3 + 0x21]);
/// assert_eq!(tokenizer.decode(&[1, 259, 3 + 0x21])?, "a!");
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Llama2cTokenizer {
    vocab: Vocab,
    /// Per token, its place in the order of joining; equal scores share one.
    ranks: Vec<u32>,
    byte_ids: [u32; 256],
    bytes: HashMap<u32, u8>,
}

impl fmt::Debug for Llama2cTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Llama2cTokenizer").field("vocab", &self.vocab).finish_non_exhaustive()
    }
}

impl Llama2cTokenizer {
    /// The id that begins a text.
    pub const BEGIN: i64 = 1;
    /// The id that ends a text.
    pub const END: i64 = 2;
    const FIXED: usize = 3;

    /// A tokenizer of these pieces with their scores, in the order of their ids.
    ///
    /// # Errors
    /// [`TextError::Format`] if a byte or one of the first three tokens is missing, or a score is
    /// not a number; [`TextError::DuplicateToken`] for a piece that comes twice.
    pub fn new(pieces: Vec<(String, f32)>) -> Result<Llama2cTokenizer, TextError> {
        let vocab = Vocab::new(pieces.iter().map(|(piece, _)| piece.as_str()))?;
        if let Some((piece, score)) = pieces.iter().find(|(_, score)| score.is_nan()) {
            return Err(not_bin(format!(
                "the score of token {} is {score}",
                Shown::from(&**piece)
            )));
        }
        let mut byte_ids = [0; 256];
        for (byte, id) in (0..=255u8).zip(&mut byte_ids) {
            let name = format!("<0x{byte:02X}>");
            let missing = || not_bin(format!("there is no token {name} for the byte"));
            *id = vocab.index(&name).ok_or_else(missing)?;
        }
        if byte_ids.iter().any(|&id| (id as usize) < Self::FIXED) {
            return Err(not_bin("tokens 0, 1 and 2 should be unknown, begin and end".to_owned()));
        }
        let bytes = byte_ids.iter().copied().zip(0..=255).collect();
        Ok(Llama2cTokenizer { vocab, ranks: ranks(&pieces), byte_ids, bytes })
    }

    /// Reads a `tokenizer.bin`.
    ///
    /// # Errors
    /// [`TextError::Read`] if it cannot be read; [`TextError::InFile`] with the reason if it is not
    /// such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<Llama2cTokenizer> {
        Ok(file::read(path.as_ref(), MAX_FILE_BYTES, Llama2cTokenizer::from_bytes)?)
    }

    /// Reads the content of a `tokenizer.bin`.
    ///
    /// # Errors
    /// [`TextError::Format`] if it is something else or cut short, [`TextError::NotUtf8`] for a
    /// token that is not text, and those of [`Llama2cTokenizer::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Llama2cTokenizer, TextError> {
        let mut rest = bytes;
        let longest = i32::from_le_bytes(take(&mut rest, "the length of the longest token")?);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let id = pieces.len();
            let score = f32::from_le_bytes(take(&mut rest, "a score")?);
            let len = i32::from_le_bytes(take(&mut rest, "a length")?);
            let fits = len <= longest && usize::try_from(len).is_ok_and(|len| len <= rest.len());
            if !fits {
                let left = rest.len();
                let reason = format!(
                    "token {id} says it has {len} bytes, with {left} left in the file and the longest token at {longest}"
                );
                return Err(not_bin(reason));
            }
            let (piece, tail) = rest.split_at(len as usize);
            let piece = super::utf8(piece, &format!("token {id}"))?;
            pieces.push((piece.to_owned(), score));
            rest = tail;
        }
        Llama2cTokenizer::new(pieces)
    }

    /// Whether text may become this token: bytes and the fixed tokens are not found by their names.
    fn is_piece(&self, id: u32) -> bool {
        id as usize >= Self::FIXED && !self.bytes.contains_key(&id)
    }

    fn piece(&self, text: &str) -> Option<u32> {
        self.vocab.index(text).filter(|&id| self.is_piece(id))
    }
}

fn not_bin(reason: String) -> TextError {
    TextError::Format { format: FORMAT, reason }
}

fn take(rest: &mut &[u8], what: &str) -> Result<[u8; 4], TextError> {
    let (head, tail) =
        rest.split_first_chunk().ok_or_else(|| not_bin(format!("it ends within {what}")))?;
    *rest = tail;
    Ok(*head)
}

/// Each token's place among the scores from high to low.
fn ranks(pieces: &[(String, f32)]) -> Vec<u32> {
    let mut scores: Vec<f32> = pieces.iter().map(|(_, score)| *score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.dedup();
    let rank = |score: &f32| scores.partition_point(|other| other > score) as u32;
    pieces.iter().map(|(_, score)| rank(score)).collect()
}

impl Tokenizer for Llama2cTokenizer {
    /// The begin token and the pieces of `text`; of the empty text the begin token alone.
    ///
    /// # Errors
    /// [`TextError::TooLarge`] for a text of more than 2 GB.
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        super::check_length(text)?;
        let mut symbols = Vec::new();
        let blank = (!text.is_empty()).then_some(' ');
        for c in blank.into_iter().chain(text.chars()) {
            let mut buffer = [0; 4];
            let spelled: &str = c.encode_utf8(&mut buffer);
            match self.piece(spelled) {
                Some(id) => symbols.push(id),
                None => symbols.extend(spelled.bytes().map(|b| self.byte_ids[usize::from(b)])),
            }
        }
        let mut joined = String::new();
        let merged = merge::merge(&symbols, |left, right| {
            if !self.is_piece(left) || !self.is_piece(right) {
                return None;
            }
            joined.clear();
            joined.push_str(self.vocab.at(left));
            joined.push_str(self.vocab.at(right));
            let id = self.piece(&joined)?;
            Some((self.ranks[id as usize], id))
        });
        Ok([Self::BEGIN].into_iter().chain(merged.into_iter().map(i64::from)).collect())
    }

    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        let token = self.vocab.token(id)?;
        if id == Self::BEGIN || id == Self::END {
            return Ok(());
        }
        let byte = u32::try_from(id).ok().and_then(|id| self.bytes.get(&id));
        let text = byte.map_or(token.as_bytes(), std::slice::from_ref);
        let after_begin = before.last() == Some(&Self::BEGIN);
        let text = text.strip_prefix(b" ").filter(|_| after_begin).unwrap_or(text);
        out.extend_from_slice(text);
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        &[0, Self::BEGIN, Self::END]
    }
}
