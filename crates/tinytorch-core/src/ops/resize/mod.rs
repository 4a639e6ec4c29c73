//! Values interpolated to other sizes.

mod nearest;
mod taps;

use super::{OpError, moves};
use crate::Result;
use crate::autograd::{Op, Saved, Saves};
use crate::graph::{
    Compute, Cost, Exec, GraphError, Inputs, Known, Orders, Properties, Sizes, View, ViewMut,
    for_dtype, known,
};
use crate::tensor::{Dtype, Shape, Tensor, TensorError};
use taps::Axis;
use tinytorch_kernels::int8::Layout;

/// How a value between entries is found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Interpolation {
    /// The entry that the place is rounded to.
    Nearest(Rounding),
    /// On the line between the two entries around it.
    Linear,
    /// On a cubic through the four entries around it (Keys, 1981).
    Cubic {
        /// The steepness, -0.75 or -0.5.
        a: f32,
    },
}

/// To which entry a place is rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// The nearest, of two the lower.
    HalfDown,
    /// The nearest, of two the upper.
    HalfUp,
    /// The one below.
    Down,
    /// The one above.
    Up,
}

/// Where entry `i` of an axis resized from `m` to `n` entries lies in the old one; `s` is `n / m`, or the scale given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `(i + 1/2) / s - 1/2`.
    HalfPixel,
    /// The same, shifted so that the centers of both axes meet.
    HalfPixelSymmetric,
    /// As `HalfPixel`, and 0 in an axis of one entry.
    HalfPixelOrFirst,
    /// `i (m - 1) / (n - 1)`.
    AlignCorners,
    /// `i / s`.
    Asymmetric,
    /// Within a part of the axis that an input names, from 0 to 1.
    Crop,
}

/// What becomes of the proportions if sizes are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proportions {
    /// Nothing.
    Stretch,
    /// The largest value of the same proportions that fits in the sizes.
    NotLarger,
    /// The smallest that the sizes fit in.
    NotSmaller,
}

/// A value resized axis by axis, as ONNX has it. Inputs: the value (of any type for the nearest entry, else floats); for
/// [`Place::Crop`] the starts of all axes and then their ends; scales (floats), or else sizes (integers), of which one
/// may be left out. What lies outside of the axis is its edge.
#[derive(Clone, Debug)]
pub struct Resize {
    /// How values are found.
    pub interpolation: Interpolation,
    /// Where they are looked for.
    pub place: Place,
    /// The axes that scales and sizes are for; all if left out. Negative ones count from the end.
    pub axes: Option<Vec<i64>>,
    /// What becomes of the proportions.
    pub proportions: Proportions,
    /// Whether the window widens as an axis shrinks, so that every entry counts.
    pub antialias: bool,
    /// Whether entries outside of the axis count nothing, instead of as its edge.
    pub exclude_outside: bool,
    /// What stands where [`Place::Crop`] leaves the value.
    pub outside: f32,
}

impl Resize {
    /// The default of the operator of this name: from the nearest entry.
    pub fn nearest() -> Resize {
        Resize {
            interpolation: Interpolation::Nearest(Rounding::HalfDown),
            place: Place::HalfPixel,
            axes: None,
            proportions: Proportions::Stretch,
            antialias: false,
            exclude_outside: false,
            outside: 0.0,
        }
    }

    fn axes(
        &self,
        x: &Shape,
        crop: Option<&[f32]>,
        scales: Option<&[f32]>,
        sizes: Option<&[i64]>,
    ) -> Result<Vec<Axis>> {
        let op = self.name();
        let wrong =
            |expected: &str| TensorError::Shape { op, shape: *x, expected: expected.into() };
        let named = match &self.axes {
            Some(axes) => {
                let position = |axis: &i64| moves::position(*axis, x.rank(), op);
                axes.iter().map(position).collect::<Result<Vec<_>>>()?
            }
            None => (0..x.rank()).collect(),
        };
        let mut all: Vec<Axis> = x
            .iter()
            .map(|&len| Axis { from: len, to: len, scale: 1.0, crop: [0.0, 1.0] })
            .collect();
        if self.place == Place::Crop {
            let crop = crop.filter(|crop| crop.len() == 2 * named.len());
            let crop = crop.ok_or_else(|| wrong("the crop needs two entries for each axis"))?;
            for (i, &axis) in named.iter().enumerate() {
                all[axis].crop = [f64::from(crop[i]), f64::from(crop[named.len() + i])];
            }
        }
        let scales = scales.filter(|scales| !scales.is_empty());
        match (scales, sizes) {
            (Some(scales), _) if scales.len() == named.len() => {
                for (&scale, &axis) in scales.iter().zip(&named) {
                    if !(scale.is_finite() && scale > 0.0) {
                        return Err(wrong("scales must be positive").into());
                    }
                    let scale = f64::from(scale);
                    let span = all[axis].crop[1] - all[axis].crop[0];
                    let span = if self.place == Place::Crop { span } else { 1.0 };
                    // Rounded as a float first, so that 3 entries scaled by 4/3 are 4.
                    let to = f64::from((all[axis].from as f64 * span * scale) as f32).floor();
                    all[axis].to = to as usize;
                    all[axis].scale = scale;
                }
            }
            (None, Some(sizes)) if sizes.len() == named.len() => {
                self.to_sizes(&mut all, &named, sizes)
                    .ok_or_else(|| wrong("sizes must be positive"))?;
            }
            _ => return Err(wrong("it needs one scale or one size for each axis").into()),
        }
        if all.iter().any(|axis| axis.from == 0 && axis.to > 0) {
            return Err(wrong("an axis without entries has nothing to interpolate").into());
        }
        Ok(all)
    }

