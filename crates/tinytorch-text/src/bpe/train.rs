//! Learning a vocabulary of byte pairs.

use super::{BpeTokenizer, Merge, alphabet, split};
use crate::{AddedToken, TextError, Vocab};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use tinytorch_core::Result;

type Pair = (u32, u32);

/// Learns a byte-level BPE vocabulary from text.
///
/// The most frequent pair of neighboring tokens within a word becomes a token, again and again
/// (Sennrich et al., 2016). Among equally frequent pairs the one with the lowest ids goes first,
/// so the same corpus always gives the same tokenizer, and the one that Hugging Face's trainer
/// gives.
///
/// ```
/// use tinytorch_text::{BpeTrainer, Tokenizer};
/// let tokenizer = BpeTrainer::new(259)
///     .special_tokens(["<|endoftext|>"])
///     .train(["low lower lowest"])?;
/// assert_eq!(tokenizer.vocab().iter().skip(257).collect::<Vec<_>>(), ["lo", "low"]);
/// # Ok::<(), tinytorch_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BpeTrainer {
    vocab_size: usize,
    min_count: u64,
    special: Vec<String>,
}

impl BpeTrainer {
    /// A trainer for a vocabulary of at most `vocab_size` tokens; fewer if the corpus has no more
    /// pairs to join.
    pub fn new(vocab_size: usize) -> BpeTrainer {
        BpeTrainer { vocab_size, min_count: 2, special: Vec::new() }
    }

    /// Pairs seen less often than this are not joined; 2 unless set.
    pub fn min_count(mut self, min_count: u64) -> BpeTrainer {
        self.min_count = min_count;
        self
    }

    /// Tokens that take the first ids and are found in text as a whole.
    pub fn special_tokens<'a>(mut self, tokens: impl IntoIterator<Item = &'a str>) -> BpeTrainer {
        self.special = tokens.into_iter().map(str::to_owned).collect();
        self
    }

    /// Learns from all texts of the corpus; no token spans two of them.
    ///
    /// # Errors
    /// [`TextError::EmptyCorpus`] for no text at all, [`TextError::VocabSize`] for a vocabulary
    /// that cannot hold 256 bytes and the special tokens, [`TextError::DuplicateToken`] for a
    /// special token that comes twice or is a single byte.
    pub fn train<'a>(&self, corpus: impl IntoIterator<Item = &'a str>) -> Result<BpeTokenizer> {
        let least = 256 + self.special.len();
        if self.vocab_size < least {
            return Err(TextError::VocabSize { asked: self.vocab_size, least }.into());
        }
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for word in corpus.into_iter().flat_map(split::words) {
            *counts.entry(word).or_default() += 1;
        }
        if counts.is_empty() {
            return Err(TextError::EmptyCorpus.into());
        }
        let mut vocab = Vocab::new(self.special.iter().map(String::as_str))?;
        for byte in alphabet::bytes_in_order() {
            vocab.push(alphabet::char_of(byte).encode_utf8(&mut [0; 4]))?;
        }
        let byte_ids = super::byte_ids(&vocab)?;
        let words = counts.iter().map(|(word, &count)| Word {
            symbols: word.bytes().map(|byte| byte_ids[usize::from(byte)]).collect(),
            count,
        });
        let mut pairs = Pairs::new(words.collect());
        let mut merges = HashMap::new();
        while vocab.len() < self.vocab_size {
            let Some(pair) = pairs.most_frequent(self.min_count) else { break };
            let joined = [vocab.at(pair.0), vocab.at(pair.1)].concat();
            if self.special.contains(&joined) {
                // Ordinary text must never become a special token, which decoding leaves out.
                pairs.forget(pair);
                continue;
            }
            let id = vocab.index(&joined).map_or_else(|| vocab.push(&joined), Ok)?;
            merges.insert(pair, Merge { rank: merges.len() as u32, id });
            pairs.join(pair, id);
        }
        let special = self.special.iter().enumerate();
        let added = special.map(|(id, token)| AddedToken::special(id as i64, token)).collect();
        Ok(BpeTokenizer::new(vocab, merges, added, false)?)
    }
}

#[derive(Default)]
struct Word {
    symbols: Vec<u32>,
    count: u64,
}

impl Word {
    fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.symbols.windows(2).map(|pair| (pair[0], pair[1]))
    }
}

/// The words of the corpus with the count of every pair in them, kept up to date as pairs are
/// joined: a step touches only the words that have the pair.
struct Pairs {
    words: Vec<Word>,
    counts: HashMap<Pair, u64>,
    /// The words a pair was ever seen in; it may have left some of them since.
    places: HashMap<Pair, Vec<u32>>,
    /// Candidates by count, then lowest ids. An entry whose count has changed is corrected when it
    /// comes up.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Pairs {
    fn new(words: Vec<Word>) -> Pairs {
        let mut pairs = Pairs {
            words: Vec::new(),
            counts: HashMap::new(),
            places: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        for (at, word) in words.iter().enumerate() {
            pairs.count(word);
            pairs.place(word, at as u32, |_| true);
        }
        pairs.queue = pairs.counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect();
        pairs.words = words;
        pairs
    }

    fn count(&mut self, word: &Word) {
        for pair in word.pairs() {
            *self.counts.entry(pair).or_default() += word.count;
        }
    }

    /// Notes the word as a place of those of its pairs that are new in it.
    fn place(&mut self, word: &Word, at: u32, is_new: impl Fn(Pair) -> bool) -> Vec<Pair> {
        let mut new = Vec::new();
        for pair in word.pairs().filter(|&pair| is_new(pair)) {
            let places = self.places.entry(pair).or_default();
            if places.last() != Some(&at) {
                places.push(at);
                new.push(pair);
            }
        }
        new
    }

    fn most_frequent(&mut self, min_count: u64) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let current = self.counts.get(&pair).copied().unwrap_or(0);
            if current == 0 {
                continue;
            }
            if current == count {
                return (count >= min_count).then_some(pair);
            }
            self.queue.push((current, Reverse(pair)));
        }
        None
    }

    /// Takes a pair out of the running.
    fn forget(&mut self, pair: Pair) {
        self.counts.remove(&pair);
        self.places.remove(&pair);
    }

    /// Makes `joined` of the pair wherever it stands.
    fn join(&mut self, pair: Pair, joined: u32) {
        let mut grown = Vec::new();
        for at in self.places.remove(&pair).unwrap_or_default() {
            let old = std::mem::take(&mut self.words[at as usize]);
            for pair in old.pairs() {
                if let Some(total) = self.counts.get_mut(&pair) {
                    *total -= old.count;
                }
            }
            let word = Word { symbols: replace(&old.symbols, pair, joined), count: old.count };
            self.count(&word);
            grown.extend(self.place(&word, at, |(l, r)| l == joined || r == joined));
            self.words[at as usize] = word;
        }
        self.forget(pair);
        grown.sort_unstable();
        grown.dedup();
        let counts = &self.counts;
        self.queue.extend(grown.into_iter().map(|pair| (counts[&pair], Reverse(pair))));
    }
}

/// The symbols with every occurrence of `pair`, from the left, as one.
fn replace(symbols: &[u32], pair: Pair, joined: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(symbols.len());
    let mut rest = symbols;
    while let Some((&first, tail)) = rest.split_first() {
        let found = first == pair.0 && tail.first() == Some(&pair.1);
        out.push(if found { joined } else { first });
        rest = if found { &tail[1..] } else { tail };
    }
    out
}
