//! Choosing the instruction set: by name, by environment, by default.

use std::str::FromStr;
use std::sync::OnceLock;

use super::Isa;

/// The environment variable that forces an instruction set.
const VARIABLE: &str = "TINYTORCH_ISA";

const NAMES: [&str; 4] = ["scalar", "avx2", "avxvnni", "avx512vnni"];

/// A name that does not select an instruction set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IsaError {
    /// No instruction set has this name.
    #[error("unknown instruction set `{name}`: use scalar, avx2, avxvnni or avx512vnni")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// The name is right, but this CPU cannot run it.
    #[error("this CPU does not have the instruction set `{name}`: use {available}")]
    Unsupported {
        /// What was asked for.
        name: String,
        /// What this CPU has, comma separated.
        available: String,
    },
}

impl FromStr for Isa {
    type Err = IsaError;

    fn from_str(name: &str) -> Result<Isa, IsaError> {
        let available = Isa::available();
        if let Some(isa) = available.iter().find(|isa| isa.name() == name) {
            return Ok(*isa);
        }
        let name = name.to_owned();
        if !NAMES.contains(&name.as_str()) {
            return Err(IsaError::Unknown { name });
        }
        let available: Vec<_> = available.iter().map(|isa| isa.name()).collect();
        Err(IsaError::Unsupported { name, available: available.join(", ") })
    }
}

impl Isa {
    /// The instruction set that the environment variable `TINYTORCH_ISA` names; the best one when
    /// it is unset or empty.
    ///
    /// # Errors
    /// The name is unknown, or this CPU does not have what it names.
    pub fn from_env() -> Result<Isa, IsaError> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Isa::detect_best()),
            Some(name) if name.is_empty() => Ok(Isa::detect_best()),
            Some(name) => name.to_string_lossy().parse(),
        }
    }

    /// The instruction set of this process: [`Isa::from_env`], read once.
    ///
    /// An invalid variable counts as unset here; a program reports [`Isa::from_env`]'s error
    /// before it computes anything.
    pub fn active() -> Isa {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| Isa::from_env().unwrap_or_else(|_| Isa::detect_best()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_available_isa_parses_back_from_its_name() {
        for isa in Isa::available() {
            assert_eq!(isa.name().parse(), Ok(isa));
        }
    }

    #[test]
    fn an_unknown_name_lists_the_valid_ones() {
        let error = "sse9".parse::<Isa>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown instruction set `sse9`: use scalar, avx2, avxvnni or avx512vnni"
        );
    }

    #[test]
    fn a_known_name_never_reads_as_unknown() {
        for name in NAMES {
            assert!(!matches!(name.parse::<Isa>(), Err(IsaError::Unknown { .. })), "{name}");
        }
    }
}