    fn to_sizes(&self, all: &mut [Axis], named: &[usize], sizes: &[i64]) -> Option<()> {
        let ratio = |size: i64, from: usize| size as f64 / from.max(1) as f64;
        let ratios = sizes.iter().zip(named).map(|(&size, &axis)| ratio(size, all[axis].from));
        let kept = match self.proportions {
            Proportions::Stretch => None,
            Proportions::NotLarger => ratios.reduce(f64::min),
            Proportions::NotSmaller => ratios.reduce(f64::max),
        };
        for (&size, &axis) in sizes.iter().zip(named) {
            let from = all[axis].from;
            let size = match kept {
                Some(scale) => (scale * from as f64 + 0.5).floor() as i64,
                None => size,
            };
            all[axis].to = usize::try_from(size).ok()?;
            all[axis].scale = kept.unwrap_or_else(|| ratio(size, from));
        }
        Some(())
    }

    /// The sizes of the axes before and after, from the inputs.
    fn read(&self, inputs: [Option<&View<'_>>; 4], x: &Shape) -> Result<Vec<Axis>> {
        let [_, crop, scales, sizes] = inputs;
        let crop = crop.map(View::f32).transpose()?;
        let scales = scales.map(View::f32).transpose()?;
        let sizes = sizes.map(moves::integers).transpose()?;
        self.axes(x, crop, scales, sizes.as_deref())
    }

    /// The axes that change, in the order in which they do: what shrinks comes first, so that nothing on the way is
    /// larger than both ends.
    fn in_turn<'a>(&self, axes: &'a [Axis]) -> Vec<(usize, &'a Axis)> {
        let mut changing: Vec<_> =
            axes.iter().enumerate().filter(|(_, axis)| !axis.is_kept(self.place)).collect();
        let growth = |axis: &Axis| axis.to as f64 / axis.from as f64;
        changing.sort_by(|(_, a), (_, b)| growth(a).total_cmp(&growth(b)));
        changing
    }

    /// The value resized along one axis after the other.
    fn interpolate(&self, x: &Shape, axes: &[Axis], values: &[f32], out: &mut [f32]) {
        let (mut shape, mut values) = (*x, std::borrow::Cow::Borrowed(values));
        for (axis, sizes) in self.in_turn(axes) {
            let entries = self.entries(sizes);
            let inner: usize = shape[axis + 1..].iter().product();
            let next = shape.with(axis, sizes.to);
            let mut wide = vec![0f32; next.len()];
            let (run_in, run_out) = (sizes.from * inner, sizes.to * inner);
            if run_out > 0 {
                for (out, x) in wide.chunks_exact_mut(run_out).zip(values.chunks_exact(run_in)) {
                    for (out, taps) in out.chunks_exact_mut(inner).zip(&entries) {
                        if taps.is_empty() {
                            out.fill(self.outside);
                        }
                        for &(from, weight) in taps {
                            let x = &x[from * inner..][..inner];
                            out.iter_mut().zip(x).for_each(|(out, x)| *out += weight * x);
                        }
                    }
                }
            }
            (shape, values) = (next, std::borrow::Cow::Owned(wide));
        }
        out.copy_from_slice(&values);
    }

    /// The value resized, its axes and those of `axes` in the order in which they lie in memory.
    fn resize(&self, x: &View<'_>, axes: &[Axis], output: &mut ViewMut<'_>) -> Result<()> {
        if output.shape.is_empty() {
            // Beside an axis without entries another may have any number of them.
            return Ok(());
        }
        match self.interpolation {
            Interpolation::Nearest(rounding) => for_dtype!(x.dtype(), T => {
                self.take_nearest(rounding, x.values::<T>()?, axes, output.values()?)
            }),
            _ => {
                self.interpolate(&x.shape, axes, x.f32()?, output.f32()?);
                Ok(())
            }
        }
    }
}

