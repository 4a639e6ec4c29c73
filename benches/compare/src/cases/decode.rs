//! A token of a decoder.

use super::Planned;
use crate::case::{Case, Decode, GptSizes, Work};
use crate::gpt::gpt;
use anyhow::Result;
use std::path::Path;
use tinytorch::{Rng, Tensor};

/// GPT-2 small.
const GPT2: GptSizes = GptSizes { vocab: 50257, context: 1024, dim: 768, layers: 12, heads: 12 };

const POSITION: usize = 128;

pub(super) fn cases() -> Vec<Planned> {
    vec![Planned::new(format!("GPT-2 small, position {POSITION}"), |folder, name| {
        write(GPT2, POSITION, folder, name)
    })]
}

fn write(sizes: GptSizes, position: usize, folder: &Path, name: &str) -> Result<Case> {
    let case = Case {
        name: name.into(),
        folder: folder.into(),
        variants: ["f32", "int8 dynamic"].map(String::from).to_vec(),
        work: Work::Decode(Decode { gpt: sizes, position }),
    };
    case.save()?;
    case.write_weights(&gpt(&sizes)?)?;
    let mut rng = Rng::seed(3);
    let ids: Vec<i64> = (0..=position).map(|_| rng.below(sizes.vocab) as i64).collect();
    case.write("ids", &Tensor::from_vec(ids, [1, position + 1])?)?;
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_holds_the_token_and_those_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let sizes = GptSizes { vocab: 30, context: 8, dim: 8, layers: 1, heads: 2 };
        let case = write(sizes, 5, folder.path(), "small").unwrap();
        assert_eq!(case.read("ids").unwrap().shape().dims(), [1, 6]);
        assert_eq!(case.read("weights/tokens.weight").unwrap().shape().dims(), [30, 8]);
    }
}
