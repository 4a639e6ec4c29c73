//! SentencePiece's pieces, from the `tokenizer.model` that it writes.

mod normalizer;
mod prefixes;
mod proto;

use super::{TextError, Tokenizer, Vocab, file, merge};
use normalizer::{BLANK, Normalizer};
use prefixes::Prefixes;
use proto::{Algorithm, FORMAT, Kind, ModelFile, Piece};
use std::collections::HashMap;
use std::path::Path;
use tinytorch_core::Result;

/// The vocabularies in use stay below 10 MB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// How far below the least score of a piece that of an unknown character lies.
const UNKNOWN_PENALTY: f32 = 10.0;

/// SentencePiece's own tokenizer (Kudo and Richardson, 2018), from a `tokenizer.model`: unigrams (Kudo, 2018)
/// or byte pairs, with byte fallback, a map of characters and symbols of the user's.
///
/// `encode` gives the token `<s>`, if the file has one, and then the ids that SentencePiece gives. `decode`
/// leaves out tokens that are no text, and the blank before the first piece.
#[derive(Clone, Debug)]
pub struct SentencePieceTokenizer {
    vocab: Vocab,
    pieces: Vec<Piece>,
    /// Pieces that a text is cut into.
    prefixes: Prefixes,
    normalizer: Normalizer,
    algorithm: Algorithm,
    /// Of each piece, its place among the scores from high to low.
    ranks: Vec<u32>,
    /// The least and the largest score of a normal piece.
    scores: (f32, f32),
    unknown: u32,
    unknown_surface: String,
    byte_ids: Option<Box<[u32; 256]>>,
    bytes: HashMap<u32, u8>,
    begin: Option<i64>,
    special: Vec<i64>,
}

fn broken(reason: String) -> TextError {
    TextError::Format { format: FORMAT, reason }
}

/// The byte that a piece is named after.
fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 2)
}

impl SentencePieceTokenizer {
    /// Reads a `tokenizer.model`.
    ///
    /// # Errors
    /// [`TextError::Read`] if it cannot be read; [`TextError::InFile`] with the reason if it is not
    /// such a file.
    pub fn load(path: impl AsRef<Path>) -> Result<SentencePieceTokenizer> {
        Ok(file::read(path.as_ref(), MAX_FILE_BYTES, SentencePieceTokenizer::from_bytes)?)
    }

    /// Reads the content of a `tokenizer.model`.
    ///
    /// # Errors
    /// [`TextError::Format`] if it is something else or cut short, [`TextError::Unsupported`] for words or
    /// characters as pieces, blanks behind words and a map of characters for decoding,
    /// [`TextError::DuplicateToken`] for a piece that comes twice.
    pub fn from_bytes(bytes: &[u8]) -> Result<SentencePieceTokenizer, TextError> {
        let file = ModelFile::parse(bytes)?;
        let pieces = file.pieces;
        let vocab = Vocab::new(pieces.iter().map(|piece| piece.text.as_str()))?;
        let of_kind = |wanted: Kind| {
            let numbered = pieces.iter().zip(0u32..);
            numbered
                .filter(move |(piece, _)| piece.kind == wanted)
                .map(|(piece, id)| (&*piece.text, id))
        };
        if let Some((_, id)) = pieces.iter().zip(0..).find(|(piece, _)| piece.text.is_empty()) {
            return Err(TextError::EmptyToken { id });
        }
        let unknown: Vec<u32> = of_kind(Kind::Unknown).map(|(_, id)| id).collect();
        let [unknown] = unknown[..] else {
            return Err(broken(format!("{} pieces are the unknown one", unknown.len())));
        };
        let bytes: HashMap<u32, u8> = of_kind(Kind::Byte)
            .map(|(text, id)| {
                let byte = byte_of(text).ok_or_else(|| broken(format!("piece {id} is no byte")));
                Ok((id, byte?))
            })
            .collect::<Result<_, TextError>>()?;
        let byte_ids = file.byte_fallback.then(|| bytes_by_value(&bytes)).transpose()?;
        let normal = || pieces.iter().filter(|piece| piece.kind == Kind::Normal).map(|p| p.score);
        let scores = (normal().fold(f32::MAX, f32::min), normal().fold(f32::MIN, f32::max));
        let is_text = |kind| matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
        let prefixes = Prefixes::new(
            pieces.iter().zip(0..).filter(|(p, _)| is_text(p.kind)).map(|(p, id)| (&*p.text, id)),
        );
        let kept = Prefixes::new(of_kind(Kind::UserDefined));
        let normalizer = Normalizer::new(
            &file.charsmap,
            kept,
            file.add_dummy_prefix,
            file.remove_extra_whitespaces,
        )?;
        let begin = of_kind(Kind::Control).find(|(text, _)| *text == file.begin);
        let mut special: Vec<i64> =
            of_kind(Kind::Control).map(|(_, id)| id.into()).chain([unknown.into()]).collect();
        special.sort_unstable();
        Ok(SentencePieceTokenizer {
            begin: begin.map(|(_, id)| id.into()),
            ranks: ranks(&pieces),
            vocab,
            prefixes,
            normalizer,
            algorithm: file.algorithm,
            scores,
            unknown,
            unknown_surface: file.unknown_surface,
            byte_ids,
            bytes,
            special,
            pieces,
        })
    }

