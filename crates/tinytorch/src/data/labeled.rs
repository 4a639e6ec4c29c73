//! Inputs with their classes.

use super::{DataError, Dataset, Sample, TensorDataset, stratified_split};
use crate::tensor::Dtype;
use crate::{Result, Tensor};

/// More classes than any classifier here is built for; a larger label is an error of the data.
const MAX_CLASSES: usize = 1 << 20;

/// Inputs, each with the class it belongs to, or with one class for each of its tokens: samples of
/// `[input, label]`.
#[derive(Clone, Debug)]
pub struct Examples(TensorDataset);

impl Examples {
    /// Inputs `[n, ..]` of finite f32 and labels `[n]` of i64; or inputs `[n, length]` of i64, token
    /// ids, and labels `[n]` or `[n, length]`.
    ///
    /// # Errors
    /// [`DataError::CountMismatch`], [`DataError::NotFinite`], [`DataError::Label`] for a negative
    /// label or one beyond a million, [`DataError::NoSamples`] without any,
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) for other element types.
    pub fn new(inputs: Tensor, labels: Tensor) -> Result<Examples> {
        Examples::from_files(inputs, "the inputs", labels, "the labels")
    }

    /// As [`Examples::new`], with names for the error messages.
    pub(super) fn from_files(
        inputs: Tensor,
        inputs_file: &str,
        labels: Tensor,
        labels_file: &str,
    ) -> Result<Examples> {
        let count = |t: &Tensor, file: &str| match t.shape().first() {
            Some(&n) if n > 0 => Ok(n),
            _ => Err(DataError::NoSamples { what: format!("{file}: shape {}", t.shape()) }),
        };
        let (n, m) = (count(&inputs, inputs_file)?, count(&labels, labels_file)?);
        let is_text = inputs.dtype() == Dtype::I64;
        let by_token = is_text && labels.shape() == inputs.shape();
        if n != m || (labels.len() != m && !by_token) {
            return Err(DataError::CountMismatch {
                inputs_file: inputs_file.to_owned(),
                inputs: n,
                labels_file: labels_file.to_owned(),
                labels: labels.len(),
            }
            .into());
        }
        let labels = if by_token { labels.contiguous()? } else { labels.reshape([n])? };
        let inputs = inputs.contiguous()?;
        if !is_text {
            check_finite(&inputs, inputs_file)?;
        }
        let examples = Examples(TensorDataset::new([inputs, labels])?);
        examples.check_labels(MAX_CLASSES, labels_file)?;
        Ok(examples)
    }

    /// All inputs, `[n, ..]`: f32, or i64 if they are token ids.
    pub fn inputs(&self) -> &Tensor {
        &self.0.tensors()[0]
    }

    /// All labels, i64: `[n]`, or `[n, length]` if each token has its own.
    pub fn labels(&self) -> &Tensor {
        &self.0.tensors()[1]
    }

    /// Copies of the samples at `indices`, in that order.
    ///
    /// # Errors
    /// [`DataError::Index`] for an index beyond the last sample.
    pub fn select(&self, indices: &[usize]) -> Result<Examples> {
        Ok(Examples(self.0.select(indices)?))
    }

    /// Fails at the first label that is not below `classes`.
    pub(super) fn check_labels(&self, classes: usize, file: &str) -> Result<()> {
        let labels = self.labels().as_slice::<i64>()?;
        let inside = |&l: &i64| usize::try_from(l).is_ok_and(|l| l < classes);
        match labels.iter().position(|l| !inside(l)) {
            None => Ok(()),
            Some(index) => {
                let (file, label) = (file.to_owned(), labels[index].to_string());
                Err(DataError::Label { file, index, label, classes }.into())
            }
        }
    }

    /// The smallest number of classes that all labels fit into.
    fn classes(&self) -> Result<usize> {
        let highest = self.labels().as_slice::<i64>()?.iter().max();
        // Labels were checked to lie in 0..MAX_CLASSES when the examples were made.
        Ok(highest.map_or(0, |&l| l as usize + 1))
    }
}

impl Dataset for Examples {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn get(&self, index: usize) -> Result<Sample> {
        self.0.get(index)
    }

    fn batch(&self, indices: &[usize]) -> Result<Vec<Tensor>> {
        self.0.batch(indices)
    }
}

/// A classification data set: a part to learn from and, if there is one, a part to be judged by.
///
/// Images are f32 `[n, channels, height, width]` scaled to 0..1, labels i64 `[n]`.
#[derive(Clone, Debug)]
pub struct Labeled {
    /// What it is called, for reports.
    pub name: String,
    /// Number of classes; every label is below it.
    pub classes: usize,
    /// The names of the classes, where the labels were text, in the order of their numbers.
    pub class_names: Option<Vec<String>>,
    /// The samples to learn and calibrate from.
    pub train: Examples,
    /// The samples that nothing is learned from.
    pub test: Option<Examples>,
}

