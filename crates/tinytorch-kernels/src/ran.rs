//! Which kernel ran: what reports cite as evidence.

/// The kernel that ran. What it did is data: its name is for people to read, and may change.
///
/// ```
/// use tinytorch_kernels::Ran;
///
/// let ran = Ran::float("gemm_f32");
/// assert_eq!((ran.name, ran.int8), ("gemm_f32", false));
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// The kernel's name, such as `gemm_int8_avx2`.
    pub name: &'static str,
    /// Whether it multiplied 8-bit integers, rather than floats made of them.
    pub int8: bool,
}

impl Ran {
    /// A kernel that multiplied 8-bit integers.
    pub const fn int8(name: &'static str) -> Ran {
        Ran { name, int8: true }
    }

    /// A kernel that computed with floats, or only moved values.
    pub const fn float(name: &'static str) -> Ran {
        Ran { name, int8: false }
    }
}
