//! Pools of signals and images.

use super::values;
use super::windows::{Along, Windows};
use crate::apply::Operator;
use crate::node::{Node, Reading};
use tinytorch_core::Result;
use tinytorch_core::autograd::{Ctx, Var};
use tinytorch_core::graph::PoolGeometry;
use tinytorch_core::ops::{GlobalAvgPool, PoolKind, PoolWindows, Reduce, Reduction};
use tinytorch_core::tensor::Shape;

struct Pool {
    windows: Windows,
    kernel: Vec<usize>,
    ceil: bool,
}

impl Pool {
    fn read(node: &Node<'_>) -> Reading<Pool> {
        let kernel = node.ints("kernel_shape")?.ok_or("attribute `kernel_shape` is missing")?;
        let size = |&size: &i64| usize::try_from(size).ok().filter(|size| *size > 0);
        let kernel = kernel.iter().map(size).collect::<Option<Vec<_>>>();
        let kernel = kernel.ok_or("attribute `kernel_shape` must be positive")?;
        if !(1..=3).contains(&kernel.len()) {
            return Err("windows of one to three axes are supported".into());
        }
        Ok(Pool { windows: Windows::read(node)?, kernel, ceil: node.flag("ceil_mode", false)? })
    }

    fn along(&self, x: &Shape, op: &'static str) -> Result<Vec<Along>> {
        self.windows.along(x, &self.kernel, op)
    }

    fn windows(&self, along: &[Along], kind: PoolKind) -> PoolWindows {
        PoolWindows {
            kind,
            kernel: along.iter().map(|axis| axis.kernel).collect(),
            stride: along.iter().map(|axis| axis.stride).collect(),
            padding: along.iter().map(|axis| axis.pads).collect(),
            dilation: along.iter().map(|axis| axis.dilation).collect(),
            ceil: self.ceil,
        }
    }

    /// The geometry of windows that move as most do: over images, without a border of more than half of a window,
    /// and none that hangs over the edge.
    fn plain(&self, along: &[Along]) -> Option<PoolGeometry> {
        let [rows, columns] = along else { return None };
        let is_narrow = |axis: &Along| {
            let span = (axis.kernel - 1).checked_mul(axis.dilation).map(|span| span + 1);
            span.is_some_and(|span| axis.pads.iter().all(|pad| *pad <= span / 2))
        };
        (!self.ceil && is_narrow(rows) && is_narrow(columns)).then_some(PoolGeometry {
            kernel: [rows.kernel, columns.kernel],
            stride: [rows.stride, columns.stride],
            padding: [rows.pads, columns.pads],
            dilation: [rows.dilation, columns.dilation],
        })
    }
}

pub(super) fn max(node: &Node<'_>) -> Reading<Operator> {
    let pool = Pool::read(node)?;
    let by_column = node.flag("storage_order", false)?;
    let gives_places = node.gives(1);
    Ok(Operator::many(move |args, ctx| {
        let x = &pool.windows.held(args.need(0)?, ctx)?;
        let along = pool.along(x.shape(), "max_pool")?;
        let is_float = x.value().dtype() == tinytorch_core::tensor::Dtype::F32;
        if let Some(geometry) = pool.plain(&along).filter(|_| is_float && !gives_places)
            && geometry.dilation == [1, 1]
        {
            return Ok(vec![x.max_pool2d(geometry, ctx)?]);
        }
        let windows = pool.windows(&along, PoolKind::Max { by_column });
        ctx.apply_many(windows, &[Some(x)])
    }))
}

pub(super) fn average(node: &Node<'_>) -> Reading<Operator> {
    let pool = Pool::read(node)?;
    let with_border = node.flag("count_include_pad", false)?;
    Ok(Operator::one(move |args, ctx| {
        let x = &pool.windows.held(args.need(0)?, ctx)?;
        let along = pool.along(x.shape(), "average_pool")?;
        let has_border = along.iter().any(|axis| axis.pads != [0, 0]);
        if let Some(geometry) = pool.plain(&along).filter(|_| with_border || !has_border) {
            return x.avg_pool2d(geometry, ctx);
        }
        let windows = pool.windows(&along, PoolKind::Average { with_border });
        first(ctx.apply_many(windows, &[Some(x)])?)
    }))
}

pub(super) fn lp(node: &Node<'_>) -> Reading<Operator> {
    let pool = Pool::read(node)?;
    let p = node.int("p")?.unwrap_or(2);
    let p = i32::try_from(p).map_err(|_| "attribute `p` is too large")?;
    Ok(Operator::one(move |args, ctx| {
        let x = &pool.windows.held(args.need(0)?, ctx)?;
        let along = pool.along(x.shape(), "lp_pool")?;
        let windows = pool.windows(&along, PoolKind::Norm { p });
        first(ctx.apply_many(windows, &[Some(x)])?)
    }))
}

fn first(outputs: Vec<Var>) -> Result<Var> {
    let none = tinytorch_core::graph::GraphError::OutputCount { op: "pool", outputs: 0 };
    Ok(outputs.into_iter().next().ok_or(none)?)
}

/// All axes behind the channels reduced.
fn over_pixels(x: &Var, reduction: Reduction, ctx: &mut Ctx<'_>) -> Result<Var> {
    values::check_rank(x.shape(), 2..=6, "global_pool")?;
    let axes = (2..x.shape().rank() as i64).collect();
    ctx.apply(Reduce { reduction, axes, keep: true }, &[x])
}

pub(super) fn global_average(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| {
        let x = args.need(0)?;
        match x.shape().rank() {
            4 => ctx.apply(GlobalAvgPool, &[x]),
            _ => over_pixels(x, Reduction::Mean, ctx),
        }
    }))
}

pub(super) fn global_max(_: &Node<'_>) -> Reading<Operator> {
    Ok(Operator::one(|args, ctx| over_pixels(args.need(0)?, Reduction::Max, ctx)))
}
