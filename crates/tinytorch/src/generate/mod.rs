//! Text from a language model: choosing tokens, and remembering what was computed.
//!
//! A [`Generator`] asks a [`Decoder`](crate::models::Decoder) for the scores of the next token, lets a
//! [`Sampler`] choose one, and goes on behind it; [`generate`] does the same from text to text. Keys
//! and values of earlier positions stay in a cache, [`F32Cache`] or [`Int8Cache`], so that a step costs
//! one position and not all of them.
//!
//! ```
//! use tinytorch::generate::{CacheKind, Limits, Sampler, Sampling, generate};
//! use tinytorch::{models::Architecture, nn::Init, text::CharTokenizer};
//!
//! let model = Architecture::preset("talks-gpt")?.build(&mut Init::seed(0))?;
//! let tokenizer = CharTokenizer::from_corpus(&(' '..='c').collect::<String>())?;
//! let sampler = Sampler::new(Sampling { temperature: 0.8, top_k: Some(10), top_p: None, seed: 1 })?;
//! let limits = Limits { steps: 8, ends: vec![0], cache: Some(CacheKind::Int8) };
//! let decoder = model.as_decoder().expect("a GPT is a decoder");
//! let made = generate(decoder, &tokenizer, "HELLO", sampler, limits, |piece| {
//!     print!("{piece}");
//!     Ok(())
//! })?;
//! assert!(made.text.starts_with("HELLO"));
//! # Ok::<(), tinytorch::Error>(())
//! ```
//!
//! # What a cache saves
//! Microseconds for a token at a position, for a decoder of the sizes of stories260K, with f32 and with
//! int8 weights (`tinytorch bench generate`, also with `--int8`, on two cores of a Zen 4):
//!
//! | position | none | f32 cache | int8 cache | int8: none | f32 cache | int8 cache |
//! |---|---|---|---|---|---|---|
//! | 16 | 294 | 115 | 121 | 310 | 72 | 77 |
//! | 64 | 1,801 | 119 | 122 | 1,467 | 74 | 79 |
//! | 256 | 15,066 | 132 | 132 | 8,395 | 87 | 88 |
//! | 512 | 49,675 | 147 | 143 | 63,532 | 103 | 101 |
//!
//! For 512 positions the caches of all blocks hold 657 kB in f32 and 250 kB in int8, whose scales weigh
//! much since a head has 8 entries; with 64 entries the share is 0.27 (`tests/generate_memory.rs`).

mod cache;
mod error;
mod generator;
mod sampler;
mod score;

pub use cache::{CacheKind, CacheSizes, F32Cache, Int8Cache};
pub use error::GenerateError;
pub use generator::{Finish, Generated, Generator, Limits, generate};
pub use sampler::{Sampler, Sampling};
pub use score::{TextScore, score_text};
