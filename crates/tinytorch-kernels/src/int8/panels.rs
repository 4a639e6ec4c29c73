//! The packed weight: one layout for every instruction set, and the only copy in memory.
//!
//! Sixteen rows of the weight (output channels) form a panel, and a panel holds its values in
//! groups of four along K: group by group, row by row, four values of the row. That is the order
//! in which a dot-product instruction consumes them: 64 consecutive bytes multiply the same four
//! activations into sixteen accumulators. Nothing is padded. The last panel has only the rows that
//! are left, and the last group only the `k % 4` values that are left.

use super::columns::COLUMNS;
use super::error::{check_length, checked_size};
use super::{Int8Error, pair_rule_holds};
use crate::aligned::AlignedVec;
use crate::tuning::{GROUP, PANEL};

/// The longest dot product of `u8` with `i8` that an `i32` holds for certain:
/// 65 793 * 255 * 128 <= 2^31 - 1.
pub const MAX_K: usize = 65_793;

/// The longest such product with weights less a zero point, which may be 255 steps away from it:
/// 33 025 * 255 * 255 <= 2^31 - 1.
pub const MAX_K_OFF_CENTER: usize = 33_025;

/// Values in a row from which its sum is worth four bytes: 0.5 % of the row.
const LEAST_SUMMED: usize = 768;

/// An `n` by `k` matrix of int8 weights, packed for the matrix product.
///
/// ```
/// use tinytorch_kernels::int8::Panels;
///
/// let rows: Vec<i8> = (0..6).collect();
/// let weight = Panels::pack(&rows, 2, 3)?;
/// assert_eq!(weight.bytes(), 6);
/// let mut row = [0; 3];
/// weight.row_into(1, &mut row)?;
/// assert_eq!(row, [3, 4, 5]);
/// # Ok::<(), tinytorch_kernels::int8::Int8Error>(())
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Panels {
    packed: AlignedVec<i8>,
    /// The sum of each row, or nothing.
    sums: Box<[i32]>,
    /// The level that stands for 0 in each row, or nothing where it is 0 in all.
    zero_points: Box<[i8]>,
    n: usize,
    k: usize,
    pair_rule: bool,
}

impl Panels {
    /// Packs `n` rows (output channels) of `k` values (inputs), row-major.
    ///
    /// # Errors
    /// `k` exceeds [`MAX_K`], or `rows` does not hold `n * k` values.
    pub fn pack(rows: &[i8], n: usize, k: usize) -> Result<Panels, Int8Error> {
        let size = checked_size("the weight", &[n, k])?;
        check_length("the weight", rows.len(), size)?;
        Panels::pack_rows(n, k, |i, row| row.copy_from_slice(&rows[i * k..(i + 1) * k]))
    }

    /// Packs a weight that is made row by row: `fill(i, row)` writes the `k` values of row `i`,
    /// for `i` from 0 to `n - 1`. Beside the packed weight only one row is held.
    ///
    /// # Errors
    /// `k` exceeds [`MAX_K`], or `n * k` exceeds the address space.
    pub fn pack_rows(
        n: usize,
        k: usize,
        mut fill: impl FnMut(usize, &mut [i8]),
    ) -> Result<Panels, Int8Error> {
        if k > MAX_K {
            return Err(Int8Error::TooLong { k });
        }
        let size = checked_size("the weight", &[n, k])?;
        let (packed, sums) = (AlignedVec::zeroed(size), Box::default());
        let zero_points = Box::default();
        let mut panels = Panels { packed, sums, zero_points, n, k, pair_rule: true };
        let mut row = vec![0; k];
        for i in 0..n {
            fill(i, &mut row);
            // Of trained weights hardly any row holds it, and the first that does not settles it.
            panels.pair_rule = panels.pair_rule && pair_rule_holds(&row);
            pack_row(&mut panels.packed, n, i, &row);
        }
        Ok(panels)
    }