impl Compute for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn properties(&self) -> Properties {
        let keeps_range = !matches!(self.interpolation, Interpolation::Cubic { .. });
        let keeps_range = keeps_range && self.place != Place::Crop;
        let is_nearest = matches!(self.interpolation, Interpolation::Nearest(_));
        Properties {
            selects: is_nearest && self.place != Place::Crop,
            keeps_range,
            orders: Orders::Alike,
            sizes: Sizes::Follow,
            ..Properties::default()
        }
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        let op = self.name();
        let x = known(inputs, 0, op)?;
        if x.dtype != Dtype::F32 && !matches!(self.interpolation, Interpolation::Nearest(_)) {
            return Err(OpError::Type { op, got: x.dtype }.into());
        }
        let view = |i: usize| match inputs.get(i).and_then(Option::as_ref) {
            Some(known) => View::of(known.value.ok_or(GraphError::NotDecided { op })?).map(Some),
            None => Ok(None),
        };
        let views = [None, view(1)?, view(2)?, view(3)?];
        let axes = self.read(views.each_ref().map(Option::as_ref), &x.shape)?;
        let sizes: Vec<usize> = axes.iter().map(|axis| axis.to).collect();
        Ok(vec![(Shape::new(&sizes)?, x.dtype)])
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        _: &mut Exec,
    ) -> Result<()> {
        let x = inputs.need(0, self.name())?;
        let axes = self.read([0, 1, 2, 3].map(|i| inputs.get(i)), &x.shape)?;
        self.resize(x, &axes, moves::only(outputs, self.name())?)
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        mut output: ViewMut<'_>,
        orders: [Layout; 2],
        _: &mut Exec,
    ) -> Result<()> {
        let x = inputs.need(0, self.name())?;
        let axes = self.read([0, 1, 2, 3].map(|i| inputs.get(i)), &x.shape)?;
        let (&[n, c, h, w], &[batch, channels, height, width], Layout::Nhwc) =
            (&axes[..], x.shape.dims(), orders[0])
        else {
            return self.resize(x, &axes, &mut output);
        };
        let x = View { shape: Shape::new(&[batch, height, width, channels])?, ..*x };
        output.shape = Shape::new(&[n.to, h.to, w.to, c.to])?;
        self.resize(&x, &[n, h, w, c], &mut output)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let taps = match self.interpolation {
            Interpolation::Nearest(_) => 0,
            Interpolation::Linear => 4,
            Interpolation::Cubic { .. } => 8,
        };
        Cost::per_element(&inputs[..1], output, taps)
    }
}

