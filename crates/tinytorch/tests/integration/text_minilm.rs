//! all-MiniLM-L6-v2's own tokenizer file, where it is at hand: `TINYTORCH_MINILM` names the folder
//! with its `tokenizer.json`.

use std::path::PathBuf;
use tinytorch::text::{HfTokenizer, Padding, Tokenizer};

const SENTENCES: [&str; 5] = [
    "A man is playing a guitar.",
    "The quick brown fox jumps over the lazy dog.",
    "Quantization maps real numbers to 8-bit integers.",
    "Two dogs are running through a snowy field in the early morning.",
    "Hello",
];

#[rustfmt::skip]
const IDS: [[i64; 15]; 5] = [
    [101, 1037, 2158, 2003, 2652, 1037, 2858, 1012, 102, 0, 0, 0, 0, 0, 0],
    [101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102, 0, 0, 0],
    [101, 24110, 3775, 9276, 7341, 2613, 3616, 2000, 1022, 1011, 2978, 24028, 1012, 102, 0],
    [101, 2048, 6077, 2024, 2770, 2083, 1037, 20981, 2492, 1999, 1996, 2220, 2851, 1012, 102],
    [101, 7592, 102, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];

#[test]
fn sentences_get_the_ids_the_model_was_trained_with() {
    let Some(folder) = std::env::var_os("TINYTORCH_MINILM").map(PathBuf::from) else {
        println!("skipped: TINYTORCH_MINILM does not name a folder");
        return;
    };
    let tokenizer = HfTokenizer::load(folder.join("tokenizer.json")).unwrap();
    assert_eq!(tokenizer.vocab_size(), 30522);
    assert_eq!(tokenizer.truncation().unwrap().max_length, 128);
    let tokenizer = tokenizer.with_padding(Some(Padding::new(0, "[PAD]"))).unwrap();
    let batch = tokenizer.encode_batch(SENTENCES).unwrap();
    let expected = IDS.as_flattened();
    assert_eq!(batch.ids.shape().to_vec(), [5, 15]);
    assert_eq!(batch.ids.to_vec::<i64>().unwrap(), expected);
    let mask: Vec<i64> = expected.iter().map(|&id| i64::from(id != 0)).collect();
    assert_eq!(batch.attention_mask.to_vec::<i64>().unwrap(), mask);
    assert_eq!(batch.type_ids.to_vec::<i64>().unwrap(), [0; 75]);
    assert_eq!(tokenizer.decode(&IDS[0]).unwrap(), "a man is playing a guitar.");
}
