//! The tables of layers in ARCHITECTURE.md.

/// The rows of a crate's table, from the top down, each with its folders.
pub(crate) struct Layers(Vec<Vec<String>>);

impl Layers {
    /// The table under the heading that names the crate.
    pub(crate) fn of(page: &str, name: &str) -> Layers {
        let heading = format!("### Inside `{name}`\n");
        let (_, section) = page.split_once(&heading).unwrap_or_else(|| panic!("no {heading:?}"));
        let rows = section.lines().skip_while(|line| !line.starts_with('|'));
        let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
        Layers(rows.map(folders).collect())
    }

    /// The row that a folder stands in, counted from the top.
    pub(crate) fn row(&self, folder: &str) -> usize {
        let found = self.0.iter().position(|row| row.iter().any(|name| name == folder));
        found.unwrap_or_else(|| panic!("{folder} stands in no layer of ARCHITECTURE.md"))
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.concat()
    }
}

/// What stands between backticks in a row.
fn folders(row: &str) -> Vec<String> {
    row.split('`').skip(1).step_by(2).map(String::from).collect()
}
