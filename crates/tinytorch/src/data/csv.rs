//! CSV files of numbers.

use super::DataError;
use super::source::Source;
use crate::{Result, Tensor};
use std::path::Path;

/// A row of a million numbers fits.
const MAX_LINE: u64 = 1 << 24;

/// Names that mark the column with the class labels.
const LABEL_NAMES: [&str; 4] = ["label", "class", "target", "y"];

/// A table of numbers.
#[derive(Clone, Debug)]
pub struct Table {
    /// The names of the columns, if the file starts with them.
    pub names: Option<Vec<String>>,
    /// The numbers, f32 of `[rows, columns]`.
    pub values: Tensor,
    file: String,
}

/// Reads a CSV file of numbers, plain or gzipped.
///
/// Fields are separated by commas, or by semicolons or tabs if the first line has those instead,
/// and may stand in double quotes. A first row with any text in it names the columns. Empty
/// lines are skipped; every other row must be complete and finite.
///
/// # Errors
/// A [`DataError`] that names the file, and the line and column of a field that is not a number.
pub fn read_csv(path: impl AsRef<Path>) -> Result<Table> {
    read(Source::open(path.as_ref())?)
}

/// As [`read_csv`], from bytes in memory that errors call `name`.
///
/// ```
/// use tinytorch::data::decode_csv;
/// let table = decode_csv("flowers.csv", b"length,width,label\n5.1,3.5,0\n6.2,2.9,1\n")?;
/// let (inputs, labels) = table.split_labels()?;
/// assert_eq!(inputs.to_vec::<f32>()?, [5.1, 3.5, 6.2, 2.9]);
/// assert_eq!(labels.to_vec::<f32>()?, [0.0, 1.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`read_csv`].
pub fn decode_csv(name: &str, bytes: &[u8]) -> Result<Table> {
    read(Source::bytes(name, bytes)?)
}

impl Table {
    /// The position of the column of this name, upper or lower case.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.names.as_ref()?.iter().position(|n| n.eq_ignore_ascii_case(name))
    }

    /// The column with the labels: the one named `label`, `class`, `target` or `y`, or the last
    /// one of a table without names.
    pub fn label_column(&self) -> Option<usize> {
        match self.names {
            Some(_) => LABEL_NAMES.iter().find_map(|name| self.column(name)),
            None => self.values.shape()[1].checked_sub(1),
        }
    }

    /// The inputs `[rows, columns - 1]` and the labels `[rows]` of the label column.
    ///
    /// # Errors
    /// [`DataError::NotRecognized`] if no column is named for the labels or it is the only one.
    pub fn split_labels(&self) -> Result<(Tensor, Tensor)> {
        let columns = self.values.shape()[1];
        let Some(label) = self.label_column().filter(|_| columns > 1) else {
            let names = LABEL_NAMES.join(", ");
            let problem = format!("it needs inputs and a label column named one of {names}");
            return Err(DataError::NotRecognized { path: self.file.clone(), problem }.into());
        };
        let before = self.values.slice(1, 0..label)?;
        let after = self.values.slice(1, label + 1..columns)?;
        let labels = self.values.select(1, label)?.contiguous()?;
        Ok((Tensor::cat::<f32>(&[before, after], 1)?, labels))
    }
}

fn read(mut source: Source<'_>) -> Result<Table> {
    let mut names = None;
    let mut values: Vec<f32> = Vec::new();
    let mut layout: Option<(char, usize)> = None;
    let mut number = 0;
    loop {
        let line = source.line(MAX_LINE)?;
        if line.is_empty() {
            break;
        }
        number += 1;
        let Ok(text) = str::from_utf8(&line) else {
            return Err(source.malformed(format!("line {number} is not text")));
        };
        // Excel starts its files with a byte order mark.
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        if text.trim().is_empty() {
            continue;
        }
        let separator = layout.map_or_else(|| separator(text), |(separator, _)| separator);
        let fields = fields(text, separator);
        let (_, columns) = *layout.get_or_insert((separator, fields.len()));
        if fields.len() != columns {
            let got = fields.len();
            let problem = format!("line {number} has {got} fields where the first has {columns}");
            return Err(source.malformed(problem));
        }
        if values.is_empty() && names.is_none() && fields.iter().any(|f| is_name(f)) {
            names = Some(fields.into_iter().map(str::to_owned).collect());
            continue;
        }
        for (column, field) in fields.iter().enumerate() {
            let Some(value) = finite(field) else {
                let column = column + 1;
                let shown: String = field.chars().take(40).collect();
                return Err(source.malformed(format!(
                    "line {number}, column {column} holds {shown:?}, which is not a finite number"
                )));
            };
            values.push(value);
        }
    }
    let columns = layout.map_or(0, |(_, columns)| columns);
    if values.is_empty() {
        return Err(source.malformed("it holds no row of numbers".into()));
    }
    let rows = values.len() / columns;
    let values = Tensor::from_vec(values, [rows, columns])?;
    Ok(Table { names, values, file: source.name().to_owned() })
}

