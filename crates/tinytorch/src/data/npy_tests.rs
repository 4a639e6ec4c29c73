//! NumPy arrays, sound and damaged.

use super::*;
use crate::tensor::{Element, Shape};
use proptest::prelude::*;

fn file(descr: &str, fortran: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let dict = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n");
    let len = (dict.len() as u16).to_le_bytes();
    [MAGIC.as_slice(), &[1, 0], &len, dict.as_bytes(), values].concat()
}

fn values<T: Element>(descr: &str, bytes: &[u8]) -> Vec<T> {
    let shape = format!("({},)", bytes.len() / number(descr).unwrap().0.size());
    let file = file(&format!("'{descr}'"), "False", &shape, bytes);
    decode_npy("x.npy", &file).unwrap().to_vec().unwrap()
}

fn error(bytes: &[u8]) -> String {
    decode_npy("x.npy", bytes).unwrap_err().to_string()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(dims in prop::collection::vec(0usize..5, 0..5), seed: u64) {
        let shape = Shape::new(&dims).unwrap();
        let mut rng = crate::Rng::seed(seed);
        let words: Vec<i64> = (0..shape.len()).map(|_| rng.next_u64() as i64).collect();
        let floats = words.iter().map(|&w| f32::from_bits(w as u32)).collect::<Vec<_>>();
        let back = |t: Tensor| decode_npy("t", &encode_npy(&t).unwrap()).unwrap();
        let t = back(Tensor::from_vec(floats.clone(), shape).unwrap());
        prop_assert_eq!(t.shape(), &shape);
        let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(t.to_vec().unwrap()), bits(floats));
        let t = back(Tensor::from_vec(words.clone(), shape).unwrap());
        prop_assert_eq!(t.to_vec::<i64>().unwrap(), words.clone());
        let bytes = words.iter().map(|&w| w as u8).collect::<Vec<_>>();
        let t = back(Tensor::from_vec(bytes.clone(), shape).unwrap());
        prop_assert_eq!(t.to_vec::<u8>().unwrap(), bytes);
        let bytes = words.iter().map(|&w| w as i8).collect::<Vec<_>>();
        let t = back(Tensor::from_vec(bytes.clone(), shape).unwrap());
        prop_assert_eq!(t.to_vec::<i8>().unwrap(), bytes);
    }
}

#[test]
fn the_bytes_are_those_of_numpy() {
    // numpy.save of numpy.array([[1, 2, 3]], 'f4'), NumPy 2.4.
    let bytes = encode_npy(&Tensor::from_vec(vec![1.0, 2.0, 3.0], [1, 3]).unwrap()).unwrap();
    let dict = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }";
    let header = format!("{dict:<117}\n");
    let floats = [1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    assert_eq!(bytes, [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes(), &floats].concat());
}

#[test]
fn a_view_is_written_as_it_reads() {
    let t = Tensor::arange(6).unwrap().reshape([2, 3]).unwrap().transpose(0, 1).unwrap();
    let back = decode_npy("t", &encode_npy(&t).unwrap()).unwrap();
    assert_eq!(back.to_vec::<f32>().unwrap(), t.to_vec::<f32>().unwrap());
}

#[test]
fn every_type_in_either_byte_order() {
    assert_eq!(values::<bool>("|b1", &[0, 1, 1]), [false, true, true]);
    assert_eq!(values::<u8>("|u1", &[0, 255]), [0, 255]);
    assert_eq!(values::<i8>("|i1", &[0, 255]), [0, -1]);
    assert_eq!(values::<i64>("<i4", &(-7i32).to_le_bytes()), [-7]);
    assert_eq!(values::<i64>(">i4", &(-7i32).to_be_bytes()), [-7]);
    assert_eq!(values::<i64>("<i8", &i64::MIN.to_le_bytes()), [i64::MIN]);
    assert_eq!(values::<i64>("<u2", &[0xff, 0xff]), [65_535]);
    assert_eq!(values::<i64>("<i2", &[0xff, 0xff]), [-1]);
    assert_eq!(values::<i64>("<u4", &[0xff; 4]), [0xffff_ffff]);
    assert_eq!(values::<i64>("<u8", &i64::MAX.to_le_bytes()), [i64::MAX]);
    assert_eq!(values::<f32>("<f8", &0.1f64.to_le_bytes()), [0.1]);
    assert_eq!(values::<f32>(">f4", &1.5f32.to_be_bytes()), [1.5]);
    assert_eq!(values::<f32>("<f2", &[0x00, 0x3c]), [1.0]);
}