    /// The ids of the pieces of `text`, without a token that begins it.
    ///
    /// # Errors
    /// [`TextError::TooLarge`] for a text of more than 2 GB.
    pub fn pieces(&self, text: &str) -> Result<Vec<i64>> {
        super::check_length(text)?;
        let text = self.normalizer.normalize(text);
        super::check_length(&text)?;
        let cut = match self.algorithm {
            Algorithm::Unigram => self.unigrams(&text),
            Algorithm::Bpe => self.byte_pairs(&text),
        };
        let mut ids: Vec<i64> = Vec::with_capacity(cut.len());
        let mut is_after_unknown = false;
        for (part, id) in cut {
            let is_unknown = id == self.unknown;
            match &self.byte_ids {
                Some(byte_ids) if is_unknown => {
                    ids.extend(part.bytes().map(|byte| i64::from(byte_ids[usize::from(byte)])));
                }
                // Unknown characters side by side are one unknown piece.
                _ if is_unknown && is_after_unknown => {}
                _ => ids.push(id.into()),
            }
            is_after_unknown = is_unknown;
        }
        Ok(ids)
    }

    /// The way through the text whose pieces have the largest sum of scores (Viterbi, 1967), in 32-bit sums
    /// as SentencePiece keeps them.
    fn unigrams<'t>(&self, text: &'t str) -> Vec<(&'t str, u32)> {
        /// The best way to a place: its score, where its last piece starts, and that piece.
        #[derive(Clone, Copy)]
        struct Best {
            score: f32,
            start: usize,
            id: u32,
        }
        let (least, largest) = self.scores;
        let unknown_score = least - UNKNOWN_PENALTY;
        let mut best: Vec<Option<Best>> = vec![None; text.len() + 1];
        for (start, c) in text.char_indices() {
            let here = best[start].map_or(0.0, |best| best.score);
            let mut reach = |end: usize, id: u32, score: f64| {
                let score = score + f64::from(here);
                if best[end].is_none_or(|best| score > f64::from(best.score)) {
                    best[end] = Some(Best { score: score as f32, start, id });
                }
            };
            let mut has_one_character = false;
            self.prefixes.each(&text.as_bytes()[start..], |length, id| {
                let piece = &self.pieces[id as usize];
                let score = match piece.kind {
                    Kind::Unused => return,
                    // The symbols of the user win over everything else.
                    Kind::UserDefined => f64::from(length as f32 * largest) - 0.1,
                    _ => f64::from(piece.score),
                };
                reach(start + length, id, score);
                has_one_character |= length == c.len_utf8();
            });
            if !has_one_character {
                reach(start + c.len_utf8(), self.unknown, unknown_score.into());
            }
        }
        let mut cut = Vec::new();
        let mut end = text.len();
        while let Some(Best { start, id, .. }) = best[end].filter(|_| end > 0) {
            cut.push((&text[start..end], id));
            end = start;
        }
        cut.reverse();
        cut
    }

    /// Joins the pair of neighbors that makes the piece of the highest score, the leftmost first, until none
    /// is left. Symbols of the user are never joined.
    fn byte_pairs<'t>(&self, text: &'t str) -> Vec<(&'t str, u32)> {
        // Every symbol is a part of the text, numbered as it is met; a joint is looked up by what it spells.
        let mut spelled: Vec<&str> = Vec::new();
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut number = |part: &'t str, spelled: &mut Vec<&'t str>| {
            *numbers.entry(part).or_insert_with(|| {
                spelled.push(part);
                spelled.len() as u32 - 1
            })
        };
        let (mut symbols, mut frozen, mut at) = (Vec::new(), Vec::new(), 0);
        while at < text.len() {
            let kept = self.normalizer.kept(&text[at..]);
            let length = text[at..].chars().next().map_or(1, char::len_utf8);
            let part = &text[at..at + kept.unwrap_or(length)];
            let symbol = number(part, &mut spelled);
            if kept.is_some() {
                frozen.push(symbol);
            }
            symbols.push(symbol);
            at += part.len();
        }
        frozen.sort_unstable();
        frozen.dedup();
        let mut joined = String::new();
        // Pieces that are joined only to be taken apart again, by their halves.
        let mut halves: HashMap<u32, (u32, u32)> = HashMap::new();
        let base = spelled.len() as u32;
        let spelling = |symbol: u32| match symbol < base {
            true => spelled[symbol as usize],
            false => self.vocab.at(symbol - base),
        };
        let merged = merge::merge(&symbols, |left, right| {
            if [left, right].iter().any(|symbol| frozen.binary_search(symbol).is_ok()) {
                return None;
            }
            joined.clear();
            joined.push_str(spelling(left));
            joined.push_str(spelling(right));
            let id = self.text_piece(&joined)?;
            if self.pieces[id as usize].kind == Kind::Unused {
                halves.insert(id, (left, right));
            }
            Some((self.ranks[id as usize], base + id))
        });
        let (mut cut, mut at) = (Vec::new(), 0);
        let mut open: Vec<u32> = Vec::new();
        for symbol in merged {
            open.push(symbol);
            while let Some(symbol) = open.pop() {
                if let Some(&(left, right)) =
                    symbol.checked_sub(base).and_then(|id| halves.get(&id))
                {
                    open.extend([right, left]);
                    continue;
                }
                let length = spelling(symbol).len();
                let part = &text[at..at + length];
                cut.push((part, self.text_piece(part).unwrap_or(self.unknown)));
                at += length;
            }
        }
        cut
    }

    /// The piece that a part of a text may become.
    fn text_piece(&self, text: &str) -> Option<u32> {
        let is_text = |id: &u32| {
            let kind = self.pieces[*id as usize].kind;
            matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused)
        };
        self.vocab.index(text).filter(is_text)
    }
}

