//! What computations run with.

use super::{GraphError, Stop, Turns, image_dims};
use crate::Result;
use crate::int8::{Encoding, QParams};
use crate::tensor::Shape;
use tinytorch_kernels::f32::rows::RowStats;
use tinytorch_kernels::int8::{
    RowParams, min_max, quantize_finite_u8, quantize_nchw_to_nhwc, quantize_nchw_to_nhwc_i16,
    quantize_rows_i16, quantize_rows_u8,
};
use tinytorch_kernels::{Isa, Ran, Scratch};

/// What a computation runs with: the instruction set, working memory that is used again from op to
/// op, and a note of which kernel did the work.
#[derive(Debug)]
pub struct Exec {
    isa: Isa,
    kernel: Ran,
    /// Working memory of the kernels.
    pub scratch: Scratch,
    /// The activation that was quantized last.
    pub activation: QuantizedRows,
    /// Working memory of the ops themselves, some of which run kernels while they use it.
    pub(crate) working: Scratch,
    /// How rows were normalized, which only gradients ask.
    pub(crate) row_stats: Vec<RowStats>,
    /// Entries of a lane in another order.
    pub(crate) order: Vec<usize>,
    /// Angles of rotary positions.
    pub(crate) turns: Turns,
    /// Elements that an output may have at most.
    pub(crate) limit: usize,
    /// Operations that may still be done.
    pub(crate) work: u64,
    /// What may end the work that this is part of.
    stop: Option<Stop>,
}

impl Exec {
    /// The kernel of ops that compute in float and do not say more.
    pub const FLOAT: Ran = Ran::float("f32");

    /// What ops run with on `isa`; memory is allocated when an op first needs it.
    pub fn new(isa: Isa) -> Exec {
        Exec {
            isa,
            kernel: Exec::FLOAT,
            scratch: Scratch::new(),
            activation: QuantizedRows::default(),
            working: Scratch::new(),
            row_stats: Vec::new(),
            order: Vec::new(),
            turns: Turns::default(),
            limit: usize::MAX,
            work: u64::MAX,
            stop: Stop::current(),
        }
    }

    /// The same working memory, empty, for kernels on `isa`.
    pub(crate) fn on(&self, isa: Isa) -> Exec {
        Exec { stop: self.stop.clone(), ..Exec::new(isa) }
    }

    /// Goes on, unless the work is to end.
    ///
    /// # Errors
    /// [`GraphError::Stopped`] if it is.
    pub(crate) fn go_on(&self) -> Result<()> {
        self.stop.as_ref().map_or(Ok(()), Stop::check)
    }

    /// Takes operations that `op` is about to do off those that may still be done.
    ///
    /// # Errors
    /// [`GraphError::TooMuchWork`] if it needs more.
    pub(crate) fn spend(&mut self, op: &'static str, operations: u64) -> Result<()> {
        self.work = self.work.checked_sub(operations).ok_or(GraphError::TooMuchWork { op })?;
        Ok(())
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Notes which kernel an op has run.
    pub fn ran(&mut self, kernel: Ran) {
        self.kernel = kernel;
    }

    /// The kernel noted since the last call, [`Exec::FLOAT`] if none was.
    pub fn take_kernel(&mut self) -> Ran {
        std::mem::replace(&mut self.kernel, Exec::FLOAT)
    }

    /// Bytes of working memory held.
    pub fn bytes(&self) -> usize {
        let stats = self.row_stats.capacity() * size_of::<RowStats>();
        let kernels = self.scratch.bytes() + self.activation.bytes();
        let order = self.order.capacity() * size_of::<usize>();
        kernels + self.working.bytes() + stats + order + self.turns.bytes()
    }
}

/// Rows of 8-bit activations with their scales and zero points, in memory that is used again.
#[derive(Debug, Default)]
pub struct QuantizedRows {
    data: Vec<u8>,
    params: Vec<QParams>,
}

impl QuantizedRows {
    /// Quantizes the `m` rows of `x` as a weight's `input` says; a value of 16 bits takes two bytes.
    ///
    /// # Errors
    /// If a value is NaN or infinite.
    pub fn quantize(&mut self, isa: Isa, input: Encoding, x: &[f32], m: usize) -> Result<()> {
        self.data.resize(level_bytes(input) * x.len(), 0);
        quantize_rows(isa, input, x, m, &mut self.data, &mut self.params)
    }

