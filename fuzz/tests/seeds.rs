//! Every parser takes its seeds, cut anywhere and with any byte changed, without a fuzzer: what a machine
//! without nightly Rust can check.

use parsers::TARGETS;
use std::path::{Path, PathBuf};

fn seeds(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|_| panic!("{} is missing", folder.display()));
    files.map(|file| file.unwrap().path()).collect()
}

/// Places in a file where it is cut or changed: all of the first 512, and 512 over the rest.
fn places(len: usize) -> impl Iterator<Item = usize> {
    let step = (len / 512).max(1);
    (0..len.min(512)).chain((512..len).step_by(step))
}

#[test]
fn parsers_take_damaged_seeds() {
    for (name, parse) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in seeds {
            let bytes = std::fs::read(&seed).unwrap();
            parse(&bytes);
            for place in places(bytes.len()) {
                parse(&bytes[..place]);
                for change in [0x01, 0x80, 0xff] {
                    let mut damaged = bytes.clone();
                    damaged[place] ^= change;
                    parse(&damaged);
                }
            }
        }
    }
}
