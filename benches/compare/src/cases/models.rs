//! Passes of whole models.

use super::Planned;
use crate::case::{Case, Model, Work};
use crate::networks::network;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use tinytorch::data::read_cifar10;
use tinytorch::files::import_model;
use tinytorch::models::Architecture;
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

/// Weights of a ResNet-20 and images of the kind that they were trained on.
#[derive(Clone)]
pub(crate) struct Published {
    /// A safetensors file with PyTorch's names.
    pub(crate) weights: PathBuf,
    /// A file in the binary form of CIFAR-10, plain or gzipped.
    pub(crate) images: PathBuf,
}

/// The cases; a ResNet-20 of published weights is one more network.
pub(super) fn cases(published: Option<&Published>) -> Vec<Planned> {
    let mut cases: Vec<Planned> = Vec::new();
    for plan in &PLANS {
        cases.extend(plan.batches.map(|batch| planned(plan, batch, None)));
        if plan.network == "resnet-20" && published.is_some() {
            cases.extend(plan.batches.map(|batch| planned(plan, batch, published.cloned())));
        }
    }
    cases
}

fn planned(plan: &'static Plan, batch: usize, published: Option<Published>) -> Planned {
    let weights = if published.is_some() { ", published weights" } else { "" };
    let name = format!("{}{weights}, batch {batch}", plan.title);
    Planned::new(name, move |folder, name| write(plan, batch, published.as_ref(), folder, name))
}

fn write(
    plan: &Plan,
    batch: usize,
    published: Option<&Published>,
    folder: &Path,
    name: &str,
) -> Result<Case> {
    let network = network(plan.network)?;
    let work = Model { model: plan.network.into(), nodes: network.nodes };
    let case = Case {
        name: name.into(),
        folder: folder.into(),
        variants: plan.ways.iter().map(|way| way.to_string()).collect(),
        work: Work::Model(work),
    };
    case.save()?;
    let shape = |front: &[usize]| [front, &network.sample].concat();
    let (input, calibration) = (shape(&[batch]), shape(&[plan.calibration / batch, batch]));
    match published {
        Some(published) => {
            let resnet = Architecture::preset("resnet20")?;
            case.write_weights(&import_model(&published.weights, &resnet)?.model)?;
            // The network normalizes pixels from 0 to 1.
            let images = pixels(&published.images, batch + plan.calibration)?;
            let (first, others) = images.split_at(input.iter().product());
            case.write("input", &Tensor::from_vec(first.to_vec(), &input[..])?)?;
            case.write("calibration", &Tensor::from_vec(others.to_vec(), &calibration[..])?)?;
        }
        None => {
            case.write_weights(&network.model)?;
            let mut rng = Rng::seed(2);
            case.write("input", &Tensor::randn(&input[..], 1.0, &mut rng)?)?;
            case.write("calibration", &Tensor::randn(&calibration[..], 1.0, &mut rng)?)?;
        }
    }
    Ok(case)
}

/// The first images of a file of CIFAR-10, as many as asked for, from 0 to 1.
fn pixels(file: &Path, count: usize) -> Result<Vec<f32>> {
    let (images, _) = read_cifar10(file)?;
    let held = images.shape()[0];
    ensure!(held >= count, "{} holds {held} images, but {count} are needed", file.display());
    let bytes = images.slice(0, 0..count)?.to_vec::<u8>()?;
    Ok(bytes.into_iter().map(|byte| f32::from(byte) / 255.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use tinytorch::files::save_params;
    use tinytorch::nn::{Init, Module};

    #[test]
    fn a_case_has_all_weights_and_calibration_in_batches_of_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let case = write(&PLANS[0], 8, None, folder.path(), "MLP, batch 8").unwrap();
        assert_eq!(case.read("input").unwrap().shape().dims(), [8, 784]);
        assert_eq!(case.read("calibration").unwrap().shape().dims(), [4, 8, 784]);
        assert_eq!(case.read("weights/4.bias").unwrap().shape().dims(), [10]);
    }

    #[test]
    fn published_weights_come_with_images_from_0_to_1() {
        let folder = tempfile::tempdir().unwrap();
        let model = Architecture::preset("resnet20").unwrap().build(&mut Init::seed(9)).unwrap();
        let (weights, images) = (folder.path().join("w.safetensors"), folder.path().join("c.bin"));
        save_params(&weights, &*model, &BTreeMap::new()).unwrap();
        std::fs::write(&images, vec![3u8; 3073 * 8]).unwrap();
        let published = Published { weights, images };
        let plan = Plan { calibration: 4, ..PLANS[3] };
        let write = |batch| write(&plan, batch, Some(&published), folder.path(), "ResNet-20");
        let case = write(4).unwrap();
        assert_eq!(case.read("calibration").unwrap().shape().dims(), [1, 4, 3, 32, 32]);
        assert_eq!(case.read("input").unwrap().to_vec::<f32>().unwrap()[5], 3.0 / 255.0);
        let mut copy = network("resnet-20").unwrap().model;
        case.read_weights(&mut *copy).unwrap();
        let first =
            |module: &dyn Module| module.named_params()[0].1.value().unwrap().to_vec::<f32>();
        assert_eq!(first(&*copy).unwrap(), first(&*model).unwrap());
        let error = write(5).err().unwrap().to_string();
        assert!(error.contains("holds 8 images, but 9"), "{error}");
    }
}