#[test]
fn fortran_order_is_laid_out_again() {
    let bytes = file("'|u1'", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6]);
    let t = decode_npy("x", &bytes).unwrap();
    assert_eq!(t.shape().dims(), [2, 3]);
    assert!(t.is_contiguous());
    assert_eq!(t.to_vec::<u8>().unwrap(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn versions_2_and_3_have_a_longer_length() {
    for version in [2, 3] {
        let mut bytes = file("'|u1'", "False", "(1,)", &[9]);
        bytes[6] = version;
        bytes.splice(10..10, [0, 0]);
        assert_eq!(decode_npy("x", &bytes).unwrap().to_vec::<u8>().unwrap(), [9]);
    }
    let mut bytes = file("'|u1'", "False", "(1,)", &[9]);
    bytes[6] = 4;
    assert!(error(&bytes).contains("4 is not a version"));
}

#[test]
fn what_is_no_array_of_numbers_is_refused_by_name() {
    for descr in ["'|O'", "'<U5'", "'<c8'", "[('a', '<f4')]"] {
        let message = error(&file(descr, "False", "(1,)", &[0; 8]));
        assert!(message.starts_with("x.npy uses the element type"), "{message}");
    }
    for (fortran, shape) in [("Maybe", "(1,)"), ("False", "(-1,)"), ("False", "1")] {
        let message = error(&file("'|u1'", fortran, shape, &[0]));
        assert!(message.contains("describes no array"), "{message}");
    }
    assert!(error(b"\x93NUMPX\x01\x00").contains("NUMPY"));
    assert!(error(&file("'|u1'", "False", "(2,)", &[0; 3])).contains("more bytes follow"));
}

#[test]
fn a_shape_beyond_the_file_allocates_nothing() {
    let message = error(&file("'<f8'", "False", "(1099511627776,)", &[0; 64]));
    assert!(message.contains("truncated") && message.contains("8796093022208"), "{message}");
    let message = error(&file("'<f8'", "True", "(4294967296, 4294967296)", &[]));
    assert!(message.contains("too large"), "{message}");
}

/// 2^63 and 1e39 are numbers of their types, and none that a tensor holds.
#[test]
fn a_number_that_no_tensor_holds_is_refused() {
    let integer = error(&file("'<u8'", "False", "(1,)", &(1u64 << 63).to_le_bytes()));
    assert!(integer.contains("2^63"), "{integer}");
    let float = error(&file("'<f8'", "False", "(1,)", &1e39f64.to_le_bytes()));
    assert!(float.contains("3.4e38"), "{float}");
}

#[test]
fn numbers_are_written_as_they_are_declared() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let bytes = |t: &Tensor, number: Number| -> Vec<u8> {
        write_npy_as(&path, t, number).unwrap();
        let all = std::fs::read(&path).unwrap();
        assert_eq!(decode_npy("x", &all).unwrap().dtype(), number.held());
        all[all.len() - t.len() * number.size()..].to_vec()
    };
    let floats = Tensor::from_vec(vec![1.5f32], [1]).unwrap();
    assert_eq!(bytes(&floats, Number::F16), 0x3e00u16.to_le_bytes());
    assert_eq!(bytes(&floats, Number::F64), 1.5f64.to_le_bytes());
    let integers = Tensor::from_vec(vec![65_535i64], [1]).unwrap();
    assert_eq!(bytes(&integers, Number::U16), [0xff, 0xff]);
    let refused = write_npy_as(&path, &integers, Number::I16).unwrap_err().to_string();
    assert!(refused.contains("65535 cannot be written as i16"), "{refused}");
}
