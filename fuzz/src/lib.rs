//! What each fuzz target does with the bytes that it is given: whatever they are, a parser answers with a
//! value or an error.

use std::path::Path;
use tempfile::TempDir;
use tinytorch::Tensor;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::data::{Npz, decode_cifar10, decode_csv, decode_idx, decode_npy, load};
use tinytorch::files::{TensorFile, import_folder, load_llama2c, load_model};
use tinytorch::nn::Forward;
use tinytorch::tensor::Shape;
use tinytorch::text::{HfTokenizer, Llama2cTokenizer, SentencePieceTokenizer, Tokenizer};
use tinytorch_onnx::{Dim, OnnxModel, ValueInfo};

/// A parser, given bytes.
pub type Target = fn(&[u8]);

/// Every target under its name.
pub const TARGETS: [(&str, Target); 17] = [
    ("safetensors", safetensors),
    ("model", model),
    ("tokenizer_json", tokenizer_json),
    ("tokenizer_bin", tokenizer_bin),
    ("tokenizer_model", tokenizer_model),
    ("llama2c", llama2c),
    ("config_json", config_json),
    ("npy", npy),
    ("npz", npz),
    ("npz_member", npz_member),
    ("csv", csv),
    ("idx", idx),
    ("cifar10", cifar10),
    ("onnx", onnx),
    ("torch", torch),
    ("torch_pickle", torch_pickle),
    ("picture", picture),
];

/// A safetensors file, and every tensor that its header names.
pub fn safetensors(bytes: &[u8]) {
    let Ok(file) = TensorFile::from_bytes("fuzz", bytes.to_vec()) else { return };
    for (name, _) in file.tensors() {
        let _ = file.tensor(name);
    }
}

/// A model file: the architecture in its metadata is built and its tensors loaded.
pub fn model(bytes: &[u8]) {
    in_a_file("model.safetensors", bytes, |path| drop(load_model(path)));
}

/// A Hugging Face `tokenizer.json`, and a text through what it gives.
pub fn tokenizer_json(bytes: &[u8]) {
    let Ok(tokenizer) = HfTokenizer::from_json(bytes) else { return };
    if let Ok(ids) = tokenizer.encode("she sells sea shells, 貝") {
        let _ = tokenizer.decode(&ids);
    }
}

/// A `tokenizer.bin` of llama2.c, and a text through what it gives.
pub fn tokenizer_bin(bytes: &[u8]) {
    let Ok(tokenizer) = Llama2cTokenizer::from_bytes(bytes) else { return };
    if let Ok(ids) = tokenizer.encode("she sells sea shells, 貝") {
        let _ = tokenizer.decode(&ids);
    }
}

/// SentencePiece's `tokenizer.model`, and a text through what it gives.
pub fn tokenizer_model(bytes: &[u8]) {
    let Ok(tokenizer) = SentencePieceTokenizer::from_bytes(bytes) else { return };
    if let Ok(ids) = tokenizer.encode("she sells sea shells, 貝") {
        let _ = tokenizer.decode(&ids);
    }
}

/// Weights of llama2.c.
pub fn llama2c(bytes: &[u8]) {
    in_a_file("model.bin", bytes, |path| drop(load_llama2c(path)));
}

/// A `config.json` as Hugging Face publishes them, without weights beside it.
pub fn config_json(bytes: &[u8]) {
    in_a_file("config.json", bytes, |path| {
        drop(import_folder(path.parent().unwrap_or(path)));
    });
}

/// A NumPy array.
pub fn npy(bytes: &[u8]) {
    let _ = decode_npy("fuzz", bytes);
}

/// A zip of NumPy arrays.
pub fn npz(bytes: &[u8]) {
    let Ok(mut archive) = Npz::from_bytes("fuzz", bytes.to_vec()) else { return };
    let names: Vec<String> = archive.names().map(String::from).collect();
    for name in names {
        let _ = archive.read(&name);
    }
}

/// A table of numbers.
pub fn csv(bytes: &[u8]) {
    let _ = decode_csv("fuzz", bytes);
}

/// MNIST's format, plain or compressed.
pub fn idx(bytes: &[u8]) {
    let _ = decode_idx("fuzz", bytes);
}

