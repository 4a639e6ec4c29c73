//! Arguments, model files and data files that are damaged or make no sense.

use crate::support::Bench;
use std::collections::BTreeMap;
use std::fs;
use tinytorch::Tensor;
use tinytorch::files::{TensorFile, write_tensors};

/// The commands that read a model's file.
const READERS: [&str; 3] = [
    "eval FILE --data digits",
    "quantize FILE --calibrate digits --out o.safetensors",
    "run FILE --input x.npy --out y.npy",
];

fn refused_by_all(bench: &Bench, file: &str, problem: &str) {
    for reader in READERS {
        let line = bench.refused(&reader.replace("FILE", file));
        assert!(line.contains(problem) && line.contains(file), "{reader}: {line}");
    }
}

/// A safetensors file with this header and these many bytes of data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn arguments_that_make_no_sense() {
    let bench = Bench::with_model();
    for (args, problem) in [
        ("fly", "fly"),
        ("trian --data digits", "a similar subcommand exists: 'train'"),
        ("train --data digits --out o", "--model"),
        ("train --model vgg --data digits --out o", "digits-mlp"),
        ("train --model digits-mlp --data digits --out o --batch-size 0", "batch size of 0"),
        ("train --model digits-mlp --data digits --out o --epochs 0", "0"),
        ("train --model digits-mlp --data digits --out o --epochs many", "many"),
        ("train --model digits-mlp --data digits --out o --lr -1", "-1"),
        ("train --model digits-mlp --data digits --out o --lr NaN", "NaN"),
        ("train --model digits-mlp --data digits --out o --optimizer lion", "lion"),
        ("train --model digits-mlp --data nowhere --out o", "nowhere"),
        ("quantize m.safetensors --calibrate digits --out o --range half", "half"),
        ("quantize m.safetensors --calibrate digits --out o --granularity fine", "fine"),
        ("quantize m.safetensors --max-error 1% --out o", "--calibrate"),
        ("quantize m.safetensors --calibrate digits --max-error 0 --out o", "positive"),
        ("quantize m.safetensors --calibrate digits --max-error 1% --wide --out o", "--wide"),
        (
            "quantize m.safetensors --calibrate digits --max-error 1% --samples 3 --out o",
            "held out",
        ),
        ("quantize none.safetensors --calibrate digits --out o", "none.safetensors"),
        ("eval m.safetensors", "--data"),
        ("eval m.safetensors --data .", "not a data set"),
        ("audit m.safetensors", "INT8"),
        ("audit m.safetensors m.safetensors", "--data"),
        ("audit --max-error 200%", "share"),
        ("inspect", "FILE"),
        ("profile m.safetensors --batch 0", "0"),
        ("profile m.safetensors --batch 100000", "100000"),
        ("profile none.safetensors", "none.safetensors"),
    ] {
        let line = bench.refused(args);
        assert!(line.contains(problem), "{args}: {line}");
    }
}

#[test]
fn an_unknown_instruction_set_is_refused() {
    let bench = Bench::with_model();
    let mut command = bench.command("eval m.safetensors --data digits");
    let output = command.env("TINYTORCH_ISA", "mmx").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("mmx"));
}

#[test]
fn files_that_are_no_models() {
    let bench = Bench::with_model();
    bench.write("x.npy", b"");
    fs::create_dir(bench.path("folder")).unwrap();
    let whole = bench.read("m.safetensors");
    let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
        "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let files: [(&str, Vec<u8>, &str); 8] = [
        ("empty", vec![], "safetensors"),
        ("text", b"not a model at all".to_vec(), "header"),
        ("header_cut", whole[..100].to_vec(), "header"),
        ("data_cut", whole[..whole.len() - 1].to_vec(), "bytes"),
        ("oversized", [&[0xff; 8], &whole[8..]].concat(), "header"),
        ("overlapping", safetensors(overlapping, 12), "overlap"),
        ("no_architecture", safetensors("{}", 0), "architecture"),
        (
            "unknown_architecture",
            safetensors(
                r#"{"__metadata__":{"architecture":"{\"architecture\":\"vgg\"}","tinytorch_version":"0"}}"#,
                0,
            ),
            "vgg",
        ),
    ];
    for (name, bytes, problem) in files {
        bench.write(name, &bytes);
        refused_by_all(&bench, name, problem);
    }
    refused_by_all(&bench, "folder", "holds 0 .safetensors files");
    refused_by_all(&bench, "none", "No such file");
}

