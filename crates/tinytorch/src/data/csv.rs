//! CSV files of numbers.

use super::source::Source;
use super::table::Table;
use crate::{Result, Tensor};
use std::collections::BTreeMap;
use std::path::Path;

/// A row of a million numbers fits.
const MAX_LINE: u64 = 1 << 24;

/// Reads a CSV file of numbers, plain or gzipped.
///
/// Fields are separated by commas, or by semicolons or tabs if the first line has those, and may stand in
/// double quotes; between semicolons or tabs a number may have a decimal comma. The first row names the
/// columns if it has text where the second has a number, or counts them from 0. Empty lines are skipped;
/// every other row must be complete and finite, but for one column of text, which is
/// [numbered](Table::text). A first column without a name that numbers the rows is left out, with a
/// warning.
///
/// # Errors
/// A [`DataError`](super::DataError) that names the file, and the line and column of a field that is not
/// a number.
pub fn read_csv(path: impl AsRef<Path>) -> Result<Table> {
    read(Source::open(path.as_ref())?)
}

/// As [`read_csv`], from bytes in memory that errors call `name`.
///
/// ```
/// use tinytorch::data::{Labels, decode_csv};
/// let table = decode_csv("flowers.csv", b"length,width,label\n5.1,3.5,rose\n6.2,2.9,lily\n")?;
/// let (inputs, labels) = table.split_labels(&Labels::Known)?;
/// assert_eq!(inputs.to_vec::<f32>()?, [5.1, 3.5, 6.2, 2.9]);
/// assert_eq!(labels.to_vec::<f32>()?, [1.0, 0.0]);
/// # Ok::<(), tinytorch::Error>(())
/// ```
///
/// # Errors
/// As [`read_csv`].
pub fn decode_csv(name: &str, bytes: &[u8]) -> Result<Table> {
    read(Source::bytes(name, bytes)?)
}

fn read(mut source: Source<'_>) -> Result<Table> {
    let mut reader = Reader::default();
    let mut line = 0;
    loop {
        let bytes = source.line(MAX_LINE)?;
        if bytes.is_empty() {
            break;
        }
        line += 1;
        if line == 1 && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])) {
            return Err(source.malformed("it is text in UTF-16; save it as UTF-8".into()));
        }
        let Ok(text) = str::from_utf8(&bytes) else {
            return Err(source.malformed(format!("line {line} is not text in UTF-8")));
        };
        // Excel starts its files with a byte order mark, and old ones end their lines with CR alone.
        let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\r', '\n']);
        for (inside, text) in text.split('\r').enumerate() {
            line += usize::from(inside > 0);
            if !text.trim().is_empty() {
                reader.row(text, line).map_err(|problem| source.malformed(problem))?;
            }
        }
    }
    reader.finish(source.name()).map_err(|problem| source.malformed(problem))?.table()
}

/// What was read so far.
#[derive(Default)]
struct Reader {
    separator: Option<char>,
    columns: usize,
    /// The first row, until the second shows whether it holds names.
    first: Option<(Vec<String>, usize)>,
    names: Option<Vec<String>>,
    values: Vec<f32>,
    /// The column of text, and its classes in the order in which they came.
    text: Option<(usize, BTreeMap<String, usize>)>,
    /// Lines with the first decimal point and the first decimal comma.
    points: [Option<usize>; 2],
    file: String,
}

impl Reader {
    fn row(&mut self, text: &str, line: usize) -> Result<(), String> {
        let separator = *self.separator.get_or_insert_with(|| separator(text));
        let row: Vec<String> = fields(text, separator).into_iter().map(str::to_owned).collect();
        if self.columns == 0 {
            self.columns = row.len();
            self.first = Some((row, line));
            return Ok(());
        }
        if row.len() != self.columns {
            let (got, columns) = (row.len(), self.columns);
            return Err(format!("line {line} has {got} fields where the first has {columns}"));
        }
        if let Some((first, at)) = self.first.take() {
            match names_columns(&first, Some(&row)) {
                true => self.names = Some(first),
                false => self.numbers(&first, at)?,
            }
        }
        self.numbers(&row, line)
    }

    fn finish(mut self, file: &str) -> Result<Reader, String> {
        if let Some((first, at)) = self.first.take().filter(|(row, _)| !names_columns(row, None)) {
            self.numbers(&first, at)?;
        }
        if self.values.is_empty() {
            return Err("it holds no row of numbers".to_string());
        }
        self.file = file.to_owned();
        Ok(self)
    }

