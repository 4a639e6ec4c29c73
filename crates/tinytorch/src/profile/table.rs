//! The rows of a profile, of what many passes took.

use super::LayerRow;
use super::layers::Computed;
use super::stopwatch::Pass;

/// Every op with the time that it computes, and then what memory takes and what happens between ops: together they are what
/// the median pass takes, part by part.
pub(super) fn table(passes: &[Pass], computed: Vec<Computed>) -> Vec<LayerRow> {
    let times = |of: fn(&Computed) -> u64| computed.iter().map(of).collect();
    let between = median(passes.iter().map(|pass| pass.between).collect());
    // What is between ops while no memory goes back to the system.
    let other = median(times(|pass| pass.between)).min(between);
    let mut alloc = between - other;
    let each: Vec<(u64, u64)> = (0..computed.first().map_or(0, |pass| pass.rows.len()))
        .map(|i| {
            let computing = computed.iter().filter_map(|pass| Some(pass.rows.get(i)?.nanoseconds));
            let whole = passes.iter().filter_map(|pass| pass.ops.get(i).copied());
            (median(computing.collect()), median(whole.collect()))
        })
        .collect();
    let mut rows = computed.into_iter().next().map_or_else(Vec::new, |pass| pass.rows);
    for (row, (computing, whole)) in rows.iter_mut().zip(each) {
        row.nanoseconds = computing.min(whole);
        alloc += whole - row.nanoseconds;
    }
    rows.push(LayerRow::beside_ops(LayerRow::ALLOC, alloc));
    rows.push(LayerRow::beside_ops(LayerRow::OTHER, other));
    rows
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(times: [u64; 2], between: u64) -> Computed {
        let rows = ["a", "b"].into_iter().zip(times);
        Computed { rows: rows.map(|(name, t)| LayerRow::beside_ops(name, t)).collect(), between }
    }

    fn times(passes: &[Pass], of: Vec<Computed>) -> Vec<(String, u64)> {
        table(passes, of).into_iter().map(|row| (row.name, row.nanoseconds)).collect()
    }

    /// By hand: the medians of the ops are 100 and 50, of which 70 and 45 are computing; of 30 between ops 4 remain where nothing
    /// is given back.
    #[test]
    fn every_part_is_a_median_and_what_is_left_is_memory() {
        let pass = |ops: [u64; 2], between| Pass { ops: ops.to_vec(), between };
        let passes = [pass([100, 900], 29), pass([90, 50], 30), pass([800, 40], 700)];
        let of = vec![computed([70, 44], 4), computed([600, 45], 3), computed([69, 500], 500)];
        let rows = times(&passes, of);
        let expected = [("a", 70), ("b", 45), (LayerRow::ALLOC, 30 + 5 + 26), (LayerRow::OTHER, 4)];
        assert_eq!(rows, expected.map(|(name, time)| (name.to_string(), time)));
        assert_eq!(rows.iter().map(|(_, time)| time).sum::<u64>(), 100 + 50 + 30);
    }

    /// What the same op took in other passes is no more than it took in all.
    #[test]
    fn parts_that_measure_longer_than_the_whole_are_the_whole() {
        let passes = [Pass { ops: vec![10, 20], between: 5 }];
        let rows = times(&passes, vec![computed([12, 15], 9)]);
        let expected = [("a", 10), ("b", 15), (LayerRow::ALLOC, 5), (LayerRow::OTHER, 5)];
        assert_eq!(rows, expected.map(|(name, time)| (name.to_string(), time)));
    }
}
