//! Rows of a float table.

use super::OpError;
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::tensor::{Element, Shape, Tensor, TensorError};

/// Which rows of a table `[entries, dim]` an op copies, as its first input says.
#[derive(Clone, Copy, Debug)]
pub enum Rows {
    /// Those that an index tensor `[..]` names. The result is `[.., dim]`.
    Ids,
    /// As many from `offset` on as the input, `[.., length, _]`, is long. The result is
    /// `[length, dim]`.
    Positions {
        /// The first row.
        offset: usize,
    },
    /// This one, `[1, dim]`, whatever the input is.
    One {
        /// The row.
        row: usize,
    },
}

impl Rows {
    pub(super) fn name(self) -> &'static str {
        match self {
            Rows::Ids => "embedding",
            Rows::Positions { .. } => "positions",
            Rows::One { .. } => "row",
        }
    }

    /// The facts about a look-up.
    pub(super) fn properties(self) -> Properties {
        Properties { looks_up: true, ..Properties::default() }
    }

    /// The output's shape for an input of this shape.
    pub(super) fn shape(self, input: &Shape, entries: usize, dim: usize) -> Result<Shape> {
        match self {
            Rows::Ids => {
                let mut dims = input.to_vec();
                dims.push(dim);
                Ok(Shape::new(&dims)?)
            }
            Rows::Positions { offset } => {
                if input.rank() < 2 {
                    let (shape, expected) = (*input, "the value is [.., length, dim]".into());
                    return Err(TensorError::Shape { op: self.name(), shape, expected }.into());
                }
                let length = input[input.rank() - 2];
                let end = offset.saturating_add(length);
                if end > entries {
                    return Err(OpError::Context { end, positions: entries }.into());
                }
                Ok(Shape::new(&[length, dim])?)
            }
            Rows::One { row } if row >= entries => {
                let index = i64::try_from(row).unwrap_or(i64::MAX);
                Err(TensorError::Index { op: self.name(), index, len: entries }.into())
            }
            Rows::One { .. } => Ok(Shape::new(&[1, dim])?),
        }
    }

    /// Calls `f(place, row)` for every row of the output and the row of the table that goes there.
    pub(super) fn for_each(
        self,
        input: &View<'_>,
        entries: usize,
        mut f: impl FnMut(usize, usize) -> Result<()>,
    ) -> Result<()> {
        match self {
            Rows::Ids => {
                for (place, &id) in input.i64()?.iter().enumerate() {
                    let outside = TensorError::Index { op: self.name(), index: id, len: entries };
                    let row = usize::try_from(id).ok().filter(|&row| row < entries);
                    f(place, row.ok_or(outside)?)?;
                }
            }
            Rows::Positions { offset } => {
                for place in 0..input.shape[input.shape.rank() - 2] {
                    f(place, offset + place)?;
                }
            }
            Rows::One { row } => f(0, row)?,
        }
        Ok(())
    }

    /// What copying rows costs when a number of the table takes `bytes`.
    pub(super) fn cost(self, input: &Shape, output: &Shape, bytes: usize) -> Cost {
        let ids = match self {
            Rows::Ids => i64::DTYPE.size() * input.len(),
            Rows::Positions { .. } | Rows::One { .. } => 0,
        };
        let read = (ids + bytes * output.len()) as u64;
        Cost { flops: 0, read, written: 4 * output.len() as u64 }
    }
}

/// Rows of a table of floats, the second input. The gradient of a row is the sum of the gradients of
/// all the places it was copied to.
#[derive(Clone, Copy, Debug)]
pub struct Lookup(pub Rows);

impl Compute for Lookup {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn inputs_needed(&self) -> usize {
        2
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let &[entries, dim] = inputs[1].dims() else {
            let (op, shape) = (self.name(), inputs[1]);
            let expected = "the table is [entries, dim]".into();
            return Err(TensorError::Shape { op, shape, expected }.into());
        };
        self.0.shape(&inputs[0], entries, dim)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        let (table, shape) = (inputs[1].f32()?, &inputs[1].shape);
        let (entries, dim) = (shape[0], shape[1]);
        self.0.for_each(&inputs[0], entries, |place, row| {
            out[place * dim..][..dim].copy_from_slice(&table[row * dim..][..dim]);
            Ok(())
        })
    }

    fn properties(&self) -> Properties {
        self.0.properties()
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.0.cost(&inputs[0], output, f32::DTYPE.size())
    }
}

impl Op for Lookup {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        if !saved.needs(1) {
            return Ok(vec![None, None]);
        }
        let table = *saved.shape(1);
        let (entries, dim) = (table[0], table[1]);
        let (input, dense) = (saved.input(0)?.contiguous()?, grad.contiguous()?);
        let g = dense.as_slice::<f32>()?;
        let mut sums = vec![0f32; table.len()];
        self.0.for_each(&View::of(&input)?, entries, |place, row| {
            let sum = sums[row * dim..][..dim].iter_mut();
            sum.zip(&g[place * dim..]).for_each(|(s, g)| *s += g);
            Ok(())
        })?;
        Ok(vec![None, Some(Tensor::from_vec(sums, table)?)])
    }
}

impl Var {
    /// [`Var::positions`] of a table that is no parameter.
    ///
    /// # Errors
    /// [`OpError::Context`] if the table is too short.
    pub fn fixed_positions(&self, table: &Tensor, offset: usize, ctx: &mut Ctx<'_>) -> Result<Var> {
        ctx.apply(Lookup(Rows::Positions { offset }), &[self, &table.into()])
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
        gradcheck(|v, ctx| ctx.apply(Lookup(Rows::Ids), &[&ids, &v[0]]), &[table()], 1e-3).unwrap();
        let x = Var::from(Tensor::ones([2, 2, 7]).unwrap());
        let positions = Lookup(Rows::Positions { offset: 1 });
        gradcheck(|v, ctx| ctx.apply(positions, &[&x, &v[0]]), &[table()], 1e-3).unwrap();
        let one = Lookup(Rows::One { row: 3 });
        gradcheck(|v, ctx| ctx.apply(one, &[&x, &v[0]]), &[table()], 1e-3).unwrap();
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
        assert!(x.positions(&table, 1, &mut ctx).is_ok());
        let err = x.positions(&table, 2, &mut ctx).unwrap_err();
        assert!(err.to_string().contains("position 6, but there are 5"), "{err}");
        assert!(x.positions(&table, usize::MAX, &mut ctx).is_err());
        assert_eq!(x.one_row(&table, 4, &mut ctx).unwrap().shape().dims(), [1, 3]);
        assert!(x.one_row(&table, 5, &mut ctx).unwrap_err().to_string().contains("index 5"));
        let floats = Var::from(Tensor::ones([2]).unwrap());
        assert!(floats.embedding(&table, &mut ctx).is_err());
    }
}