fn separator(first: &str) -> char {
    [',', ';', '\t'].into_iter().find(|&c| first.contains(c)).unwrap_or(',')
}

/// The fields of a line, without white space and quotes around them.
fn fields(line: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let split = line.split(|c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    split.map(|f| f.trim()).map(|f| unquoted(f).unwrap_or(f).trim()).collect()
}

fn unquoted(field: &str) -> Option<&str> {
    field.strip_prefix('"')?.strip_suffix('"')
}

/// Whether a field names a column: any text but a number or nothing.
fn is_name(field: &str) -> bool {
    !field.is_empty() && field.parse::<f32>().is_err()
}

fn finite(field: &str) -> Option<f32> {
    field.parse().ok().filter(|v: &f32| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        decode_csv("t.csv", text.as_bytes()).unwrap()
    }

    fn values(t: &Tensor) -> Vec<f32> {
        t.to_vec().unwrap()
    }

    fn error(text: &str) -> String {
        decode_csv("t.csv", text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_header_is_optional() {
        let bare = table("1,2\n3,4\n");
        assert_eq!(bare.names, None);
        assert_eq!(bare.values.shape().dims(), [2, 2]);
        let named = table("\u{feff}a,\"b, c\"\r\n1,2\r\n\r\n3,4");
        assert_eq!(named.names.as_deref().unwrap(), ["a", "b, c"]);
        assert_eq!(values(&named.values), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn fields_may_be_quoted_padded_and_separated_otherwise() {
        assert_eq!(values(&table("\"1\"; -2e3 ;.5").values), [1.0, -2000.0, 0.5]);
        assert_eq!(values(&table("1\t2").values), [1.0, 2.0]);
        assert_eq!(values(&table("7").values), [7.0]);
    }

    #[test]
    fn the_label_column_is_the_named_one_or_the_last() {
        let (inputs, labels) = table("Label,a,b\n1,2,3\n4,5,6").split_labels().unwrap();
        assert_eq!((values(&inputs), values(&labels)), (vec![2.0, 3.0, 5.0, 6.0], vec![1.0, 4.0]));
        let (inputs, labels) = table("1,2,3\n4,5,6").split_labels().unwrap();
        assert_eq!((values(&inputs), values(&labels)), (vec![1.0, 2.0, 4.0, 5.0], vec![3.0, 6.0]));
        let unnamed = table("a,b\n1,2").split_labels().unwrap_err().to_string();
        assert!(
            unnamed.starts_with("t.csv") && unnamed.contains("named one of label"),
            "{unnamed}"
        );
        assert!(table("1\n2").split_labels().is_err());
    }

    #[test]
    fn a_field_that_is_no_number_is_named_by_line_and_column() {
        for (text, place) in [
            ("1,2\n3,x\n", "line 2, column 2 holds \"x\""),
            ("a,b\n\n1,\n", "line 3, column 2 holds \"\""),
            ("1,2\n3,nan\n", "line 2, column 2 holds \"nan\""),
            ("1,inf\n3,4\n", "line 1, column 2 holds \"inf\""),
            ("1,\n3,4\n", "line 1, column 2 holds \"\""),
            ("1,2\n1e99,4\n", "line 2, column 1"),
            ("1,2\n3\n", "line 2 has 1 fields where the first has 2"),
            ("", "no row of numbers"),
            ("a,b\n", "no row of numbers"),
        ] {
            let message = error(text);
            assert!(message.starts_with("t.csv") && message.contains(place), "{message}");
        }
        assert!(decode_csv("t", &[b'1', 0xff]).unwrap_err().to_string().contains("line 1"));
    }
}
