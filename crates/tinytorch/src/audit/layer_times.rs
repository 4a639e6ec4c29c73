//! How long every layer takes, as models are deployed.

use super::{AuditOptions, LayerEvidence, Subject};
use crate::Result;
use crate::models::compile;
use crate::plan::{Plan, StepInfo};
use crate::tensor::Tensor;
use std::time::Duration;

/// Samples of the passes that are timed, those of the gate `latency`.
const BATCH: usize = 32;

/// Passes of each model, taken in turn. Medians of 21 differ by a few percent from run to run.
const PASSES: usize = 21;

/// Notes the median time of every layer in both models: of all steps that are made for its weight,
/// quantizing its input included.
///
/// # Errors
/// If a model does not run on the data.
pub(super) fn note(
    layers: &mut [LayerEvidence],
    subject: &Subject,
    options: &AuditOptions,
) -> Result<()> {
    let batch = subject.held_out.first(BATCH)?;
    let mut float = compile(&*subject.float, &batch)?;
    let mut int8 = compile(&*subject.int8, &batch)?.on(options.deployed);
    let [of_float, of_int8] =
        in_turn(|| pass_of(&mut float, &batch), || pass_of(&mut int8, &batch))?;
    let (float, int8) = (float.steps(), int8.steps());
    for layer in layers {
        let of = |steps: &[StepInfo], passes: &[Vec<Duration>]| {
            median(passes, &steps_of(steps, &layer.name, layer.looks_up))
        };
        layer.float_time = of(&float, &of_float);
        layer.int8_time = of(&int8, &of_int8);
    }
    Ok(())
}

/// The times of a pass's steps.
fn pass_of(plan: &mut Plan, batch: &Vec<Tensor>) -> Result<Vec<Duration>> {
    Ok(plan.profile(batch)?.into_iter().map(|step| step.time).collect())
}

/// The passes of each model, a pass of one after a pass of the other.
fn in_turn<P>(
    mut float: impl FnMut() -> Result<P>,
    mut int8: impl FnMut() -> Result<P>,
) -> Result<[Vec<P>; 2]> {
    // The first finds cold caches and no memory.
    float()?;
    int8()?;
    let (mut of_float, mut of_int8) = (Vec::new(), Vec::new());
    for _ in 0..PASSES {
        of_float.push(float()?);
        of_int8.push(int8()?);
    }
    Ok([of_float, of_int8])
}

/// The steps that are made for a weight, which is looked up or multiplied: where a table is both, what quantizes
/// the rows that it is multiplied by belongs to the product.
fn steps_of(steps: &[StepInfo], name: &str, looks_up: bool) -> Vec<usize> {
    let is_its = |step: &StepInfo| step.name == name && step.looks_up == looks_up;
    (0..steps.len()).filter(|&i| is_its(&steps[i])).collect()
}

/// The median time of these steps together; `None` without steps or passes.
fn median(passes: &[Vec<Duration>], steps: &[usize]) -> Option<Duration> {
    let together = |times: &Vec<Duration>| steps.iter().map(|&i| times[i]).sum();
    let mut times: Vec<Duration> = passes.iter().map(together).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().filter(|_| !steps.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::Var;
    use crate::models::{Architecture, GptConfig};
    use crate::nn::Init;
    use crate::quant::{Activations, QuantConfig, quantize_model};
    use std::cell::RefCell;

    #[test]
    fn passes_are_taken_in_turn_and_the_first_of_each_does_not_count() {
        let taken = RefCell::new(Vec::new());
        let pass = |who: &'static str| {
            taken.borrow_mut().push(who);
            Ok(taken.borrow().len())
        };
        let [float, int8] = in_turn(|| pass("float"), || pass("int8")).unwrap();
        assert!(taken.borrow().chunks(2).all(|pair| pair == ["float", "int8"]));
        assert_eq!((float.len(), int8.len()), (PASSES, PASSES));
        assert_eq!((float[0], int8[0]), (3, 4));
    }

    #[test]
    fn a_layers_time_is_the_median_of_its_steps_together() {
        let us = Duration::from_micros;
        // The steps 0 and 2 take 11, 31, 12, 900 and 13 together; neither's own medians add up to that of the sums.
        let passes = [[1, 500, 10], [30, 1, 1], [2, 1, 10], [880, 2, 20], [3, 2, 10]];
        let passes = passes.map(|times| times.map(us).to_vec());
        assert_eq!(median(&passes, &[0, 2]), Some(us(13)));
        assert_eq!(median(&passes, &[1]), Some(us(2)));
        assert_eq!(median(&passes, &[]), None);
        assert_eq!(median(&[], &[0]), None);
    }

    /// A decoder's token table is looked up at its beginning and multiplied at its end.
    #[test]
    fn every_step_with_a_weight_counts_for_one_layer() {
        let sizes = GptConfig {
            vocab: 16,
            context: 4,
            dim: 32,
            layers: 1,
            heads: 2,
            hidden: 32,
            ..GptConfig::TALKS_GPT
        };
        let mut model = Architecture::Gpt(sizes).build(&mut Init::seed(1)).unwrap();
        let batch = model.example(2).unwrap();
        let inputs = batch.iter().map(Var::from).collect::<Vec<_>>();
        let config = QuantConfig::new(Activations::Dynamic).knowingly();
        quantize_model(&mut *model, inputs.into_iter().map(Ok), &config).unwrap();
        let mut plan = compile(&*model, &batch).unwrap();
        pass_of(&mut plan, &batch).unwrap();
        let steps = plan.steps();
        let ops_of = |name: &str, looks_up: bool| -> Vec<&str> {
            steps_of(&steps, name, looks_up).into_iter().map(|i| steps[i].op).collect()
        };
        assert_eq!(ops_of("tokens.weight", true), ["embedding"]);
        assert_eq!(ops_of("tokens.weight", false), ["quantize", "linear"]);
        assert_eq!(ops_of("blocks.0.mlp.linear1.weight", false), ["quantize", "linear"]);
        // Queries, keys and values read what was quantized once.
        let read = ["q_proj", "k_proj", "v_proj"]
            .map(|layer| format!("blocks.0.attention.{layer}.weight"));
        assert_eq!(read.map(|name| ops_of(&name, false).len()), [2, 1, 1]);
        let multiplied = steps.iter().filter(|step| step.op == "linear").count();
        let named = model.named_params();
        let own = named.iter().flat_map(|(name, _)| ops_of(name, false));
        assert_eq!((own.filter(|op| *op == "linear").count(), multiplied), (7, 7));
    }
}
