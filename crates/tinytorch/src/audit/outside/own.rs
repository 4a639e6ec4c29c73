//! Models of tinytorch's own that are judged by their answers alone.

use super::{Footprint, Outside};
use crate::Result;
use crate::audit::{HeldOut, Probe};
use crate::models::{Model, compile};
use crate::profile::ProfileError;
use crate::profile::process::{ProbeRequest, ProbeTask, passes_for};
use crate::tensor::Tensor;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

impl Outside {
    /// A model that a plan runs, which is compiled for inputs like these. What it is made of is not looked at: so a
    /// graph can be held against another that means the same.
    ///
    /// ```
    /// use tinytorch::{audit::Outside, models::Architecture, nn::Init};
    /// let model = Architecture::preset("digits-mlp")?.build(&mut Init::seed(0))?;
    /// let example = model.example(2)?;
    /// let outside = Outside::planned("digits", &*model, &example)?;
    /// assert_eq!(outside.answer(&example)?[0].shape().dims(), [2, 10]);
    /// # Ok::<(), tinytorch::Error>(())
    /// ```
    ///
    /// # Errors
    /// If the model cannot be compiled.
    pub fn planned(
        name: impl Into<String>,
        model: &dyn Model,
        inputs: &[Tensor],
    ) -> Result<Outside> {
        let plan = Mutex::new(compile(model, inputs)?);
        // A pass that fails leaves a plan as it was.
        let answer = move |inputs: &[Tensor]| {
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            plan.lock().unwrap_or_else(PoisonError::into_inner).run_many(&inputs)
        };
        let outside = Outside::new(name, answer).with_output_names(model.output_names());
        Ok(match model.fixed_batch() {
            Some(samples) => outside.with_fixed_batch(samples),
            None => outside,
        })
    }

    /// The same model, which the fresh processes of `probe` read from this file of tinytorch's own and run on one of
    /// these samples.
    ///
    /// # Errors
    /// None that is known: samples have shapes.
    pub fn probed(
        self,
        file: impl Into<PathBuf>,
        samples: &HeldOut,
        probe: Probe,
    ) -> Result<Outside> {
        let (file, inputs) = (file.into(), samples.shapes_of_one()?);
        Ok(self.measured_by(move |copies| {
            let passes = passes_for(copies);
            let task = ProbeTask::Resident { copies, inputs: inputs.clone(), passes };
            let report = probe.ask(&ProbeRequest { file: file.clone(), task })?;
            let bytes = report.resident_by_passes().ok_or(ProfileError::NoResident)?;
            Ok(Footprint { bytes, how: "tinytorch in a process of its own".to_string() })
        }))
    }
}
