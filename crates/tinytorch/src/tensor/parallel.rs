//! Splitting work over threads without changing a result: who computes a chunk never matters.

use rayon::prelude::*;

/// Operations below which the work stays on the calling thread. Handing a job to another thread
/// costs about 13 us, in which one thread does some 10^5 simple operations.
const WORTH_SHARING: usize = 200_000;

/// Calls `f(index, chunk)` for every chunk of `out`, on several threads if `work`, the number of
/// operations in all, is worth it.
pub(crate) fn for_each_chunk(
    out: &mut [f32],
    chunk: usize,
    work: usize,
    f: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    for_each_chunk_with(out, chunk, work, || (), |(), index, chunk| f(index, chunk));
}

/// [`for_each_chunk`] with `f(scratch, index, chunk)`, where `scratch` makes what a thread uses again
/// from chunk to chunk.
pub(crate) fn for_each_chunk_with<S>(
    out: &mut [f32],
    chunk: usize,
    work: usize,
    scratch: impl Fn() -> S + Sync + Send,
    f: impl Fn(&mut S, usize, &mut [f32]) + Sync + Send,
) {
    let chunk = chunk.max(1);
    if work < WORTH_SHARING || rayon::current_num_threads() == 1 {
        let mut own = scratch();
        out.chunks_mut(chunk).enumerate().for_each(|(i, c)| f(&mut own, i, c));
        return;
    }
    out.par_chunks_mut(chunk)
        .enumerate()
        .for_each_init(scratch, |scratch, (i, chunk)| f(scratch, i, chunk));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_visited_once_whatever_the_threads() {
        for work in [0, usize::MAX] {
            let mut out = vec![0.0; 10];
            for_each_chunk(&mut out, 4, work, |i, c| c.fill(i as f32 + 1.0));
            assert_eq!(out, [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 3.0, 3.0]);
        }
    }
}
