//! How a `config.json` says by which angles positions turn vectors.

use super::super::ModelError;
use super::settings::{Settings, config};
use crate::ops::{Rope, RopePairs, RopeScaling};
use serde_json::{Value, json};

/// The base of rotary positions where a file does not give it, as in the paper.
const PAPER_BASE: f32 = 10_000.0;

/// The angles, for positions below `context`.
///
/// Files give the base as `rope_theta`, with `rope_scaling` beside it, or both in one as `rope_parameters`, as
/// transformers writes it since version 5. What nobody says is as transformers takes it.
pub(super) fn rotary(file: &mut Settings, context: usize) -> Result<Rope, ModelError> {
    let mut bases = vec![("rope_theta", file.optional::<f32>("rope_theta")?)];
    let mut scalings = Vec::new();
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(value) = file.take(name) else { continue };
        let mut inner = Settings::below(name, value)?;
        bases.push((name, inner.optional("rope_theta")?));
        scalings.push(scaling(name, inner, context)?);
    }
    file.expect("partial_rotary_factor", &[json!(1), json!(1.0)])?;
    if scalings.windows(2).any(|two| two[0] != two[1]) {
        let problem = "rope_parameters and rope_scaling scale the rotary positions in two ways; leave the wrong one out";
        return Err(config(problem.to_string()));
    }
    let scaling = scalings.pop().flatten();
    let mut given = bases.into_iter().filter_map(|(name, base)| Some((name, base?)));
    let rope = |base| Rope { base, pairs: RopePairs::Halves, scaling };
    let Some((first, base)) = given.next() else { return Ok(rope(PAPER_BASE)) };
    match given.find(|(_, other)| *other != base) {
        Some((name, other)) => Err(config(format!(
            "{first} gives the base {base} of the rotary positions and {name} gives {other}; leave the wrong one out"
        ))),
        None => Ok(rope(base)),
    }
}

/// How angles below `context` are scaled. The type `dynamic` (Peng et al., 2023), whose base only grows with a
/// sequence beyond the context, leaves them as they are.
fn scaling(
    name: &str,
    mut file: Settings,
    context: usize,
) -> Result<Option<RopeScaling>, ModelError> {
    const CONTEXT: &str = "original_max_position_embeddings";
    let kind: Option<String> = file.optional("rope_type")?;
    // Older files say `type`, and newer ones keep it beside the new name.
    let older: Option<String> = file.optional("type")?;
    let kind = kind.or(older).unwrap_or_else(|| "default".to_string());
    file.expect("partial_rotary_factor", &[json!(1), json!(1.0)])?;
    let scaling = match kind.as_str() {
        "default" => None,
        "linear" => Some(RopeScaling::Linear { factor: file.required("factor")? }),
        "dynamic" => {
            let _: Option<f64> = file.optional("factor")?;
            file.expect(CONTEXT, &[context.into()])?;
            None
        }
        "llama3" => Some(RopeScaling::Llama3 {
            factor: file.required("factor")?,
            low: file.required("low_freq_factor")?,
            high: file.required("high_freq_factor")?,
            context: file.required(CONTEXT)?,
        }),
        "yarn" => Some(yarn(&mut file, context)?),
        other => return Err(file.unsupported("rope_type", &Value::from(other))),
    };
    file.finish().map_err(|error| match error {
        ModelError::Config { problem } => config(format!("{problem} (rotary positions by {name})")),
        other => other,
    })?;
    // A factor of 1 divides nothing.
    Ok(scaling.filter(|scaling| *scaling != RopeScaling::Linear { factor: 1.0 }))
}

