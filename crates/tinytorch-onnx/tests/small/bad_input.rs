//! Files that are not as they should be: each ends in one sentence that names the node or the tensor.

use super::support::*;
use prost::Message;
use std::path::Path;
use tinytorch_onnx::OnnxModel;
use tinytorch_onnx::proto::{GraphProto, StringStringEntryProto, TensorProto};

fn chain(nodes: Vec<tinytorch_onnx::proto::NodeProto>, constants: Vec<TensorProto>) -> GraphProto {
    graph(nodes, constants, vec![value("x", F32, &[2])], vec![value("y", F32, &[2])])
}

fn add(constant: TensorProto) -> GraphProto {
    chain(vec![node("Add", &["x", "c"], &["y"])], vec![constant])
}

#[test]
fn truncated_files_are_refused() {
    let bytes = model(add(floats("c", &[2], &[1.0, 2.0]))).encode_to_vec();
    let refused = (0..bytes.len())
        .filter(|&len| OnnxModel::from_bytes("cut", bytes[..len].to_vec()).is_err());
    // Where a field ends, what is left may be a model of its own, without its set of operators.
    assert!(refused.count() + 2 >= bytes.len());
}

#[test]
fn graphs_whose_names_do_not_fit() {
    let itself = refused(chain(vec![node("Add", &["x", "y"], &["y"])], vec![]));
    assert!(
        itself.contains("0 (Add)") && itself.contains("`y`") && itself.contains("cyclic"),
        "{itself}"
    );
    let circle = vec![
        node("Add", &["x", "b"], &["a"]),
        node("Relu", &["a"], &["b"]),
        node("Relu", &["b"], &["y"]),
    ];
    assert!(refused(chain(circle, vec![])).contains("cyclic"));
    let nobody = refused(chain(vec![node("Add", &["x", "weight"], &["y"])], vec![]));
    assert!(
        nobody.contains("`weight`") && nobody.contains("no input, initializer or node"),
        "{nobody}"
    );
    let twice = vec![node("Relu", &["x"], &["y"]), node("Relu", &["x"], &["y"])];
    let twice = refused(chain(twice, vec![]));
    assert!(twice.contains("`y` is given twice") && twice.contains("1 (Relu)"), "{twice}");
    assert!(
        refused(chain(vec![node("Relu", &["x"], &["z"])], vec![]))
            .contains("nothing gives the output `y`")
    );
    let twice = refused(chain(
        vec![node("Add", &["x", "c"], &["y"])],
        vec![floats("c", &[1], &[1.0]), floats("c", &[1], &[2.0])],
    ));
    assert!(twice.contains("`c` is given twice"), "{twice}");
    let hides = refused(chain(vec![node("Relu", &["x"], &["x"])], vec![]));
    assert!(hides.contains("`x` is given twice") && hides.contains("0 (Relu)"), "{hides}");
}

#[test]
fn tensors_that_cannot_be() {
    let short = refused(add(floats("c", &[3], &[1.0, 2.0])));
    assert!(short.contains("`c`") && short.contains("8 bytes") && short.contains("12"), "{short}");
    assert!(refused(add(floats("c", &[1], &[1.0, 2.0]))).contains("`c`"));
    assert!(refused(add(floats("c", &[-2], &[]))).contains("negative"));
    assert!(refused(add(floats("c", &[i64::MAX, i64::MAX], &[]))).contains("too large"));
    assert!(refused(add(floats("c", &[1; 9], &[1.0]))).contains("`c`"));
    let complex = TensorProto { data_type: 14, ..floats("c", &[2], &[1.0; 4]) };
    let sentence = refused(add(complex));
    assert!(
        sentence.contains("0 (Add)") && sentence.contains("`c`") && sentence.contains("complex64"),
        "{sentence}"
    );
    assert!(
        refused(add(TensorProto { data_type: 99, ..floats("c", &[1], &[1.0]) }))
            .contains("number 99")
    );
    let model = read(add(integers("c", &[1, 2]))).unwrap();
    let wrong = model.run(&[tinytorch::Tensor::zeros([2]).unwrap()]).unwrap_err().to_string();
    assert!(wrong.contains("0 (Add)") && wrong.contains("i64"), "{wrong}");
}

#[test]
fn sizes_that_no_memory_holds_are_refused_at_load() {
    let sizes = integers("sizes", &[1 << 20, 1 << 20]);
    let nodes =
        vec![node("ConstantOfShape", &["sizes"], &["big"]), node("Add", &["x", "big"], &["y"])];
    let sentence = refused(chain(nodes, vec![sizes]));
    assert!(
        sentence.contains("ConstantOfShape") && sentence.contains("more than the"),
        "{sentence}"
    );
    let nodes = vec![node("Expand", &["c", "sizes"], &["big"]), node("Add", &["x", "big"], &["y"])];
    let sizes = integers("sizes", &[i64::MAX, i64::MAX]);
    assert!(refused(chain(nodes, vec![sizes, floats("c", &[1], &[1.0])])).contains("too large"));
}

