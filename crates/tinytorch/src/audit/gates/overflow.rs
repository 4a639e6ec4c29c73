//! Whether sums of products fit 32 bits.

use crate::Result;
use crate::audit::{Gate, Subject};
use tinytorch_kernels::int8::pair_rule_holds;

/// No accumulator can saturate, on any instruction set: proved from the actual weights.
///
/// With activations of 0 to 255 the sum of a row lies between 255 times the sum of its negative and of
/// its positive weights, and taking off the zero point moves it by at most 255 times the row's sum; all
/// of it must fit 32 bits. Kernels that add pairs in 16 bits run only where the pair rule holds: `a` and
/// `b` of one sign may not sum beyond 128, which is checked here again from the weights.
pub(crate) fn overflow(subject: &Subject) -> Result<Gate> {
    let (mut faults, mut furthest, mut pairs, mut rows) = (Vec::new(), 0i64, 0usize, 0usize);
    for (name, param) in subject.int8.named_params() {
        let Some(weight) = param.int8() else { continue };
        let panels = weight.panels();
        let mut row = vec![0i8; panels.k()];
        let mut rule = true;
        for i in 0..panels.n() {
            panels.row_into(i, &mut row)?;
            let sum = |keep: fn(i64) -> bool| -> i64 {
                row.iter().map(|&w| i64::from(w)).filter(|&w| keep(w)).sum()
            };
            let (positive, negative) = (255 * sum(|w| w > 0), 255 * sum(|w| w < 0));
            let shift = (positive + negative).abs();
            furthest = furthest.max(positive.max(-negative) + shift);
            rule &= pair_rule_holds(&row);
            rows += 1;
        }
        if furthest > i64::from(i32::MAX) {
            faults.push(format!("a row of `{name}` can exceed 32 bits"));
        }
        if panels.pair_rule_holds() && !rule {
            faults.push(format!("`{name}` would run in 16-bit pairs although they can saturate"));
        }
        pairs += usize::from(rule);
    }
    let weights = subject.int8.named_params().iter().filter(|(_, p)| p.int8().is_some()).count();
    let checked = format!(
        "{rows} rows use at most {:.2} % of 32 bits; 16-bit pairs are safe in {pairs} of {weights} \
         weights, the others widen",
        furthest as f64 / f64::from(i32::MAX) * 100.0
    );
    Ok(Gate::no_faults("overflow", &faults, "faults", checked))
}
