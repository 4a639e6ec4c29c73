//! Cutting slices that belong together into pieces for several threads.

use crate::parallel::pieces;
use std::ops::Range;

/// Something that can be cut in two between its items.
pub(super) trait Split: Sized + Send {
    fn items(&self) -> usize;
    fn cut(self, at: usize) -> (Self, Self);
}

impl<T: Sync> Split for &[T] {
    fn items(&self) -> usize {
        self.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at(at)
    }
}

impl<T: Send> Split for &mut [T] {
    fn items(&self) -> usize {
        self.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        self.split_at_mut(at)
    }
}

impl Split for Range<usize> {
    fn items(&self) -> usize {
        self.len()
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let middle = self.start + at;
        (self.start..middle, middle..self.end)
    }
}

impl<T: Split> Split for Option<T> {
    fn items(&self) -> usize {
        self.as_ref().map_or(usize::MAX, T::items)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        match self.map(|items| items.cut(at)) {
            Some((left, right)) => (Some(left), Some(right)),
            None => (None, None),
        }
    }
}

/// Rows of `width` values, which are cut only between rows.
pub(super) struct Rows<T> {
    pub(super) values: T,
    pub(super) width: usize,
}

impl<T: Split> Split for Rows<T> {
    fn items(&self) -> usize {
        self.values.items() / self.width.max(1)
    }

    fn cut(self, at: usize) -> (Self, Self) {
        let width = self.width;
        let (left, right) = self.values.cut(at * width);
        (Self { values: left, width }, Self { values: right, width })
    }
}

macro_rules! split_tuple {
    ($first:ident $($other:ident)*) => {
        #[allow(non_snake_case, reason = "the type's name serves as the variable's")]
        impl<$first: Split, $($other: Split),*> Split for ($first, $($other),*) {
            fn items(&self) -> usize {
                self.0.items()
            }

            fn cut(self, at: usize) -> (Self, Self) {
                let ($first, $($other),*) = self;
                let $first = $first.cut(at);
                $(let $other = $other.cut(at);)*
                (($first.0, $($other.0),*), ($first.1, $($other.1),*))
            }
        }
    };
}
split_tuple!(A B);
split_tuple!(A B C);
split_tuple!(A B C D);
split_tuple!(A B C D E);

/// Calls `job` on pieces of at least `least` items, on the threads of the current pool.
pub(super) fn in_pieces<T: Split>(items: T, least: usize, job: &(impl Fn(T) + Sync)) {
    fn halve<T: Split>(items: T, pieces: usize, job: &(impl Fn(T) + Sync)) {
        if pieces <= 1 {
            return job(items);
        }
        let left = pieces / 2;
        let middle = items.items() / pieces * left;
        let (first, second) = items.cut(middle);
        rayon::join(|| halve(first, left, job), || halve(second, pieces - left, job));
    }
    let pieces = pieces(items.items(), least);
    halve(items, pieces, job);
}
