//! Files that PyTorch has written, and what others could write.

use super::super::{FileError, FormatError, TensorFile};
use super::TorchError;
use crate::tensor::Dtype;

/// `make.py` beside it has written these with PyTorch.
const PLAIN: &[u8] = include_bytes!("../../../tests/data/torch/plain.pt");
const CHECKPOINT: &[u8] = include_bytes!("../../../tests/data/torch/checkpoint.pt");
const STRIDED: &[u8] = include_bytes!("../../../tests/data/torch/strided.pt");
const MODEL: &[u8] = include_bytes!("../../../tests/data/torch/whole_model.pt");

fn open(bytes: &[u8]) -> Result<TensorFile, FormatError> {
    TensorFile::from_bytes("x.pt", bytes.to_vec()).map_err(|error| {
        match error.downcast_ref::<FileError>() {
            Some(FileError::Format { problem, .. }) => problem.clone(),
            _ => panic!("{error}"),
        }
    })
}

fn refused(bytes: &[u8]) -> TorchError {
    match open(bytes) {
        Err(FormatError::Torch(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_kind_of_tensor_has_the_values_that_pytorch_gave_it() {
    let file = open(PLAIN).unwrap();
    let ramp: Vec<f32> = (0..6).map(|i| i as f32 / 4.0 - 0.5).collect();
    for (name, dtype) in [("f32", "F32"), ("f64", "F64"), ("f16", "F16"), ("bf16", "BF16")] {
        let tensor = file.tensor(name).unwrap();
        assert_eq!(format!("{:?}", file.info(name).unwrap().dtype), dtype);
        assert_eq!(tensor.shape().dims(), [2, 3]);
        assert_eq!(tensor.to_vec::<f32>().unwrap(), ramp, "{name}");
    }
    assert_eq!(file.tensor("i64").unwrap().to_vec::<i64>().unwrap(), [-3, 1 << 40]);
    assert_eq!(file.tensor("i32").unwrap().to_vec::<i32>().unwrap(), [-3, 70_000]);
    assert_eq!(file.tensor("i16").unwrap().to_vec::<i32>().unwrap(), [-3, 300]);
    assert_eq!(file.tensor("i8").unwrap().to_vec::<i8>().unwrap(), [-3, 7]);
    assert_eq!(file.tensor("u8").unwrap().to_vec::<u8>().unwrap(), [3, 200]);
    assert_eq!(file.tensor("flag").unwrap().to_vec::<bool>().unwrap(), [true, false]);
    // A view of another's bytes, a parameter, a scalar, and none at all.
    assert_eq!(file.tensor("row").unwrap().to_vec::<f32>().unwrap(), ramp[3..]);
    assert_eq!(file.tensor("parameter").unwrap().to_vec::<f32>().unwrap(), ramp);
    assert_eq!(file.tensor("scalar").unwrap().shape().dims(), [0usize; 0]);
    assert_eq!(file.tensor("scalar").unwrap().to_vec::<f32>().unwrap(), [2.5]);
    assert_eq!(file.tensor("empty").unwrap().shape().dims(), [0, 4]);
    assert_eq!(file.info("f16").unwrap().memory_dtype(), Some(Dtype::F32));
    assert_eq!(file.tensors().len(), 14);
    // A Linear's state dict among other parts of a training.
    let file = open(CHECKPOINT).unwrap();
    let names: Vec<&str> = file.tensors().map(|(name, _)| name).collect();
    assert_eq!(names, ["weight", "bias"]);
    assert_eq!(file.tensor("bias").unwrap().to_vec::<f32>().unwrap(), [0.25, -0.5]);
}

#[test]
fn objects_are_named_and_never_made() {
    let name = |bytes| match refused(bytes) {
        TorchError::Object { name } => name,
        other => panic!("{other}"),
    };
    assert!(name(MODEL).starts_with("torch.nn.modules"), "{}", name(MODEL));
    assert_eq!(refused(STRIDED), TorchError::Strided { tensor: "turned".to_string() });
    let of = |pickle: &[u8]| super::state::tensors(pickle).unwrap_err();
    // os.system("true"), as protocols 2 and 4 say it.
    let evil = of(b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.");
    assert_eq!(evil, TorchError::Object { name: "posix.system".to_string() });
    let evil = of(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.");
    assert_eq!(evil, TorchError::Object { name: "posix.system".to_string() });
    assert_eq!(of(b"\x80\x02(i__main__\nX\n."), TorchError::Instruction { code: b'i', at: 3 });
    assert_eq!(of(b"\x80\x02K\x01."), TorchError::NoStateDict);
    assert_eq!(of(b"\x80\x02}X\x01\0\0\0aK\x01s."), TorchError::NoTensor { name: "a".to_string() });
}

#[test]
fn what_is_cut_or_does_not_fit_is_an_error() {
    for cut in (0..PLAIN.len()).step_by(7) {
        assert!(TensorFile::from_bytes("x.pt", PLAIN[..cut].to_vec()).is_err(), "{cut}");
    }
    for pickle in [
        &b""[..],
        b"\x80",
        b"\x80\x02",
        b"}",
        b".",
        b"t.",
        b"s.",
        b"}K\x01u.",
        b"(K\x01u.",
        b"h\x05.",
        b"}r\xff\xff\xff\xff.",
        b"X\xff\xff\xff\xff.",
        b"cposix",
        b"}}R.",
        b"}(K\x01u.",
        b"(s.",
    ] {
        let problem = super::state::tensors(pickle).unwrap_err();
        assert!(matches!(problem, TorchError::Pickle { .. }), "{pickle:?}: {problem}");
    }
    // As deep as its bytes go, and a dictionary in itself.
    let deep: Vec<u8> = [&b"N"[..], &[0x85; 100_000], b"."].concat();
    assert_eq!(super::state::tensors(&deep).unwrap_err(), TorchError::NoStateDict);
    let own = super::state::tensors(b"}q\0X\x01\0\0\0ah\0s.").unwrap_err();
    assert_eq!(own, TorchError::NoTensor { name: "a".to_string() });
}
