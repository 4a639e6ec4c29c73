//! Passes of whole models.

use super::Planned;
use crate::case::{Case, Model, Work};
use crate::networks::network;
use anyhow::Result;
use std::path::Path;
use tinytorch::{Rng, Tensor};

/// A network, batch sizes, samples that its ranges are found on, and the ways to run it.
struct Plan {
    network: &'static str,
    title: &'static str,
    batches: [usize; 2],
    calibration: usize,
    ways: &'static [&'static str],
}

/// Dynamic quantization is for networks of linear layers: ONNX Runtime has no convolution of its weights.
const STATIC: &[&str] = &["f32", "int8 static"];
const BOTH: &[&str] = &["f32", "int8 static", "int8 dynamic"];
const WIDE: &[&str] = &["f32", "int8 static", "int8 dynamic", "int8 dynamic, 16 bits"];

const PLANS: [Plan; 5] = [
    Plan { network: "mlp", title: "MLP", batches: [1, 32], calibration: 32, ways: BOTH },
    Plan { network: "cnn", title: "CNN", batches: [1, 32], calibration: 32, ways: STATIC },
    Plan {
        network: "resnet-8",
        title: "ResNet-8",
        batches: [1, 32],
        calibration: 32,
        ways: STATIC,
    },
    Plan {
        network: "resnet-20",
        title: "ResNet-20",
        batches: [1, 32],
        calibration: 32,
        ways: STATIC,
    },
    Plan { network: "encoder", title: "encoder", batches: [1, 8], calibration: 8, ways: WIDE },
];

pub(super) fn cases() -> Vec<Planned> {
    PLANS.iter().flat_map(|plan| plan.batches.map(|batch| planned(plan, batch))).collect()
}

fn planned(plan: &'static Plan, batch: usize) -> Planned {
    let name = format!("{}, batch {batch}", plan.title);
    Planned::new(name, move |folder, name| write(plan, batch, folder, name))
}

fn write(plan: &Plan, batch: usize, folder: &Path, name: &str) -> Result<Case> {
    let network = network(plan.network)?;
    let work = Model { model: plan.network.into(), nodes: network.nodes };
    let case = Case {
        name: name.into(),
        folder: folder.into(),
        variants: plan.ways.iter().map(|way| way.to_string()).collect(),
        work: Work::Model(work),
    };
    case.save()?;
    case.write_weights(&network.model)?;
    let mut rng = Rng::seed(2);
    let shape = |front: &[usize]| [front, &network.sample].concat();
    // What a network of images or of normed vectors is given.
    case.write("input", &Tensor::randn(&shape(&[batch])[..], 1.0, &mut rng)?)?;
    let calibration = &shape(&[plan.calibration / batch, batch])[..];
    case.write("calibration", &Tensor::randn(calibration, 1.0, &mut rng)?)?;
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_has_all_weights_and_calibration_in_batches_of_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let case = write(&PLANS[0], 8, folder.path(), "MLP, batch 8").unwrap();
        assert_eq!(case.read("input").unwrap().shape().dims(), [8, 784]);
        assert_eq!(case.read("calibration").unwrap().shape().dims(), [4, 8, 784]);
        assert_eq!(case.read("weights/4.bias").unwrap().shape().dims(), [10]);
    }
}