fn bytes_by_value(bytes: &HashMap<u32, u8>) -> Result<Box<[u32; 256]>, TextError> {
    let mut ids = Box::new([u32::MAX; 256]);
    for (&id, &byte) in bytes {
        ids[usize::from(byte)] = id;
    }
    match ids.iter().position(|&id| id == u32::MAX) {
        None => Ok(ids),
        Some(byte) => Err(broken(format!("there is no piece <0x{byte:02X}> for the byte"))),
    }
}

/// Each piece's place among the scores from high to low; equal ones share one.
fn ranks(pieces: &[Piece]) -> Vec<u32> {
    let mut scores: Vec<f32> = pieces.iter().map(|piece| piece.score).collect();
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.dedup();
    pieces.iter().map(|p| scores.partition_point(|other| *other > p.score) as u32).collect()
}

impl Tokenizer for SentencePieceTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<i64>> {
        let pieces = self.pieces(text)?;
        Ok(self.begin.into_iter().chain(pieces).collect())
    }

    fn append(&self, before: &[i64], id: i64, out: &mut Vec<u8>) -> Result<()> {
        let token = self.vocab.token(id)?;
        let at = id as u32;
        let kind = self.pieces[at as usize].kind;
        match kind {
            Kind::Control => {}
            Kind::Unknown => out.extend_from_slice(self.unknown_surface.as_bytes()),
            Kind::Byte => out.extend(self.bytes.get(&at)),
            Kind::Normal | Kind::UserDefined | Kind::Unused => {
                let is_nothing = |id: &i64| {
                    let at = usize::try_from(*id).ok().and_then(|at| self.pieces.get(at));
                    at.is_some_and(|piece| match piece.kind {
                        Kind::Control => true,
                        _ => self.normalizer.removes_blanks() && piece.text == BLANK,
                    })
                };
                let drops = self.normalizer.begins_with_a_blank() && before.iter().all(is_nothing);
                let token = token.strip_prefix(BLANK).filter(|_| drops).unwrap_or(token);
                out.extend_from_slice(token.replace(BLANK, " ").as_bytes());
            }
        }
        Ok(())
    }

    fn vocab(&self) -> &Vocab {
        &self.vocab
    }

    fn special_tokens(&self) -> &[i64] {
        &self.special
    }
}