    fn numbers(&mut self, row: &[String], line: usize) -> Result<(), String> {
        let is_first = self.values.is_empty();
        for (column, field) in row.iter().enumerate() {
            let text = self.text.as_mut().filter(|(at, _)| *at == column);
            if let Some((_, classes)) = text.filter(|_| is_word(field)) {
                let next = classes.len();
                self.values.push(*classes.entry(field.clone()).or_insert(next) as f32);
                continue;
            }
            let is_text = self.text.as_ref().is_some_and(|(at, _)| *at == column);
            match self.number(field, line).filter(|_| !is_text) {
                Some(value) => self.values.push(value),
                None if is_first && self.text.is_none() && is_word(field) => {
                    self.text = Some((column, BTreeMap::from([(field.clone(), 0)])));
                    self.values.push(0.0);
                }
                None => {
                    let shown: String = field.chars().take(40).collect();
                    let what = if is_text { "text like those above" } else { "a finite number" };
                    let column = column + 1;
                    return Err(format!(
                        "line {line}, column {column} holds {shown:?}, which is not {what}"
                    ));
                }
            }
        }
        if let [Some(point), Some(comma)] = self.points {
            return Err(format!(
                "line {point} has a decimal point and line {comma} a decimal comma; write all numbers alike"
            ));
        }
        Ok(())
    }

    /// A finite number, with a decimal comma where commas separate nothing.
    fn number(&mut self, field: &str, line: usize) -> Option<f32> {
        let has_comma = self.separator != Some(',') && field.contains(',');
        let value = match has_comma {
            true => field.replacen(',', ".", 1).parse(),
            false => field.parse(),
        };
        let value = value.ok().filter(|v: &f32| v.is_finite())?;
        if has_comma {
            self.points[1].get_or_insert(line);
        } else if field.contains('.') {
            self.points[0].get_or_insert(line);
        }
        Some(value)
    }

    fn table(mut self) -> Result<Table> {
        let mut columns = self.columns;
        if let Some((column, classes)) = &self.text {
            // The keys of the map are in order.
            let mut numbers = vec![0.0; classes.len()];
            classes.values().enumerate().for_each(|(new, &old)| numbers[old] = new as f32);
            let held = self.values.iter_mut().skip(*column).step_by(columns);
            held.for_each(|value| *value = numbers[*value as usize]);
        }
        let mut text =
            self.text.map(|(column, classes)| (column, classes.into_keys().collect::<Vec<_>>()));
        if numbers_rows(self.names.as_deref(), &self.values, columns) {
            let file = &self.file;
            tracing::warn!(
                "the first column of {file} has no name and numbers the rows; it is left out"
            );
            let mut at = 0..;
            self.values.retain(|_| at.next().is_none_or(|i: usize| !i.is_multiple_of(columns)));
            self.names.iter_mut().for_each(|names| drop(names.remove(0)));
            text.iter_mut().for_each(|(column, _)| *column -= 1);
            columns -= 1;
        }
        let rows = self.values.len() / columns;
        let values = Tensor::from_vec(self.values, [rows, columns])?;
        Ok(Table { names: self.names, values, text, file: self.file })
    }
}

/// Whether the first of several columns has no name where others have one, and counts the rows.
fn numbers_rows(names: Option<&[String]>, values: &[f32], columns: usize) -> bool {
    let is_nameless = columns > 1 && names.is_some_and(|names| names[0].is_empty());
    let first: Vec<f32> = values.iter().step_by(columns).copied().collect();
    is_nameless && first.windows(2).all(|pair| pair[1] == pair[0] + 1.0)
}

/// Whether a row names the columns, told from the one below: it counts them, perhaps after a nameless one,
/// or has text where the other has a number.
fn names_columns(row: &[String], below: Option<&[String]>) -> bool {
    let numbered = match row {
        [first, rest @ ..] if first.is_empty() => rest,
        all => all,
    };
    /// As many numbers that each follow the one before, such as years, are no row of data.
    const SURELY: usize = 8;
    let start = numbered.first().and_then(|field| field.parse::<usize>().ok());
    let counts = |start: usize| {
        let follows = |(field, i): (&String, usize)| field.parse().ok() == start.checked_add(i);
        numbered.iter().zip(0..).all(follows)
    };
    let least = if start == Some(0) { 3 } else { SURELY };
    if numbered.len() >= least && start.is_some_and(counts) {
        return true;
    }
    match below {
        Some(below) => row.iter().zip(below).any(|(name, value)| is_name(name) && !is_name(value)),
        None => row.iter().any(|field| is_name(field)),
    }
}

/// What separates the fields, told from the first line.
fn separator(first: &str) -> char {
    let mut quoted = false;
    let outside: String = first
        .chars()
        .filter(|&c| {
            quoted ^= c == '"';
            !quoted
        })
        .collect();
    [';', '\t', ','].into_iter().find(|&c| outside.contains(c)).unwrap_or(',')
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

/// Whether a field is text: anything but a number, with a decimal comma or without, or nothing.
fn is_name(field: &str) -> bool {
    !field.is_empty() && field.replacen(',', ".", 1).parse::<f32>().is_err()
}

/// Whether a field could be the name of a class.
fn is_word(field: &str) -> bool {
    is_name(field) && field.chars().any(char::is_alphabetic)
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
