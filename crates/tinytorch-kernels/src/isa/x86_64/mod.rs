//! The x86-64 instruction sets. All their `unsafe` rests on one fact: a token exists only after
//! its `detect` found the features.

mod avx2;
mod avx512;

pub use avx2::Avx2;
pub use avx512::Avx512Vnni;

/// Defines methods of [`Simd`](super::Simd) whose bodies are register-only intrinsics.
macro_rules! register_ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $ty),*) -> $ret {
            // SAFETY: `self` proves that the CPU has these instructions.
            unsafe { $body }
        }
    )*};
}
use register_ops;