    /// The same weight, with the sums of its rows beside it if they are long: at least 768 values.
    ///
    /// The zero point of the activations multiplies these sums. Without them a product sums as it
    /// multiplies, which for a single row of activations is as much work again and leaves no time to
    /// catch up when weights arrive late: 1 x 4096 x 4096 ran at 66 to 84 % of the third-level cache's
    /// rate on two threads of a machine with other users, and at 86 to 89 % with sums. Scales in blocks
    /// and activations whose zero point is 0 have no use for them.
    pub fn with_sums(mut self) -> Panels {
        if self.k >= LEAST_SUMMED {
            let mut row = vec![0; self.k];
            let sum = |i: usize| {
                self.values_into(i, 0, &mut row);
                row.iter().map(|&value| i32::from(value)).sum()
            };
            self.sums = (0..self.n).map(sum).collect();
        }
        self
    }

    /// The same weight with a level for each row that stands for 0 in it: what is multiplied are its values less
    /// that. Products take off the sum of the activations as often, which they count once for all rows.
    ///
    /// # Errors
    /// There is not one for each row, or `k` exceeds [`MAX_K_OFF_CENTER`].
    pub fn with_zero_points(self, zero_points: &[i8]) -> Result<Panels, Int8Error> {
        check_length("the weight's zero points", zero_points.len(), self.n)?;
        let are_0 = zero_points.iter().all(|&level| level == 0);
        if !are_0 && self.k > MAX_K_OFF_CENTER {
            return Err(Int8Error::TooLongOffCenter { k: self.k });
        }
        let zero_points = if are_0 { Box::default() } else { zero_points.into() };
        Ok(Panels { zero_points, ..self })
    }

    /// The level that stands for 0 in each row; nothing where it is 0 in all.
    pub fn zero_points(&self) -> &[i8] {
        &self.zero_points
    }

    /// The level that stands for 0 in row `i`.
    pub fn zero_point(&self, i: usize) -> i8 {
        self.zero_points.get(i).copied().unwrap_or(0)
    }

    /// The same weight without the sums of its rows.
    pub fn without_sums(self) -> Panels {
        Panels { sums: Box::default(), ..self }
    }

    /// Rows: output channels.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Values in a row: inputs of the dot product.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Bytes held: exactly `n * k`, four for each row whose sum is kept, and one for each zero point.
    pub fn bytes(&self) -> usize {
        self.packed.len() + size_of_val(&*self.sums) + self.zero_points.len()
    }

    /// Whether [`pair_rule_holds`] for every row.
    pub fn pair_rule_holds(&self) -> bool {
        self.pair_rule
    }

    /// Writes the `k` values of row `i` to `out`.
    ///
    /// # Errors
    /// There is no row `i`, or `out` does not hold `k` values.
    pub fn row_into(&self, i: usize, out: &mut [i8]) -> Result<(), Int8Error> {
        if i >= self.n {
            return Err(Int8Error::Row { row: i, n: self.n });
        }
        check_length("the row", out.len(), self.k)?;
        self.values_into(i, 0, out);
        Ok(())
    }

    /// Writes values of row `i`, from `first`, a multiple of four, on, to `out`, which ends at the
    /// row's end or holds a multiple of four.
    pub(crate) fn values_into(&self, i: usize, first: usize, out: &mut [i8]) {
        let layout = RowLayout::of(self.n, self.k, i);
        let (whole, tail) = out.as_chunks_mut::<GROUP>();
        let count = whole.len();
        for (group, values) in whole.iter_mut().enumerate() {
            let start = layout.start_of(first / GROUP + group, GROUP);
            values.copy_from_slice(&self.packed[start..start + GROUP]);
        }
        let start = layout.start_of(first / GROUP + count, tail.len());
        tail.copy_from_slice(&self.packed[start..start + tail.len()]);
    }

