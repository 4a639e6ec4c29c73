//! Weights as products of two thin matrices.

use crate::Result;
use crate::autograd::{Param, Role};
use crate::compress::{CompressError, Svd, svd};
use crate::nn::{Module, linear_layers};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// A matrix as the product of two thin ones.
#[derive(Clone, Debug)]
pub struct Thin {
    /// `[out, rank]`.
    pub up: Tensor,
    /// `[rank, in]`.
    pub down: Tensor,
    /// Relative error in the Frobenius norm, `|A - up down| / |A|`: the least that this rank allows.
    pub error: f64,
}

/// The best approximation of a matrix `[out, in]` by one of this rank (Eckart and Young, 1936), from its
/// singular value decomposition: `up` is the left vectors, `down` the right ones times the singular values.
///
/// `up` keeps lengths, so that what rounding does between the factors is in the output no larger; and the
/// rows of `down`, which differ in size, have a scale each when they are quantized per channel.
///
/// ```
/// use tinytorch::{Tensor, fit::low_rank_approximate};
/// let a = Tensor::from_vec(vec![3.0, 0.0, 0.0, 4.0], [2, 2])?;
/// let thin = low_rank_approximate(&a, 1)?;
/// let back = thin.up.matmul(&thin.down)?;
/// assert!(back.allclose(&Tensor::from_vec(vec![0.0, 0.0, 0.0, 4.0], [2, 2])?, 0.0, 1e-6)?);
/// assert!((thin.error - 0.6).abs() < 1e-6);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// [`CompressError::NotAMatrix`], [`CompressError::Rank`], [`CompressError::NotFinite`].
pub fn low_rank_approximate(matrix: &Tensor, rank: usize) -> Result<Thin> {
    approximate("the matrix", matrix, rank)
}

fn approximate(name: &str, matrix: &Tensor, rank: usize) -> Result<Thin> {
    let shape = *matrix.shape();
    let &[out, inputs] = shape.dims() else {
        return Err(CompressError::NotAMatrix { shape }.into());
    };
    let max = out.min(inputs);
    if !(1..=max).contains(&rank) {
        return Err(CompressError::Rank { rank, shape, max }.into());
    }
    let values = matrix.to_vec::<f32>()?;
    if let Some(index) = values.iter().position(|v| !v.is_finite()) {
        let (weight, value) = (name.to_string(), values[index]);
        return Err(CompressError::NotFinite { weight, value, index }.into());
    }
    let Svd { u, sigma, v } = svd(&values, out, inputs);
    let up = (0..out).flat_map(|i| (0..rank).map(move |r| (i, r)));
    let up = up.map(|(i, r)| u[r][i] as f32).collect();
    let down = (0..rank).flat_map(|r| (0..inputs).map(move |j| (r, j)));
    let down = down.map(|(r, j)| (sigma[r] * v[r][j]) as f32).collect();
    let norm = |sigma: &[f64]| sigma.iter().map(|s| s * s).sum::<f64>().sqrt();
    let (lost, all) = (norm(&sigma[rank..]), norm(&sigma));
    Ok(Thin {
        up: Tensor::from_vec(up, [out, rank])?,
        down: Tensor::from_vec(down, [rank, inputs])?,
        error: if lost == 0.0 { 0.0 } else { lost / all },
    })
}

/// What [`factorize`] has done to a model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LowRankReport {
    /// The layers that are two factors from here on, each with the relative error of its weight.
    pub factored: Vec<(String, f64)>,
    /// The layers that stay, since two factors of this rank would not be smaller.
    pub kept: Vec<String>,
}