/// CIFAR-10's batches.
pub fn cifar10(bytes: &[u8]) {
    let _ = decode_cifar10("fuzz", bytes);
}

/// An ONNX model: its graph is read, its constants are computed, and it runs op by op on small inputs, and one file in
/// sixteen as a plan too, whose outputs have the shapes and types of the others.
pub fn onnx(bytes: &[u8]) {
    let Ok(model) = OnnxModel::from_bytes("fuzz", bytes.to_vec()) else { return };
    let inputs = model.inputs().iter().map(example).collect::<Option<Vec<Tensor>>>();
    let Some(inputs) = inputs else { return };
    let vars: Vec<Var> = inputs.iter().map(Var::from).collect();
    let mut ctx = Ctx::eval().at_most(1 << 20).within(1 << 26);
    let Ok(outputs) = model.forward(&vars, &mut ctx) else { return };
    if crc32(bytes) % 16 > 0 {
        return;
    }
    let Ok(mut plan) = model.plan_for(&inputs) else { return };
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let Ok(planned) = plan.run_many(&inputs) else { return };
    for (planned, own) in planned.iter().zip(&outputs) {
        assert_eq!((planned.shape(), planned.dtype()), (own.shape(), own.value().dtype()));
    }
}

/// A few numbers as an input; `None` if it is not a small one.
fn example(input: &ValueInfo) -> Option<Tensor> {
    let size = |dim: &Dim| if let Dim::Size(size) = dim { *size } else { 2 };
    let sizes: Vec<usize> = input.dims.iter().flatten().map(size).collect();
    let shape = Shape::new(&sizes).ok().filter(|shape| shape.len() <= 4096)?;
    let values = (0..shape.len()).map(|i| (i % 5) as f32 - 1.0).collect();
    let values = Var::from(&Tensor::from_vec(values, shape).ok()?);
    values.cast(input.dtype, &mut Ctx::eval()).map(Var::into_value).ok()
}

/// An archive of PyTorch, and every tensor that its pickle names.
pub fn torch(bytes: &[u8]) {
    safetensors(bytes);
}

/// A pickle in an otherwise sound archive of PyTorch, whose checksum would keep most changes from its reader.
pub fn torch_pickle(bytes: &[u8]) {
    let storage = [7u8; 64];
    safetensors(&archive(&[("m/data.pkl", bytes), ("m/data/0", &storage), ("m/data/1", &storage)]));
}

/// An array in an otherwise sound zip.
pub fn npz_member(bytes: &[u8]) {
    npz(&archive(&[("a.npy", bytes)]));
}

/// A picture, as the folder of a class has it.
pub fn picture(bytes: &[u8]) {
    in_a_file("class/picture.png", bytes, |path| {
        let class = path.parent().unwrap_or(path);
        drop(load(class.parent().unwrap_or(class)));
    });
}

/// A ZIP archive of these members, as they are.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for &(name, content) in members {
        let start = (file.len() as u32).to_le_bytes();
        let length = (content.len() as u32).to_le_bytes();
        let name_length = (name.len() as u16).to_le_bytes();
        let common =
            [&[0; 10][..], &crc32(content).to_le_bytes(), &length, &length, &name_length].concat();
        file.extend([b"PK\x03\x04", &common[..], &[0; 2], name.as_bytes(), content].concat());
        directory
            .extend([b"PK\x01\x02\0\0", &common[..], &[0; 12], &start, name.as_bytes()].concat());
    }
    let (start, length) = (file.len() as u32, directory.len() as u32);
    let count = (members.len() as u16).to_le_bytes();
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &count[..], &count].concat());
    file.extend([length.to_le_bytes(), start.to_le_bytes()].concat());
    file.extend([0; 2]);
    file
}

/// The checksum of a ZIP archive.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
}

/// Hands over a file of these bytes in a folder that is this thread's own.
fn in_a_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    thread_local! {
        static FOLDER: TempDir = tempfile::tempdir().expect("the system has room for a folder");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        let below = path.parent().expect("a file in a folder has one");
        std::fs::create_dir_all(below).expect("the system has room for a folder");
        std::fs::write(&path, bytes).expect("the system has room for a file");
        read(&path);
        // What another target finds must be its own.
        std::fs::remove_file(&path).expect("the file was written just now");
    });
}
