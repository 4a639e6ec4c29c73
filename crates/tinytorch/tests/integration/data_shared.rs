//! Real MNIST and CIFAR-10 files, from the folder that `TINYTORCH_SHARED` names; without it these
//! tests say so and pass.

use std::path::PathBuf;
use tinytorch::data::{Dataset, load};

fn shared(folder: &str) -> Option<PathBuf> {
    let path = std::env::var_os("TINYTORCH_SHARED").map(|p| PathBuf::from(p).join(folder));
    let found = path.filter(|p| p.is_dir());
    if found.is_none() {
        println!("skipped: set TINYTORCH_SHARED to a folder that holds {folder}");
    }
    found
}

#[test]
fn mnist() {
    let Some(path) = shared("data/mnist") else { return };
    let data = load(path).unwrap();
    assert_eq!((data.name.as_str(), data.classes), ("mnist", 10));
    assert_eq!(data.train.inputs().shape().dims(), [60_000, 1, 28, 28]);
    assert_eq!(data.train.labels().to_vec::<i64>().unwrap()[..8], [5, 0, 4, 1, 9, 2, 1, 3]);
    let test = data.test.unwrap();
    assert_eq!(test.len(), 10_000);
    assert_eq!(test.labels().to_vec::<i64>().unwrap()[..4], [7, 2, 1, 0]);
    // The mean of the training pixels that everybody normalizes by.
    let pixels = data.train.inputs().as_slice::<f32>().unwrap();
    let mean = pixels.iter().map(|&p| f64::from(p)).sum::<f64>() / pixels.len() as f64;
    assert!((mean - 0.1307).abs() < 5e-5, "{mean}");
}

#[test]
fn cifar10() {
    let Some(path) = shared("data/cifar10") else { return };
    let data = load(path).unwrap();
    assert_eq!(data.train.inputs().shape().dims(), [3000, 3, 32, 32]);
    assert_eq!((data.classes, data.test.is_none()), (10, true));
    let labels = data.train.labels().to_vec::<i64>().unwrap();
    assert!((0..10).all(|class| labels.iter().filter(|&&l| l == class).count() > 200));
}
