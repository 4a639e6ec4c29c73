//! `eval` of a sentence encoder on pairs of sentences.

use super::embed::vectors;
use crate::Verdict;
use crate::output::{Screen, bars};
use crate::problem::Problem;
use crate::sentences::{read, sentences};
use anyhow::Result;
use serde::Serialize;
use std::io::Write;
use std::path::Path;
use tinytorch::audit::Cosine;
use tinytorch::files::Embedder;

/// The stable form of `--json`.
#[derive(Serialize)]
struct Scores {
    mean_cosine: f64,
    /// Of the cosines with the scores, if the file has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    spearman: Option<f64>,
    pairs: usize,
    data: String,
    file: String,
}

/// Two sentences of a line, and how alike they are.
struct Pair<'t> {
    sentences: [&'t str; 2],
    score: Option<f64>,
}

/// Tells how near the sentences of each line are to each other, and how well that ranks them.
pub(super) fn run(folder: &Path, data: &Path, json: bool, screen: &mut Screen) -> Result<Verdict> {
    let text = read(data)?;
    let pairs = pairs(data, &text)?;
    let embedder = Embedder::load(folder)?;
    let all: Vec<&str> = pairs.iter().flat_map(|pair| pair.sentences).collect();
    let vectors = vectors(&embedder, &all, &mut bars())?;
    let width = vectors.shape().last_dim();
    let sides = vectors.reshape([pairs.len(), 2, width])?;
    let cosines = Cosine::of_rows(&sides.slice(1, 0..1)?, &sides.slice(1, 1..2)?)?;
    let known: Option<Vec<f64>> = pairs.iter().map(|pair| pair.score).collect();
    let scores = Scores {
        mean_cosine: cosines.iter().sum::<f64>() / cosines.len() as f64,
        spearman: known.map(|known| spearman(&cosines, &known)),
        pairs: pairs.len(),
        data: data.display().to_string(),
        file: folder.display().to_string(),
    };
    match json {
        true => screen.json(&scores)?,
        false => scores.print(screen)?,
    }
    Ok(Verdict::Good)
}

/// The pairs of a text, of which either all have a score or none has.
fn pairs<'t>(path: &Path, text: &'t str) -> Result<Vec<Pair<'t>>> {
    let lines = sentences(path, text)?;
    let count = lines[0].split('\t').count().clamp(2, 3);
    let of = |(i, line): (usize, &'t str)| {
        let (path, line_number) = (path.to_path_buf(), i + 1);
        let columns: Vec<&str> = line.split('\t').collect();
        let score = match columns[..] {
            [_, _, score] if count == 3 => match score.trim().parse::<f64>() {
                Ok(score) if score.is_finite() => Some(score),
                _ => {
                    let (line, text) = (line_number, score.to_string());
                    return Err(Problem::NoScore { path, line, text }.into());
                }
            },
            [_, _] if count == 2 => None,
            _ => {
                let (line, columns) = (line_number, columns.len());
                return Err(Problem::NoPair { path, line, columns }.into());
            }
        };
        Ok(Pair { sentences: [columns[0], columns[1]], score })
    };
    lines.into_iter().enumerate().map(of).collect()
}

/// The correlation of the ranks; 0 where one side has a single rank.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let middle = (a.len() as f64 + 1.0) / 2.0;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum()
    };
    let spread = (product(&a, &a) * product(&b, &b)).sqrt();
    if spread == 0.0 { 0.0 } else { product(&a, &b) / spread }
}

/// The rank of each value from 1 on; equal ones share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for alike in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = before as f64 + (alike.len() as f64 + 1.0) / 2.0;
        alike.iter().for_each(|&i| ranks[i] = rank);
        before += alike.len();
    }
    ranks
}

impl Scores {
    fn print(&self, screen: &mut Screen) -> Result<()> {
        let Scores { file, data, pairs, mean_cosine, spearman } = self;
        let ranked = spearman
            .map(|rho| format!("Spearman correlation {rho:.4} of cosines with the scores, "));
        writeln!(
            screen,
            "{file}: {}mean cosine {mean_cosine:.4} on {pairs} pairs of {data}",
            ranked.unwrap_or_default()
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `scipy.stats.spearmanr` gives.
    #[test]
    fn ranks_are_correlated_and_ties_share_theirs() {
        let (a, b) = ([0.1, 0.4, 0.35, 0.8, 0.8], [1.0, 3.0, 2.0, 2.0, 5.0]);
        assert!((spearman(&a, &b) - 0.710_526_315_789_473_7).abs() < 1e-12, "{}", spearman(&a, &b));
        assert_eq!(spearman(&a, &a.map(|v: f64| v.exp())), 1.0);
        assert_eq!(spearman(&a, &a.map(|v| -v)), -1.0);
        assert_eq!(spearman(&a, &[7.0; 5]), 0.0);
    }

    #[test]
    fn lines_are_pairs_with_or_without_a_score() {
        let of = |text: &str| pairs(Path::new("p.tsv"), text).map(|pairs| pairs.len());
        assert_eq!(of("a b\tc d\t4.5\ne\tf\t0\n").unwrap(), 2);
        assert_eq!(of("a\tb\nc\td\n").unwrap(), 2);
        let sentence = |text: &str| of(text).unwrap_err().to_string();
        assert!(sentence("one sentence\n").contains("line 1 of p.tsv has 1 columns"));
        assert!(sentence("a\tb\t1\nc\td\n").contains("line 2 of p.tsv has 2 columns"));
        assert!(sentence("a\tb\tc\td\n").contains("has 4 columns"));
        assert!(sentence("a\tb\tmuch\n").contains("\"much\" alike"));
        assert!(sentence("a\tb\tNaN\n").contains("\"NaN\" alike"));
    }
}
