//! Random and fixed changes to single images.

use super::DataError;
use crate::{Result, Rng, Tensor};

/// A change to one image, `[channels, height, width]` or `[height, width]` of f32.
///
/// All chance comes from the generator it is handed, so that the loader decides what it depends on.
pub trait Transform: Send + Sync {
    /// The changed image.
    ///
    /// # Errors
    /// [`DataError::Image`] for an image of the wrong shape.
    fn apply(&self, image: &Tensor, rng: &mut Rng) -> Result<Tensor>;
}

fn height_and_width(transform: &'static str, image: &Tensor) -> Result<(usize, usize)> {
    match image.shape().dims() {
        [.., height, width] if *height > 0 && *width > 0 => Ok((*height, *width)),
        _ => {
            let expected = "the last two dimensions must be a height and a width above 0".into();
            Err(DataError::Image { transform, shape: *image.shape(), expected }.into())
        }
    }
}

/// Mirrors the image left to right with some probability.
#[derive(Clone, Debug)]
pub struct RandomHorizontalFlip {
    probability: f32,
}

impl RandomHorizontalFlip {
    /// Flips with this probability.
    ///
    /// # Errors
    /// [`DataError::Parameter`] outside 0 to 1.
    pub fn new(probability: f32) -> Result<RandomHorizontalFlip> {
        if !(0.0..=1.0).contains(&probability) {
            return Err(DataError::Parameter {
                transform: "RandomHorizontalFlip",
                parameter: "the probability",
                value: probability.to_string(),
                expected: "it must lie between 0 and 1",
            }
            .into());
        }
        Ok(RandomHorizontalFlip { probability })
    }
}

impl Transform for RandomHorizontalFlip {
    fn apply(&self, image: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let (_, width) = height_and_width("RandomHorizontalFlip", image)?;
        if rng.unit() >= self.probability {
            return Ok(image.clone());
        }
        let mut pixels = image.to_vec::<f32>()?;
        pixels.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        Tensor::from_vec(pixels, *image.shape())
    }
}

/// Surrounds the image with zeros and cuts a window out of it at a random place.
#[derive(Clone, Debug)]
pub struct RandomCrop {
    height: usize,
    width: usize,
    padding: usize,
}

impl RandomCrop {
    /// A window of `height` x `width` after `padding` zeros on each of the four sides.
    ///
    /// # Errors
    /// [`DataError::Parameter`] for an empty window.
    pub fn new(height: usize, width: usize, padding: usize) -> Result<RandomCrop> {
        if height == 0 || width == 0 {
            return Err(DataError::Parameter {
                transform: "RandomCrop",
                parameter: "the size",
                value: format!("{height}x{width}"),
                expected: "both sides must be at least 1",
            }
            .into());
        }
        Ok(RandomCrop { height, width, padding })
    }

    /// Where a window of `size` may start along a side of `len` pixels: `0..` this number.
    fn places(&self, len: usize, size: usize) -> Option<usize> {
        // More padding than pixels could cut out a window without any part of the image.
        let padded = len + 2 * (self.padding <= len).then_some(self.padding)?;
        Some(padded.checked_sub(size)? + 1)
    }
}

impl Transform for RandomCrop {
    fn apply(&self, image: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        let (height, width) = height_and_width("RandomCrop", image)?;
        let places = (self.places(height, self.height), self.places(width, self.width));
        let (Some(down), Some(right)) = places else {
            let (h, w, p) = (self.height, self.width, self.padding);
            let expected = format!("a window of {h}x{w} with padding {p} needs a larger one");
            let transform = "RandomCrop";
            return Err(DataError::Image { transform, shape: *image.shape(), expected }.into());
        };
        let (top, left) = (rng.below(down), rng.below(right));
        let dense = image.contiguous()?;
        let pixels = dense.as_slice::<f32>()?;
        let planes = pixels.len() / (height * width);
        let mut out = vec![0.0; planes * self.height * self.width];
        // Columns of the window that lie on the image; the rest stays padding.
        let from = self.padding.saturating_sub(left).min(self.width);
        let to = (self.padding + width).saturating_sub(left).clamp(from, self.width);
        for (row, window) in out.chunks_exact_mut(self.width).enumerate() {
            let (plane, y) = (row / self.height, row % self.height + top);
            if from == to || y < self.padding || y >= self.padding + height {
                continue;
            }
            let start = (plane * height + y - self.padding) * width + left + from - self.padding;
            window[from..to].copy_from_slice(&pixels[start..start + to - from]);
        }
        let rank = image.rank();
        Tensor::from_vec(out, image.shape().with(rank - 2, self.height).with(rank - 1, self.width))
    }
}

