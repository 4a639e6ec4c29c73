//! Multiplying by weights and looking rows up in them, however they are stored.

use super::conv2d_f32::Conv2d;
use super::conv2d_int8::Conv2dInt8;
use super::embedding::{Lookup, Rows};
use super::embedding_int8::LookupInt8;
use super::linear_f32::Linear;
use super::linear_int8::LinearInt8;
use super::weight::Weighted;
use crate::Result;
use crate::autograd::{Ctx, Op, Param, Var};
use crate::graph::ConvGeometry;
use crate::int8::Int8Weight;

impl Var {
    /// `x W^T + b`: the value is `[.., in]`, `weight` `[out, in]`, `bias` `[out]`; the result is
    /// `[.., out]`. A weight stored as int8 is multiplied as int8, and what stands beside a
    /// [`Weight`](super::Weight) takes its part.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the shapes do not fit.
    pub fn linear<'w>(
        &self,
        weight: impl Into<Weighted<'w>>,
        bias: Option<&Param>,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let weight = weight.into();
        let mut narrow: Option<Var> = None;
        for one in weight.attachments {
            let next = one.before(narrow.as_ref().unwrap_or(self), ctx)?;
            narrow = next.or(narrow);
        }
        let x = narrow.as_ref().unwrap_or(self);
        let row_axes = x.shape().rank().saturating_sub(1);
        let y = x.multiply(weight, bias, row_axes, LinearInt8, Linear, ctx)?;
        weight.attachments.iter().try_fold(y, |y, one| one.after(y, self, ctx))
    }

    /// A two-dimensional convolution: the value is `[batch, in, height, width]`, `weight`
    /// `[out, in / groups, kh, kw]`, `bias` `[out]`; the result is `[batch, out, oh, ow]`. A weight stored
    /// as int8 is multiplied as int8.
    ///
    /// # Errors
    /// [`GeometryError`](crate::graph::GeometryError) if the kernel does not fit the image or the
    /// groups the channels, [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the
    /// shapes do not fit each other.
    pub fn conv2d<'w>(
        &self,
        weight: impl Into<Weighted<'w>>,
        bias: Option<&Param>,
        geometry: ConvGeometry,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let int8 = |weight| Conv2dInt8 { weight, geometry };
        self.multiply(weight.into(), bias, 1, int8, Conv2d { geometry }, ctx)
    }

    /// Applies the op that suits how the weight is stored. The first `row_axes` axes number the rows
    /// that are quantized alone.
    fn multiply<I: Op, F: Op>(
        &self,
        weight: Weighted<'_>,
        bias: Option<&Param>,
        row_axes: usize,
        int8: impl FnOnce(Int8Weight) -> I,
        float: F,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let id = Some(weight.param.id());
        // A layer with a bias has no shift: the bias takes it in when a batch norm is folded.
        let shift = weight.attachments.iter().find_map(|one| one.shift());
        let bias = bias.or(shift).map(|b| ctx.param(b)).transpose()?;
        if let Some(packed) = weight.param.int8() {
            let inputs: Vec<&Var> = [self].into_iter().chain(&bias).collect();
            return ctx.apply_weighted(int8(packed.clone()), id, &inputs);
        }
        let mut x = self.clone();
        for one in weight.attachments {
            x = one.input(&x, row_axes, ctx)?.unwrap_or(x);
        }
        let floats = weight.floats(ctx)?;
        let inputs: Vec<&Var> = [&x, &floats].into_iter().chain(&bias).collect();
        ctx.apply_weighted(float, id, &inputs)
    }

    /// The rows of `table`, `[entries, dim]`, that this value, indices `[..]` (i64), names: the result
    /// is `[.., dim]`. Rows of a table stored as int8 become floats as they are looked up.
    ///
    /// # Errors
    /// [`TensorError::Index`](crate::tensor::TensorError::Index) for an index that names no row,
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the indices are i64.
    pub fn embedding<'w>(&self, table: impl Into<Weighted<'w>>, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.look_up(table.into(), Rows::Ids, ctx)
    }

    /// The rows of `table`, `[entries, dim]`, from `offset` on, as many as this value, `[.., length,
    /// _]`, is long: the result is `[length, dim]`. A traced model follows its input's length. Rows of a
    /// table stored as int8 become floats as they are looked up.
    ///
    /// # Errors
    /// [`OpError::Context`](super::OpError::Context) if the table is too short.
    pub fn positions<'w>(
        &self,
        table: impl Into<Weighted<'w>>,
        offset: usize,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        self.look_up(table.into(), Rows::Positions { offset }, ctx)
    }

    /// Row `row` of `table`, `[entries, dim]`, as `[1, dim]`, in a pass over this value. A row of a table
    /// stored as int8 becomes floats.
    ///
    /// # Errors
    /// [`TensorError::Index`](crate::tensor::TensorError::Index) if there is no such row.
    pub fn one_row<'w>(
        &self,
        table: impl Into<Weighted<'w>>,
        row: usize,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        self.look_up(table.into(), Rows::One { row }, ctx)
    }

    fn look_up(&self, table: Weighted<'_>, rows: Rows, ctx: &mut Ctx<'_>) -> Result<Var> {
        let id = table.param.id();
        if let Some(packed) = table.param.int8() {
            return ctx.apply_lookup(LookupInt8 { table: packed.clone(), rows }, id, &[self]);
        }
        let floats = table.floats(ctx)?;
        ctx.apply_lookup(Lookup(rows), id, &[self, &floats])
    }
}

impl Weighted<'_> {
    /// The floats that are multiplied or looked up in.
    fn floats(self, ctx: &mut Ctx<'_>) -> Result<Var> {
        for one in self.attachments {
            if let Some(floats) = one.floats(self.param, ctx)? {
                return Ok(floats);
            }
        }
        ctx.param(self.param)
    }
}