impl Op for Resize {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let x = *saved.shape(0);
        let dense = |i: usize| match i < saved.inputs_len() && saved.has(i) {
            true => saved.input(i)?.contiguous().map(Some),
            false => Ok(None),
        };
        let inputs = [None, dense(1)?, dense(2)?, dense(3)?];
        let views = inputs.each_ref().map(|input| input.as_ref().map(View::of).transpose());
        let [a, b, c, d] = views;
        let views = [a?, b?, c?, d?];
        let axes = self.read(views.each_ref().map(Option::as_ref), &x)?;
        let mut grads = vec![None; saved.inputs_len()];
        if grad.shape().is_empty() {
            grads[0] = Some(Tensor::zeros(x)?);
            return Ok(grads);
        }
        // The last axis that was resized goes back first.
        let (mut shape, mut values) = (*grad.shape(), grad.to_vec::<f32>()?);
        for (axis, sizes) in self.in_turn(&axes).into_iter().rev() {
            let entries = self.entries(sizes);
            let inner: usize = shape[axis + 1..].iter().product();
            let next = shape.with(axis, sizes.from);
            let mut narrow = vec![0f32; next.len()];
            let (run_out, run_in) = (sizes.from * inner, sizes.to * inner);
            if run_in > 0 {
                for (dx, g) in narrow.chunks_exact_mut(run_out).zip(values.chunks_exact(run_in)) {
                    for (g, taps) in g.chunks_exact(inner).zip(&entries) {
                        for &(from, weight) in taps {
                            let dx = &mut dx[from * inner..][..inner];
                            dx.iter_mut().zip(g).for_each(|(dx, g)| *dx += weight * g);
                        }
                    }
                }
            }
            (shape, values) = (next, narrow);
        }
        grads[0] = Some(Tensor::from_vec(values, x)?);
        Ok(grads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;
    use crate::autograd::{Ctx, Var, gradcheck};

    const LINEAR: Interpolation = Interpolation::Linear;

    fn resize(op: &Resize, x: &Var, sizes: &[i64], ctx: &mut Ctx<'_>) -> Result<Var> {
        let sizes = Var::from(Tensor::from_vec(sizes.to_vec(), [sizes.len()])?);
        let mut all = ctx.apply_many(op.clone(), &[Some(x), None, None, Some(&sizes)])?;
        Ok(all.remove(0))
    }

    #[test]
    fn gradients() {
        let x = [Tensor::randn([2, 3, 4], 1.0, &mut Rng::seed(1)).unwrap()];
        let cubic = Interpolation::Cubic { a: -0.75 };
        for interpolation in [Interpolation::Nearest(Rounding::HalfDown), LINEAR, cubic] {
            for (antialias, exclude_outside) in [(false, false), (true, true)] {
                let op = Resize { interpolation, antialias, exclude_outside, ..Resize::nearest() };
                gradcheck(|v, ctx| resize(&op, &v[0], &[2, 5, 2], ctx), &x, 1e-3).unwrap();
            }
        }
    }

    /// Pixel by pixel the same numbers, to the bit, as channel by channel.
    #[test]
    fn images_in_either_order() {
        let x = Tensor::randn([2, 3, 4, 5], 1.0, &mut Rng::seed(2)).unwrap();
        let sizes = Tensor::from_vec(vec![2i64, 3, 7, 3], [4]).unwrap();
        let pixels = x.permute(&[0, 2, 3, 1]).unwrap().contiguous().unwrap();
        let mut exec = Exec::new(tinytorch_kernels::Isa::active());
        for interpolation in [Interpolation::Nearest(Rounding::HalfDown), LINEAR] {
            let op = Resize { interpolation, ..Resize::nearest() };
            let want = resize(&op, &Var::from(x.clone()), &[2, 3, 7, 3], &mut Ctx::eval()).unwrap();
            let want = want.value().permute(&[0, 2, 3, 1]).unwrap().to_vec::<f32>().unwrap();
            let mut got = Tensor::zeros([2, 3, 7, 3]).unwrap();
            let input = View { shape: *x.shape(), ..View::of(&pixels).unwrap() };
            let views = [input, View::of(&sizes).unwrap()];
            let places = [Some(0), None, None, Some(1)];
            let inputs = Inputs::some(&views, &places);
            let orders = [Layout::Nhwc; 2];
            op.run_images(&inputs, ViewMut::of(&mut got).unwrap(), orders, &mut exec).unwrap();
            assert_eq!(got.to_vec::<f32>().unwrap(), want, "{interpolation:?}");
        }
    }

    /// Values of PyTorch's `interpolate`.
    #[test]
    fn known_values() {
        let x = Var::from(Tensor::from_vec(vec![1.0f32, 2.0, 4.0], [3]).unwrap());
        let values = |op: &Resize| {
            let y = resize(op, &x, &[6], &mut Ctx::eval()).unwrap();
            y.value().to_vec::<f32>().unwrap()
        };
        assert_eq!(values(&Resize::nearest()), [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
        let linear = Resize { interpolation: LINEAR, ..Resize::nearest() };
        assert_eq!(values(&linear), [1.0, 1.25, 1.75, 2.5, 3.5, 4.0]);
        let corners = Resize { place: Place::AlignCorners, ..linear };
        let want = [1.0, 1.4, 1.8, 2.4, 3.2, 4.0];
        assert!(values(&corners).iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6));
    }

    /// What is small at both ends needs no more on the way, and what is empty needs nothing.
    #[test]
    fn no_axis_alone_decides_what_is_taken() {
        let x = Var::from(Tensor::ones([2, 1 << 20]).unwrap());
        for interpolation in [Interpolation::Nearest(Rounding::Down), LINEAR] {
            let op = Resize { interpolation, ..Resize::nearest() };
            let y = resize(&op, &x, &[1 << 20, 2], &mut Ctx::eval()).unwrap();
            assert_eq!(y.value().to_vec::<f32>().unwrap(), vec![1.0; 2 << 20]);
            let empty = resize(&op, &x, &[0, 1 << 46], &mut Ctx::eval()).unwrap();
            assert!(empty.shape().is_empty());
            let none = |v: &[Var], ctx: &mut Ctx<'_>| resize(&op, &v[0], &[0, 1 << 46], ctx);
            gradcheck(none, &[Tensor::ones([2, 3]).unwrap()], 1e-3).unwrap();
        }
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let x = Var::from(Tensor::ones([2]).unwrap());
        let mut ctx = Ctx::eval();
        assert!(resize(&Resize::nearest(), &x, &[-1], &mut ctx).is_err());
        assert!(resize(&Resize::nearest(), &x, &[1, 1], &mut ctx).is_err());
        let empty = Var::from(Tensor::zeros([0]).unwrap());
        assert!(resize(&Resize::nearest(), &empty, &[1], &mut ctx).is_err());
        let ints = Var::from(Tensor::from_vec(vec![1i64, 2], [2]).unwrap());
        let linear = Resize { interpolation: LINEAR, ..Resize::nearest() };
        assert!(resize(&linear, &ints, &[4], &mut ctx).is_err());
    }
}
