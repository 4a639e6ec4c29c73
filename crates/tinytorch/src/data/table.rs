//! A table of numbers, one column of which may hold labels.

use super::DataError;
use super::labels::{Columns, Labels};
use crate::{Result, Tensor};

/// A class cannot have a number beyond this in a table whose columns have no names.
const LARGEST_CLASS: f32 = 9999.0;

/// A table of numbers.
#[derive(Clone, Debug)]
pub struct Table {
    /// The names of the columns, if the file starts with them.
    pub names: Option<Vec<String>>,
    /// The numbers, f32 of `[rows, columns]`; text is the number of its class.
    pub values: Tensor,
    /// The column that holds text, and its classes in the order of their numbers, which is that of the
    /// alphabet.
    pub text: Option<(usize, Vec<String>)>,
    pub(super) file: String,
}

impl Table {
    /// The position of the column of this name, upper or lower case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.as_ref()?.iter().position(|n| n.eq_ignore_ascii_case(name))
    }

    /// The column with the labels, if the table has one.
    ///
    /// # Errors
    /// [`DataError::NotRecognized`] if it cannot be known, or is not there.
    pub fn label_column(&self, labels: &Labels) -> Result<Option<usize>> {
        let is_number = |name: &String| name.is_empty() || name.parse::<f64>().is_ok();
        let names = self.names.as_deref();
        let columns = Columns {
            names: names.filter(|names| !names.iter().all(is_number)),
            count: self.values.shape()[1],
            text: self.text.as_ref().map(|(column, _)| *column),
            numbers_classes: &|column| self.numbers_classes(column).unwrap_or(false),
        };
        let named = matches!(labels, Labels::Named(_));
        // Whoever asks for a name may mean a number.
        let columns = if named { Columns { names, ..columns } } else { columns };
        columns.labels(labels).map_err(|problem| self.not_recognized(problem))
    }

    /// The inputs `[rows, columns - 1]` and the labels `[rows]`.
    ///
    /// # Errors
    /// [`DataError::NotRecognized`] if no column has labels or it is the only one.
    pub fn split_labels(&self, labels: &Labels) -> Result<(Tensor, Tensor)> {
        let columns = self.values.shape()[1];
        let found = self.label_column(labels)?;
        let Some(label) = found.filter(|_| columns > 1) else {
            let problem = "it needs inputs and a column of labels, named label, class or target, or by --labels";
            return Err(self.not_recognized(problem.to_string()));
        };
        let labels = self.values.select(1, label)?.contiguous()?;
        Ok((self.without(label)?, labels))
    }

    /// The numbers of all columns but one.
    pub(super) fn without(&self, column: usize) -> Result<Tensor> {
        let columns = self.values.shape()[1];
        let before = self.values.slice(1, 0..column)?;
        let after = self.values.slice(1, column + 1..columns)?;
        Tensor::cat::<f32>(&[before, after], 1)
    }

    /// Whether a column holds whole numbers from 0 on, not all the same.
    fn numbers_classes(&self, column: usize) -> Result<bool> {
        let values = self.values.select(1, column)?.to_vec::<f32>()?;
        let is_class = |v: &f32| v.fract() == 0.0 && (0.0..=LARGEST_CLASS).contains(v);
        Ok(values.iter().all(is_class) && values.iter().any(|v| *v != values[0]))
    }

    pub(super) fn not_recognized(&self, problem: String) -> crate::Error {
        DataError::NotRecognized { path: self.file.clone(), problem }.into()
    }
}