impl Labeled {
    /// A data set whose number of classes follows from its highest label.
    ///
    /// # Errors
    /// None in practice: examples have valid labels.
    pub fn new(name: &str, train: Examples, test: Option<Examples>) -> Result<Labeled> {
        let mut classes = train.classes()?;
        if let Some(test) = &test {
            classes = classes.max(test.classes()?);
        }
        Ok(Labeled { name: name.to_owned(), classes, class_names: None, train, test })
    }

    /// The same data set with this number of classes, such as a model's number of outputs.
    ///
    /// # Errors
    /// [`DataError::Label`] if a label does not fit.
    pub fn with_classes(self, classes: usize) -> Result<Labeled> {
        for part in std::iter::once(&self.train).chain(&self.test) {
            part.check_labels(classes, &self.name)?;
        }
        Ok(Labeled { classes, ..self })
    }

    /// The same data set, its classes numbered as in `known`, if its labels were text.
    ///
    /// # Errors
    /// [`DataError::UnknownClass`] for a class that `known` does not have.
    pub fn numbered_as(mut self, known: &[String]) -> Result<Labeled> {
        let Some(names) = &self.class_names else { return Ok(self) };
        let mut places = Vec::with_capacity(names.len());
        for name in names {
            let place = known.iter().position(|k| k == name).ok_or_else(|| {
                let (file, name) = (self.name.clone(), name.clone());
                DataError::UnknownClass { file, name, known: known.join(", ") }
            })?;
            places.push(place as i64);
        }
        for part in std::iter::once(&mut self.train).chain(&mut self.test) {
            let labels = part.labels().to_vec::<i64>()?;
            let labels = labels.into_iter().map(|l| places[l as usize]).collect::<Vec<i64>>();
            let labels = Tensor::from_vec(labels, *part.labels().shape())?;
            *part = Examples::new(part.inputs().clone(), labels)?;
        }
        Ok(Labeled { classes: known.len(), class_names: Some(known.to_vec()), ..self })
    }

    /// The same data set with `count` samples of the training part set apart as the test part, by
    /// [`stratified_split`]; unchanged if it has a test part.
    ///
    /// # Errors
    /// [`DataError::Split`] unless samples are left on both sides.
    pub fn hold_out(self, count: usize, seed: u64) -> Result<Labeled> {
        if self.test.is_some() {
            return Ok(self);
        }
        let split = stratified_split(self.train.labels().as_slice()?, count, seed)?;
        let test = Some(self.train.select(&split.held_out)?);
        Ok(Labeled { train: self.train.select(&split.train)?, test, ..self })
    }

    /// `count` inputs to calibrate with, from the training part only, of each class its share; all
    /// inputs of that part if it has no more.
    ///
    /// # Errors
    /// [`DataError::Split`] for 0 inputs.
    pub fn calibration(&self, count: usize, seed: u64) -> Result<Tensor> {
        if count >= self.train.len() {
            return Ok(self.train.inputs().clone());
        }
        let split = stratified_split(self.train.labels().as_slice()?, count, seed)?;
        super::rows::gather(self.train.inputs(), &split.held_out)
    }
}

/// Fails at the first value of contiguous f32 inputs `[n, ..]` that is NaN or infinite.
pub(super) fn check_finite(inputs: &Tensor, file: &str) -> Result<()> {
    let values = inputs.as_slice::<f32>()?;
    let Some(at) = values.iter().position(|v| !v.is_finite()) else {
        return Ok(());
    };
    let row: usize = inputs.shape()[1..].iter().product();
    let (file, index, value) = (file.to_owned(), at / row, values[at]);
    Err(DataError::NotFinite { file, index, value }.into())
}

/// Inputs as models take them: bytes become 0..1, `[n, height, width]` of bytes gets a channel axis,
/// floats stay as they are.
pub(super) fn as_inputs(t: &Tensor, full_scale: u8) -> Result<Tensor> {
    if t.dtype() != Dtype::U8 {
        return t.to_dtype::<f32>();
    }
    let scale = f32::from(full_scale);
    let dense = t.contiguous()?;
    let values = dense.as_slice::<u8>()?.iter().map(|&v| f32::from(v) / scale).collect();
    let scaled = Tensor::from_vec(values, *t.shape())?;
    if t.rank() == 3 { scaled.unsqueeze(1) } else { Ok(scaled) }
}

