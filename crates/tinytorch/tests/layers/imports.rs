//! Which file of a crate imports which, read from its text.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files of a crate by their paths below `src`, without comments and tests.
pub(crate) struct Sources(BTreeMap<String, String>);

/// The root ties the rooms together and declares the errors of all; it belongs to none.
const ROOTS: [&str; 3] = ["lib.rs", "main.rs", "error.rs"];

impl Sources {
    pub(crate) fn read(root: &Path) -> Sources {
        let mut files = Vec::new();
        collect(root, "", &mut files);
        Sources::of(files.iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    pub(crate) fn of<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Sources {
        let code = |text: &str| {
            let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let is_code = |path: &str| !path.ends_with("tests.rs") && !path.contains("/tests/");
        let files = files.into_iter().filter(|(path, _)| is_code(path));
        Sources(files.map(|(path, text)| (path.to_string(), code(text))).collect())
    }

    /// Every room: a folder or file directly below `src`.
    pub(crate) fn all_rooms(&self) -> Vec<String> {
        let inner = self.0.keys().filter(|path| !is_root(path));
        inner.map(|path| room(path).to_string()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Every import of another room: the file, its room, and the room.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (String, String, String)> {
        let files = self.0.iter().filter(|(path, _)| !is_root(path));
        files.flat_map(|(path, text)| {
            let rooms: BTreeSet<String> = paths(text, "crate")
                .into_iter()
                .filter_map(|segments| segments.into_iter().next())
                .filter(|name| self.is_room(name) && name != room(path))
                .collect();
            rooms.into_iter().map(|to| (path.clone(), room(path).to_string(), to))
        })
    }

    fn is_room(&self, name: &str) -> bool {
        self.0.keys().any(|path| !is_root(path) && room(path) == name)
    }

    /// Files that import each other in a circle, if there are any, in the order of their names.
    pub(crate) fn circle(&self) -> Option<Vec<String>> {
        let imports: BTreeMap<&str, BTreeSet<String>> =
            self.0.keys().map(|path| (path.as_str(), self.imports(path))).collect();
        let reachable = |from: &str| {
            let mut seen = BTreeSet::new();
            let mut next: Vec<&str> = imports[from].iter().map(String::as_str).collect();
            while let Some(file) = next.pop() {
                if seen.insert(file) {
                    next.extend(imports[file].iter().map(String::as_str));
                }
            }
            seen
        };
        let all: BTreeMap<&str, BTreeSet<&str>> =
            imports.keys().map(|&file| (file, reachable(file))).collect();
        let start = all.iter().find(|(file, reached)| reached.contains(*file))?.0;
        let circle = all[start].iter().filter(|file| all[*file].contains(start));
        Some(circle.map(ToString::to_string).collect())
    }

    /// The files that a file imports by `crate::` and `super::`. A `mod.rs` and the crate's root declare and
    /// re-export what is below them; that is no import. Nor is what an `error.rs` takes in to show.
    fn imports(&self, path: &str) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if is_root(path) || path.ends_with("/error.rs") {
            return found;
        }
        let text = &self.0[path];
        let mut folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let from_root = paths(text, "crate");
        found.extend(from_root.iter().filter_map(|segments| self.resolve("", segments)));
        if path.ends_with("/mod.rs") {
            folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        }
        let from_above = paths(text, "super");
        found.extend(from_above.iter().filter_map(|segments| self.resolve(folder, segments)));
        found.remove(path);
        found
    }

    /// The file that defines what a path below `folder` names, through re-exports.
    fn resolve(&self, folder: &str, segments: &[String]) -> Option<String> {
        let (first, rest) = segments.split_first()?;
        let below = if folder.is_empty() { first.clone() } else { format!("{folder}/{first}") };
        if self.0.contains_key(&format!("{below}.rs")) {
            return Some(format!("{below}.rs"));
        }
        let inside = format!("{below}/mod.rs");
        if self.0.contains_key(&inside) {
            return self.resolve(&below, rest).or(Some(inside));
        }
        let own = if folder.is_empty() { "lib.rs".into() } else { format!("{folder}/mod.rs") };
        let declared = self.0.get(&own)?;
        let source = use_lines(declared).into_iter().find_map(|path| {
            let (last, before) = path.split_last()?;
            let local = before.first().is_some_and(|room| self.is_below(folder, room));
            (last == first && local).then(|| self.resolve(folder, before)).flatten()
        });
        source.or_else(|| (!folder.is_empty()).then_some(own))
    }

    fn is_below(&self, folder: &str, name: &str) -> bool {
        let below = if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
        let files = [format!("{below}.rs"), format!("{below}/mod.rs")];
        files.iter().any(|file| self.0.contains_key(file))
    }
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push((format!("{prefix}{name}"), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn is_root(path: &str) -> bool {
    ROOTS.contains(&path)
}

fn room(path: &str) -> &str {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
}

/// Every path that follows `root::` in the text, lists in braces taken apart.
fn paths(text: &str, root: &str) -> Vec<Vec<String>> {
    let start = format!("{root}::");
    let is_start =
        |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    let starts = text.match_indices(&start).filter(|(at, _)| is_start(*at));
    starts.flat_map(|(at, _)| expand(&text[at + start.len()..])).collect()
}

/// The paths of every `use` and `pub use`.
fn use_lines(text: &str) -> Vec<Vec<String>> {
    let starts = text.match_indices("use ").filter(|(at, _)| {
        let before = &text[..*at];
        before.is_empty() || before.ends_with(['\n', ' ', ';'])
    });
    starts.flat_map(|(at, found)| expand(&text[at + found.len()..])).collect()
}

/// `a::{b, c::d}` as `a::b` and `a::c::d`.
fn expand(text: &str) -> Vec<Vec<String>> {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    let (path, rest) = text.split_at(end.unwrap_or(text.len()));
    let own: Vec<String> =
        path.split("::").filter(|part| !part.is_empty()).map(String::from).collect();
    if !(rest.starts_with('{') && (path.is_empty() || path.ends_with("::"))) {
        return vec![own];
    }
    let inner = braced(rest);
    let parts = split_list(inner).into_iter().flat_map(|part| expand(part.trim()));
    parts.map(|part| [own.clone(), part].concat()).collect()
}

/// What stands between a leading brace and its counterpart.
fn braced(text: &str) -> &str {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return &text[1..at],
            '}' => depth -= 1,
            _ => {}
        }
    }
    &text[1..]
}

fn split_list(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
