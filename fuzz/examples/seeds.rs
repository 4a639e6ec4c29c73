//! Writes the seeds: small valid files of every kind.

use std::fs;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::{encode_npy, encode_npz};
use tinytorch::files::{Provenance, save_model, write_tensors};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::Init;
use tinytorch::text::{BpeTokenizer, CharTokenizer};

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

/// A llama of 4 channels, 2 heads and 5 tokens, all weights 0.5.
fn llama2c() -> Vec<u8> {
    let sizes = [4i32, 8, 1, 2, 1, 5, 4];
    let floats = 20 + 4 + 16 + 8 + 8 + 16 + 4 + 3 * 32 + 4 + 8;
    let sizes = sizes.iter().flat_map(|size| size.to_le_bytes());
    sizes.chain((0..floats).flat_map(|_| 0.5f32.to_le_bytes())).collect()
}

/// The fixed tokens, one for each byte, and two pieces of text.
fn tokenizer_bin() -> Vec<u8> {
    let bytes = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let fixed = ["<unk>", "\n<s>\n", "\n</s>\n"].map(String::from);
    let pieces = fixed.into_iter().chain(bytes).chain(["s", "h", "sh"].map(String::from));
    let mut file = 8i32.to_le_bytes().to_vec();
    for (rank, piece) in pieces.enumerate() {
        file.extend((-(rank as f32)).to_le_bytes());
        file.extend((piece.len() as i32).to_le_bytes());
        file.extend(piece.as_bytes());
    }
    file
}

/// Two images of 2 x 3 as MNIST stores them.
fn idx() -> Vec<u8> {
    let sizes = [2u32, 2, 3].into_iter().flat_map(u32::to_be_bytes);
    [0, 0, 8, 3].into_iter().chain(sizes).chain(0..12).collect()
}

const CONFIG: &str = r#"{"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1,
 "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 8, "hidden_act": "gelu",
 "type_vocab_size": 2, "layer_norm_eps": 1e-12, "pad_token_id": 0, "position_embedding_type": "absolute"}"#;

fn main() -> Anything<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let folder = |target: &str| -> Anything<_> {
        let folder = root.join(target);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let grid = Tensor::arange(6)?.reshape([2, 3])?;
    let notes = [("unit".to_string(), "meters".to_string())].into();
    write_tensors(folder("safetensors")?.join("grid"), &[("grid", grid.clone())], &notes)?;
    let mlp = Architecture::Mlp(MlpConfig { inputs: 3, hidden: vec![4], outputs: 2 });
    let mlp = mlp.build(&mut Init::seed(0))?;
    save_model(folder("model")?.join("mlp"), &*mlp, &Provenance::default())?;
    let json = folder("tokenizer_json")?;
    BpeTokenizer::train("she sells sea shells", 260)?.save(json.join("bpe"))?;
    CharTokenizer::from_corpus("she sells sea shells")?.save(json.join("characters"))?;
    fs::write(folder("tokenizer_bin")?.join("bytes"), tokenizer_bin())?;
    fs::write(folder("llama2c")?.join("tiny"), llama2c())?;
    fs::write(folder("config_json")?.join("bert"), CONFIG)?;
    fs::write(folder("npy")?.join("grid"), encode_npy(&grid)?)?;
    fs::write(folder("npz")?.join("grids"), encode_npz(&[("a", &grid), ("b", &grid)])?)?;
    fs::write(folder("csv")?.join("table"), "a,b,label\n1,2.5,0\n-3e1,4,1\n")?;
    fs::write(folder("idx")?.join("images"), idx())?;
    fs::write(folder("cifar10")?.join("batch"), vec![1; 2 * 3073])?;
    Ok(())
}