fn yarn(file: &mut Settings, context: usize) -> Result<RopeScaling, ModelError> {
    let original: Option<usize> = file.optional("original_max_position_embeddings")?;
    let original = original.unwrap_or(context);
    let factor = file.optional("factor")?;
    let factor = factor.unwrap_or(context as f32 / original.max(1) as f32);
    // By DeepSeek's names the length is a quotient of two such scales.
    let scale = |by: f32| match factor {
        ..=1.0 => 1.0,
        _ => 0.1 * by * factor.ln() + 1.0,
    };
    let part: Option<f32> = file.optional("mscale")?;
    let whole: Option<f32> = file.optional("mscale_all_dim")?;
    let said: Option<f32> = file.optional("attention_factor")?;
    let usual = match (part, whole) {
        (Some(part), Some(whole)) if part != 0.0 && whole != 0.0 => scale(part) / scale(whole),
        _ => scale(1.0),
    };
    Ok(RopeScaling::Yarn {
        factor,
        fast: file.optional("beta_fast")?.unwrap_or(32.0),
        slow: file.optional("beta_slow")?.unwrap_or(1.0),
        context: original,
        length: said.unwrap_or(usual),
        whole: file.optional("truncate")?.unwrap_or(true),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(value: Value) -> Result<Rope, String> {
        let mut file = Settings::of(value).unwrap();
        let rope = rotary(&mut file, 64).map_err(|error| error.to_string())?;
        file.finish().map_err(|error| error.to_string())?;
        Ok(rope)
    }

    fn base(value: Value) -> Result<f32, String> {
        let rope = rope(value)?;
        assert_eq!((rope.pairs, rope.scaling), (RopePairs::Halves, None));
        Ok(rope.base)
    }

    #[test]
    fn both_spellings_give_the_base() {
        assert_eq!(base(json!({})), Ok(10_000.0));
        assert_eq!(base(json!({"rope_theta": 500000})), Ok(5e5));
        assert_eq!(base(json!({"rope_theta": 5e5, "rope_scaling": null})), Ok(5e5));
        let new = json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}});
        assert_eq!(base(new), Ok(5e5));
        let both = json!({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 5e5}});
        assert!(base(both).unwrap_err().contains("rope_theta gives the base 10000"));
    }

    #[test]
    fn scaling_that_changes_nothing_within_the_context_is_none() {
        for scaling in [
            json!({"rope_type": "default"}),
            json!({"type": "linear", "factor": 1.0}),
            json!({"type": "dynamic", "factor": 2.0}),
            json!({"rope_type": "dynamic", "factor": 4, "original_max_position_embeddings": 64}),
        ] {
            let file = json!({"rope_theta": 2e4, "rope_scaling": scaling});
            assert_eq!(base(file.clone()), Ok(2e4), "{file}");
        }
    }

    /// transformers' `_compute_dynamic_ntk_parameters`: the base of a sequence of this length.
    fn dynamic_base(base: f64, dim: f64, factor: f64, length: f64, context: f64) -> f64 {
        let length = length.max(context);
        base * (factor * length / context - (factor - 1.0)).powf(dim / (dim - 2.0))
    }

    /// Beyond the context there are no positions, so that the formula's other bases are never asked for.
    #[test]
    fn dynamic_scaling_is_that_of_transformers_wherever_there_are_positions() {
        let file = json!({"rope_theta": 2e4, "rope_scaling": {"type": "dynamic", "factor": 4.0}});
        let read = f64::from(base(file).unwrap());
        for length in 1..=64 {
            assert_eq!(dynamic_base(2e4, 8.0, 4.0, f64::from(length), 64.0), read);
        }
        assert!(dynamic_base(2e4, 8.0, 4.0, 65.0, 64.0) > 1.08 * read);
    }

    #[test]
    fn scaling_is_read_in_both_spellings() {
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 16});
        let (low, high, context) = (1.0, 4.0, 16);
        let want = RopeScaling::Llama3 { factor: 8.0, low, high, context };
        for name in ["rope_scaling", "rope_parameters"] {
            assert_eq!(rope(json!({name: llama3})).unwrap().scaling, Some(want));
            let linear = json!({name: {"type": "linear", "factor": 2}});
            let want = RopeScaling::Linear { factor: 2.0 };
            assert_eq!(rope(linear).unwrap().scaling, Some(want));
        }
        let yarn = |value: Value| match rope(json!({"rope_scaling": value})).unwrap().scaling {
            Some(RopeScaling::Yarn { factor, fast, slow, context, length, whole }) => {
                (factor, fast, slow, context, length, whole)
            }
            other => panic!("{other:?}"),
        };
        let usual = 0.1 * 4f32.ln() + 1.0;
        let plain = json!({"type": "yarn", "factor": 4.0});
        assert_eq!(yarn(plain), (4.0, 32.0, 1.0, 64, usual, true));
        let ratio = json!({"type": "yarn", "original_max_position_embeddings": 16});
        assert_eq!(yarn(ratio), (4.0, 32.0, 1.0, 16, usual, true));
        let said = json!({"rope_type": "yarn", "factor": 4.0, "beta_fast": 8, "beta_slow": 2,
            "attention_factor": 1.5, "truncate": false});
        assert_eq!(yarn(said), (4.0, 8.0, 2.0, 64, 1.5, false));
        let equal = json!({"type": "yarn", "factor": 4.0, "mscale": 0.7, "mscale_all_dim": 0.7});
        assert_eq!(yarn(equal).4, 1.0);
        let both =
            json!({"rope_scaling": {"type": "linear", "factor": 2.0}, "rope_parameters": {}});
        assert!(rope(both).unwrap_err().contains("in two ways"));
    }

    #[test]
    fn scaling_that_is_not_known_is_named() {
        for (scaling, named) in [
            (json!({"rope_type": "longrope", "factor": 8.0}), "rope_type is \"longrope\""),
            (
                json!({"rope_type": "llama3", "factor": 8.0}),
                "there is no rope_scaling.low_freq_factor",
            ),
            (json!({"type": "linear"}), "there is no rope_scaling.factor"),
            (json!({"type": "yarn", "factor": 2.0, "finetuned": true}), "finetuned"),
            (
                json!({"type": "dynamic", "factor": 2, "original_max_position_embeddings": 32}),
                "original_max_position_embeddings is 32",
            ),
            (json!({"rope_type": "default", "mrope_section": [1, 2]}), "mrope_section"),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
            (json!(3), "an object is needed"),
        ] {
            for name in ["rope_scaling", "rope_parameters"] {
                let line = rope(json!({name: scaling})).unwrap_err();
                assert!(line.contains(&named.replace("rope_scaling", name)), "{line}");
            }
        }
        assert!(base(json!({"partial_rotary_factor": 0.5})).is_err());
    }
}
