//! What is digested of what models learn from: random numbers, embedded data, the order of batches, tokens.

use super::values::Values;
use std::path::Path;
use tinytorch::data::{DataLoader, Examples, digits, tinytalks};
use tinytorch::text::{CharTokenizer, Tokenizer, load_tokenizer};
use tinytorch::{Rng, Tensor};

fn examples(values: &mut Values, name: &str, examples: &Examples) {
    values.tensor(&format!("{name}/inputs"), examples.inputs());
    values.tensor(&format!("{name}/labels"), examples.labels());
}

fn encoded(values: &mut Values, name: &str, tokenizer: &dyn Tokenizer, texts: &[&str]) {
    for (i, text) in texts.iter().enumerate() {
        let ids = tokenizer.encode(text).unwrap();
        values.put(&format!("{name}/{i}/decoded"), tokenizer.decode(&ids).unwrap());
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        values.put(&format!("{name}/{i}/ids"), ids.join(" "));
    }
}

pub(crate) fn data_and_text(values: &mut Values) {
    let mut rng = Rng::seed(11);
    values.tensor("rng/uniform", &Tensor::rand([1000], -1.0, 2.0, &mut rng).unwrap());
    values.tensor("rng/normal", &Tensor::randn([1000], 1.5, &mut rng).unwrap());
    let mut order: Vec<i64> = (0..100).map(|i| i + rng.below(50) as i64).collect();
    rng.fork().shuffle(&mut order);
    values.tensor("rng/shuffle", &Tensor::from_vec(order, [100]).unwrap());

    let data = digits().unwrap();
    examples(values, "digits/train", &data.train);
    examples(values, "digits/test", data.test.as_ref().unwrap());
    values.tensor("digits/calibration", &data.calibration(64, 3).unwrap());
    let split = data.clone().hold_out(200, 5).unwrap();
    examples(values, "digits/held-out", split.test.as_ref().unwrap());
    let loader = DataLoader::new(data.train, 32).unwrap().shuffle(true).seed(7);
    for epoch in [0, 3] {
        let order = loader.order(epoch).into_iter().map(|i| i as i64).collect();
        let order = Tensor::from_vec(order, [loader.dataset().len()]).unwrap();
        values.tensor(&format!("digits/order/{epoch}"), &order);
    }

    let talks = tinytalks();
    let tokenizer = talks.tokenizer().unwrap();
    let windows = talks.windows(&tokenizer, 64).unwrap();
    examples(values, "talks/train", &windows.train);
    examples(values, "talks/valid", &windows.valid);
    examples(values, "talks/test", &windows.test);
    encoded(values, "talks/tokenizer", &tokenizer, &["Q: What is 2 plus 2?", "ünknown"]);
    values.bytes("talks/tokenizer/json", &tokenizer.to_json());
    let characters = CharTokenizer::from_corpus("hello world").unwrap();
    encoded(values, "characters", &characters, &["hold", "dew"]);

    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let texts = ["The quick brown fox, it's 12:30!", "naïve café", "  two  spaces\nand a line"];
    for (name, file) in [
        ("bpe", "tokenizers/bpe.json"),
        ("wordpiece", "tokenizers/wordpiece.json"),
        ("llama2c", "stories260K/tok512.bin"),
    ] {
        encoded(values, name, &*load_tokenizer(data.join(file)).unwrap(), &texts);
    }
}
