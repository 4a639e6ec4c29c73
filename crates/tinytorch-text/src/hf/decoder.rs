//! What tokens add to a text, one by one, as the `decoder` of a `tokenizer.json` says.

use super::schema::kind_of;
use crate::TextError;
use crate::bpe::append_bytes;
use serde::Deserialize;
use serde_json::Value;

const SUPPORTED: &str = "ByteLevel, Metaspace, WordPiece, Sequence of Replace, ByteFallback, Fuse, Strip and Metaspace, none";

/// How a token becomes text.
#[derive(Debug)]
pub(super) enum Decoder {
    /// Tokens are words with blanks between them.
    Words,
    /// Characters stand for bytes.
    Bytes,
    /// Tokens that begin with the prefix go on with a word, others begin one.
    WordPieces { prefix: String, cleanup: bool },
    /// Tokens are text with marks in it.
    Marked(Marked),
}

/// Text with marks in it.
#[derive(Debug, Default)]
pub(super) struct Marked {
    /// Marks and what they stand for.
    replaced: Vec<(String, String)>,
    /// Whether tokens such as `<0x0A>` are bytes.
    bytes: bool,
    /// Whether the whole text loses a blank at its start.
    strip: bool,
}

/// What WordPiece's cleanup makes of a word with the blank before it.
const CLEANUP: [(&str, &str); 11] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

#[derive(Deserialize)]
struct WordPieceFile {
    prefix: String,
    cleanup: bool,
}

#[derive(Deserialize)]
struct MetaspaceFile {
    replacement: String,
    prepend_scheme: Option<String>,
    add_prefix_space: Option<bool>,
}

#[derive(Deserialize)]
struct ReplaceFile {
    pattern: Pattern,
    content: String,
}

#[derive(Deserialize)]
enum Pattern {
    String(String),
}

#[derive(Deserialize)]
struct StripFile {
    content: String,
    start: usize,
    stop: usize,
}

fn read<T: for<'de> Deserialize<'de>>(part: &Value) -> Result<T, TextError> {
    let not_json = |error| TextError::not_json(format!("decoder {}: {error}", kind_of(Some(part))));
    T::deserialize(part).map_err(not_json)
}

fn unsupported(found: &str) -> TextError {
    TextError::unsupported("decoder", found, SUPPORTED)
}

impl Decoder {
    pub(super) fn of(part: Option<&Value>) -> Result<Decoder, TextError> {
        Ok(match (kind_of(part), part) {
            ("none", _) | (_, None) => Decoder::Words,
            ("ByteLevel", _) => Decoder::Bytes,
            ("WordPiece", Some(part)) => {
                let WordPieceFile { prefix, cleanup } = read(part)?;
                Decoder::WordPieces { prefix, cleanup }
            }
            ("Sequence", Some(part)) => {
                let parts = part.get("decoders").and_then(Value::as_array);
                let parts = parts.ok_or_else(|| unsupported("Sequence without decoders"))?;
                if let [only] = &parts[..] {
                    return Decoder::of(Some(only));
                }
                let mut marked = Marked::default();
                parts.iter().try_for_each(|part| marked.add(part))?;
                Decoder::Marked(marked)
            }
            (_, Some(part)) => {
                let mut marked = Marked::default();
                marked.add(part)?;
                Decoder::Marked(marked)
            }
        })
    }

    /// Appends what a token adds to the text; `is_first` if no token before it has added anything.
    pub(super) fn append(&self, token: &str, is_first: bool, out: &mut Vec<u8>) {
        match self {
            Decoder::Words => {
                if !is_first {
                    out.push(b' ');
                }
                out.extend_from_slice(token.as_bytes());
            }
            Decoder::Bytes => append_bytes(token, out),
            Decoder::WordPieces { prefix, cleanup } => {
                let text = match token.strip_prefix(prefix.as_str()) {
                    _ if is_first => token.to_string(),
                    Some(rest) => rest.to_string(),
                    None => format!(" {token}"),
                };
                let text = match cleanup {
                    true => CLEANUP.iter().fold(text, |text, (from, to)| text.replace(from, to)),
                    false => text,
                };
                out.extend_from_slice(text.as_bytes());
            }
            Decoder::Marked(marked) => marked.append(token, is_first, out),
        }
    }
}

impl Marked {
    fn add(&mut self, part: &Value) -> Result<(), TextError> {
        match kind_of(Some(part)) {
            "Replace" => {
                let ReplaceFile { pattern: Pattern::String(mark), content } =
                    read(part).map_err(|_| unsupported("Replace of a regular expression"))?;
                self.replaced.push((mark, content));
            }
            "ByteFallback" => self.bytes = true,
            "Fuse" => {}
            "Strip" => {
                let StripFile { content, start, stop } = read(part)?;
                if (content.as_str(), start, stop) != (" ", 1, 0) {
                    return Err(unsupported("Strip of more than a blank at the start"));
                }
                self.strip = true;
            }
            "Metaspace" => {
                let MetaspaceFile { replacement, prepend_scheme, add_prefix_space } = read(part)?;
                self.replaced.push((replacement, " ".to_string()));
                self.strip = match prepend_scheme.as_deref() {
                    Some(scheme) => scheme != "never",
                    None => add_prefix_space.unwrap_or(true),
                };
            }
            other => return Err(unsupported(other)),
        }
        Ok(())
    }

    fn append(&self, token: &str, is_first: bool, out: &mut Vec<u8>) {
        if let Some(byte) = byte_of(token).filter(|_| self.bytes) {
            out.push(byte);
            return;
        }
        let replace = |text: String, (from, to): &(String, String)| text.replace(from, to);
        let text = self.replaced.iter().fold(token.to_string(), replace);
        let text = match text.strip_prefix(' ') {
            Some(rest) if is_first && self.strip => rest,
            _ => &text,
        };
        out.extend_from_slice(text.as_bytes());
    }
}

/// The byte that a token such as `<0x0A>` stands for.
fn byte_of(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn text(decoder: Value, tokens: &[&str]) -> String {
        let decoder = Decoder::of(Some(&decoder)).unwrap();
        let mut out = Vec::new();
        tokens.iter().enumerate().for_each(|(i, token)| decoder.append(token, i == 0, &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn marks_and_bytes_become_text() {
        let llama = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}
        ]});
        assert_eq!(text(llama, &["▁a", "▁▁b", "<0xC3>", "<0xA9>"]), "a  bé");
        let marks = json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
        assert_eq!(text(marks, &["▁", "x", "▁y"]), "x y");
        let pieces = json!({"type": "WordPiece", "prefix": "##", "cleanup": true});
        assert_eq!(text(pieces, &["it", "'s", "play", "##ing", "."]), "it's playing.");
        assert_eq!(text(Value::Null, &["a", "b"]), "a b");
    }

    #[test]
    fn other_decoders_are_named() {
        for (decoder, named) in [
            (json!({"type": "CTC"}), "CTC"),
            (json!({"type": "BPEDecoder", "suffix": "</w>"}), "BPEDecoder"),
            (json!({"type": "Strip", "content": " ", "start": 2, "stop": 0}), "Strip of more"),
            (
                json!({"type": "Replace", "pattern": {"Regex": "a"}, "content": ""}),
                "Replace of a regular expression",
            ),
        ] {
            let line = Decoder::of(Some(&decoder)).unwrap_err().to_string();
            assert!(line.contains(named), "{line}");
        }
    }
}
