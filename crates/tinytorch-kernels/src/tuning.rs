//! The sizes of tiles and blocks, as data of each instruction set.
//!
#![doc = include_str!("kernels.md")]

use crate::Isa;
use crate::isa::Simd;

/// Rows in a panel of packed float A, the same on every ISA.
pub(crate) const A_PANEL: usize = 8;

/// Columns in a panel of packed float B, the same on every ISA: the lanes of the widest vector.
pub(crate) const B_PANEL: usize = 16;

/// Rows of an int8 weight in a panel.
pub(crate) const PANEL: usize = 16;

/// Values along K in a group of a panel.
pub(crate) const GROUP: usize = 4;

/// A tile of sums that stay in registers.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Tile {
    /// Rows of the left-hand factor.
    pub rows: usize,
    /// Vectors of columns.
    pub vectors: usize,
}

/// A tile of an int8 product.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Int8Tile {
    /// Rows of activations.
    pub rows: usize,
    /// Rows of the lower tile, for what is left at the end.
    pub few_rows: usize,
    /// Vectors of columns.
    pub vectors: usize,
    /// Vectors whose sums are in registers together; the others are summed after them. Up to two rows are
    /// always summed with all vectors, so that a single row reads weights in the order of memory.
    pub together: usize,
}

/// Sizes of float products.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProductF32 {
    /// The innermost loop's tile; its height is a panel of A, or four or six.
    pub tile: Tile,
    /// Columns whose dot products with one row are computed together.
    pub dots: usize,
    /// Rows of B in a block. Long blocks read and write C less often: two of 512 are 2 % faster than three
    /// of 384 on 1024 x 1024 x 1024.
    pub k_block: usize,
    /// Rows of A in a block, a multiple of a panel's: with `k_block`, 384 KB, which stay in an L2 cache of
    /// 1 MB while the tiles of a strip of B pass over them.
    pub m_block: usize,
    /// Columns of B in a block, a multiple of a panel's. Blocks of A are packed once for each block of B,
    /// so it is wide: with `k_block`, 2 MB, of which a strip of 96 KB is in use at a time.
    pub n_block: usize,
    /// Rows of B in a block for the few rows of A that are one tile, whose columns are packed strip by
    /// strip: 576 KB.
    pub few_rows_k_block: usize,
    /// Rows of C up to which B is read where it lies: too few to pay for packing it.
    pub direct_rows: usize,
    /// Values of B up to which it is read where it lies: they stay in the L2 cache.
    pub direct_values: usize,
    /// Columns up to which A is read where it lies.
    pub direct_cols: usize,
}

/// Sizes of int8 products.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ProductInt8 {
    /// The tile of a last panel that is not full.
    pub narrow: Int8Tile,
    /// Tiles of full panels, the widest first: a product takes the first whose panels are all there.
    pub whole: [Int8Tile; 3],
    /// The same where scales come in blocks: a float accumulator stands beside each integer one.
    pub blocks: [Int8Tile; 3],
    /// Bytes of activations that stay in the second-level cache while all panels pass by.
    pub row_block_bytes: usize,
    /// Bytes of input that a task of a convolution reads, so that they stay in the second-level cache.
    pub slab_bytes: usize,
    /// Bytes of gathered rows, so that they stay in the first-level cache.
    pub gathered_bytes: usize,
}

/// The sizes of one instruction set. No result depends on them, but for the rounding of float convolutions that
/// [`transformed_tiles`](Tuning::transformed_tiles) says are transformed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Float products and the convolutions that are products.
    pub product_f32: ProductF32,
    /// Int8 products and convolutions.
    pub product_int8: ProductInt8,
    /// Products of floats with int8 weights; a tile is a panel wide.
    pub weight_only: Tile,
    /// Products with an int8 weight that is not transposed.
    pub transposed: Tile,
    /// Channels of a 3 x 3 convolution, and the tiles of 2 x 2 outputs from which with so many or more fewer products save
    /// more than transforming the pixels costs.
    pub transformed_tiles: [(usize, usize); 3],
}