    /// Writes all `n * k` values to `out`, row-major.
    ///
    /// # Errors
    /// `out` does not hold `n * k` values.
    pub fn unpack_into(&self, out: &mut [i8]) -> Result<(), Int8Error> {
        check_length("the unpacked weight", out.len(), self.packed.len())?;
        if self.k > 0 {
            for (i, row) in out.chunks_exact_mut(self.k).enumerate() {
                self.row_into(i, row)?;
            }
        }
        Ok(())
    }

    /// The panels, to be multiplied.
    pub(crate) fn packed(&self) -> Packed<'_> {
        let Panels { ref packed, ref sums, ref zero_points, n, k, pair_rule } = *self;
        Packed { bytes: packed, sums, zero_points, n, k, pair_rule }
    }
}

/// Writes row `i` of `n` to where it belongs in the panels.
pub(super) fn pack_row(panels: &mut [i8], n: usize, i: usize, row: &[i8]) {
    let layout = RowLayout::of(n, row.len(), i);
    let (groups, rest) = row.as_chunks::<GROUP>();
    for (group, values) in groups.iter().enumerate() {
        panels[layout.start_of(group, GROUP)..][..GROUP].copy_from_slice(values);
    }
    if !rest.is_empty() {
        let start = layout.start_of(groups.len(), rest.len());
        panels[start..start + rest.len()].copy_from_slice(rest);
    }
}

/// Panels that a kernel reads.
#[derive(Copy, Clone)]
pub(crate) struct Packed<'a> {
    pub(crate) bytes: &'a [i8],
    /// The sum of each row, or nothing.
    pub(crate) sums: &'a [i32],
    /// The level that stands for 0 in each row, or nothing.
    pub(crate) zero_points: &'a [i8],
    pub(crate) n: usize,
    pub(crate) k: usize,
    pub(crate) pair_rule: bool,
}

impl<'a> Packed<'a> {
    /// Rows in panel `panel`: [`PANEL`], or what is left in the last one.
    pub(crate) fn width(&self, panel: usize) -> usize {
        PANEL.min(self.n - panel * PANEL)
    }

    /// The bytes of the panels from `panel` on.
    pub(crate) fn from(&self, panel: usize) -> &'a [i8] {
        &self.bytes[panel * PANEL * self.k..]
    }

    /// Writes the last `k % 4` values of `width` columns from `panel` on, as full groups of four,
    /// filled up with zeros; nothing where `k` is a multiple of four.
    pub(crate) fn expand_tail(
        &self,
        panel: usize,
        width: usize,
        groups: &mut [i8; COLUMNS * GROUP],
    ) {
        let tail = self.k % GROUP;
        if tail == 0 {
            return;
        }
        groups.fill(0);
        let whole = self.k - tail;
        for (column, group) in groups.chunks_exact_mut(GROUP).enumerate().take(width) {
            let start =
                column / PANEL * PANEL * self.k + whole * width.min(PANEL) + column % PANEL * tail;
            group[..tail].copy_from_slice(&self.from(panel)[start..start + tail]);
        }
    }
}

/// Where the groups of a row lie.
struct RowLayout {
    panel: usize,
    width: usize,
    row: usize,
}

impl RowLayout {
    /// Where row `i` of `n` rows of `k` values lies.
    fn of(n: usize, k: usize, i: usize) -> RowLayout {
        let panel = i / PANEL * PANEL;
        RowLayout { panel: panel * k, width: PANEL.min(n - panel), row: i % PANEL }
    }

