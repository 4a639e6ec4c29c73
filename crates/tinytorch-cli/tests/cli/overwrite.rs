//! What a command reads stays as it was, whatever name it is written to by.

use crate::support::Bench;
use std::fs;
use tinytorch::Tensor;
use tinytorch::data::{write_npy, write_npz};

#[test]
fn no_command_writes_over_what_it_reads() {
    let bench = Bench::with_models();
    let inputs = Tensor::ones([4, 64]).unwrap();
    write_npy(bench.path("x.npy"), &inputs).unwrap();
    let labels = Tensor::from_vec(vec![0i64; 4], [4]).unwrap();
    write_npz(bench.path("d.npz"), &[("x", &inputs), ("y", &labels)]).unwrap();
    let folder = "../tinytorch/tests/data/stories260K";
    fs::create_dir(bench.path("dir")).unwrap();
    for (name, to) in
        [("config.json", "config.json"), ("stories260K.safetensors", "model.safetensors")]
    {
        let path = format!("{}/{folder}/{name}", env!("CARGO_MANIFEST_DIR"));
        bench.write(&format!("dir/{to}"), &fs::read(path).unwrap());
    }
    let mut commands = vec![
        "quantize m.safetensors --calibrate digits --out m.safetensors",
        "quantize m.safetensors --calibrate d.npz --out d.npz",
        "quantize dir --out dir/model.safetensors",
        "quantize dir --out dir/config.json --force",
        "run m.safetensors --input x.npy --out m.safetensors",
        "run m.safetensors --input x.npy --out x.npy",
        "import m.safetensors --architecture digits-mlp --out ./m.safetensors",
        "train --model digits-mlp --data d.npz --out d.npz",
        "train m.safetensors --data digits --out m.safetensors",
    ];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("x.npy", bench.path("link.npy")).unwrap();
        fs::hard_link(bench.path("x.npy"), bench.path("hard.npy")).unwrap();
        commands.push("run m.safetensors --input x.npy --out link.npy");
        commands.push("run m.safetensors --input hard.npy --out x.npy");
    }
    for command in commands {
        let line = bench.refused(command);
        assert!(line.contains("would be replaced by its result"), "{command}: {line}");
    }
    bench.good("quantize dir --out dir/q.safetensors");
    bench.good("quantize dir --out dir/q.safetensors");
}
