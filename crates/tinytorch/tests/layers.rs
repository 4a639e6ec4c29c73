//! The order that ARCHITECTURE.md promises: inside a crate imports run downwards through its table of
//! layers, no files import each other in a circle, and the files and types that the page names exist. All is
//! read from the sources.

#[path = "layers/imports.rs"]
mod imports;
#[path = "layers/names.rs"]
mod names;
#[path = "layers/table.rs"]
mod table;

use imports::Sources;
use std::path::{Path, PathBuf};
use table::Layers;

const CRATES: [&str; 7] = [
    "tinytorch",
    "tinytorch-core",
    "tinytorch-text",
    "tinytorch-kernels",
    "tinytorch-cli",
    "tinytorch-onnx",
    "tinytorch-python",
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources(name: &str) -> Sources {
    Sources::read(&workspace().join("crates").join(name).join("src"))
}

fn architecture() -> String {
    std::fs::read_to_string(workspace().join("ARCHITECTURE.md")).unwrap()
}

#[test]
fn what_the_page_names_is_there() {
    let missing = names::missing(&architecture(), &workspace());
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
    let page =
        "`plan/nowhere.rs`, `fold.rs`, `audit/gates/`, `Nowhere::at(all)`, `Tape::lower`, `u8`";
    assert_eq!(names::missing(page, &workspace()), ["plan/nowhere.rs", "Nowhere"]);
}

#[test]
fn imports_run_down_through_the_layers() {
    let page = architecture();
    let mut upward = Vec::new();
    for name in CRATES {
        let layers = Layers::of(&page, name);
        for (file, room, imported) in sources(name).rooms() {
            if layers.row(&room) >= layers.row(&imported) && room != imported {
                upward.push(format!("{name}: {file} ({room}) imports {imported}"));
            }
        }
    }
    assert!(upward.is_empty(), "{}", upward.join("\n"));
}

#[test]
fn every_folder_has_a_layer_and_every_layer_a_folder() {
    let page = architecture();
    for name in CRATES {
        let mut listed = Layers::of(&page, name).all();
        let mut there = sources(name).all_rooms();
        listed.sort();
        there.sort();
        assert_eq!(listed, there, "{name}");
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let circles = CRATES.map(|name| (name, sources(name).circle()));
    let found: Vec<_> = circles.iter().filter(|(_, circle)| circle.is_some()).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_circle_and_an_upward_import_are_found() {
    let sources = Sources::of([
        ("lib.rs", "mod low; mod high;"),
        ("low/mod.rs", "mod a; mod b; pub use a::A;"),
        ("low/a.rs", "use super::b::B;\nuse crate::high::High;"),
        ("low/b.rs", "// use super::nothing\nuse super::A;"),
        ("high.rs", "#[cfg(test)]\nmod tests { use crate::nowhere::N; }"),
    ]);
    let rooms: Vec<_> = sources.rooms().collect();
    assert_eq!(rooms, [("low/a.rs".into(), "low".into(), "high".into())]);
    assert_eq!(sources.circle(), Some(vec!["low/a.rs".to_string(), "low/b.rs".to_string()]));
}