/// `(x - mean) / std`, per channel.
#[derive(Clone, Debug)]
pub struct Normalize {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// One mean and one standard deviation per channel, or one of each for all channels.
    ///
    /// # Errors
    /// [`DataError::Parameter`] if their numbers differ, or for values that are not finite or a
    /// deviation that is not positive.
    pub fn new(mean: &[f32], std: &[f32]) -> Result<Normalize> {
        let wrong = |parameter, value: String, expected| {
            Err(DataError::Parameter { transform: "Normalize", parameter, value, expected }.into())
        };
        if mean.is_empty() || mean.len() != std.len() {
            let value = format!("{} and {}", mean.len(), std.len());
            return wrong(
                "the number of means and deviations",
                value,
                "give one of each per channel",
            );
        }
        if let Some(bad) = mean.iter().find(|m| !m.is_finite()) {
            return wrong("a mean", bad.to_string(), "it must be finite");
        }
        if let Some(bad) = std.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return wrong(
                "a standard deviation",
                bad.to_string(),
                "it must be positive and finite",
            );
        }
        Ok(Normalize { mean: mean.to_vec(), std: std.to_vec() })
    }
}

impl Transform for Normalize {
    fn apply(&self, image: &Tensor, _: &mut Rng) -> Result<Tensor> {
        let (height, width) = height_and_width("Normalize", image)?;
        let mut pixels = image.to_vec::<f32>()?;
        let planes = pixels.len() / (height * width);
        if self.mean.len() != 1 && self.mean.len() != planes {
            let expected = format!("there are means for {} channels", self.mean.len());
            let transform = "Normalize";
            return Err(DataError::Image { transform, shape: *image.shape(), expected }.into());
        }
        for (channel, plane) in pixels.chunks_exact_mut(height * width).enumerate() {
            let (mean, std) =
                (self.mean[channel % self.mean.len()], self.std[channel % self.std.len()]);
            plane.iter_mut().for_each(|x| *x = (*x - mean) / std);
        }
        Tensor::from_vec(pixels, *image.shape())
    }
}

/// Transforms applied one after the other.
///
/// ```
/// use tinytorch::data::{Compose, Normalize, RandomCrop, RandomHorizontalFlip, Transform};
/// use tinytorch::{Rng, Tensor};
/// let augment = Compose::new()
///     .then(RandomHorizontalFlip::new(0.5)?)
///     .then(RandomCrop::new(32, 32, 4)?)
///     .then(Normalize::new(&[0.5], &[0.25])?);
/// let image = augment.apply(&Tensor::ones([3, 32, 32])?, &mut Rng::seed(1))?;
/// assert_eq!(image.shape().dims(), [3, 32, 32]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Default)]
pub struct Compose(Vec<Box<dyn Transform>>);

impl Compose {
    /// No change at all.
    pub fn new() -> Compose {
        Compose::default()
    }

    /// Followed by another transform.
    pub fn then(mut self, transform: impl Transform + 'static) -> Compose {
        self.0.push(Box::new(transform));
        self
    }
}

