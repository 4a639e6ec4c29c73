//! The command `verify`.

use crate::support::Bench;
use serde_json::Value;

#[test]
fn a_whole_file_is_whole_and_a_damaged_one_is_named() {
    let bench = Bench::with_models();
    let told = bench.good("verify m.safetensors q.safetensors");
    assert_eq!(told.lines().count(), 2);
    assert!(told.lines().all(|line| line.contains("agree with their checksums")), "{told}");

    let mut bytes = bench.read("q.safetensors");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    bench.write("flipped.safetensors", &bytes);
    bytes.truncate(last);
    bench.write("short.safetensors", &bytes);
    for (file, word) in [("flipped", "checksum"), ("short", "truncated")] {
        let output = bench.run(&format!("verify m.safetensors {file}.safetensors"));
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8(output.stdout).unwrap();
        assert!(told.contains("damaged") && told.contains(word), "{told}");
        let output = bench.run(&format!("eval {file}.safetensors --data digits"));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
    let output = bench.run("verify flipped.safetensors --json");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told[0]["whole"], &told[0]["checksums"]),
        (&Value::Bool(false), &Value::Bool(true))
    );
}

/// A file of another program: one tensor of one byte.
#[test]
fn a_file_without_checksums_says_so() {
    let bench = Bench::new();
    let header = r#"{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   "#;
    let bytes = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[7]].concat();
    bench.write("theirs.safetensors", &bytes);
    let told = bench.good("verify theirs.safetensors");
    assert!(told.contains("no checksums") && told.contains("cannot be known"), "{told}");
    assert!(bench.refused("verify nowhere.safetensors").contains("nowhere"));
}
