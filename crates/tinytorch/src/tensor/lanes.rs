//! Functions of all entries along one axis, such as a softmax.

use super::{Shape, parallel};

/// Lanes that a thread takes at a time.
const LANES: usize = 16;

/// Calls `f(inputs, out)` for every lane: the entries of one axis of contiguous buffers of one shape,
/// all other indices fixed. `work` is the number of operations in all.
pub(crate) fn map<const K: usize>(
    shape: &Shape,
    axis: usize,
    inputs: [&[f32]; K],
    out: &mut [f32],
    work: usize,
    f: impl Fn([&[f32]; K], &mut [f32]) + Sync + Send,
) {
    let len = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    if out.is_empty() {
        return;
    }
    if inner == 1 {
        parallel::for_each_chunk(
            out,
            LANES * len,
            work,
            || (),
            |(), chunk, out| {
                for (i, out) in out.chunks_exact_mut(len).enumerate() {
                    let start = (chunk * LANES + i) * len;
                    f(inputs.map(|v| &v[start..start + len]), out);
                }
            },
        );
        return;
    }
    // The lanes of one outer index share a chunk; each is gathered, computed and scattered.
    let scratch = || (inputs.map(|_| vec![0f32; len]), vec![0f32; len]);
    parallel::for_each_chunk(out, inner * len, work, scratch, |(lanes, result), outer, out| {
        for start in 0..inner {
            for (lane, input) in lanes.iter_mut().zip(inputs) {
                let from = input[outer * inner * len + start..].iter().step_by(inner);
                lane.iter_mut().zip(from).for_each(|(l, v)| *l = *v);
            }
            f(lanes.each_ref().map(|lane| &lane[..]), result);
            out[start..].iter_mut().step_by(inner).zip(&*result).for_each(|(o, r)| *o = *r);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_axis_gives_its_own_lanes() {
        let values: Vec<f32> = (0..24).map(|i| i as f32).collect();
        let shape = Shape::new(&[2, 3, 4]).unwrap();
        for axis in 0..3 {
            for work in [0, usize::MAX] {
                let mut reversed = vec![0.0; 24];
                map(&shape, axis, [&values], &mut reversed, work, |[lane], out| {
                    out.iter_mut().zip(lane.iter().rev()).for_each(|(o, v)| *o = *v);
                });
                let strides = shape.strides();
                for (at, got) in reversed.iter().enumerate() {
                    let index = at / strides[axis] % shape[axis];
                    let mirror =
                        at - index * strides[axis] + (shape[axis] - 1 - index) * strides[axis];
                    assert_eq!(*got, values[mirror], "axis {axis}");
                }
            }
        }
    }
}
