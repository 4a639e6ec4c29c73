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
//! let made = generate(decoder, &tokenizer, "HELLO", sampler, limits, |piece| print!("{piece}"))?;
//! assert!(made.text.starts_with("HELLO"));
//! # Ok::<(), tinytorch::Error>(())
//! ```

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
