//! `train`: what it learns from, shows and goes on from.

use crate::support::Bench;
use tinytorch::audit::REFERENCES;
use tinytorch::data::{digits, write_npz};
use tinytorch::files::{TensorFile, digest_params, load_model};
use tinytorch::train::NoProgress;

/// A table of two classes that one number tells apart.
fn table(rows: usize, scale: f32) -> String {
    let row = |i: usize| {
        let (class, x) = (i % 2, (i as f32 * 0.37).sin().abs());
        let name = ["night", "day"][class];
        format!("{},{},{name}\n", (x + class as f32) * scale, x * scale)
    };
    format!("light,noise,label\n{}", (0..rows).map(row).collect::<String>())
}

#[test]
fn an_interrupted_training_goes_on_to_the_same_bits() {
    let bench = Bench::new();
    let train = "train --model digits-mlp --data digits --epochs 4 --augment flip";
    let whole = bench.good(&format!("{train} --out whole.safetensors"));
    for epoch in 1..=4 {
        assert!(whole.contains(&format!("epoch {epoch}: loss ")), "{whole}");
    }
    let first = format!("{train} --checkpoint c.safetensors --out first.safetensors");
    bench.good(&first);
    // Stands for a training that ended after its second epoch: the schedule is that of four.
    let mut child = bench
        .command(&format!("{train} --checkpoint d.safetensors --out d_out.safetensors"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    while !bench.path("d.safetensors").exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed =
        bench.good(&format!("{train} --checkpoint d.safetensors --resume --out e.safetensors"));
    assert!(!resumed.contains("epoch 1: "), "{resumed}");
    let tensors = |name: &str| {
        let file = TensorFile::open(bench.path(name)).unwrap();
        let all = file.tensors().map(|(name, _)| file.bytes(name).unwrap().to_vec());
        all.collect::<Vec<_>>()
    };
    assert_eq!(tensors("whole.safetensors"), tensors("first.safetensors"));
    assert_eq!(tensors("whole.safetensors"), tensors("e.safetensors"));
    let line = bench.refused(&format!(
        "{train} --lr 0.1 --checkpoint d.safetensors --resume --out f.safetensors"
    ));
    assert!(line.contains("lr"), "{line}");
}

#[test]
fn a_table_with_text_labels_fits_an_mlp_of_its_sizes() {
    let bench = Bench::new();
    bench.write("t.csv", table(200, 1.0).as_bytes());
    let told = bench.json("train --model mlp --data t.csv --epochs 100 --out m.safetensors");
    assert!(told["accuracy"].as_f64().unwrap() > 0.9, "{told}");
    let metadata = &bench.json("inspect m.safetensors")["metadata"];
    assert_eq!(metadata["classes"], "[\"day\",\"night\"]");
    assert!(metadata["training_inputs"].as_str().unwrap().contains("\"min\":"), "{metadata}");
    bench.good("eval m.safetensors --data t.csv");
    // The same classes in another order of appearance, and a part of them.
    let nights: String = table(60, 1.0)
        .lines()
        .filter(|line| !line.ends_with("day"))
        .map(|line| format!("{line}\n"))
        .collect();
    bench.write("nights.csv", nights.as_bytes());
    let scores = bench.json("eval m.safetensors --data nights.csv");
    assert!(scores["accuracy"].as_f64().unwrap() > 0.8, "{scores}");
    bench.write("other.csv", nights.replace("night", "dusk").as_bytes());
    let line = bench.refused("eval m.safetensors --data other.csv");
    assert!(line.contains("\"dusk\" is none of the model's classes day, night"), "{line}");
    bench.write("scaled.csv", table(60, 255.0).as_bytes());
    for command in
        ["eval m.safetensors --data", "quantize m.safetensors --out q.safetensors --calibrate"]
    {
        let line = bench.refused(&format!("{command} scaled.csv"));
        assert!(line.contains("the model was made with values from"), "{line}");
    }
    bench.write("same.csv", table(60, 0.0).as_bytes());
    let line = bench.refused("quantize m.safetensors --calibrate same.csv --out q.safetensors");
    assert!(line.contains("0"), "{line}");
}

#[test]
fn an_architecture_may_be_described_in_a_file() {
    let bench = Bench::new();
    bench.write(
        "arch.json",
        br#"{"architecture": "mlp", "inputs": 64, "hidden": [9], "outputs": 10}"#,
    );
    let told = bench.json("train --model arch.json --data digits --epochs 1 --out m.safetensors");
    assert_eq!(told["parameters"], 64 * 9 + 9 + 9 * 10 + 10);
    bench.write(
        "bad.json",
        br#"{"architecture": "mlp", "inputs": 0, "hidden": [9], "outputs": 10}"#,
    );
    for name in ["bad.json", "none.json"] {
        let line =
            bench.refused(&format!("train --model {name} --data digits --out n.safetensors"));
        assert!(line.contains(name) || line.contains("is 0"), "{line}");
    }
}

#[test]
fn unlabeled_columns_and_label_columns_can_be_told() {
    let bench = Bench::new();
    let rows = |i: usize| format!("{},{},{}\n", i % 2, i % 7, (i * 3) % 5);
    bench.write("n.csv", (0..60).map(rows).collect::<String>().as_bytes());
    let train = "train --model mlp --data n.csv --epochs 1 --out m.safetensors";
    assert!(bench.refused(train).contains("--labels first, last or none"));
    bench.good(&format!("{train} --labels first"));
    bench.write("x.csv", b".1,.2\n.3,.4\n");
    let two = bench.good("run m.safetensors --input x.csv --out y.npy");
    assert!(two.contains("[2, 2]"), "{two}");
    bench.good("run m.safetensors --input n.csv --labels first --out y.npy");
}

#[test]
fn images_of_bytes_are_scaled_whatever_the_model_is() {
    let bench = Bench::with_model();
    let data = digits().unwrap();
    let test = data.test.unwrap();
    let bytes = test.inputs().to_vec::<f32>().unwrap().into_iter().map(|v| v * 255.0).collect();
    let inputs = tinytorch::Tensor::from_vec(bytes, *test.inputs().shape()).unwrap();
    write_npz(bench.path("wide.npz"), &[("x", &inputs), ("y", test.labels())]).unwrap();
    let line = bench.refused("eval m.safetensors --data wide.npz");
    assert!(line.contains("values from 0 to 255") && line.contains("0 to 1"), "{line}");
}

#[test]
fn a_text_of_ones_own_is_learned_and_calibrates() {
    let bench = Bench::new();
    let text: String = (0..150).map(|i| format!("{} is after {}.\n", i % 10 + 1, i % 10)).collect();
    bench.write("t.txt", text.as_bytes());
    let gpt = r#"{"architecture":"gpt","vocab":2,"context":16,"dim":16,"layers":1,"heads":2,"hidden":32,"dropout":0.0}"#;
    bench.write("gpt.json", gpt.as_bytes());
    bench.good("train --model gpt.json --data t.txt --epochs 4 --out m.safetensors");
    // The unknown one and all there are.
    let characters: std::collections::BTreeSet<char> = text.chars().collect();
    let file = TensorFile::open(bench.path("m.safetensors")).unwrap();
    assert_eq!(file.info("tokens.weight").unwrap().shape.dims(), [characters.len() + 1, 16]);
    let told = bench.json("eval m.safetensors --data t.txt");
    assert!(told["perplexity"].as_f64().unwrap() < characters.len() as f64 / 2.0, "{told}");
    bench.good("quantize m.safetensors --calibrate t.txt --activations static --out q.safetensors");
    bench.write("short.txt", b"a b\n");
    let line = bench.refused("train m.safetensors --data short.txt --out n.safetensors");
    assert!(line.contains("short.txt") && line.contains("tokens"), "{line}");
}

#[rustfmt::skip]
const WHITE: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 2, 8,
    0, 0, 0, 0, 87, 221, 82, 248, 0, 0, 0, 14, 73, 68, 65, 84, 120, 156, 99, 248, 255, 159,
    225, 255, 127, 0, 11, 250, 3, 253, 224, 37, 138, 16, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66,
    96, 130,
];

#[rustfmt::skip]
const BLACK: &[u8] = &[
    137, 80, 78, 71, 13, 10, 26, 10, 0, 0, 0, 13, 73, 72, 68, 82, 0, 0, 0, 2, 0, 0, 0, 2, 8,
    0, 0, 0, 0, 87, 221, 82, 248, 0, 0, 0, 11, 73, 68, 65, 84, 120, 156, 99, 96, 0, 1, 0, 0,
    6, 0, 1, 254, 140, 103, 200, 0, 0, 0, 0, 73, 69, 78, 68, 174, 66, 96, 130,
];

#[test]
fn pictures_in_a_folder_for_each_class_are_learned() {
    let bench = Bench::new();
    // Two by two pixels in gray, packed by Python's zlib: white and black.
    for (class, pixels) in [("white", WHITE), ("black", BLACK)] {
        std::fs::create_dir_all(bench.path(&format!("d/{class}"))).unwrap();
        for i in 0..10 {
            bench.write(&format!("d/{class}/{i}.png"), pixels);
        }
    }
    bench.good("train --model mlp --data d --epochs 30 --out m.safetensors");
    let told = bench.json("eval m.safetensors --data d");
    assert_eq!((&told["accuracy"], &told["samples"]), (&1.0.into(), &4.into()));
}

/// The whole training of the digits, and an epoch of the text's, whose steps say what each is.
#[test]
fn a_reference_of_the_audit_is_what_train_and_quantize_make() {
    for mut reference in REFERENCES {
        let bench = Bench::new();
        let (name, data) = (reference.name, reference.data());
        let (epochs, activations) = match data {
            "tinytalks" => (" --epochs 1", " --activations dynamic"),
            _ => ("", ""),
        };
        if !epochs.is_empty() {
            reference.recipe.epochs = 1;
        }
        bench.good(&format!("train --model {name} --data {data}{epochs} --out m.safetensors"));
        bench.good(&format!(
            "quantize m.safetensors --calibrate {data}{activations} --out q.safetensors"
        ));
        let (subject, _) = reference.prepare(0, NoProgress).unwrap();
        let made =
            |file: &str| digest_params(&*load_model(bench.path(file)).unwrap().model).unwrap();
        assert_eq!(made("m.safetensors"), subject.float_digest, "{name}");
        assert_eq!(made("q.safetensors"), digest_params(&*subject.int8).unwrap(), "{name}");
    }
}
