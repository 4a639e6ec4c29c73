//! Whether every op of a pass gives the same again, on every instruction set.

use super::AuditOptions;
use super::compare::{all_same_bits, apart, exceeds, worst};
use crate::Result;
use crate::autograd::{Observer, OpRun, ParamId};
use crate::graph::Exec;
use crate::tensor::{Dtype, Tensor};
use std::collections::BTreeMap;
use tinytorch_kernels::Isa;

/// Largest relative difference of a float op between instruction sets, on equal inputs: they sum in
/// another order and round once or twice per multiply-add.
pub(super) const FLOAT_ACROSS_ISAS: f64 = 1e-5;

/// Runs every op of a pass again, on its own inputs: on the instruction set that it ran on, and on all
/// others that may run it.
pub(super) struct Steadiness<'a> {
    names: &'a BTreeMap<ParamId, String>,
    options: &'a AuditOptions,
    /// The weight that was used last, for the names of ops that have none.
    last: Option<String>,
    /// What has gone wrong, each in a sentence that names the layer.
    pub(super) faults: Vec<String>,
    /// Ops that multiplied 8-bit integers.
    pub(super) integer_ops: usize,
    /// Whether a float op gave other bits on another instruction set.
    pub(super) floats_differ: bool,
}

impl<'a> Steadiness<'a> {
    pub(super) fn new(
        names: &'a BTreeMap<ParamId, String>,
        options: &'a AuditOptions,
    ) -> Steadiness<'a> {
        let (faults, integer_ops, floats_differ) = (Vec::new(), 0, false);
        Steadiness { names, options, last: None, faults, integer_ops, floats_differ }
    }

    fn place(&mut self, run: &OpRun<'_>) -> String {
        if let Some(name) = run.weight.and_then(|id| self.names.get(&id)) {
            self.last = Some(name.clone());
            return format!("`{name}`");
        }
        match &self.last {
            Some(last) => format!("{} after `{last}`", run.op.name()),
            None => run.op.name().to_string(),
        }
    }

    /// Products of integers give the bits of scalar code.
    fn compare_products(&mut self, place: &str, run: &OpRun<'_>) -> Result<()> {
        self.integer_ops += 1;
        self.compare_bits(place, run)
    }

    /// What is no float has no last bit to round, even where it is made of floats.
    fn compare_bits(&mut self, place: &str, run: &OpRun<'_>) -> Result<()> {
        let reference = outputs(run, Isa::Scalar)?;
        let mut disagreeing = Vec::new();
        for &isa in &self.options.isas {
            if !all_same_bits(&outputs(run, isa)?, &reference)? {
                disagreeing.push(isa.name());
            }
        }
        if !disagreeing.is_empty() {
            let isas = disagreeing.join(", ");
            self.faults.push(format!("{place} gives other bits on {isas} than on scalar"));
        }
        Ok(())
    }

    fn compare_floats(&mut self, place: &str, run: &OpRun<'_>) -> Result<()> {
        for &isa in &self.options.isas {
            let (_, distance) = worst(&apart(&outputs(run, isa)?, run.outputs)?);
            self.floats_differ |= distance > 0.0;
            if exceeds(distance, FLOAT_ACROSS_ISAS) {
                let (isa, deployed) = (isa.name(), self.options.deployed.name());
                self.faults
                    .push(format!("{place} is {distance:.1e} away on {isa} from {deployed}"));
            }
        }
        Ok(())
    }
}

/// What the op gives when it runs again.
fn outputs(run: &OpRun<'_>, isa: Isa) -> Result<Vec<Tensor>> {
    run.op.forward_many(run.given, &mut Exec::new(isa))
}

impl Observer for Steadiness<'_> {
    fn ran(&mut self, run: OpRun<'_>) -> Result<()> {
        let place = self.place(&run);
        if !all_same_bits(&outputs(&run, self.options.deployed)?, run.outputs)? {
            self.faults.push(format!("{place} gives other bits when it runs again"));
        }
        match run.kernel.int8 {
            true => self.compare_products(&place, &run),
            false if run.output.dtype() == Dtype::F32 => self.compare_floats(&place, &run),
            false => self.compare_bits(&place, &run),
        }
    }
}
