//! The instruction set is a value.
//!
//! An [`Isa`] names an instruction set that *this* CPU has: the tokens inside its variants can
//! only be made by a `detect` function, so holding one is the proof that its instructions may
//! run, and [`Isa::run`] is safe. Kernels are safe code, generic over [`Simd`].
//!
//! ```
//! use tinytorch_kernels::isa::{Isa, Kernel, Simd};
//!
//! struct Double<'a>(&'a mut [f32]);
//!
//! impl Kernel for Double<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn run<S: Simd>(self, s: S) {
//!         let mut chunks = self.0.chunks_exact_mut(S::LANES);
//!         for chunk in &mut chunks {
//!             let x = s.load(chunk);
//!             s.store(s.add(x, x), chunk);
//!         }
//!         let tail = chunks.into_remainder();
//!         let x = s.load_partial(tail);
//!         s.store_partial(s.add(x, x), tail);
//!     }
//! }
//!
//! for isa in Isa::available() {
//!     let mut x: Vec<f32> = (0..19).map(|i| i as f32).collect();
//!     isa.run(Double(&mut x));
//!     assert_eq!(x[18], 36.0, "{}", isa.name());
//! }
//! ```

mod eights;
#[cfg(feature = "faulty-isa")]
mod faulty;
mod scalar;
mod select;
mod simd;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use eights::Eights;
#[cfg(feature = "faulty-isa")]
pub use faulty::Fault;
pub use scalar::Scalar;
use scalar::{ExactDot, Portable};
pub use select::IsaError;
pub use simd::{Kernel, Simd};
#[cfg(target_arch = "x86_64")]
pub use x86_64::{Avx2, Avx512Vnni, AvxVnni};

/// An instruction set that this CPU has, from the slowest to the fastest.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Isa {
    /// Portable Rust, four values at a time: the reference for all others.
    Scalar,
    /// AVX2, FMA and F16C: eight values at a time.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX2, FMA, F16C and AVX-VNNI: AVX2 with instructions that multiply bytes, as most laptops have them.
    #[cfg(target_arch = "x86_64")]
    AvxVnni(AvxVnni),
    /// AVX-512 F, BW, DQ and VL with VNNI: sixteen values at a time.
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(Avx512Vnni),
    /// Portable Rust with a wrong dot product, for tests of what must notice; no CPU has it, so it is
    /// neither detected nor selected by name.
    #[cfg(feature = "faulty-isa")]
    #[doc(hidden)]
    Faulty(Fault),
}

impl Isa {
    /// Every instruction set of this CPU, slowest first; [`Isa::Scalar`] is always there.
    pub fn available() -> Vec<Isa> {
        let found = [
            Some(Isa::Scalar),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            AvxVnni::detect().map(Isa::AvxVnni),
            #[cfg(target_arch = "x86_64")]
            Avx512Vnni::detect().map(Isa::Avx512Vnni),
        ];
        found.into_iter().flatten().collect()
    }

    /// The fastest instruction set of this CPU.
    pub fn detect_best() -> Isa {
        Isa::available().pop().unwrap_or(Isa::Scalar)
    }

    /// The name that `TINYTORCH_ISA`, reports and [`str::parse`] use: `scalar`, `avx2`,
    /// `avxvnni` or `avx512vnni`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(_) => "avxvnni",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(_) => "avx512vnni",
            #[cfg(feature = "faulty-isa")]
            Isa::Faulty(_) => "faulty",
        }
    }

    /// Floats in a vector.
    pub(crate) fn lanes(self) -> usize {
        struct Lanes;
        impl Kernel for Lanes {
            type Output = usize;

            fn run<S: Simd>(self, _: S) -> usize {
                S::LANES
            }
        }
        self.run(Lanes)
    }

    /// Bytes of an activation in the fastest exact dot product, see [`Simd::LEVEL_BYTES`].
    pub(crate) fn level_bytes(self) -> usize {
        struct LevelBytes;
        impl Kernel for LevelBytes {
            type Output = usize;
            const MULTIPLIES_BYTES: bool = true;

            fn run<S: Simd>(self, _: S) -> usize {
                S::LEVEL_BYTES
            }
        }
        match self {
            #[cfg(feature = "faulty-isa")]
            Isa::Faulty(fault) => fault.level_bytes(),
            _ => self.run(LevelBytes),
        }
    }

    /// Runs `kernel`, compiled for this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Isa::Scalar => Portable(ExactDot).call(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => token.call(kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(token) => {
                if const { K::MULTIPLIES_BYTES } {
                    token.call(kernel)
                } else {
                    token.without_products().call(kernel)
                }
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(token) => token.call(kernel),
            #[cfg(feature = "faulty-isa")]
            Isa::Faulty(fault) => Portable(fault).call(kernel),
        }
    }
}

#[cfg(test)]
mod tests;
