use super::OpError;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var, lower_opaque};
use crate::graph::{Compute, Cost, Edge, Exec, Graph, View};
use crate::tensor::{Element, Shape, Tensor, TensorError};
use std::sync::Arc;

/// Rows of a table `[entries, dim]`. The gradient of a row is the sum of the gradients of all the
/// places it was copied to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lookup {
    /// Which rows: an index tensor `[..]`, the first input. The result is `[.., dim]`.
    Ids,
    /// As many rows from `offset` on as the first input, `[.., length, _]`, is long. The result is
    /// `[length, dim]`.
    Positions { offset: usize },
}

impl Lookup {
    /// The row of each index, checked against their number.
    fn rows(self, ids: &[i64], entries: usize) -> impl Iterator<Item = Result<usize>> {
        ids.iter().map(move |&id| match usize::try_from(id) {
            Ok(row) if row < entries => Ok(row),
            _ => Err(TensorError::Index { op: self.name(), index: id, len: entries }.into()),
        })
    }

    /// The range of positions in elements of the table.
    fn positions(offset: usize, length: usize, dim: usize) -> std::ops::Range<usize> {
        offset * dim..(offset + length) * dim
    }
}

impl Compute for Lookup {
    fn name(&self) -> &'static str {
        match self {
            Lookup::Ids => "embedding",
            Lookup::Positions { .. } => "positions",
        }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let (x, table) = (&inputs[0], &inputs[1]);
        let &[entries, dim] = table.dims() else {
            let expected = "the table is [entries, dim]".into();
            return Err(TensorError::Shape { op: self.name(), shape: *table, expected }.into());
        };
        match *self {
            Lookup::Ids => {
                let mut dims = x.to_vec();
                dims.push(dim);
                Ok(Shape::new(&dims)?)
            }
            Lookup::Positions { offset } => {
                if x.rank() < 2 {
                    let expected = "the value is [.., length, dim]".into();
                    return Err(TensorError::Shape { op: self.name(), shape: *x, expected }.into());
                }
                let length = x[x.rank() - 2];
                let end = offset.saturating_add(length);
                if end > entries {
                    return Err(OpError::Context { end, positions: entries }.into());
                }
                Ok(Shape::new(&[length, dim])?)
            }
        }
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (table, shape) = (inputs[1].f32()?, &inputs[1].shape);
        let (entries, dim) = (shape[0], shape[1]);
        match *self {
            Lookup::Ids => {
                let rows = self.rows(inputs[0].i64()?, entries);
                for (out, row) in out.chunks_exact_mut(dim.max(1)).zip(rows) {
                    out.copy_from_slice(&table[row? * dim..][..dim]);
                }
            }
            Lookup::Positions { offset } => {
                let length = out.len() / dim.max(1);
                out.copy_from_slice(&table[Lookup::positions(offset, length, dim)]);
            }
        }
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let ids = match self {
            Lookup::Ids => (i64::DTYPE.size() * inputs[0].len()) as u64,
            Lookup::Positions { .. } => 0,
        };
        let written = 4 * output.len() as u64;
        Cost { flops: 0, read: written + ids, written }
    }
}

impl Op for Lookup {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor) -> Result<Vec<Option<Tensor>>> {
        if !saved.needs(1) {
            return Ok(vec![None, None]);
        }
        let table = *saved.shape(1);
        let (entries, dim) = (table[0], table[1]);
        let dense = grad.contiguous()?;
        let g = dense.as_slice::<f32>()?;
        let mut sums = Tensor::zeros(table)?;
        let out = sums.as_mut_slice::<f32>()?;
        match *self {
            Lookup::Ids => {
                let ids = saved.input(0)?.to_vec::<i64>()?;
                for (g, row) in g.chunks_exact(dim.max(1)).zip(self.rows(&ids, entries)) {
                    let sum = &mut out[row? * dim..][..dim];
                    sum.iter_mut().zip(g).for_each(|(s, g)| *s += g);
                }
            }
            Lookup::Positions { offset } => {
                let length = g.len() / dim.max(1);
                out[Lookup::positions(offset, length, dim)].copy_from_slice(g);
            }
        }
        Ok(vec![None, Some(sums)])
    }

    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        lower_opaque(self, graph, inputs)
    }
}

impl Var {
    /// The rows of `table`, `[entries, dim]`, from `offset` on, as many as this value, `[.., length,
    /// _]`, is long: the result is `[length, dim]`. A traced model follows its input's length.
    ///
    /// # Errors
    /// [`OpError::Context`] if the table is too short, and as [`Var::embedding`].
    pub fn positions(&self, table: &Var, offset: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Lookup::Positions { offset }, &[self, table])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Param, Role, gradcheck};

    fn table() -> Tensor {
        Tensor::randn([5, 3], 1.0, &mut Rng::seed(1)).unwrap()
    }

    fn ids(values: &[i64], shape: [usize; 2]) -> Var {
        Tensor::from_vec(values.to_vec(), shape).unwrap().into()
    }

    #[test]
    fn gradients() {
        let ids = ids(&[0, 4, 4, 2], [2, 2]);
        gradcheck(|v, ctx| ctx.apply(Lookup::Ids, &[&ids, &v[0]]), &[table()], 1e-3).unwrap();
        let x = Var::from(Tensor::ones([2, 2, 7]).unwrap());
        gradcheck(|v, ctx| x.positions(&v[0], 1, ctx), &[table()], 1e-3).unwrap();
    }

    #[test]
    fn rows_are_copied() {
        let table = Param::new(table(), Role::Embedding);
        let y = ids(&[3, 0], [1, 2]).embedding(&table, &mut Ctx::eval()).unwrap();
        assert_eq!(y.shape().dims(), [1, 2, 3]);
        let rows = table.value().unwrap().to_vec::<f32>().unwrap();
        assert_eq!(y.value().to_vec::<f32>().unwrap(), [&rows[9..12], &rows[..3]].concat());
    }

    #[test]
    fn ids_and_positions_out_of_range_are_named() {
        let table = Param::new(table(), Role::Embedding);
        for bad in [5, -1] {
            let err = ids(&[0, bad], [1, 2]).embedding(&table, &mut Ctx::eval()).unwrap_err();
            assert!(err.to_string().contains(&format!("index {bad} is outside 0..5")), "{err}");
        }
        let x = Var::from(Tensor::ones([1, 4, 3]).unwrap());
        let mut ctx = Ctx::eval();
        let rows = ctx.param(&table).unwrap();
        assert!(x.positions(&rows, 1, &mut ctx).is_ok());
        let err = x.positions(&rows, 2, &mut ctx).unwrap_err();
        assert!(err.to_string().contains("position 6, but there are 5"), "{err}");
        assert!(x.positions(&rows, usize::MAX, &mut ctx).is_err());
        let floats = Var::from(Tensor::ones([2]).unwrap());
        assert!(floats.embedding(&table, &mut ctx).is_err());
    }
}
