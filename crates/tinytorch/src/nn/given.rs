//! Layers made from tensors that are there already.

use super::LayerError;
use crate::Result;
use crate::autograd::{Param, Stored};
use crate::tensor::{Dtype, Shape, Tensor};

/// A layer, and what of it is given.
pub(super) struct Given(pub(super) &'static str);

impl Given {
    /// The dimensions of a weight of this rank.
    ///
    /// # Errors
    /// [`LayerError::GivenRank`].
    pub(super) fn dims<const N: usize>(&self, weight: &Tensor) -> Result<[usize; N]> {
        let got = *weight.shape();
        let error = LayerError::GivenRank { layer: self.0, got, expected: N };
        Ok(got.dims().try_into().map_err(|_| error)?)
    }

    /// Puts a tensor in the place of a parameter's values.
    ///
    /// # Errors
    /// [`LayerError::Given`] unless it is f32 and of the parameter's shape.
    pub(super) fn store(&self, name: &'static str, param: &mut Param, value: Tensor) -> Result<()> {
        let (got, expected, dtype): (Shape, Shape, Dtype) =
            (*value.shape(), param.shape(), value.dtype());
        if got != expected || dtype != Dtype::F32 {
            return Err(LayerError::Given { layer: self.0, name, got, dtype, expected }.into());
        }
        param.store(Stored::F32(value.contiguous()?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ConvGeometry;
    use crate::nn::{BatchNorm2d, Conv2d, Embedding, LayerNorm, Linear, RmsNorm};

    fn ones(dims: &[usize]) -> Tensor {
        Tensor::ones(dims).unwrap()
    }

    #[test]
    fn tensors_that_do_not_fit_are_named_with_their_layer() {
        let grouped = ConvGeometry::default().with_groups(2);
        let ids = Tensor::from_vec(vec![1i64, 2], [1, 2]).unwrap();
        let vector = || ones(&[3]);
        let errors = [
            (Linear::from_tensors(ones(&[3]), None).err(), "Linear"),
            (Linear::from_tensors(ids, None).err(), "weight"),
            (Linear::from_tensors(ones(&[3, 2]), Some(ones(&[2]))).err(), "bias"),
            (Conv2d::from_tensors(ones(&[3, 2]), None, grouped).err(), "Conv2d"),
            (Conv2d::from_tensors(ones(&[3, 2, 1, 1]), None, grouped).err(), "groups"),
            (Embedding::from_tensor(ones(&[3])).err(), "Embedding"),
            (LayerNorm::from_tensors(vector(), ones(&[4])).err(), "bias"),
            (RmsNorm::from_tensor(ones(&[3, 1])).err(), "RmsNorm"),
            (
                BatchNorm2d::from_tensors(vector(), vector(), vector(), ones(&[2])).err(),
                "running_var",
            ),
        ];
        for (error, part) in errors {
            let error = error.unwrap().to_string();
            assert!(error.contains(part), "{part}: {error}");
        }
    }
}
