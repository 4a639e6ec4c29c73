//! The data to calibrate with.

use crate::arrays::Arrays;
use crate::data::{Calibrating, Learner, Origin, Source, check_inputs, example};
use crate::feedback::States;
use crate::language::own_tokenizer;
use crate::pictures::Pictures;
use crate::problem::Problem;
use crate::scale;
use crate::sentences::{is_text, sentence_ids};
use anyhow::Result;
use clap::Args;
use std::path::Path;
use tinytorch::Tensor;
use tinytorch::data::Labels;
use tinytorch::files::{Provenance, digest_tensors};
use tinytorch::models::{Model, Rebuild, SentenceEncoder, Sequence};
use tinytorch::quant::{QuantConfig, SeenRows};

/// The note in a model's file that says what the pictures were that it was calibrated with.
pub(super) const PICTURES: &str = "calibration_pictures";

/// The data to calibrate with, as the user names it.
#[derive(Args)]
pub(crate) struct Calibration {
    /// Folder or file to take the activations' ranges from, or `digits` or `tinytalks`, which are embedded; a
    /// .txt file for a language model, and for a sentence encoder one with a sentence on each line
    #[arg(long, value_name = "PATH|digits|tinytalks")]
    pub(crate) calibrate: Option<Source>,
    #[command(flatten)]
    pub(crate) pictures: Pictures,
    #[command(flatten)]
    pub(crate) states: States,
    /// Which column of a .csv holds the labels, where its names or values do not tell
    #[arg(long, value_name = "first|last|NAME|none", requires = "calibrate")]
    pub(crate) labels: Option<Labels>,
    /// Training samples to calibrate with
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) samples: usize,
    /// Seed of the choice of samples
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

impl Calibration {
    /// The steps to calibrate with, of a model whose state is fed back, of which the provenance then tells; `None`
    /// if no output is said to be fed back.
    pub(crate) fn sequence(
        &self,
        model: &dyn Model,
        provenance: &mut Provenance,
    ) -> Result<Option<Sequence>> {
        let Some(feedback) = self.states.of(model)? else { return Ok(None) };
        let Some(source) = &self.calibrate else { return Err(Problem::NothingToJudge.into()) };
        let data = source.to_string();
        let Some(path) = source.path() else { return Err(Problem::NoSteps { data }.into()) };
        let sequence = Arrays::sequence(path, model, &self.pictures, &feedback)?;
        let sequence = sequence.first_steps(self.samples)?;
        self.pictures.note(provenance)?;
        self.states.note(provenance)?;
        note(&sequence.given(), &data, provenance)?;
        Ok(Some(sequence))
    }

    /// The inputs to calibrate with, of which the provenance then tells, and whether their answers are classes, as labels or
    /// the text that goes on say. Without static activations a single input is enough, whatever its values: it shows which
    /// norms follow a convolution.
    pub(crate) fn inputs(
        &self,
        file: &Path,
        model: &dyn Model,
        config: &QuantConfig,
        within_budget: bool,
        provenance: &mut Provenance,
    ) -> Result<(Vec<Tensor>, bool)> {
        let Some(source) = &self.calibrate else {
            if within_budget {
                return Err(Problem::NothingToJudge.into());
            }
            if config.scheme.is_static() {
                return Err(Problem::NoCalibration.into());
            }
            return example(model, 1).map(|example| (vec![example], false));
        };
        if let Some(path) = source.path().filter(|path| Arrays::are_in(path, model)) {
            let arrays = Arrays::read(path, model, &self.pictures)?;
            if let Some(told) = &arrays.told {
                provenance.notes.insert(PICTURES.to_string(), told.clone());
            }
            self.pictures.note(provenance)?;
            let has_classes = arrays.labels.is_some();
            let arrays = arrays.some(self.samples, model.fixed_batch())?;
            note(&arrays, &source.to_string(), provenance)?;
            return Ok((arrays, has_classes));
        }
        let text = source.path().filter(|path| is_text(path));
        if let Some(path) = text.filter(|_| model.kind() == SentenceEncoder::NAME) {
            let ids = vec![sentence_ids(&[file], path, self.samples)?];
            note(&ids, &source.to_string(), provenance)?;
            return Ok((ids, false));
        }
        let own = match source.is_text() {
            true => own_tokenizer(file, model, provenance)?,
            false => None,
        };
        let source = source.clone().with_labels(self.labels.as_ref());
        let Calibrating { inputs, origin, has_classes } =
            source.to_calibrate(model, own.as_deref(), self.samples, self.seed)?;
        let data = source.to_string();
        check_inputs(&inputs, &data, model)?;
        scale::check(&inputs, &data, provenance)?;
        scale::note_calibration(&inputs, &data, provenance)?;
        origin.note(Learner::Calibration, provenance);
        provenance.calibration_sha256 = Some(digest_tensors(&[("inputs", inputs.clone())])?);
        SeenRows::of(std::slice::from_ref(&inputs))?.write(provenance);
        Ok((vec![inputs], has_classes))
    }
}

/// Tells in the file of a model on which inputs, one tensor for each of the model's, it was calibrated.
///
/// # Errors
/// [`Problem::ConstantCalibration`] for inputs that are all one number.
pub(crate) fn note(inputs: &[Tensor], data: &str, provenance: &mut Provenance) -> Result<()> {
    if let Some(first) = inputs.first() {
        scale::note_calibration(first, data, provenance)?;
    }
    Origin::of(data.to_string()).note(Learner::Calibration, provenance);
    let named: Vec<(&str, Tensor)> = inputs.iter().map(|t| ("inputs", t.clone())).collect();
    provenance.calibration_sha256 = Some(digest_tensors(&named)?);
    SeenRows::of(inputs)?.write(provenance);
    Ok(())
}
