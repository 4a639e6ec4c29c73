//! Damage to a file is an error, or changes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use tinytorch::autograd::{Ctx, Var};
use tinytorch::files::{
    ContentError, FileError, FormatError, Provenance, TensorFile, digest_params, load_model,
    save_model, write_tensors,
};
use tinytorch::models::{Architecture, MlpConfig};
use tinytorch::nn::{Forward, Init};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{Error, Rng, Tensor};

fn int8_file(path: &Path) -> Vec<u8> {
    let mlp = Architecture::Mlp(MlpConfig { inputs: 3, hidden: vec![4], outputs: 2 });
    let mut model = mlp.build(&mut Init::seed(1)).unwrap();
    let batch = Var::from(Tensor::randn([8, 3], 1.0, &mut Rng::seed(2)).unwrap());
    quantize_model(&mut *model, [Ok(batch)], &QuantConfig::default()).unwrap();
    save_model(path, &*model, &Provenance::default()).unwrap();
    std::fs::read(path).unwrap()
}

/// All that a file makes: the model, what it is called, and its answers.
fn read(path: &Path) -> Option<(String, String, Provenance, Vec<f32>)> {
    let loaded = load_model(path).ok()?;
    let input = Tensor::randn([5, 3], 1.0, &mut Rng::seed(3)).unwrap();
    let answers = loaded.model.call(&Var::from(input), &mut Ctx::eval()).ok()?;
    let answers = answers.value().to_vec::<f32>().unwrap();
    let description = loaded.model.description().unwrap();
    Some((digest_params(&*loaded.model).unwrap(), description, loaded.provenance, answers))
}

#[test]
fn no_flipped_bit_of_an_int8_file_changes_anything_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let whole = int8_file(&path);
    let sound = read(&path).expect("the file is whole");
    let mut harmless = 0;
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        // Some file systems wait for the disk when a file is overwritten, but not for a new one.
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        if let Some((digest, description, mut provenance, answers)) = read(&path) {
            // The name of the entry with the checksums is the one that they cannot vouch for; it is then a note.
            provenance.notes.retain(|_, note| !whole_checksums(&whole).contains(note.as_str()));
            assert_eq!((digest, description, provenance, answers), sound, "bit {bit}");
            harmless += 1;
        }
    }
    let key = 8 * "tinytorch_crc32".len();
    assert!(harmless <= key, "{harmless} of {} bits were let through", 8 * whole.len());
}

/// The text of the file's header, in which its checksums stand.
fn whole_checksums(file: &[u8]) -> String {
    let length = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    String::from_utf8(file[8..8 + length].to_vec()).unwrap()
}

fn grid(path: &Path) -> Vec<u8> {
    let tensors = [
        ("a", Tensor::arange(6).unwrap().reshape([2, 3]).unwrap()),
        ("b", Tensor::ones([3]).unwrap()),
    ];
    let notes = BTreeMap::from([("unit".to_string(), "meters".to_string())]);
    write_tensors(path, &tensors, &notes).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_damaged_tensor_is_named_and_the_others_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.safetensors");
    let mut bytes = grid(&path);
    *bytes.last_mut().unwrap() ^= 0x80;
    std::fs::write(&path, &bytes).unwrap();
    let file = TensorFile::open(&path).unwrap();
    assert!(file.has_checksums());
    assert_eq!(file.damaged(), ["b"]);
    assert!(file.tensor("a").is_ok() && file.bytes("a").is_ok());
    for failed in [file.tensor("b").err(), file.bytes("b").err()] {
        let error: Error = failed.expect("its last bit is another");
        let Some(FileError::Content { problem, .. }) = error.downcast_ref() else {
            panic!("{error}")
        };
        assert!(
            matches!(problem, ContentError::Damaged { tensor, .. } if tensor == "b"),
            "{problem}"
        );
    }
}

#[test]
fn a_damaged_header_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.safetensors");
    let bytes = grid(&path);
    let changed = whole_checksums(&bytes).replace("meters", "metres");
    let bytes = [&bytes[..8], changed.as_bytes(), &bytes[8 + changed.len()..]].concat();
    let error = TensorFile::from_bytes("grid", bytes).unwrap_err();
    let Some(FileError::Format { problem, .. }) = error.downcast_ref() else { panic!("{error}") };
    assert!(matches!(problem, FormatError::DamagedHeader { .. }), "{problem}");
}

#[test]
fn checksums_outlive_another_order_and_are_no_metadata_of_the_users() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grid.safetensors");
    let bytes = grid(&path);
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.metadata().keys().collect::<Vec<_>>(), ["unit"]);

    // As another program saves what it has read: all metadata, the tensors in an order of its own.
    let header: serde_json::Value =
        serde_json::from_str(whole_checksums(&bytes).trim_end()).unwrap();
    let data = bytes.len() - 36;
    let (a, b) = (bytes[data..data + 24].to_vec(), bytes[data + 24..].to_vec());
    let other = format!(
        r#"{{"b":{{"dtype":"F32","shape":[3],"data_offsets":[0,12]}},"a":{{"dtype":"F32","shape":[2,3],"data_offsets":[12,36]}},"__metadata__":{}}}"#,
        header["__metadata__"]
    );
    let other = [&(other.len() as u64).to_le_bytes(), other.as_bytes(), &b, &a].concat();
    let file = TensorFile::from_bytes("other", other).unwrap();
    assert!(file.has_checksums() && file.damaged().is_empty());

    let key = BTreeMap::from([("tinytorch_crc32".to_string(), String::new())]);
    let error = write_tensors(&path, &[("a", Tensor::ones([1]).unwrap())], &key).unwrap_err();
    assert!(error.to_string().contains("choose another"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the file is as it was");
}

#[test]
fn a_files_checksums_are_those_of_zip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.safetensors");
    let digits = Tensor::from_vec(b"123456789".to_vec(), [9]).unwrap();
    write_tensors(&path, &[("t", digits)], &BTreeMap::new()).unwrap();
    let header = whole_checksums(&std::fs::read(&path).unwrap());
    // The check value that CRC-32's definition gives for these nine bytes.
    assert!(header.contains("cbf43926\""), "{header}");
}