impl Transform for Compose {
    fn apply(&self, image: &Tensor, rng: &mut Rng) -> Result<Tensor> {
        self.0.iter().try_fold(image.clone(), |image, t| t.apply(&image, rng))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Tensor {
        Tensor::arange(12).unwrap().reshape([2, 2, 3]).unwrap()
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.to_vec().unwrap()
    }

    #[test]
    fn a_certain_flip_mirrors_every_row_and_twice_is_nothing() {
        let flip = RandomHorizontalFlip::new(1.0).unwrap();
        let once = flip.apply(&image(), &mut Rng::seed(0)).unwrap();
        assert_eq!(values(&once)[..6], [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        assert_eq!(values(&flip.apply(&once, &mut Rng::seed(0)).unwrap()), values(&image()));
        let never = RandomHorizontalFlip::new(0.0).unwrap();
        assert_eq!(values(&never.apply(&image(), &mut Rng::seed(0)).unwrap()), values(&image()));
    }

    #[test]
    fn half_of_the_images_are_flipped() {
        let (flip, mut rng) = (RandomHorizontalFlip::new(0.5).unwrap(), Rng::seed(5));
        let flipped =
            (0..1000).filter(|_| values(&flip.apply(&image(), &mut rng).unwrap())[0] != 0.0);
        let count = flipped.count();
        assert!((440..560).contains(&count), "{count}");
    }

    #[test]
    fn a_crop_is_a_window_of_the_padded_image() {
        // Every window of the padded image, by the definition, must occur, and nothing else.
        let (crop, mut rng) = (RandomCrop::new(2, 2, 1).unwrap(), Rng::seed(2));
        let pixel = |c: usize, y: usize, x: usize| {
            let inside = (1..3).contains(&y) && (1..4).contains(&x);
            if inside { (c * 6 + (y - 1) * 3 + x - 1) as f32 } else { 0.0 }
        };
        let window = |top: usize, left: usize| -> Vec<f32> {
            let at = |i: usize| pixel(i / 4, top + i / 2 % 2, left + i % 2);
            (0..8).map(at).collect()
        };
        let mut expected: Vec<Vec<f32>> =
            (0..3).flat_map(|top| (0..4).map(move |left| window(top, left))).collect();
        let mut seen: Vec<Vec<f32>> =
            (0..400).map(|_| values(&crop.apply(&image(), &mut rng).unwrap())).collect();
        for set in [&mut expected, &mut seen] {
            set.sort_by(|a, b| a.partial_cmp(b).unwrap());
            set.dedup();
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_crop_can_be_larger_than_the_image_with_its_padding_just_fitting() {
        let crop = RandomCrop::new(4, 5, 1).unwrap();
        let out = crop.apply(&image(), &mut Rng::seed(0)).unwrap();
        assert_eq!(out.shape().dims(), [2, 4, 5]);
        assert_eq!(values(&out).iter().sum::<f32>(), 66.0);
        let error = RandomCrop::new(5, 5, 1).unwrap().apply(&image(), &mut Rng::seed(0));
        assert!(error.unwrap_err().to_string().contains("5x5 with padding 1"));
        let mut rng = Rng::seed(3);
        let mostly_padding = RandomCrop::new(1, 1, 2).unwrap();
        assert!((0..100).all(|_| mostly_padding.apply(&image(), &mut rng).is_ok()));
        assert!(
            RandomCrop::new(2, 2, usize::MAX).unwrap().apply(&image(), &mut Rng::seed(0)).is_err()
        );
    }

    #[test]
    fn normalizing_is_per_channel() {
        let n = Normalize::new(&[0.0, 6.0], &[1.0, 2.0]).unwrap();
        let out = values(&n.apply(&image(), &mut Rng::seed(0)).unwrap());
        assert_eq!(out[..6], values(&image())[..6]);
        assert_eq!(out[6..], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert!(
            Normalize::new(&[0.0; 3], &[1.0; 3])
                .unwrap()
                .apply(&image(), &mut Rng::seed(0))
                .is_err()
        );
    }

    #[test]
    fn impossible_parameters_are_errors() {
        assert!(RandomHorizontalFlip::new(1.5).is_err());
        assert!(RandomHorizontalFlip::new(f32::NAN).is_err());
        assert!(RandomCrop::new(0, 3, 0).is_err());
        assert!(Normalize::new(&[0.0], &[0.0]).is_err());
        assert!(Normalize::new(&[0.0], &[]).is_err());
        let flat = Tensor::arange(3).unwrap();
        assert!(RandomHorizontalFlip::new(1.0).unwrap().apply(&flat, &mut Rng::seed(0)).is_err());
    }
}
