//! Steps of training.

use super::Planned;
use crate::case::{Case, GptSizes, Train, Work};
use crate::gpt::gpt;
use crate::networks::network;
use anyhow::Result;
use std::path::Path;
use tinytorch::{Rng, Tensor};

/// A decoder of characters.
const GPT: GptSizes = GptSizes { vocab: 96, context: 128, dim: 128, layers: 4, heads: 4 };

/// The base rate of AdamW.
const LR: f64 = 1e-3;

pub(super) fn cases() -> Vec<Planned> {
    let network = |title: &str, network: &'static str| {
        let name = format!("{title}, batch 64");
        Planned::new(name, move |folder, name| write_network(network, 64, folder, name))
    };
    let gpt = Planned::new("GPT, batch 16".into(), |folder, name| write_gpt(16, folder, name));
    vec![network("MLP", "mlp"), network("CNN", "cnn"), gpt]
}

fn case(folder: &Path, name: &str, work: Train) -> Result<Case> {
    let case = Case {
        name: name.into(),
        folder: folder.into(),
        variants: vec!["f32".into()],
        work: Work::Train(work),
    };
    case.save()?;
    Ok(case)
}

fn write_network(model: &str, batch: usize, folder: &Path, name: &str) -> Result<Case> {
    let network = network(model)?;
    let work = Train { model: model.into(), lr: LR, nodes: network.nodes, gpt: None };
    let case = case(folder, name, work)?;
    case.write_weights(&network.model)?;
    let shape = [&[batch], &network.sample[..]].concat();
    case.write("input", &Tensor::randn(&shape[..], 1.0, &mut Rng::seed(4))?)?;
    let classes = (0..batch as i64).map(|sample| sample % 10).collect();
    case.write("targets", &Tensor::from_vec(classes, [batch])?)?;
    Ok(case)
}

fn write_gpt(batch: usize, folder: &Path, name: &str) -> Result<Case> {
    let work = Train { model: "gpt".into(), lr: LR, nodes: Vec::new(), gpt: Some(GPT) };
    let case = case(folder, name, work)?;
    case.write_weights(&gpt(&GPT)?)?;
    let mut rng = Rng::seed(4);
    for file in ["input", "targets"] {
        let ids: Vec<i64> = (0..batch * GPT.context).map(|_| rng.below(GPT.vocab) as i64).collect();
        case.write(file, &Tensor::from_vec(ids, [batch, GPT.context])?)?;
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_a_target_for_each_sample_or_token() {
        let folder = tempfile::tempdir().unwrap();
        let mlp = write_network("mlp", 4, &folder.path().join("mlp"), "MLP").unwrap();
        assert_eq!(mlp.read("input").unwrap().shape().dims(), [4, 784]);
        assert_eq!(mlp.read("targets").unwrap().shape().dims(), [4]);
        let gpt = write_gpt(2, &folder.path().join("gpt"), "GPT").unwrap();
        assert_eq!(gpt.read("targets").unwrap().shape().dims(), [2, 128]);
    }
}
