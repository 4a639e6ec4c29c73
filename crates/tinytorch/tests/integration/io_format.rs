//! Files that are not what the safetensors format allows are refused, each by its own error, and
//! those that are give the same tensors as the format's own library.

use proptest::prelude::*;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::path::PathBuf;
use tinytorch::Tensor;
use tinytorch::files::{
    ContentError, FileDtype, FileError, FormatError, TensorFile, write_tensors,
};

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn problem(bytes: Vec<u8>) -> FormatError {
    let error = TensorFile::from_bytes("some/model.safetensors", bytes).unwrap_err();
    assert!(error.to_string().starts_with("some/model.safetensors: "), "{error}");
    match error.downcast().unwrap() {
        FileError::Format { path, problem } => {
            assert_eq!(path, PathBuf::from("some/model.safetensors"));
            problem
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_header_that_is_not_one_is_refused_before_anything_is_allocated() {
    assert_eq!(problem(vec![]), FormatError::TooShort { bytes: 0 });
    assert_eq!(problem(vec![1; 7]), FormatError::TooShort { bytes: 7 });
    let length = 100_000_001u64;
    let limit = 100_000_000;
    assert_eq!(
        problem(length.to_le_bytes().to_vec()),
        FormatError::HeaderTooLarge { length, limit }
    );
    assert_eq!(
        problem(u64::MAX.to_le_bytes().to_vec()),
        FormatError::HeaderTooLarge { length: u64::MAX, limit }
    );
    let cut = file("{}", &[])[..9].to_vec();
    assert_eq!(problem(cut), FormatError::HeaderTruncated { length: 2, available: 1 });
    for header in [
        "",
        " {}",
        "[]",
        "{",
        "nonsense",
        r#"{"a":1}"#,
        r#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}"#,
        r#"{"a":{"dtype":"F32","shape":[1]}}"#,
        r#"{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"note":1}}"#,
        r#"{"__metadata__":{"epoch":3}}"#,
        r#"{"__metadata__":{"a":"1"},"__metadata__":{"b":"2"}}"#,
    ] {
        let problem = problem(file(header, &[0; 4]));
        assert!(matches!(problem, FormatError::Header { .. }), "{header}: {problem:?}");
    }
    let named = problem(file(r#"{"conv.weight":{"dtype":"F32","shape":7}}"#, &[]));
    assert!(named.to_string().contains("conv.weight"), "{named}");
    let deep = format!("{{\"a\":{}", "[".repeat(1_000_000));
    assert!(matches!(problem(file(&deep, &[])), FormatError::Header { .. }));
}

#[test]
fn duplicates_are_refused() {
    let empty = r#"{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    let twice = format!(r#"{{"a":{empty},"b":{empty},"a":{empty}}}"#);
    assert_eq!(problem(file(&twice, &[])), FormatError::DuplicateName { tensor: "a".into() });
    let keys = r#"{"__metadata__":{"k":"1","k":"2"}}"#;
    assert_eq!(problem(file(keys, &[])), FormatError::DuplicateKey { key: "k".into() });
}

#[test]
fn tensors_must_fill_the_file_side_by_side() {
    let two = |a: [usize; 2], b: [usize; 2]| {
        let entry = |name, [begin, end]: [usize; 2]| {
            let len = end.saturating_sub(begin);
            format!(r#""{name}":{{"dtype":"U8","shape":[{len}],"data_offsets":[{begin},{end}]}}"#)
        };
        format!("{{{},{}}}", entry("a", a), entry("b", b))
    };
    assert!(TensorFile::from_bytes("m", file(&two([2, 6], [0, 2]), &[0; 6])).is_ok());

    let overlap = FormatError::Overlap { first: "a".into(), second: "b".into() };
    assert_eq!(problem(file(&two([0, 4], [3, 6]), &[0; 6])), overlap);
    let hole = FormatError::Hole { tensor: "b".into(), bytes: 1 };
    assert_eq!(problem(file(&two([0, 3], [4, 6]), &[0; 6])), hole);
    let hole = FormatError::Hole { tensor: "a".into(), bytes: 2 };
    assert_eq!(problem(file(&two([2, 3], [3, 6]), &[0; 6])), hole);
    let truncated = FormatError::Truncated { tensor: "b".into(), missing: 2 };
    assert_eq!(problem(file(&two([0, 3], [3, 6]), &[0; 4])), truncated);
    assert_eq!(problem(file(&two([0, 3], [3, 6]), &[0; 9])), FormatError::Trailing { bytes: 3 });
    assert_eq!(problem(file("{}", &[0; 5])), FormatError::Trailing { bytes: 5 });
    assert!(matches!(
        problem(file(&two([0, 3], [6, 3]), &[0; 6])),
        FormatError::Size { begin: 6, end: 3, .. }
    ));
}

#[test]
fn shapes_and_types_must_make_sense() {
    let one = |dtype: &str, shape: &str, end: usize| {
        let header =
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#);
        file(&header, &vec![0; end])
    };
    let unknown = FormatError::UnknownDtype { tensor: "w".into(), dtype: "F31".into() };
    assert_eq!(problem(one("F31", "[1]", 4)), unknown);
    assert!(matches!(problem(one("F32", "[2,3]", 20)), FormatError::Size { .. }));
    assert!(matches!(problem(one("F4", "[3]", 1)), FormatError::Size { .. }));
    let huge = format!("[{},{}]", u64::MAX, u64::MAX);
    assert!(matches!(problem(one("F32", &huge, 4)), FormatError::TooLarge { rank: 2, .. }));
    assert!(matches!(
        problem(one("F32", "[0,18446744073709551615,2]", 0)),
        FormatError::TooLarge { .. }
    ));
    assert!(matches!(
        problem(one("U8", "[1,1,1,1,1,1,1,1,1]", 1)),
        FormatError::TooLarge { rank: 9, .. }
    ));

    let valid = TensorFile::from_bytes("m", one("U64", "[2]", 16)).unwrap();
    match valid.tensor("w").unwrap_err().downcast().unwrap() {
        FileError::Content { problem: ContentError::Dtype { tensor, got, .. }, .. } => {
            assert_eq!((tensor.as_str(), got), ("w", FileDtype::U64));
        }
        other => panic!("{other:?}"),
    }
    let missing = valid.tensor("bias").unwrap_err().to_string();
    assert!(missing.contains("tensor \"bias\" is missing"), "{missing}");
}

#[test]
fn halves_widen_when_they_are_loaded_and_other_types_stay_what_they_are() {
    let floats = [1.0f32, -0.5, 65504.0, 0.0];
    let half: Vec<u8> = floats.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect();
    let brain: Vec<u8> = [1.0f32, -0.5, 1e30, 0.0]
        .iter()
        .flat_map(|&v| half::bf16::from_f32(v).to_le_bytes())
        .collect();
    let ints = [0, 0, 0, 0x80, 0xff, 0xff, 0xff, 0xff, 7, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f].to_vec();
    let header = r#"{"f":{"dtype":"F16","shape":[2,2],"data_offsets":[0,8]},
        "b":{"dtype":"BF16","shape":[4],"data_offsets":[8,16]},
        "i":{"dtype":"I32","shape":[4],"data_offsets":[16,32]},
        "s":{"dtype":"I8","shape":[],"data_offsets":[32,33]},
        "t":{"dtype":"BOOL","shape":[2,1],"data_offsets":[33,35]},
        "n":{"dtype":"BOOL","shape":[0],"data_offsets":[35,35]},
        "x":{"dtype":"BOOL","shape":[3],"data_offsets":[35,38]}}"#;
    let bytes = file(header, &[half, brain, ints, vec![0x80, 1, 0, 0, 1, 2]].concat());
    let file = TensorFile::from_bytes("m", bytes).unwrap();
    assert_eq!(file.tensor("f").unwrap().to_vec::<f32>().unwrap(), floats);
    assert_eq!(file.tensor("f").unwrap().shape().dims(), [2, 2]);
    let b = file.tensor("b").unwrap().to_vec::<f32>().unwrap();
    assert_eq!(b[..2], [1.0, -0.5]);
    assert!((b[2] / 1e30 - 1.0).abs() < 0.01);
    let ints = file.tensor("i").unwrap().to_vec::<i32>().unwrap();
    assert_eq!(ints, [-2_147_483_648, -1, 7, 2_147_483_647]);
    assert_eq!(file.tensor("s").unwrap().to_vec::<i8>().unwrap(), [-128]);
    assert_eq!(file.tensor("t").unwrap().to_vec::<bool>().unwrap(), [true, false]);
    assert_eq!(file.tensor("t").unwrap().shape().dims(), [2, 1]);
    assert!(file.tensor("n").unwrap().is_empty());
    match file.tensor("x").unwrap_err().downcast().unwrap() {
        FileError::Content { problem, .. } => {
            let flag = ContentError::Flag { tensor: "x".into(), index: 2, value: 2 };
            assert_eq!(problem, flag);
        }
        other => panic!("{other:?}"),
    }
    for (name, info) in file.tensors().filter(|(name, _)| *name != "x") {
        assert_eq!(info.memory_dtype(), Some(file.tensor(name).unwrap().dtype()), "{name}");
    }
}

#[test]
fn a_file_that_is_cut_while_it_is_open_names_the_tensor() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let tensors = [("a", Tensor::arange(1000).unwrap()), ("b", Tensor::arange(300_000).unwrap())];
    write_tensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let length = file.file_bytes() as u64;
    std::fs::File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
    assert_eq!(file.tensor("a").unwrap().as_slice::<f32>().unwrap()[999], 999.0);
    for error in [file.tensor("b").map(drop), file.bytes("b").map(drop)].map(Result::unwrap_err) {
        let Some(FileError::Content { problem, .. }) = error.downcast_ref() else {
            panic!("{error}")
        };
        assert_eq!(*problem, ContentError::Cut { tensor: "b".into() });
        assert!(error.to_string().contains("was cut while it was read"), "{error}");
    }
    assert_eq!(file.damaged(), ["b"]);
}

#[test]
fn a_tensor_is_there_when_its_file_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    std::fs::write(&path, file_of_one_float()).unwrap();
    let file = TensorFile::open(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(file.tensor("w").unwrap().item().unwrap(), 1.5);
}

fn file_of_one_float() -> Vec<u8> {
    let header = r#"{"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#;
    file(header, &1.5f32.to_le_bytes())
}

#[test]
fn folders_devices_and_missing_files_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let open = |path: PathBuf| TensorFile::open(path).unwrap_err().downcast().unwrap();
    assert!(matches!(open(folder.path().into()), FileError::NotAFile { .. }));
    assert!(matches!(open("/dev/zero".into()), FileError::NotAFile { .. }));
    let missing = open(folder.path().join("none.safetensors"));
    assert!(matches!(missing, FileError::Read { .. }));
    assert!(missing.to_string().contains("none.safetensors"), "{missing}");
}

proptest! {
    // Each case waits for the disk twice.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_written_the_formats_own_library_reads(
        dims in prop::collection::vec(prop::collection::vec(0usize..4, 0..4), 0..6),
        kinds in prop::collection::vec(0usize..6, 6),
        notes in prop::collection::btree_map(".*", ".*", 0..4),
    ) {
        let tensors: Vec<(String, Tensor)> = dims.iter().zip(kinds).enumerate().map(|(i, (dims, kind))| {
            let len: usize = dims.iter().product();
            let t = Tensor::arange(len).unwrap().reshape(&dims[..]).unwrap();
            let t = match kind {
                0 => t,
                1 => t.to_dtype::<i64>().unwrap(),
                2 => t.to_dtype::<u8>().unwrap(),
                3 => t.to_dtype::<i32>().unwrap(),
                4 => t.to_dtype::<bool>().unwrap(),
                _ => t.to_dtype::<i8>().unwrap(),
            };
            (format!("layer \"{i}\"\n"), t)
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.safetensors");
        write_tensors(&path, &tensors, &notes).unwrap();
        let bytes = std::fs::read(&path).unwrap();

        let theirs = SafeTensors::deserialize(&bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let mut their_notes: BTreeMap<_, _> = header.metadata().clone().unwrap_or_default().into_iter().collect();
        prop_assert!(their_notes.remove("tinytorch_crc32").is_some());
        prop_assert_eq!(&their_notes, &notes);
        let ours = TensorFile::open(&path).unwrap();
        prop_assert_eq!(ours.metadata(), &notes);
        prop_assert_eq!(theirs.len(), tensors.len());
        for (name, tensor) in &tensors {
            let view = theirs.tensor(name).unwrap();
            prop_assert_eq!(view.shape(), tensor.shape().dims());
            prop_assert_eq!(view.data(), ours.bytes(name).unwrap());
            prop_assert_eq!(view.dtype(), ours.info(name).unwrap().dtype);
            let back = ours.tensor(name).unwrap();
            prop_assert_eq!(back.to_dtype::<f32>().unwrap().to_vec::<f32>().unwrap(),
                tensor.to_dtype::<f32>().unwrap().to_vec::<f32>().unwrap());
        }

        let in_file_order: Vec<(String, Tensor)> =
            ours.tensors().map(|(name, _)| (name.to_string(), ours.tensor(name).unwrap())).collect();
        write_tensors(&path, &in_file_order, ours.metadata()).unwrap();
        prop_assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
