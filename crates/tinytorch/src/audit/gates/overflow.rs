//! Whether sums of products fit 32 bits.

use super::hardest::{Hardest, Kernel};
use crate::Result;
use crate::audit::{AuditOptions, Gate, Subject};
use crate::autograd::Param;
use crate::int8::{BLOCK, Encoding, Granularity};
use tinytorch_kernels::int8::{MOST_WORDS, pair_rule_holds};

/// No accumulator can overflow, on any instruction set: proved from the actual weights.
///
/// A kernel adds products of activations of 0 to 255 and weights, in 32 bits: over a row, or over each block of
/// 32 if scales are in blocks. Whatever the activations are, and after each product, the sum lies between 255
/// times the sum of the negative and 255 times that of the positive weights. The zero point takes off at most
/// 255 times the sum of all weights, which lies between the two, and what is left between them again: so it
/// adds nothing to the bound. What weights have for a zero point takes off the sum of the activations as often,
/// which leaves the sum of products with weights less that; the bound is the larger of both. Activations of 16 bits
/// lie around 0, up to 32,767 of it, and are added over at most 512 values. Kernels that add pairs in 16 bits run
/// only where the pair rule holds: `a` and `b` of one sign may not sum beyond 128, which is checked here again from
/// the weights. And each instruction set that may run the weight is given the activations for which its rows sum to
/// most, and must add them exactly; those of a convolution under its kernel too, where other sums may be formed on
/// the way.
pub(crate) fn overflow(subject: &Subject, options: &AuditOptions) -> Result<Gate> {
    let (mut faults, mut most, mut pairs, mut rows) = (Vec::new(), 0i64, 0usize, 0usize);
    let mut isas = options.isas.clone();
    if !isas.contains(&options.deployed) {
        isas.push(options.deployed);
    }
    for (name, param) in subject.int8.named_params() {
        let Some(weight) = param.int8() else { continue };
        let kernel = kernel_of(param);
        let panels = weight.panels();
        let is_wide = weight.input() == Encoding::PerRow16;
        let mut row = vec![0i8; panels.k()];
        let (mut rule, mut furthest, mut hardest) = (true, 0i64, Hardest::default());
        for i in 0..panels.n() {
            panels.row_into(i, &mut row)?;
            let run = match weight.scales().granularity() {
                Granularity::Blocks => BLOCK,
                _ if is_wide => MOST_WORDS,
                Granularity::PerTensor | Granularity::PerChannel => row.len().max(1),
            };
            let zero_point = i64::from(panels.zero_point(i));
            // As they are multiplied, and as they stand for floats.
            for (run, zero_point) in row.chunks(run).flat_map(|run| [(run, 0), (run, zero_point)]) {
                let sum = |keep: fn(i64) -> bool| -> i64 {
                    run.iter().map(|&w| i64::from(w) - zero_point).filter(|&w| keep(w)).sum()
                };
                let (above, below) = (sum(|w| w > 0), -sum(|w| w < 0));
                furthest = furthest.max(if is_wide {
                    i64::from(i16::MAX) * (above + below)
                } else {
                    255 * above.max(below)
                });
            }
            rule &= pair_rule_holds(&row);
            hardest.consider(&row);
            rows += 1;
        }
        if furthest > i64::from(i32::MAX) {
            faults.push(format!("a row of `{name}` can sum to {furthest}, which exceeds 32 bits"));
        }
        most = most.max(furthest);
        if panels.pair_rule_holds() && !rule {
            faults.push(format!("`{name}` would run in 16-bit pairs although they can saturate"));
        }
        for &isa in &isas {
            if let Some((got, exact)) = hardest.wrong_sum(isa, panels, is_wide)? {
                let isa = isa.name();
                faults.push(format!("`{name}` sums to {got} on {isa} where {exact} is exact"));
            }
            let Some(kernel) = kernel else { continue };
            if let Some((got, exact)) = hardest.wrong_convolution(isa, panels, kernel)? {
                let isa = isa.name();
                faults.push(format!("`{name}` convolves to {got} on {isa} where {exact} is exact"));
            }
        }
        pairs += usize::from(rule);
    }
    let weights = subject.int8.named_params().iter().filter(|(_, p)| p.int8().is_some()).count();
    let checked = format!(
        "{rows} rows use at most {:.2} % of 32 bits, and their largest sums are exact on {}; 16-bit pairs \
         are safe in {pairs} of {weights} weights, the others widen",
        most as f64 / f64::from(i32::MAX) * 100.0,
        isas.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(", ")
    );
    Ok(Gate::no_faults("overflow", &faults, "faults", checked))
}

/// What lies under the kernel of a two-dimensional convolution's weight.
fn kernel_of(param: &Param) -> Option<Kernel> {
    let weight = param.int8()?;
    let [rows, channels, height, width] = *param.shape().dims() else { return None };
    let panels = weight.panels();
    let is_plain = panels.n() == rows && panels.k() == channels * height * width;
    is_plain.then_some(Kernel { channels, size: [height, width] })
}