#[test]
fn a_model_of_a_programs_own_kind_is_shown_and_leads_to_the_library() {
    let bench = Bench::with_model();
    let header =
        r#"{"__metadata__":{"architecture":"{\"architecture\":\"net\"}","tinytorch_version":"0"}}"#;
    bench.write("own", &safetensors(header, 0));
    let shown = bench.good("inspect own");
    assert!(shown.contains("\"net\"") && shown.contains("with the library"), "{shown}");
    assert!(!bench.good("inspect m.safetensors").contains("with the library"));
    for args in ["eval own --data digits", "audit own own --data digits", "profile own"] {
        let refused = bench.refused(args);
        for part in ["\"net\"", "with the library", "Kinds::built_in()"] {
            assert!(refused.contains(part), "{args}: {refused}");
        }
    }
}

#[test]
fn models_with_tensors_that_do_not_fit() {
    let bench = Bench::with_model();
    bench.write("x.npy", b"");
    let file = TensorFile::open(bench.path("m.safetensors")).unwrap();
    let tensors: BTreeMap<String, Tensor> =
        file.tensors().map(|(name, _)| (name.to_string(), file.tensor(name).unwrap())).collect();
    let save = |name: &str, change: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut changed = tensors.clone();
        change(&mut changed);
        let list: Vec<(String, Tensor)> = changed.into_iter().collect();
        write_tensors(bench.path(name), &list, file.metadata()).unwrap();
    };
    let bias = "layers.1.bias".to_string();
    save("missing", &|tensors| drop(tensors.remove(&bias)));
    save("shape", &|tensors| drop(tensors.insert(bias.clone(), Tensor::zeros([65]).unwrap())));
    save("dtype", &|tensors| {
        drop(tensors.insert(bias.clone(), Tensor::from_vec(vec![0i64; 64], [64]).unwrap()))
    });
    save("extra", &|tensors| drop(tensors.insert("extra".into(), Tensor::zeros([1]).unwrap())));
    for name in ["missing", "shape", "dtype"] {
        refused_by_all(&bench, name, "layers.1.bias");
    }
    refused_by_all(&bench, "extra", "extra");
    save("nan", &|tensors| {
        let weight = tensors.get_mut("layers.0.weight").unwrap();
        weight.as_mut_slice::<f32>().unwrap()[7] = f32::NAN;
    });
    let line = bench.refused("quantize nan --calibrate digits --out o.safetensors");
    assert!(line.contains("layers.0.weight") && line.contains("NaN"), "{line}");
}

/// An IDX file of bytes.
fn idx(dims: &[u32], byte: impl Fn(usize) -> u8) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend((0..dims.iter().product::<u32>() as usize).map(byte));
    bytes
}

#[test]
fn data_folders_that_are_incomplete_or_damaged() {
    let bench = Bench::new();
    let folder = |name: &str, change: &dyn Fn(&mut BTreeMap<&str, Vec<u8>>)| {
        let images = |n| idx(&[n, 8, 8], |i| (i * 7) as u8);
        let labels = |n| idx(&[n], |i| (i % 10) as u8);
        let mut files = BTreeMap::from([
            ("train-images-idx3-ubyte", images(40)),
            ("train-labels-idx1-ubyte", labels(40)),
            ("t10k-images-idx3-ubyte", images(20)),
            ("t10k-labels-idx1-ubyte", labels(20)),
        ]);
        change(&mut files);
        fs::create_dir(bench.path(name)).unwrap();
        files.into_iter().for_each(|(file, bytes)| bench.write(&format!("{name}/{file}"), &bytes));
    };
    let (images, labels) = ("train-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
    folder("whole", &|_| ());
    folder("missing", &|files| drop(files.remove(labels)));
    folder("truncated", &|files| files.get_mut(images).unwrap().truncate(500));
    folder("mismatched", &|files| drop(files.insert(labels, idx(&[19], |_| 0))));
    folder("out_of_range", &|files| drop(files.insert(labels, idx(&[20], |_| 10))));
    folder("empty", &|files| files.clear());

    let train = |data: &str| {
        format!("train --model digits-mlp --epochs 1 --out {data}.safetensors --data {data}")
    };
    bench.good(&train("whole"));
    for (name, problems) in [
        ("missing", [labels, "missing"]),
        ("truncated", [images, "truncated"]),
        ("mismatched", ["20 inputs", "19 labels"]),
        ("out_of_range", [labels, "label 10"]),
        ("empty", ["empty", "not a data set"]),
    ] {
        let line = bench.refused(&train(name));
        assert!(problems.iter().all(|problem| line.contains(problem)), "{name}: {line}");
    }
}
