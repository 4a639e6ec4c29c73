//! What a table was measured on and with.

/// This program's lock file, which has the versions of the crates that it compares with.
const LOCK: &str = include_str!("../Cargo.lock");

/// The version of a crate that this program was built with.
pub(crate) fn crate_version(name: &str) -> &'static str {
    let head = format!("\nname = \"{name}\"\nversion = \"");
    let version = LOCK.split_once(&head).and_then(|(_, rest)| rest.split_once('"'));
    version.map_or("?", |(version, _)| version)
}

/// The model of the CPU, as the system names it.
pub(crate) fn cpu() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    model_name(&text).unwrap_or("an unknown CPU").into()
}

fn model_name(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock_file() {
        assert!(crate_version("matrixmultiply").starts_with("0.3."));
        assert_eq!(crate_version("matrixmult"), "?");
    }

    #[test]
    fn the_first_processor_names_the_model() {
        let text = "processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nprocessor\t: 1\n";
        assert_eq!(model_name(text), Some("Fast CPU @ 3 GHz"));
        assert_eq!(model_name("processor: 0"), None);
    }
}