/// Where nothing is known of an instruction set but its lanes.
const ANY_PRODUCT_F32: ProductF32 = ProductF32 {
    tile: Tile { rows: 4, vectors: 2 },
    dots: 2,
    k_block: 512,
    m_block: 192,
    n_block: 1008,
    few_rows_k_block: 3072,
    direct_rows: 64,
    direct_values: 1 << 16,
    direct_cols: 64,
};

/// 16 channels take 1.1 times as long as sums as they are on 49 tiles, and 0.88 times on 196; 32 take as long on 16 tiles,
/// and 0.68 times on 64 (one image, a Zen 4 on AVX2).
const FEW_TILES: [(usize, usize); 3] = [(16, 196), (32, 16), (64, 16)];

/// Caches of the smallest server CPUs: a second level of 1 MB, half of which activations may take.
const ANY_PRODUCT_INT8: ProductInt8 = ProductInt8 {
    narrow: Int8Tile { rows: 4, few_rows: 3, vectors: 4, together: 4 },
    whole: [Int8Tile { rows: 4, few_rows: 3, vectors: 4, together: 4 }; 3],
    blocks: [Int8Tile { rows: 4, few_rows: 3, vectors: 4, together: 4 }; 3],
    row_block_bytes: 512 << 10,
    slab_bytes: 256 << 10,
    gathered_bytes: 24 << 10,
};

/// Portable Rust, in vectors of 4.
pub const SCALAR: Tuning = Tuning {
    product_f32: ANY_PRODUCT_F32,
    product_int8: ANY_PRODUCT_INT8,
    weight_only: Tile { rows: 2, vectors: 4 },
    transposed: Tile { rows: 4, vectors: 2 },
    transformed_tiles: FEW_TILES,
};

/// AVX2, in vectors of 8, with 16 registers.
///
/// Twelve sums of a float tile, 6 x 2, hide the latency of a multiply-add with some to spare: 77 GFLOP/s on
/// 1024 x 1024 x 1024 on one thread of a Xeon, where eight, 4 x 2, which just hide it, reach 65, and 81 instead
/// of 68 on a 3 x 3 convolution of 56 x 56 pixels of 64 channels. Twelve as 4 x 3 do not fit beside what they are
/// made of and reached 39 of 99 on a Zen 3. Ten sums of an
/// int8 tile reach 157 GOP/s in the loop, eight 145; of twelve, which would fit, the compiler keeps one in
/// memory, and 512 x 128 x 128 took 0.85 of the float product's time instead of 0.65.
pub const AVX2: Tuning = Tuning {
    product_f32: ProductF32 {
        tile: Tile { rows: 6, vectors: 2 },
        dots: 4,
        // 192 KB, for second-level caches of 256 and 512 KB: 80 GFLOP/s instead of 74 on 1024^3.
        m_block: 96,
        // 64 x 576 x 3136 ran at 44 GFLOP/s with B where it lies and at 64 with B packed, 32 x 784 x 512 at
        // 56 and 69, 512 x 128 x 512 at 57 and 78.
        direct_rows: 16,
        direct_values: 1 << 14,
        ..ANY_PRODUCT_F32
    },
    product_int8: ProductInt8 {
        narrow: Int8Tile { rows: 5, few_rows: 3, vectors: 2, together: 2 },
        whole: [Int8Tile { rows: 5, few_rows: 3, vectors: 2, together: 2 }; 3],
        blocks: [Int8Tile { rows: 3, few_rows: 3, vectors: 2, together: 2 }; 3],
        // Widened they take twice as much, on each thread.
        row_block_bytes: 128 << 10,
        ..ANY_PRODUCT_INT8
    },
    weight_only: Tile { rows: 4, vectors: 2 },
    transposed: Tile { rows: 4, vectors: 2 },
    transformed_tiles: FEW_TILES,
};