/// Labels as losses take them: i64, from any type that holds whole numbers.
pub(super) fn as_labels(t: &Tensor, file: &str) -> Result<Tensor> {
    if t.dtype() == Dtype::F32 {
        let values = t.to_vec::<f32>()?;
        if let Some(index) = values.iter().position(|v| v.fract() != 0.0) {
            let (file, label) = (file.to_owned(), values[index].to_string());
            return Err(DataError::Label { file, index, label, classes: MAX_CLASSES }.into());
        }
    }
    t.to_dtype::<i64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples(labels: Vec<i64>) -> Examples {
        let n = labels.len();
        let inputs = Tensor::arange(n * 2).unwrap().reshape([n, 2]).unwrap();
        Examples::new(inputs, Tensor::from_vec(labels, [n]).unwrap()).unwrap()
    }

    fn labeled(labels: Vec<i64>) -> Labeled {
        Labeled::new("few", examples(labels), None).unwrap()
    }

    #[test]
    fn the_number_of_classes_is_that_of_both_parts() {
        let both = Labeled::new("x", examples(vec![0, 1]), Some(examples(vec![4]))).unwrap();
        assert_eq!(both.classes, 5);
        assert_eq!(both.clone().with_classes(7).unwrap().classes, 7);
        let error = both.with_classes(3).unwrap_err().to_string();
        assert!(error.contains("label 4 of sample 0 is outside 0..3"), "{error}");
    }

    #[test]
    fn labels_that_are_no_classes_are_errors() {
        for label in [-1, i64::MIN, i64::MAX, 1 << 20] {
            let labels = Tensor::from_vec(vec![0, label], [2]).unwrap();
            let made = Examples::new(Tensor::zeros([2, 1]).unwrap(), labels);
            let error = made.unwrap_err().to_string();
            assert!(error.contains(&format!("label {label} of sample 1")), "{error}");
        }
        let halves = Tensor::from_vec(vec![1.0, 0.5], [2]).unwrap();
        assert!(as_labels(&halves, "f").unwrap_err().to_string().contains("label 0.5 of sample 1"));
        assert!(as_labels(&Tensor::scalar(f32::NAN), "f").is_err());
        assert!(as_labels(&Tensor::scalar(f32::INFINITY), "f").is_err());
    }

    #[test]
    fn calibration_never_sees_the_test_part() {
        let data = labeled(vec![0, 1, 0, 1, 0, 1, 0, 1]).hold_out(4, 1).unwrap();
        let test = data.test.as_ref().unwrap().inputs().to_vec::<f32>().unwrap();
        for count in [1, 2, 100] {
            let drawn = data.calibration(count, 5).unwrap();
            assert_eq!(drawn.shape().dims(), [count.min(4), 2]);
            assert!(drawn.to_vec::<f32>().unwrap().iter().all(|v| !test.contains(v)));
        }
        assert!(data.calibration(0, 5).is_err());
        let again = data.clone().hold_out(3, 9).unwrap();
        assert_eq!(again.test.unwrap().len(), 4);
    }

    #[test]
    fn counts_and_values_are_checked() {
        let labels = |n: usize| Tensor::from_vec(vec![0i64; n], [n]).unwrap();
        let inputs = Tensor::zeros([3, 2]).unwrap();
        let mismatch = Examples::new(inputs.clone(), labels(2)).unwrap_err().to_string();
        assert!(mismatch.contains("3 inputs") && mismatch.contains("2 labels"), "{mismatch}");
        let nan = Tensor::from_vec(vec![0.0, 1.0, 2.0, f32::NAN], [2, 2]).unwrap();
        let nan = Examples::new(nan, labels(2)).unwrap_err().to_string();
        assert!(nan.contains("sample 1 holds the value NaN"), "{nan}");
        assert!(Examples::new(Tensor::zeros([0, 2]).unwrap(), labels(0)).is_err());
        assert!(Examples::new(inputs.clone(), Tensor::zeros([3]).unwrap()).is_err());
        let column = labels(3).reshape([3, 1]).unwrap();
        assert_eq!(Examples::new(inputs, column).unwrap().labels().rank(), 1);
    }

    #[test]
    fn tokens_have_labels_of_their_own() {
        let ids = |rows: usize| Tensor::from_vec(vec![1i64; rows * 3], [rows, 3]).unwrap();
        let windows = Examples::new(ids(2), ids(2)).unwrap();
        assert_eq!((windows.len(), windows.labels().shape().dims()), (2, &[2, 3][..]));
        assert_eq!(windows.select(&[1]).unwrap().labels().len(), 3);
        assert!(Examples::new(ids(2), ids(3)).is_err());
        let words = Tensor::from_vec(vec![0i64, 1], [2]).unwrap();
        assert_eq!(Examples::new(ids(2), words).unwrap().labels().rank(), 1);
        let beyond = Tensor::from_vec(vec![0i64, 0, -1], [1, 3]).unwrap();
        assert!(Examples::new(ids(1), beyond).is_err());
        assert!(Examples::new(Tensor::ones([2, 3]).unwrap(), ids(2)).is_err());
    }

    #[test]
    fn bytes_become_images() {
        let bytes = Tensor::from_vec(vec![0u8, 51, 255, 102], [1, 2, 2]).unwrap();
        let images = as_inputs(&bytes, 255).unwrap();
        assert_eq!(images.shape().dims(), [1, 1, 2, 2]);
        assert_eq!(images.to_vec::<f32>().unwrap(), [0.0, 0.2, 1.0, 0.4]);
    }
}