    /// Quantizes images `[batch, channels, height, width]` as a weight's `input` says, each over its
    /// own range if that is dynamic, and lays them out pixel by pixel.
    ///
    /// # Errors
    /// If a value is NaN or infinite.
    pub fn quantize_images(
        &mut self,
        isa: Isa,
        input: Encoding,
        x: &[f32],
        shape: &Shape,
    ) -> Result<()> {
        self.data.resize(level_bytes(input) * x.len(), 0);
        quantize_images(isa, input, x, shape, &mut self.data, &mut self.params)
    }

    /// The values, row-major.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// The scales and zero points that `input` led to.
    pub fn params(&self, input: Encoding) -> RowParams<'_> {
        match input {
            Encoding::Static(params) => RowParams::Tensor(params),
            Encoding::PerRow16 => RowParams::PerRow16(&self.params),
            Encoding::PerRow | Encoding::F32 => RowParams::PerRow(&self.params),
        }
    }

    fn bytes(&self) -> usize {
        self.data.capacity() + self.params.capacity() * size_of::<QParams>()
    }
}

/// Bytes of a level; what is to be left as floats is quantized to 8 bits.
fn level_bytes(input: Encoding) -> usize {
    if input == Encoding::PerRow16 { 2 } else { 1 }
}

/// What every row's parameters are before they are found.
const ANY: QParams = QParams { scale: 1.0, zero_point: 0 };

/// [`QuantizedRows::quantize`] into memory of the caller's; `params` is written if each row has its
/// own.
pub(crate) fn quantize_rows(
    isa: Isa,
    input: Encoding,
    x: &[f32],
    m: usize,
    out: &mut [u8],
    params: &mut Vec<QParams>,
) -> Result<()> {
    match input {
        Encoding::Static(params) => quantize_finite_u8(isa, x, params, out)?,
        Encoding::PerRow | Encoding::F32 => {
            params.resize(m, ANY);
            quantize_rows_u8(isa, x, m, x.len() / m.max(1), out, params)?;
        }
        Encoding::PerRow16 => {
            params.resize(m, ANY);
            quantize_rows_i16(isa, x, m, x.len() / m.max(1), out, params)?;
        }
    }
    Ok(())
}

/// [`QuantizedRows::quantize_images`] into memory of the caller's; `params` is written if each image
/// has its own.
pub(crate) fn quantize_images(
    isa: Isa,
    input: Encoding,
    x: &[f32],
    shape: &Shape,
    out: &mut [u8],
    params: &mut Vec<QParams>,
) -> Result<()> {
    let sizes: [usize; 4] = image_dims("conv2d", shape)?;
    match input {
        Encoding::Static(_) => {
            min_max(isa, x)?;
        }
        Encoding::PerRow16 => {
            params.resize(sizes[0], ANY);
            return Ok(quantize_nchw_to_nhwc_i16(isa, x, sizes, out, params)?);
        }
        Encoding::PerRow | Encoding::F32 => {
            params.clear();
            for image in x.chunks_exact((x.len() / sizes[0].max(1)).max(1)) {
                let (min, max) = min_max(isa, image)?;
                params.push(QParams::from_range(min, max)?);
            }
        }
    }
    let params = match input {
        Encoding::Static(params) => RowParams::Tensor(params),
        _ => RowParams::PerRow(params),
    };
    Ok(quantize_nchw_to_nhwc(isa, x, sizes, params, out)?)
}
