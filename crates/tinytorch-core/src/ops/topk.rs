//! The largest or smallest entries.

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Ctx, Op, Saved, Saves, Var};
use crate::graph::{Compute, Cost, Exec, GraphError, Inputs, Known, ViewMut, known};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};
use std::cmp::Ordering;

/// The largest or smallest entries of each lane along an axis, in order: their values, f32, and where they
/// were, i64. Inputs: the value, and how many, one integer. NaN counts as largest, and of equal entries the
/// first comes first. An entry that was chosen gets its gradient, the others 0.
#[derive(Clone, Copy, Debug)]
pub struct TopK {
    /// The axis.
    pub axis: usize,
    /// The largest, rather than the smallest.
    pub largest: bool,
}

impl TopK {
    fn count(self, shape: &Shape, k: &[i64]) -> Result<usize> {
        let (op, axis) = (self.name(), self.axis);
        let len = *shape.get(axis).ok_or(TensorError::Axis { op, axis, shape: *shape })?;
        let &[asked] = k else {
            return Err(TensorError::NotScalar { shape: Shape::new(&[k.len()])? }.into());
        };
        let count = usize::try_from(asked).ok().filter(|&count| count <= len);
        Ok(count.ok_or(OpError::Count { op, asked, len })?)
    }

    fn order(self, a: f32, b: f32) -> Ordering {
        let by_size = match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.cmp(&b),
        };
        if self.largest { by_size.reverse() } else { by_size }
    }
}

impl Compute for TopK {
    fn name(&self) -> &'static str {
        "topk"
    }

    fn output_count(&self) -> usize {
        2
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let (x, k) = (known(inputs, 0, self.name())?, known(inputs, 1, self.name())?);
        let count = self.count(&x.shape, &k.integers(self.name())?)?;
        let shape = x.shape.with(self.axis, count);
        Ok(vec![(shape, Dtype::F32), (shape, Dtype::I64)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        let x = inputs.need(0, self.name())?;
        let [values, indices] = outputs else {
            return Err(GraphError::OutputCount { op: self.name(), outputs: outputs.len() }.into());
        };
        let (shape, count) = (x.shape, values.shape[self.axis]);
        let (len, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        let (x, values, indices) = (x.f32()?, values.f32()?, indices.values::<i64>()?);
        if count == 0 {
            return Ok(());
        }
        let mut order = std::mem::take(&mut exec.order);
        for lane in 0..shape.len() / len.max(1) {
            let (from, to) = (lane / inner * len * inner, lane / inner * count * inner);
            let at = |i: usize| x[from + lane % inner + i * inner];
            order.clear();
            order.extend(0..len);
            let compare = |a: &usize, b: &usize| self.order(at(*a), at(*b)).then(a.cmp(b));
            if count < len {
                order.select_nth_unstable_by(count - 1, compare);
            }
            order[..count].sort_unstable_by(compare);
            for (i, &chosen) in order[..count].iter().enumerate() {
                values[to + lane % inner + i * inner] = at(chosen);
                indices[to + lane % inner + i * inner] = chosen as i64;
            }
        }
        exec.order = order;
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let cost = Cost::per_element(inputs, output, 0);
        let flops = inputs.first().map_or(0, |x| x.len() as u64);
        Cost { flops, written: 3 * cost.written, ..cost }
    }
}

impl Op for TopK {
    fn saves(&self) -> Saves {
        Saves::Output
    }

    fn backward_many(
        &self,
        saved: &Saved,
        grads: &[Option<Tensor>],
        _: &mut Exec,
    ) -> Result<Vec<Option<Tensor>>> {
        let shape = *saved.shape(0);
        let mut dx = vec![0f32; shape.len()];
        let (len, inner) = (shape[self.axis], shape[self.axis + 1..].iter().product::<usize>());
        if let Some(Some(grad)) = grads.first() {
            let (grad, indices) = (grad.contiguous()?, saved.output_at(1)?.contiguous()?);
            let count = indices.shape()[self.axis];
            let pairs = grad.as_slice::<f32>()?.iter().zip(indices.as_slice::<i64>()?);
            for (place, (g, &index)) in pairs.enumerate() {
                let (outer, lane) = (place / (count * inner), place % inner);
                let index = moves::position(index, len, self.name())?;
                dx[(outer * len + index) * inner + lane] = *g;
            }
        }
        Ok(vec![Some(Tensor::from_vec(dx, shape)?), None])
    }
}

impl Var {
    /// The `k` largest entries of each lane along `axis` in falling order, or the smallest in rising order,
    /// and where they were as i64. NaN counts as largest.
    ///
    /// # Errors
    /// [`TensorError::Axis`], [`OpError::Count`] for more entries than there are.
    pub fn topk(
        &self,
        k: usize,
        axis: usize,
        largest: bool,
        ctx: &mut Ctx<'_>,
    ) -> Result<(Var, Var)> {
        let op = TopK { axis, largest };
        let k = Var::from(Tensor::from_vec(vec![i64::try_from(k).unwrap_or(i64::MAX)], [1])?);
        let outputs = ctx.apply_many(op, &[Some(self), Some(&k)])?;
        let [values, indices] = <[Var; 2]>::try_from(outputs)
            .map_err(|outputs| GraphError::OutputCount { op: op.name(), outputs: outputs.len() })?;
        Ok((values, indices))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autograd::gradcheck;

    #[test]
    fn gradients() {
        // Entries 0.5 apart, so that no difference quotient changes the order.
        let mut values: Vec<f32> = (0..24).map(|i| i as f32 * 0.5).collect();
        crate::Rng::seed(3).shuffle(&mut values);
        let x = [Tensor::from_vec(values, [2, 4, 3]).unwrap()];
        for (axis, largest) in [(0, true), (1, false), (2, true)] {
            gradcheck(|v, ctx| Ok(v[0].topk(2, axis, largest, ctx)?.0), &x, 1e-3).unwrap();
        }
    }

    #[test]
    fn entries_come_in_order_with_their_places() {
        let mut ctx = Ctx::eval();
        let x = Var::from(Tensor::from_vec(vec![1.0, 5.0, f32::NAN, 5.0, -2.0], [5]).unwrap());
        let (values, indices) = x.topk(3, 0, true, &mut ctx).unwrap();
        assert_eq!(indices.value().to_vec::<i64>().unwrap(), [2, 1, 3]);
        let values = values.value().to_vec::<f32>().unwrap();
        assert!(values[0].is_nan() && values[1..] == [5.0, 5.0]);
        let (values, _) = x.topk(2, 0, false, &mut ctx).unwrap();
        assert_eq!(values.value().to_vec::<f32>().unwrap(), [-2.0, 1.0]);
        assert_eq!(x.topk(0, 0, true, &mut ctx).unwrap().0.shape().dims(), [0]);
        assert!(x.topk(6, 0, true, &mut ctx).unwrap_err().to_string().contains("axis of 5"));
        assert!(x.topk(1, 1, true, &mut ctx).is_err());
    }
}
