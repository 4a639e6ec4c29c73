//! Splitting work over threads without changing a result: who computes a chunk never matters.

use rayon::prelude::*;
use tinytorch_kernels::Scratch;
use tinytorch_kernels::threads::PLAIN_LOOP;

/// Pieces for each thread, so that one that is disturbed leaves the others something to take.
const PIECES_A_THREAD: usize = 4;

/// Calls `f(index, chunk)` for every chunk of `out`, on several threads if `work`, the number of
/// operations in all, is worth it.
pub(crate) fn for_each_chunk(
    out: &mut [f32],
    chunk: usize,
    work: usize,
    f: impl Fn(usize, &mut [f32]) + Sync + Send,
) {
    let chunk = chunk.max(1);
    if is_worth_sharing(work) {
        out.par_chunks_mut(chunk).enumerate().for_each(|(i, chunk)| f(i, chunk));
    } else {
        out.chunks_mut(chunk).enumerate().for_each(|(i, chunk)| f(i, chunk));
    }
}

/// Calls `f(first, memory, piece)` for pieces of `out`, each of whole chunks, the one at its start being
/// chunk number `first`: for one piece, or for some of each thread if `work` is worth it. `memory` is
/// `width` numbers of `scratch` with whatever values they have.
pub(crate) fn for_each_piece(
    out: &mut [f32],
    chunk: usize,
    work: usize,
    (scratch, width): (&mut Scratch, usize),
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send,
) {
    if !is_worth_sharing(work) {
        return f(0, scratch.numbers(width), out);
    }
    let chunk = chunk.max(1);
    let pieces = PIECES_A_THREAD * rayon::current_num_threads();
    let chunks = out.len().div_ceil(chunk).div_ceil(pieces).max(1);
    let memory = scratch.numbers(pieces * width.max(1)).par_chunks_mut(width.max(1));
    let pieces = out.par_chunks_mut(chunks * chunk).zip(memory).enumerate();
    pieces.for_each(|(i, (piece, memory))| f(i * chunks, memory, piece));
}

fn is_worth_sharing(work: usize) -> bool {
    PLAIN_LOOP.is_shared(work) && rayon::current_num_threads() > 1
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

    #[test]
    fn pieces_cover_every_chunk_and_share_no_memory() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        for (len, chunk, width) in [(0, 4, 3), (10, 4, 3), (100, 3, 5), (100, 1, 0), (7, 0, 2)] {
            for work in [0, usize::MAX] {
                let (mut out, mut scratch) = (vec![0.0; len], Scratch::new());
                pool.install(|| {
                    for_each_piece(
                        &mut out,
                        chunk,
                        work,
                        (&mut scratch, width),
                        |first, memory, out| {
                            assert!(memory.len() >= width);
                            for (i, out) in out.chunks_mut(chunk.max(1)).enumerate() {
                                memory.fill((first + i) as f32);
                                out.fill(memory.first().copied().unwrap_or((first + i) as f32));
                            }
                        },
                    );
                });
                assert!(out.iter().enumerate().all(|(i, &v)| v == (i / chunk.max(1)) as f32));
            }
        }
    }
}
