use super::conv2d_f32::Conv2d;
use super::conv2d_int8::Conv2dInt8;
use super::embedding::{Lookup, Rows};
use super::embedding_int8::LookupInt8;
use super::linear_f32::Linear;
use super::linear_int8::LinearInt8;
use crate::Result;
use crate::autograd::{Ctx, Param, Var};
use crate::graph::ConvGeometry;

impl Var {
    /// `x W^T + b`: the value is `[.., in]`, `weight` `[out, in]`, `bias` `[out]`; the result is
    /// `[.., out]`. A weight stored as int8 is multiplied as int8.
    ///
    /// # Errors
    /// [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the shapes do not fit.
    pub fn linear(&self, weight: &Param, bias: Option<&Param>, ctx: &mut Ctx<'_>) -> Result<Var> {
        let id = Some(weight.id());
        let bias = bias.map(|b| ctx.param(b)).transpose()?;
        if let Some(packed) = weight.int8() {
            let op = LinearInt8(packed.clone());
            let inputs: Vec<&Var> = [self].into_iter().chain(&bias).collect();
            return ctx.apply_weighted(op, id, &inputs);
        }
        let weight = ctx.param(weight)?;
        let inputs: Vec<&Var> = [self, &weight].into_iter().chain(&bias).collect();
        ctx.apply_weighted(Linear, id, &inputs)
    }

    /// A two-dimensional convolution: the value is `[batch, in, height, width]`, `weight`
    /// `[out, in / groups, kh, kw]`, `bias` `[out]`; the result is `[batch, out, oh, ow]`. A weight stored
    /// as int8 is multiplied as int8.
    ///
    /// # Errors
    /// [`GeometryError`](crate::graph::GeometryError) if the kernel does not fit the image or the
    /// groups the channels, [`TensorError::Mismatch`](crate::tensor::TensorError::Mismatch) if the
    /// shapes do not fit each other.
    pub fn conv2d(
        &self,
        weight: &Param,
        bias: Option<&Param>,
        geometry: ConvGeometry,
        ctx: &mut Ctx<'_>,
    ) -> Result<Var> {
        let id = Some(weight.id());
        let bias = bias.map(|b| ctx.param(b)).transpose()?;
        if let Some(packed) = weight.int8() {
            let op = Conv2dInt8 { weight: packed.clone(), geometry };
            let inputs: Vec<&Var> = [self].into_iter().chain(&bias).collect();
            return ctx.apply_weighted(op, id, &inputs);
        }
        let weight = ctx.param(weight)?;
        let inputs: Vec<&Var> = [self, &weight].into_iter().chain(&bias).collect();
        ctx.apply_weighted(Conv2d { geometry }, id, &inputs)
    }

    /// The rows of `table`, `[entries, dim]`, that this value, indices `[..]` (i64), names: the result
    /// is `[.., dim]`. Rows of a table stored as int8 become floats as they are looked up.
    ///
    /// # Errors
    /// [`TensorError::Index`](crate::tensor::TensorError::Index) for an index that names no row,
    /// [`TensorError::Dtype`](crate::tensor::TensorError::Dtype) unless the indices are i64.
    pub fn embedding(&self, table: &Param, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.look_up(table, Rows::Ids, ctx)
    }

    /// The rows of `table`, `[entries, dim]`, from `offset` on, as many as this value, `[.., length,
    /// _]`, is long: the result is `[length, dim]`. A traced model follows its input's length. Rows of a
    /// table stored as int8 become floats as they are looked up.
    ///
    /// # Errors
    /// [`OpError::Context`](super::OpError::Context) if the table is too short.
    pub fn positions(&self, table: &Param, offset: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.look_up(table, Rows::Positions { offset }, ctx)
    }

    /// Row `row` of `table`, `[entries, dim]`, as `[1, dim]`, in a pass over this value. A row of a table
    /// stored as int8 becomes floats.
    ///
    /// # Errors
    /// [`TensorError::Index`](crate::tensor::TensorError::Index) if there is no such row.
    pub fn one_row(&self, table: &Param, row: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        self.look_up(table, Rows::One { row }, ctx)
    }

    fn look_up(&self, table: &Param, rows: Rows, ctx: &mut Ctx<'_>) -> Result<Var> {
        if let Some(packed) = table.int8() {
            let op = LookupInt8 { table: packed.clone(), rows };
            return ctx.apply_lookup(op, table.id(), &[self]);
        }
        let floats = ctx.param(table)?;
        ctx.apply_lookup(Lookup(rows), table.id(), &[self, &floats])
    }
}
