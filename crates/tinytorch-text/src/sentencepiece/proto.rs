//! The messages of a `tokenizer.model`, as far as they say how a text is cut.

use crate::TextError;

pub(super) const FORMAT: &str = "SentencePiece tokenizer.model";

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

/// A piece, its score, and what it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

/// How a text is cut into pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Unigram,
    Bpe,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct ModelFile {
    pub(super) pieces: Vec<Piece>,
    pub(super) algorithm: Algorithm,
    pub(super) byte_fallback: bool,
    /// The piece that begins a text.
    pub(super) begin: String,
    /// What stands for an unknown piece in text.
    pub(super) unknown_surface: String,
    pub(super) charsmap: Vec<u8>,
    pub(super) add_dummy_prefix: bool,
    pub(super) remove_extra_whitespaces: bool,
}

/// A field's value on the wire.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Four([u8; 4]),
    Eight,
}

fn broken(reason: &str) -> TextError {
    TextError::Format { format: FORMAT, reason: reason.to_owned() }
}

fn varint(rest: &mut &[u8]) -> Result<u64, TextError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, tail)) = rest.split_first() else { break };
        *rest = tail;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(broken("it ends within a number, or the number is too long"))
}

/// The first field of a message, its number before it.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u64, Value<'a>), TextError> {
    let cut = || broken("it ends within a field");
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => {
            *rest = rest.get(8..).ok_or_else(cut)?;
            Value::Eight
        }
        2 => {
            let len = usize::try_from(varint(rest)?).map_err(|_| cut())?;
            let (bytes, tail) = rest.split_at_checked(len).ok_or_else(cut)?;
            *rest = tail;
            Value::Bytes(bytes)
        }
        5 => {
            let (bytes, tail) = rest.split_first_chunk().ok_or_else(cut)?;
            *rest = tail;
            Value::Four(*bytes)
        }
        _ => return Err(broken("a field has no kind that there is")),
    };
    Ok((key >> 3, value))
}

/// Hands over the fields of a message, one by one.
fn each<'a>(
    mut message: &'a [u8],
    mut take: impl FnMut(u64, Value<'a>) -> Result<(), TextError>,
) -> Result<(), TextError> {
    while !message.is_empty() {
        let (number, value) = field(&mut message)?;
        take(number, value)?;
    }
    Ok(())
}

fn text(bytes: &[u8], what: &str) -> Result<String, TextError> {
    match str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let (what, offset) = (what.to_owned(), error.valid_up_to());
            Err(TextError::NotUtf8 { what, offset })
        }
    }
}

fn piece(message: &[u8], id: usize) -> Result<Piece, TextError> {
    let mut piece = Piece { text: String::new(), score: 0.0, kind: Kind::Normal };
    each(message, |number, value| {
        match (number, value) {
            (1, Value::Bytes(bytes)) => piece.text = text(bytes, &format!("piece {id}"))?,
            (2, Value::Four(bytes)) => piece.score = f32::from_le_bytes(bytes),
            (3, Value::Number(kind)) => {
                piece.kind = match kind {
                    1 => Kind::Normal,
                    2 => Kind::Unknown,
                    3 => Kind::Control,
                    4 => Kind::UserDefined,
                    5 => Kind::Unused,
                    6 => Kind::Byte,
                    _ => return Err(broken(&format!("piece {id} is of the kind {kind}"))),
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    if piece.score.is_nan() {
        return Err(broken(&format!("the score of piece {id} is not a number")));
    }
    Ok(piece)
}

impl ModelFile {
    /// Reads a file. Fields that say how the pieces were learned are passed over.
    pub(super) fn parse(bytes: &[u8]) -> Result<ModelFile, TextError> {
        let mut file = ModelFile {
            pieces: Vec::new(),
            algorithm: Algorithm::Unigram,
            byte_fallback: false,
            begin: "<s>".to_owned(),
            unknown_surface: " \u{2047} ".to_owned(),
            charsmap: Vec::new(),
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
        };
        each(bytes, |number, value| {
            match (number, value) {
                (1, Value::Bytes(message)) => {
                    let next = piece(message, file.pieces.len())?;
                    file.pieces.push(next);
                }
                (2, Value::Bytes(message)) => file.trainer(message)?,
                (3, Value::Bytes(message)) => file.normalizer(message)?,
                (5, Value::Bytes(message)) => refuse_denormalizer(message)?,
                _ => {}
            }
            Ok(())
        })?;
        if file.pieces.is_empty() {
            return Err(broken("it has no pieces"));
        }
        Ok(file)
    }

    fn trainer(&mut self, message: &[u8]) -> Result<(), TextError> {
        each(message, |number, value| {
            match (number, value) {
                (3, Value::Number(kind)) => {
                    self.algorithm = match kind {
                        1 => Algorithm::Unigram,
                        2 => Algorithm::Bpe,
                        3 => return Err(unsupported("model", "WORD")),
                        _ => return Err(unsupported("model", "CHAR")),
                    }
                }
                (24, Value::Number(suffix)) if suffix != 0 => {
                    return Err(unsupported("settings", "treat_whitespace_as_suffix"));
                }
                (35, Value::Number(on)) => self.byte_fallback = on != 0,
                (44, Value::Bytes(bytes)) => self.unknown_surface = text(bytes, "unk_surface")?,
                (46, Value::Bytes(bytes)) => self.begin = text(bytes, "bos_piece")?,
                _ => {}
            }
            Ok(())
        })
    }

    fn normalizer(&mut self, message: &[u8]) -> Result<(), TextError> {
        each(message, |number, value| {
            match (number, value) {
                (2, Value::Bytes(map)) => self.charsmap = map.to_vec(),
                (3, Value::Number(on)) => self.add_dummy_prefix = on != 0,
                (4, Value::Number(on)) => self.remove_extra_whitespaces = on != 0,
                (5, Value::Number(0)) => {
                    return Err(unsupported("settings", "escape_whitespaces of false"));
                }
                _ => {}
            }
            Ok(())
        })
    }
}

/// A map of characters for decoding would change what the ids mean.
fn refuse_denormalizer(message: &[u8]) -> Result<(), TextError> {
    each(message, |number, value| match (number, value) {
        (2, Value::Bytes(map)) if !map.is_empty() => Err(unsupported("decoder", "a denormalizer")),
        _ => Ok(()),
    })
}

fn unsupported(part: &'static str, found: &str) -> TextError {
    TextError::unsupported(part, found, "SentencePiece's UNIGRAM and BPE with blanks before words")
}
