//! How a `config.json` says by which angles positions turn vectors.

use super::super::ModelError;
use super::settings::{Settings, config};
use serde_json::{Value, json};

/// The base of rotary positions where a file does not give it, as in the paper.
const PAPER_BASE: f32 = 10_000.0;

/// The base of the angles, for positions below `context`.
///
/// Files give it as `rope_theta`, with `rope_scaling` beside it, or both in one as `rope_parameters`, as
/// transformers writes it since version 5. Scaling that leaves the angles below `context` as they are is
/// taken for none: the type `default`, a factor of 1, and the type `dynamic` (Peng et al., 2023), whose
/// base only grows with a sequence beyond the context.
pub(super) fn rotary_base(file: &mut Settings, context: usize) -> Result<f32, ModelError> {
    let mut bases = vec![("rope_theta", file.optional::<f32>("rope_theta")?)];
    for name in ["rope_parameters", "rope_scaling"] {
        let Some(value) = file.take(name) else { continue };
        let mut inner = Settings::below(name, value)?;
        bases.push((name, inner.optional("rope_theta")?));
        check_scaling(name, inner, context)?;
    }
    file.expect("partial_rotary_factor", &[json!(1), json!(1.0)])?;
    let mut given = bases.into_iter().filter_map(|(name, base)| Some((name, base?)));
    let Some((first, base)) = given.next() else { return Ok(PAPER_BASE) };
    match given.find(|(_, other)| *other != base) {
        Some((name, other)) => Err(config(format!(
            "{first} gives the base {base} of the rotary positions and {name} gives {other}; leave the wrong one out"
        ))),
        None => Ok(base),
    }
}

/// Refuses a scaling that changes angles below `context`.
fn check_scaling(name: &str, mut file: Settings, context: usize) -> Result<(), ModelError> {
    let kind: Option<String> = file.optional("rope_type")?;
    // Older files say `type`, and newer ones keep it beside the new name.
    let older: Option<String> = file.optional("type")?;
    let kind = kind.or(older).unwrap_or_else(|| "default".to_string());
    file.expect("partial_rotary_factor", &[json!(1), json!(1.0)])?;
    match kind.as_str() {
        "default" => file.finish(),
        "linear" => {
            file.expect("factor", &[json!(1), json!(1.0)])?;
            file.finish()
        }
        "dynamic" => {
            let _: Option<f64> = file.optional("factor")?;
            file.expect("original_max_position_embeddings", &[context.into()])?;
            file.finish()
        }
        other => Err(file.unsupported("rope_type", &Value::from(other))),
    }
    .map_err(|error| match error {
        ModelError::Config { problem } => config(format!("{problem} (rotary positions by {name})")),
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base(value: Value) -> Result<f32, String> {
        let mut file = Settings::of(value).unwrap();
        let base = rotary_base(&mut file, 64).map_err(|error| error.to_string())?;
        file.finish().map_err(|error| error.to_string())?;
        Ok(base)
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

    #[test]
    fn scaling_that_changes_angles_is_named() {
        for (scaling, named) in [
            (json!({"type": "linear", "factor": 2.0}), "rope_scaling.factor is 2.0"),
            (json!({"rope_type": "llama3", "factor": 8.0}), "rope_type is \"llama3\""),
            (json!({"type": "yarn", "factor": 4.0}), "rope_type is \"yarn\""),
            (
                json!({"type": "dynamic", "factor": 2, "original_max_position_embeddings": 32}),
                "original_max_position_embeddings is 32",
            ),
            (json!({"rope_type": "default", "mrope_section": [1, 2]}), "mrope_section"),
            (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor is 0.5"),
            (json!(3), "an object is needed"),
        ] {
            for name in ["rope_scaling", "rope_parameters"] {
                let line = base(json!({name: scaling})).unwrap_err();
                assert!(line.contains(&named.replace("rope_scaling", name)), "{line}");
            }
        }
        assert!(base(json!({"partial_rotary_factor": 0.5})).is_err());
    }
}