#[test]
fn domains_and_nesting() {
    let mut foreign = node("Relu", &["x"], &["y"]);
    foreign.domain = "org.example".into();
    let sentence = refused(chain(vec![foreign], vec![]));
    assert!(
        sentence.contains("org.example.Relu") && sentence.contains("imports no operators"),
        "{sentence}"
    );
    let mut inner = chain(vec![node("Relu", &["x"], &["y"])], vec![]);
    for _ in 0..200 {
        let choice = with(node("If", &["x"], &["y"]), &[graph_attribute("then_branch", inner)]);
        inner = chain(vec![choice], vec![]);
    }
    let sentence = refused(inner);
    assert!(sentence.contains("recursion"), "{sentence}");
}

/// A model whose constant lies in another file.
fn external(location: &str, offset: &str) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
    let external_data =
        vec![entry("location", location), entry("offset", offset), entry("length", "8")];
    let tensor = TensorProto {
        name: "c".into(),
        dims: vec![2],
        data_type: F32,
        data_location: 1,
        external_data,
        ..Default::default()
    };
    model(add(tensor)).encode_to_vec()
}

fn open(folder: &Path, location: &str, offset: &str) -> Result<OnnxModel, String> {
    let path = folder.join("m.onnx");
    std::fs::write(&path, external(location, offset)).unwrap();
    OnnxModel::open(&path).map_err(|error| error.to_string())
}

#[test]
fn data_of_other_files_lies_below_the_models_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    std::fs::create_dir_all(folder.join("data")).unwrap();
    let bytes = [1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    std::fs::write(folder.join("data/c.bin"), &bytes).unwrap();
    std::fs::write(outer.path().join("outside.bin"), &bytes).unwrap();
    let model = open(&folder, "data/c.bin", "4").unwrap();
    let y = model.run(&[tinytorch::Tensor::zeros([2]).unwrap()]).unwrap();
    assert_eq!(y[0].to_vec::<f32>().unwrap(), [2.0, 3.0]);

    let refused = |location: &str, offset: &str| {
        let sentence = open(&folder, location, offset).expect_err("it is refused");
        assert!(sentence.contains("`c`") || sentence.contains("c.bin"), "{sentence}");
        sentence
    };
    assert!(refused("../outside.bin", "0").contains("below the model's folder"));
    assert!(refused(outer.path().join("outside.bin").to_str().unwrap(), "0").contains("below"));
    assert!(refused("nowhere.bin", "0").contains("cannot be read"));
    assert!(refused("data", "0").contains("not a regular file"));
    assert!(refused("data/c.bin", "8").contains("outside of the file"));
    assert!(refused("data/c.bin", "-1").contains("no number"));
    assert!(refused("data/c.bin", "18446744073709551615").contains("outside of the file"));
    #[cfg(unix)]
    {
        // Nobody writes to it: who opens it to read waits for ever.
        let made = std::process::Command::new("mkfifo").arg(folder.join("data/fifo")).status();
        if made.is_ok_and(|status| status.success()) {
            assert!(refused("data/fifo", "0").contains("not a regular file"));
            let error = OnnxModel::open(folder.join("data/fifo")).unwrap_err().to_string();
            assert!(error.contains("not a regular file"), "{error}");
        }
        std::os::unix::fs::symlink(outer.path().join("outside.bin"), folder.join("link.bin"))
            .unwrap();
        assert!(refused("link.bin", "0").contains("link out of"));
    }
    let error = OnnxModel::from_bytes("memory", external("data/c.bin", "0")).unwrap_err();
    assert!(error.to_string().contains("open the model by its path"));
}

/// The seeds of the fuzz target, cut anywhere and with any byte changed: a model or a sentence, and never a panic.
#[test]
fn damaged_files_are_read_or_refused() {
    let seeds: [&[u8]; 2] = [
        include_bytes!("../../../../fuzz/seeds/onnx/layers"),
        include_bytes!("../../../../fuzz/seeds/onnx/control"),
    ];
    for seed in seeds {
        OnnxModel::from_bytes("seed", seed.to_vec()).unwrap();
        for place in 0..seed.len() {
            let _ = OnnxModel::from_bytes("cut", seed[..place].to_vec());
            for change in [0x01, 0x02, 0x08, 0x40, 0x80, 0xff] {
                let mut damaged = seed.to_vec();
                damaged[place] ^= change;
                if let Err(error) = OnnxModel::from_bytes("damaged", damaged) {
                    assert!(!error.to_string().contains('\n'), "{error}");
                }
            }
        }
    }
}