/// AVX-512 with VNNI, in vectors of 16: up to 24 of its 32 registers hold sums.
///
/// Six rows by four panels reach 90 % of the peak on 1024 x 1024 x 1024 in int8, twelve by two 85 %. By two
/// panels the compiler keeps some of 24 accumulators in memory: eight rows took 10 % less time than twelve
/// on the convolution of 32 images of 14 x 14 from 16 to 32 channels.
///
/// Sums as they are gain more from wide vectors than few tiles do from being transformed: one image of 8 x 8 pixels of 64
/// channels takes 20.5 us instead of 22.5, of 7 x 7 of 512 channels 0.97 ms instead of 0.99, but of 16 x 16 of 32 channels
/// 20.1 us instead of 18.3 (one thread of a Zen 5).
pub const AVX512VNNI: Tuning = Tuning {
    product_f32: ProductF32 { tile: Tile { rows: 8, vectors: 3 }, dots: 8, ..ANY_PRODUCT_F32 },
    product_int8: ProductInt8 {
        narrow: Int8Tile { rows: 12, few_rows: 6, vectors: 1, together: 1 },
        whole: [
            Int8Tile { rows: 6, few_rows: 4, vectors: 4, together: 4 },
            Int8Tile { rows: 8, few_rows: 4, vectors: 2, together: 2 },
            Int8Tile { rows: 12, few_rows: 6, vectors: 1, together: 1 },
        ],
        blocks: [
            Int8Tile { rows: 6, few_rows: 4, vectors: 2, together: 2 },
            Int8Tile { rows: 6, few_rows: 4, vectors: 2, together: 2 },
            Int8Tile { rows: 12, few_rows: 6, vectors: 1, together: 1 },
        ],
        ..ANY_PRODUCT_INT8
    },
    weight_only: Tile { rows: 12, vectors: 1 },
    transposed: Tile { rows: 8, vectors: 2 },
    transformed_tiles: [(16, 196), (32, 64), (64, 49)],
};

/// Every table, with the lanes of its vectors.
const ALL: [(Tuning, usize); 3] = [(SCALAR, 4), (AVX2, 8), (AVX512VNNI, 16)];

impl Tuning {
    /// The table of the instruction set that a kernel is compiled for, which its lanes tell apart.
    pub(crate) const fn of<S: Simd>() -> &'static Tuning {
        match S::LANES {
            16 => &AVX512VNNI,
            8 => &AVX2,
            _ => &SCALAR,
        }
    }
}

impl Isa {
    /// The sizes that this instruction set's kernels have.
    ///
    /// ```
    /// use tinytorch_kernels::Isa;
    ///
    /// assert_eq!(Isa::Scalar.tuning().product_f32.tile.rows, 4);
    /// ```
    pub fn tuning(self) -> &'static Tuning {
        match self {
            Isa::Scalar => &SCALAR,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) | Isa::AvxVnni(_) => &AVX2,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(_) => &AVX512VNNI,
            #[cfg(feature = "faulty-isa")]
            Isa::Faulty(_) => &SCALAR,
        }
    }
}

impl Int8Tile {
    /// Full panels that the tile is wide, of vectors of so many lanes.
    pub(crate) const fn panels(self, lanes: usize) -> usize {
        self.vectors * lanes / PANEL
    }
}

/// Evaluates an expression with `$t` as the table of the instruction set `$s`, a constant whose numbers may be
/// arguments of types and functions.
macro_rules! by_isa {
    ($s:ty, $t:ident => $e:expr) => {
        match <$s as $crate::isa::Simd>::LANES {
            16 => {
                const $t: $crate::tuning::Tuning = $crate::tuning::AVX512VNNI;
                $e
            }
            8 => {
                const $t: $crate::tuning::Tuning = $crate::tuning::AVX2;
                $e
            }
            _ => {
                const $t: $crate::tuning::Tuning = $crate::tuning::SCALAR;
                $e
            }
        }
    };
}
pub(crate) use by_isa;

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The most columns of a float tile on any instruction set.
pub(crate) const MOST_COLUMNS_F32: usize = {
    let (mut most, mut i) = (0, 0);
    while i < ALL.len() {
        let (tuning, lanes) = ALL[i];
        most = larger(most, tuning.product_f32.tile.vectors * lanes);
        i += 1;
    }
    most
};