    /// The first byte of a group of `len` values; all groups before it are full.
    fn start_of(&self, group: usize, len: usize) -> usize {
        self.panel + group * GROUP * self.width + self.row * len
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(n: usize, k: usize) -> Vec<i8> {
        (0..n * k).map(|i| (i * 37 % 251) as u8 as i8).collect()
    }

    #[test]
    fn a_full_panel_lies_in_the_order_of_the_instruction() {
        let rows = weight(16, 8);
        let panels = Panels::pack(&rows, 16, 8).unwrap();
        for group in 0..2 {
            for row in 0..16 {
                for j in 0..4 {
                    let packed = panels.packed[group * 64 + row * 4 + j];
                    assert_eq!(packed, rows[row * 8 + group * 4 + j]);
                }
            }
        }
    }

    #[test]
    fn the_last_values_of_rows_are_filled_up_with_zeros() {
        let rows = weight(18, 6);
        let panels = Panels::pack(&rows, 18, 6).unwrap();
        // What lies there is of another panel.
        let mut groups = [7; COLUMNS * GROUP];
        panels.packed().expand_tail(0, PANEL, &mut groups);
        for (column, group) in groups.chunks_exact(GROUP).enumerate() {
            let last = rows.chunks_exact(6).nth(column).filter(|_| column < PANEL);
            let want = last.map_or([0; GROUP], |row| [row[4], row[5], 0, 0]);
            assert_eq!(group, want, "column {column}");
        }
    }

    #[test]
    fn wrong_sizes_are_errors() {
        assert_eq!(Panels::pack(&[], 0, MAX_K + 1), Err(Int8Error::TooLong { k: MAX_K + 1 }));
        assert!(matches!(Panels::pack(&[], usize::MAX, 3), Err(Int8Error::TooLarge { .. })));
        assert!(matches!(Panels::pack(&[1, 2], 1, 3), Err(Int8Error::Length { .. })));
        let panels = Panels::pack(&[1, 2], 2, 1).unwrap();
        assert_eq!(panels.row_into(2, &mut [0]), Err(Int8Error::Row { row: 2, n: 2 }));
        assert!(panels.row_into(0, &mut [0, 0]).is_err());
        assert!(panels.unpack_into(&mut [0]).is_err());
    }

    #[test]
    fn long_rows_keep_their_sums_where_asked() {
        for (k, sums) in [(767, 0), (768, 17)] {
            let panels = Panels::pack(&weight(17, k), 17, k).unwrap();
            assert_eq!(panels.bytes(), 17 * k);
            let panels = panels.with_sums();
            assert_eq!(panels.bytes(), 17 * k + 4 * sums);
            for (row, sum) in weight(17, k).chunks(k).zip(&panels.sums) {
                assert_eq!(row.iter().map(|&value| i32::from(value)).sum::<i32>(), *sum);
            }
            assert_eq!(panels.without_sums().bytes(), 17 * k);
        }
    }

    #[test]
    fn zero_points_are_kept_unless_all_are_0() {
        let panels = Panels::pack(&[1, 2, 3, 4], 2, 2).unwrap();
        let off = panels.clone().with_zero_points(&[0, -128]).unwrap();
        assert_eq!((off.bytes(), off.zero_point(1), off.zero_points().len()), (6, -128, 2));
        assert_eq!(off.clone().with_zero_points(&[0, 0]), Ok(panels));
        assert!(matches!(off.with_zero_points(&[1]), Err(Int8Error::Length { .. })));
        let k = MAX_K_OFF_CENTER + 1;
        let long = Panels::pack(&vec![1; k], 1, k).unwrap();
        assert!(long.clone().with_zero_points(&[0]).is_ok());
        assert_eq!(long.with_zero_points(&[1]), Err(Int8Error::TooLongOffCenter { k }));
    }

    #[test]
    fn the_pair_rule_is_remembered() {
        assert!(Panels::pack(&[64, 64, -128, 127], 1, 4).unwrap().pair_rule_holds());
        assert!(!Panels::pack(&[0, 0, 127, 127], 2, 2).unwrap().pair_rule_holds());
    }

    proptest! {
        #[test]
        fn unpacking_is_the_inverse_of_packing(n in 0usize..50, k in 0usize..50) {
            let rows = weight(n, k);
            let panels = Panels::pack(&rows, n, k).unwrap();
            prop_assert_eq!(panels.bytes(), n * k);
            let mut back = vec![0; n * k];
            panels.unpack_into(&mut back).unwrap();
            prop_assert_eq!(back, rows);
        }
    }
}
