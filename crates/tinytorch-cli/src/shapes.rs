//! Sizes that the user gives for inputs whose own are open.

use crate::problem::Problem;
use anyhow::Result;
use clap::Args;
use std::str::FromStr;
use tinytorch::Tensor;
use tinytorch::models::{Model, Sample};
use tinytorch::tensor::Shape;

/// Sizes of inputs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Shapes {
    /// Sizes of an input, the batch among them, such as image=1x3x224x224; may be given for each input
    #[arg(long = "shape", value_name = "NAME=SIZES")]
    given: Vec<Sizes>,
}

/// `image=1x3x224x224`.
#[derive(Clone, Debug, PartialEq)]
struct Sizes {
    input: String,
    sizes: Vec<usize>,
}

impl FromStr for Sizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Sizes, String> {
        let wrong = || "sizes are given as image=1x3x224x224".to_string();
        let (input, sizes) = text.rsplit_once('=').ok_or_else(wrong)?;
        let sizes: Option<Vec<usize>> =
            sizes.split('x').map(|size| size.parse().ok().filter(|&size| size > 0)).collect();
        let sizes = sizes.filter(|_| !input.is_empty()).ok_or_else(wrong)?;
        Ok(Sizes { input: input.to_string(), sizes })
    }
}

impl Shapes {
    /// These sizes, each of the input of its name.
    pub(crate) fn of(given: impl IntoIterator<Item = (String, Vec<usize>)>) -> Shapes {
        let given = given.into_iter().map(|(input, sizes)| Sizes { input, sizes });
        Shapes { given: given.collect() }
    }

    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        self.given.is_empty()
    }

    /// Inputs of `batch` samples, or of as many as the model takes, always the same.
    pub(crate) fn example(&self, model: &dyn Model, batch: Option<usize>) -> Result<Vec<Tensor>> {
        let names = model.input_names();
        if let Some(sizes) = self.given.iter().find(|sizes| !names.contains(&sizes.input)) {
            let (input, known) = (sizes.input.clone(), names.join(", "));
            return Err(Problem::UnknownInput { input, known }.into());
        }
        let batch = match (batch, model.fixed_batch()) {
            (Some(got), Some(fixed)) if got != fixed => {
                return Err(Problem::FixedBatch { got, fixed }.into());
            }
            (got, fixed) => got.or(fixed).unwrap_or(1),
        };
        let of = |(i, sample): (usize, Sample)| {
            let given = self.given.iter().find(|sizes| names.get(i) == Some(&sizes.input));
            Ok::<Tensor, anyhow::Error>(match given {
                Some(Sizes { sizes, .. }) => sample.fill(&Shape::new(sizes)?)?,
                None => sample.batch(batch)?,
            })
        };
        model.samples()?.into_iter().enumerate().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let read = |text: &str| text.parse::<Sizes>().map(|s| (s.input, s.sizes));
        assert_eq!(read("x=1x3x8x8"), Ok(("x".into(), vec![1, 3, 8, 8])));
        assert_eq!(read("a=b=4"), Ok(("a=b".into(), vec![4])));
        for bad in ["", "x", "x=", "=1", "x=1x", "x=0x3", "x=-1", "x=99999999999999999999"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