/// Stores the weights of linear layers whose dotted names match `pattern`, in which `*` stands for any
/// characters, as two factors of this rank: `y = (x V^T) U^T + b` with `rank * (out + in)` values
/// instead of `out * in`.
///
/// The layer stays what it is. `fc.weight` becomes `U`, `[out, rank]`, and `fc.weight_down` is `V`, `[rank, in]`;
/// both train, save and quantize as weights do.
///
/// # Errors
/// [`CompressError::NoLayer`], [`CompressError::Rank`], [`CompressError::NothingSaved`],
/// [`CompressError::NotPlain`], [`CompressError::NotFinite`].
pub fn factorize(model: &mut dyn Module, pattern: &str, rank: usize) -> Result<LowRankReport> {
    let layers = linear_layers(model, pattern)
        .map_err(|known| CompressError::NoLayer { pattern: pattern.to_string(), known })?;
    let mut report = LowRankReport::default();
    let mut factors = BTreeMap::new();
    for layer in layers {
        if !layer.weight.is_plain_float() {
            let form = if layer.weight.int8().is_some() { "int8" } else { "not stored alone" };
            let (weight, change) = (layer.weight_name, "factored");
            return Err(CompressError::NotPlain { weight, form, change }.into());
        }
        let shape = layer.weight.shape();
        if rank > 0 && rank * (shape[0] + shape[1]) >= shape.len() {
            report.kept.push(layer.name);
            continue;
        }
        let thin = approximate(&layer.weight_name, layer.weight.value()?, rank)?;
        report.factored.push((layer.name, thin.error));
        factors.insert(layer.weight_name, thin);
    }
    if factors.is_empty() {
        let layers = report.kept.join(", ");
        return Err(CompressError::NothingSaved { rank, layers }.into());
    }
    model.change_weights(&mut |name, weight| {
        if let Some(Thin { up, down, .. }) = factors.remove(name) {
            let factor = |value| Param::new(value, Role::LinearWeight);
            weight.set_factors(factor(up), factor(down).into());
        }
    });
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var};
    use crate::nn::{Forward, Init, Linear};

    #[test]
    fn a_factored_layer_multiplies_by_the_product() {
        let mut layer = Linear::new(20, 12, &mut Init::seed(1)).unwrap();
        let x = Var::from(Tensor::randn([4, 20], 1.0, &mut Rng::seed(2)).unwrap());
        let thin = low_rank_approximate(layer.weight.value().unwrap(), 3).unwrap();
        let mut want = layer.clone();
        *want.weight.value_mut().unwrap() = thin.up.matmul(&thin.down).unwrap();
        let report = factorize(&mut layer, "*", 3).unwrap();
        assert_eq!(report.factored, [(String::new(), thin.error)]);
        let names: Vec<String> = layer.named_params().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["weight", "weight_down", "bias"]);
        assert_eq!(layer.weight.layer_shape().dims(), [12, 20]);
        let [got, want] =
            [&layer, &want].map(|l| l.forward(&x, &mut Ctx::eval()).unwrap().into_value());
        assert!(got.allclose(&want, 1e-4, 1e-5).unwrap());
    }

    #[test]
    fn a_matrix_of_low_rank_loses_nothing() {
        let mut rng = Rng::seed(3);
        let mut randn = |shape: [usize; 2]| Tensor::randn(shape, 1.0, &mut rng).unwrap();
        let a = randn([9, 2]).matmul(&randn([2, 11])).unwrap();
        let thin = low_rank_approximate(&a, 2).unwrap();
        assert!(thin.error < 1e-6);
        assert!(thin.up.matmul(&thin.down).unwrap().allclose(&a, 1e-4, 1e-4).unwrap());
        let worse = low_rank_approximate(&a, 1).unwrap();
        let off = worse.up.matmul(&worse.down).unwrap().sub(&a).unwrap();
        let norm = |t: &Tensor| f64::from(t.mul(t).unwrap().sum().unwrap()).sqrt();
        assert!((norm(&off) / norm(&a) - worse.error).abs() < 1e-5);
    }

    #[test]
    fn impossible_ranks_are_named() {
        let a = Tensor::ones([3, 4]).unwrap();
        for rank in [0, 4] {
            let error = low_rank_approximate(&a, rank).unwrap_err().to_string();
            assert!(error.contains(&format!("rank {rank}")) && error.contains("1 to 3"), "{error}");
        }
        assert!(low_rank_approximate(&Tensor::ones([3]).unwrap(), 1).is_err());
        let nan = Tensor::full(f32::NAN, [2, 2]).unwrap();
        assert!(low_rank_approximate(&nan, 1).is_err());
        let mut layer = Linear::new(8, 8, &mut Init::seed(1)).unwrap();
        for (pattern, rank, part) in
            [("nothing", 1, "no linear layer"), ("*", 4, "none"), ("*", 0, "1 to 8")]
        {
            let error = factorize(&mut layer, pattern, rank).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(layer.weight.is_plain_float());
    }
}
