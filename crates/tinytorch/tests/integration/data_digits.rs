//! The embedded digits are the 1,797 images they claim to be, and their split never changes.

use sha2::{Digest, Sha256};
use tinytorch::Tensor;
use tinytorch::data::{Dataset, Examples, digits};

fn per_class(part: &Examples) -> Vec<usize> {
    let mut counts = vec![0; 10];
    for label in part.labels().to_vec::<i64>().unwrap() {
        counts[label as usize] += 1;
    }
    counts
}

#[test]
fn they_are_those_of_the_source() {
    let data = digits().unwrap();
    let (train, test) = (data.train, data.test.unwrap());
    // Counts per digit and the sum of all pixels are those of scikit-learn 1.9's load_digits.
    let counts: Vec<usize> =
        per_class(&train).iter().zip(per_class(&test)).map(|(a, b)| a + b).collect();
    assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
    let pixels =
        [train.inputs().to_vec::<f32>().unwrap(), test.inputs().to_vec().unwrap()].concat();
    assert!(pixels.iter().all(|p| (0.0..=1.0).contains(p)));
    assert_eq!(pixels.iter().map(|p| f64::from(p * 16.0)).sum::<f64>(), 561_718.0);
}

#[test]
fn the_held_out_part_is_fixed_and_stratified() {
    let test = digits().unwrap().test.unwrap();
    assert_eq!((test.len(), test.inputs().shape().dims()), (600, &[600, 1, 8, 8][..]));
    assert!(per_class(&test).iter().all(|count| (51..=66).contains(count)));
    let mut hash = Sha256::new();
    for pixel in test.inputs().to_vec::<f32>().unwrap() {
        hash.update(pixel.to_le_bytes());
    }
    let hex: String = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "6650c759b055fc8f", "another split would make every figure incomparable");
}

#[test]
fn calibration_images_come_from_the_training_part() {
    let data = digits().unwrap();
    let rows = |t: &Tensor| -> Vec<Vec<u32>> {
        let bits: Vec<u32> = t.to_vec::<f32>().unwrap().iter().map(|v| v.to_bits()).collect();
        bits.chunks(64).map(<[u32]>::to_vec).collect()
    };
    let train = rows(data.train.inputs());
    let drawn = data.calibration(128, 3).unwrap();
    assert_eq!(drawn.shape().dims(), [128, 1, 8, 8]);
    assert!(rows(&drawn).iter().all(|row| train.contains(row)));
}
