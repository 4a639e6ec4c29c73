//! Matrix products.

use super::Planned;
use crate::case::{Case, Product, Work, ZERO_POINT};
use anyhow::Result;
use std::fmt;
use std::path::Path;
use tinytorch::{Rng, Tensor};

const fn product(m: usize, k: usize, n: usize) -> Product {
    Product { batch: 1, m, k, n, a_transposed: false, b_transposed: false }
}

/// A linear layer, whose weight is stored `[out, in]`.
const fn linear(m: usize, k: usize, n: usize) -> Product {
    Product { b_transposed: true, ..product(m, k, n) }
}

/// The gradient of a linear layer's weight, for `k` inputs.
const fn gradient(m: usize, k: usize, n: usize) -> Product {
    Product { a_transposed: true, ..product(m, k, n) }
}

/// Queries times keys.
const fn scores(batch: usize, time: usize, width: usize) -> Product {
    Product { batch, ..linear(time, width, time) }
}

/// Attention weights times values.
const fn mix(batch: usize, time: usize, width: usize) -> Product {
    Product { batch, ..product(time, time, width) }
}

const LARGE: [Product; 6] = [
    product(1024, 1024, 1024),
    product(128, 384, 1536),
    product(64, 576, 3136),
    product(1, 4096, 4096),
    gradient(512, 32, 784),
    scores(64, 128, 64),
];

const SMALL: [Product; 19] = [
    linear(128, 384, 1536),
    linear(64, 784, 512),
    product(32, 32, 32),
    product(64, 64, 64),
    product(16, 64, 64),
    linear(16, 64, 64),
    linear(32, 784, 512),
    linear(32, 512, 10),
    linear(1, 784, 512),
    linear(1, 512, 256),
    linear(1, 128, 512),
    gradient(10, 32, 512),
    product(32, 512, 784),
    scores(32, 16, 32),
    mix(32, 16, 32),
    scores(48, 64, 32),
    mix(48, 64, 32),
    mix(64, 128, 64),
    Product { a_transposed: true, ..mix(48, 64, 32) },
];

/// Those that are compared with every engine, in float and in int8.
pub(super) fn large() -> Vec<Planned> {
    LARGE.iter().map(|&shape| planned(shape, ways(shape))).collect()
}

/// Those that take microseconds, where calling an engine from Python would count.
pub(super) fn small() -> Vec<Planned> {
    SMALL.iter().map(|&shape| planned(shape, &["f32"])).collect()
}

/// A factor is known beforehand, and int8, only where it is a weight.
fn ways(shape: Product) -> &'static [&'static str] {
    match shape.batch == 1 && !shape.a_transposed {
        true => &["f32", "f32, B known", "int8", "int8, u8 x s8"],
        false => &["f32"],
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Product { batch, m, k, n, a_transposed, b_transposed } = *self;
        let many = if batch > 1 { format!("{batch} of ") } else { String::new() };
        let a = if a_transposed { ", A transposed" } else { "" };
        let b = if b_transposed { ", B transposed" } else { "" };
        write!(f, "{many}{m} x {k} x {n}{a}{b}")
    }
}

fn planned(shape: Product, ways: &'static [&'static str]) -> Planned {
    Planned::new(shape.to_string(), move |folder, name| write(shape, ways, folder, name))
}

fn write(shape: Product, ways: &[&str], folder: &Path, name: &str) -> Result<Case> {
    let Product { batch, m, k, n, a_transposed, b_transposed } = shape;
    let variants: Vec<String> = ways.iter().map(|way| way.to_string()).collect();
    let (name, folder, work) = (name.to_string(), folder.to_path_buf(), Work::Product(shape));
    let case = Case { name, folder, variants, work };
    case.save()?;
    let (a_shape, b_shape) = (
        if a_transposed { [batch, k, m] } else { [batch, m, k] },
        if b_transposed { [batch, n, k] } else { [batch, k, n] },
    );
    let mut rng = Rng::seed(1);
    case.write("a", &Tensor::rand(a_shape, -1.0, 1.0, &mut rng)?)?;
    case.write("b", &Tensor::rand(b_shape, -1.0, 1.0, &mut rng)?)?;
    if case.wants("int8") {
        let a: Vec<u8> = (0..m * k).map(|_| rng.below(256) as u8).collect();
        let b: Vec<i8> = (0..k * n).map(|_| (rng.below(255) as i16 - 127) as i8).collect();
        case.write("exact", &Tensor::from_vec(exact(shape, &a, &b), [m, n])?)?;
        case.write("a_levels", &Tensor::from_vec(a, [m, k])?)?;
        case.write("b_levels", &Tensor::from_vec(b, [k, n])?)?;
    }
    Ok(case)
}

/// The product of the levels, their zero point taken off, as floats: the sums stay below 2^31.
fn exact(shape: Product, a: &[u8], b: &[i8]) -> Vec<f32> {
    let Product { k, n, .. } = shape;
    let row = |a: &[u8]| {
        let mut sums = vec![0i32; n];
        for (&level, b) in a.iter().zip(b.chunks_exact(n)) {
            let value = i32::from(level) - i32::from(ZERO_POINT);
            sums.iter_mut().zip(b).for_each(|(sum, &b)| *sum += value * i32::from(b));
        }
        sums.into_iter().map(|sum| sum as f32)
    };
    a.chunks_exact(k).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_multiplied() {
        let names: Vec<String> = LARGE.iter().map(|shape| shape.to_string()).collect();
        assert_eq!(names[0], "1024 x 1024 x 1024");
        assert_eq!(names[4], "512 x 32 x 784, A transposed");
        assert_eq!(names[5], "64 of 128 x 64 x 128, B transposed");
    }

    #[test]
    fn the_exact_product_takes_the_zero_point_off() {
        let shape = product(2, 2, 2);
        assert_eq!(exact(shape, &[129, 128, 126, 255], &[1, 2, 3, -4]), [1.0, 2.0, 379.0, -512.0]);
    }

    #[test]
    fn a_case_has_the_files_that_its_ways_need() {
        let folder = tempfile::tempdir().unwrap();
        let case = write(product(2, 3, 4), &["f32", "int8"], folder.path(), "p").unwrap();
        assert_eq!(case.read("a").unwrap().shape().dims(), [1, 2, 3]);
        assert_eq!(case.exact().unwrap().unwrap().shape().dims(), [2, 4]);
        assert_eq!(Case::load(&case.file()).unwrap().name, "p");
        let float = write(gradient(2, 3, 4), &["f32"], &folder.path().join("g"), "g").unwrap();
        assert_eq!(float.read("a").unwrap().shape().dims(), [1, 3, 2]);
        assert!(float.exact().unwrap().is_none());
    }
}
