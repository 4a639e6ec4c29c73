//! The files, folders and types that a page names between backticks.

use std::fs;
use std::path::Path;

/// Those that are not in the workspace's crates.
pub(crate) fn missing(page: &str, workspace: &Path) -> Vec<String> {
    let (mut paths, mut text) = (Vec::new(), String::new());
    for name in fs::read_dir(workspace.join("crates")).unwrap() {
        collect(&name.unwrap().path(), &mut paths, &mut text);
    }
    // What is read between two backticks may not run over a line, or a lone one would turn all after it.
    let spans = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let mut missing = Vec::new();
    for span in spans {
        let path = span.trim_end_matches('/');
        let is_path = span.ends_with('/') || span.ends_with(".rs");
        let name: String = span.chars().take_while(|c| c.is_alphanumeric()).collect();
        let is_type = name.starts_with(|c: char| c.is_uppercase())
            && name.contains(|c: char| c.is_lowercase())
            && !span.contains(' ');
        if is_path && !paths.iter().any(|there| ends_with(there, path)) {
            missing.push(span.to_string());
        } else if is_type && !is_defined(&name, &text) {
            missing.push(name);
        }
    }
    missing
}

/// The folders and files below `folder`, and the text of the latter.
fn collect(folder: &Path, paths: &mut Vec<String>, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        paths.push(path.to_str().unwrap().to_string());
        if path.is_dir() {
            collect(&path, paths, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

fn ends_with(there: &str, path: &str) -> bool {
    there.strip_suffix(path).is_some_and(|before| before.ends_with('/'))
}

/// Whether the sources define a type, a trait or a variant of this name.
fn is_defined(name: &str, text: &str) -> bool {
    let word = |keyword: &str| text.contains(&format!("{keyword} {name}"));
    let variant = [",", "(", " {"].iter().any(|end| text.contains(&format!("\n    {name}{end}")));
    variant || ["struct", "enum", "trait", "type"].into_iter().any(word)
}