/// Pixels and vectors of channels of the tile of a depthwise int8 convolution, which interleaves four
/// vectors on every instruction set. With the weights of a column its sums fill 20 of 32 registers.
pub(crate) const DEPTHWISE_INT8: Tile = Tile { rows: 4, vectors: 4 };

/// Rows of the highest, and columns of the widest int8 tile on any instruction set.
pub(crate) const MOST_INT8: (usize, usize) = {
    let (mut rows, mut columns, mut i) = (DEPTHWISE_INT8.rows, 0, 0);
    while i < ALL.len() {
        let (Tuning { product_int8, weight_only, .. }, lanes) = ALL[i];
        let ProductInt8 { narrow, whole, blocks, .. } = product_int8;
        let weight_only = Int8Tile {
            rows: weight_only.rows,
            few_rows: 1,
            vectors: weight_only.vectors,
            together: 1,
        };
        let tiles =
            [narrow, whole[0], whole[1], whole[2], blocks[0], blocks[1], blocks[2], weight_only];
        columns = larger(columns, DEPTHWISE_INT8.vectors * lanes);
        let mut j = 0;
        while j < tiles.len() {
            rows = larger(rows, larger(tiles[j].rows, tiles[j].few_rows));
            columns = larger(columns, tiles[j].vectors * lanes);
            j += 1;
        }
        i += 1;
    }
    (rows, columns)
};

// What kernels rely on, whatever the tables say.
const _: () = {
    let mut i = 0;
    while i < ALL.len() {
        let (Tuning { product_f32, product_int8, weight_only, .. }, lanes) = ALL[i];
        let ProductF32 { tile, m_block, n_block, k_block, few_rows_k_block, .. } = product_f32;
        assert!(tile.rows == A_PANEL || matches!(tile.rows, 4 | 6), "`next_rows` knows the tile");
        assert!(tile.vectors >= 1 && tile.vectors <= 3, "a float tile has up to three vectors");
        assert!(m_block > 0 && m_block.is_multiple_of(A_PANEL), "blocks of A are whole panels");
        assert!(n_block > 0 && n_block.is_multiple_of(B_PANEL), "blocks of B are whole panels");
        assert!(k_block > 0 && few_rows_k_block > 0, "blocks are not empty");
        let ProductInt8 { narrow, whole, blocks, .. } = product_int8;
        assert!(narrow.panels(lanes) == 1 && weight_only.vectors * lanes == PANEL);
        let mut j = 0;
        while j < whole.len() {
            assert!((whole[j].vectors * lanes).is_multiple_of(PANEL), "tiles are whole panels");
            assert!((blocks[j].vectors * lanes).is_multiple_of(PANEL), "tiles are whole panels");
            j += 1;
        }
        assert!(whole[2].panels(lanes) == 1 && blocks[2].panels(lanes) == 1);
        i += 1;
    }
    assert!(PANEL.is_multiple_of(GROUP) && B_PANEL == PANEL);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Kernel;

    struct Table;

    impl Kernel for Table {
        type Output = (&'static Tuning, Tuning);

        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> (&'static Tuning, Tuning) {
            (Tuning::of::<S>(), by_isa!(S, T => T))
        }
    }

    #[test]
    fn kernels_use_the_table_of_their_instruction_set() {
        for isa in Isa::available() {
            let (of_lanes, of_macro) = isa.run(Table);
            assert_eq!(of_lanes, isa.tuning());
            assert_eq!(of_macro, *isa.tuning());
        }
    }
}
