//! States that are fed back from one step of a sequence to the next, as the user names them.

use anyhow::Result;
use clap::Args;
use std::sync::Arc;
use tinytorch::files::Provenance;
use tinytorch::models::{Feedback, Model};

/// The note in a model's file that says which outputs were fed back when it was calibrated.
const NOTE: &str = "states";

/// Which outputs become which inputs of the next step.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct States {
    /// An output that becomes an input of the next step, once for each: the data are then the steps of one
    /// sequence. A state begins with zeros unless the data hold an array under the name of its input
    #[arg(long = "state", value_name = "OUTPUT=INPUT", value_parser = pair)]
    pairs: Vec<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((output, input)) if !output.is_empty() && !input.is_empty() => {
            Ok((output.to_string(), input.to_string()))
        }
        _ => Err("an output and an input are needed, such as hn=h".to_string()),
    }
}

impl States {
    /// Whether nothing is fed back.
    pub(crate) fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What is said, or else what the model's file notes.
    pub(crate) fn or_noted(self, provenance: &Provenance) -> States {
        match provenance.notes.get(NOTE).map(|note| serde_json::from_str(note)) {
            Some(Ok(pairs)) if self.pairs.is_empty() => States { pairs },
            _ => self,
        }
    }

    /// Notes it in a model's file.
    pub(crate) fn note(&self, provenance: &mut Provenance) -> Result<()> {
        if !self.pairs.is_empty() {
            provenance.notes.insert(NOTE.to_string(), serde_json::to_string(&self.pairs)?);
        }
        Ok(())
    }

    /// What is fed back in this model; `None` if nothing is.
    pub(crate) fn of(&self, model: &dyn Model) -> Result<Option<Arc<Feedback>>> {
        match self.pairs.is_empty() {
            true => Ok(None),
            false => Ok(Some(Arc::new(Feedback::new(model, &self.pairs)?))),
        }
    }
}
