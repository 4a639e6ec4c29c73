//! The names of kernels, which reports cite as evidence of what ran.

use crate::Isa;

/// One kernel's name on each instruction set.
pub(super) struct KernelNames {
    pub(super) scalar: &'static str,
    pub(super) avx2: &'static str,
    pub(super) avx2_pairs: &'static str,
    pub(super) avxvnni: &'static str,
    pub(super) avx512vnni: &'static str,
}

impl KernelNames {
    /// The name on `isa`; AVX2 has a faster kernel for weights that keep the pair rule.
    pub(super) fn of(self, isa: Isa, pair_rule: bool) -> &'static str {
        match isa {
            Isa::Scalar => self.scalar,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) if pair_rule => self.avx2_pairs,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(_) => self.avx2,
            #[cfg(target_arch = "x86_64")]
            Isa::AvxVnni(_) => self.avxvnni,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni(_) => self.avx512vnni,
            // It passes for the scalar kernel: what judges it must look at the numbers.
            #[cfg(feature = "faulty-isa")]
            Isa::Faulty(_) => self.scalar,
        }
    }
}

/// The names `base_scalar`, `base_avx2`, `base_avx2_pairs`, `base_avxvnni` and `base_avx512vnni`.
macro_rules! kernel_names {
    ($base:literal) => {
        $crate::int8::name::KernelNames {
            scalar: concat!($base, "_scalar"),
            avx2: concat!($base, "_avx2"),
            avx2_pairs: concat!($base, "_avx2_pairs"),
            avxvnni: concat!($base, "_avxvnni"),
            avx512vnni: concat!($base, "_avx512vnni"),
        }
    };
}
pub(super) use kernel_names;
