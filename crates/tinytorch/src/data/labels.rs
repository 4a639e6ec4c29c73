//! Which column of a table holds the labels.

use std::convert::Infallible;
use std::str::FromStr;

/// Which column of a table holds the labels.
///
/// ```
/// use tinytorch::data::{Labels, decode_csv};
/// let table = decode_csv("flowers.csv", b"kind,length,width\n0,5.1,3.5\n1,6.2,2.9\n")?;
/// let (inputs, labels) = table.split_labels(&"kind".parse().unwrap())?;
/// assert_eq!(inputs.shape().dims(), [2, 2]);
/// assert_eq!(labels.to_vec::<f32>()?, [0.0, 1.0]);
/// assert!(table.split_labels(&Labels::Known).is_err());
/// # Ok::<(), tinytorch::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Labels {
    /// The column of which the table shows that it is the one: it holds text, or is named `label`, `class`
    /// or `target`, or is the last and named `y`; or it is the first or the last of a table without names
    /// and the only one of the two with whole numbers from 0 on that could number classes.
    #[default]
    Known,
    /// The first.
    First,
    /// The last.
    Last,
    /// The one of this name, upper or lower case.
    Named(String),
    /// There are no labels.
    None,
}

/// `first`, `last`, `none`, or a column's name.
impl FromStr for Labels {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Labels, Infallible> {
        Ok(match text {
            "first" => Labels::First,
            "last" => Labels::Last,
            "none" => Labels::None,
            name => Labels::Named(name.to_string()),
        })
    }
}

/// Names that only a column of labels has.
const NAMES: [&str; 3] = ["label", "class", "target"];

/// A name that a column of labels has if it is the last; others hold coordinates.
const LAST_NAME: &str = "y";

/// What a table shows of its columns.
pub(super) struct Columns<'a> {
    /// Their names, unless there are none or only numbers.
    pub(super) names: Option<&'a [String]>,
    pub(super) count: usize,
    /// The one that holds text.
    pub(super) text: Option<usize>,
    /// Whether the values of the column at this place could number classes.
    pub(super) numbers_classes: &'a dyn Fn(usize) -> bool,
}

impl Columns<'_> {
    /// The column with the labels, if there is one.
    ///
    /// # Errors
    /// Why that cannot be known.
    pub(super) fn labels(&self, wanted: &Labels) -> Result<Option<usize>, String> {
        let last = self.count.saturating_sub(1);
        let found = match wanted {
            Labels::None => None,
            Labels::First => Some(0),
            Labels::Last => Some(last),
            Labels::Named(name) => Some(self.named(name)?),
            Labels::Known if self.text.is_some() => self.text,
            Labels::Known => match self.names {
                Some(names) => self.by_name(names)?,
                None => self.by_values(last)?,
            },
        };
        match self.text.filter(|text| Some(*text) != found) {
            Some(text) => Err(format!("column {} holds text and is not the labels'", text + 1)),
            None => Ok(found),
        }
    }

    fn named(&self, name: &str) -> Result<usize, String> {
        let names = self.names.unwrap_or_default();
        names.iter().position(|n| n.eq_ignore_ascii_case(name)).ok_or_else(|| {
            let all: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
            match names.is_empty() {
                true => format!("its columns have no names, so none is named {name:?}"),
                false => format!("no column is named {name:?}; they are {}", all.join(", ")),
            }
        })
    }

    fn by_name(&self, names: &[String]) -> Result<Option<usize>, String> {
        let is_label = |name: &str| NAMES.iter().any(|n| name.eq_ignore_ascii_case(n));
        let is_maybe = |name: &str| name.eq_ignore_ascii_case(LAST_NAME);
        let mut found = Vec::new();
        for (at, name) in names.iter().enumerate() {
            if is_label(name) || is_maybe(name) {
                found.push(at);
            }
        }
        match found[..] {
            [] => Ok(None),
            [at] if is_label(&names[at]) || at + 1 == names.len() => Ok(Some(at)),
            _ => {
                let found: Vec<&str> = found.iter().map(|&at| names[at].as_str()).collect();
                Err(format!(
                    "whether the labels are in the column {} cannot be known; say it with --labels first, last, none or a column's name",
                    found.join(" or ")
                ))
            }
        }
    }

    fn by_values(&self, last: usize) -> Result<Option<usize>, String> {
        match ((self.numbers_classes)(0), (self.numbers_classes)(last)) {
            _ if last == 0 => Ok(None),
            (true, false) => Ok(Some(0)),
            (false, true) => Ok(Some(last)),
            (false, false) => Ok(None),
            (true, true) => Err(
                "its columns have no names, and both the first and the last could hold the labels; say which with --labels first, last or none".to_string(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(names: &[&str]) -> Result<Option<usize>, String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let columns = Columns {
            names: Some(&names),
            count: names.len(),
            text: None,
            numbers_classes: &|_| true,
        };
        columns.labels(&Labels::Known)
    }

    #[test]
    fn a_name_tells_only_if_no_other_could() {
        assert_eq!(known(&["a", "Label", "b"]), Ok(Some(1)));
        assert_eq!(known(&["x", "y"]), Ok(Some(1)));
        assert_eq!(known(&["a", "b"]), Ok(None));
        for names in [&["x", "y", "digit"][..], &["y", "a", "class"], &["label", "target"]] {
            let line = known(names).unwrap_err();
            assert!(line.contains("--labels"), "{line}");
        }
    }

    #[test]
    fn without_names_one_of_the_ends_must_stand_out() {
        let of = |first: bool, last: bool, wanted: Labels| {
            let numbers = move |at: usize| if at == 0 { first } else { last };
            let columns = Columns { names: None, count: 5, text: None, numbers_classes: &numbers };
            columns.labels(&wanted)
        };
        assert_eq!(of(true, false, Labels::Known), Ok(Some(0)));
        assert_eq!(of(false, true, Labels::Known), Ok(Some(4)));
        assert_eq!(of(false, false, Labels::Known), Ok(None));
        assert!(of(true, true, Labels::Known).unwrap_err().contains("both the first and the last"));
        assert_eq!(of(true, true, Labels::First), Ok(Some(0)));
        assert_eq!(of(true, true, Labels::Last), Ok(Some(4)));
        assert_eq!(of(true, true, Labels::None), Ok(None));
        assert!(of(true, true, Labels::Named("a".into())).unwrap_err().contains("no names"));
    }
}
