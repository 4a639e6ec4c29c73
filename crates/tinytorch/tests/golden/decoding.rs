//! What is digested of decoders: the tokens that they generate, and their scores, over each cache.

use super::battery::Case;
use super::quantizing::quantized;
use super::support::{AnyModel, CACHES, generated, scores};
use super::values::Values;
use tinytorch::Tensor;

/// Float and int8 weights; float and int8 caches, and none.
pub(crate) fn decoding(
    case: &Case<AnyModel, Tensor>,
    values: &mut Values,
    prompt: &[i64],
    ids: &Tensor,
) {
    let calibration = [case.training.clone()];
    let (int8, _) = quantized(&case.model, &calibration, &case.suited).unwrap();
    for (name, model) in [("float", &case.model), ("int8", &int8)] {
        for (cache_name, cache) in CACHES {
            let prefix = format!("generated/{name}/cache-{cache_name}");
            for (way, is_drawn) in [("likeliest", false), ("drawn", true)] {
                let tokens = generated(model, prompt, cache, is_drawn);
                let tokens: Vec<String> = tokens.iter().map(ToString::to_string).collect();
                values.put(&format!("{prefix}/{way}"), tokens.join(" "));
            }
            if let Some(cache) = cache {
                values.tensor(&format!("{prefix}/scores"), &scores(model, ids, cache));
            }
        }
    }
}
