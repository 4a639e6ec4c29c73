//! Patterns of dotted names.

use super::Module;
use crate::autograd::Role;
use crate::ops::Weight;

/// Whether `name` matches `pattern`, in which `*` stands for any characters, dots included.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    // Splitting gives at least one part.
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The name of the layer that a weight of this name belongs to.
fn layer_of(weight: &str) -> &str {
    weight.strip_suffix("weight").map_or(weight, |layer| layer.strip_suffix('.').unwrap_or(layer))
}

/// The linear layers of a model whose names match `pattern`, each with its weight's name and its weight, or
/// else a list of those that there are.
pub(crate) fn linear_layers<'m>(
    model: &'m dyn Module,
    pattern: &str,
) -> Result<Vec<LinearLayer<'m>>, String> {
    let weights = model.named_weights();
    let factors: Vec<_> =
        weights.iter().filter_map(|(_, weight)| weight.down()).map(|down| down.id()).collect();
    let linear = weights.into_iter().filter(|(_, weight)| {
        weight.role() == Role::LinearWeight && !factors.contains(&weight.id())
    });
    let all: Vec<LinearLayer<'_>> = linear
        .map(|(weight_name, weight)| LinearLayer {
            name: layer_of(&weight_name).to_string(),
            weight_name,
            weight,
        })
        .collect();
    let known: Vec<&str> = all.iter().map(|layer| layer.name.as_str()).collect();
    let known = known.join(", ");
    let found: Vec<_> = all.into_iter().filter(|layer| matches(pattern, &layer.name)).collect();
    if found.is_empty() { Err(known) } else { Ok(found) }
}

/// A linear layer of a model.
pub(crate) struct LinearLayer<'m> {
    /// The layer's name.
    pub(crate) name: String,
    /// Its weight's name.
    pub(crate) weight_name: String,
    /// Its weight.
    pub(crate) weight: &'m Weight,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
            ("head", "head", true),
            ("head", "head.0", false),
            ("*", "", true),
            ("*", "a.b", true),
            ("blocks.*.q_proj", "blocks.11.attention.q_proj", true),
            ("blocks.*.q_proj", "blocks.0.attention.k_proj", false),
            ("*proj*", "a.q_proj", true),
            ("a*a", "a", false),
            ("a*b*a", "abxa", true),
            ("", "head", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert_eq!((layer_of("a.fc.weight"), layer_of("weight"), layer_of("w")), ("a.fc", "", "w"));
    }
}
