//! What an audit may use to measure with.

use super::Probe;
use tinytorch_kernels::Isa;

/// What an audit may use to measure with.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// A program that measures memory in a process of its own; without it those gates read `n/a`.
    pub probe: Option<Probe>,
    /// Whether to time the models; without it that gate is left out.
    pub latency: bool,
    /// The instruction set that the model is deployed on.
    pub deployed: Isa,
    /// The instruction sets that may run it, whose results must agree.
    pub isas: Vec<Isa>,
}

impl Default for AuditOptions {
    /// This process alone, without a clock, on all instruction sets that it has.
    fn default() -> Self {
        let (deployed, isas) = (Isa::active(), Isa::available());
        AuditOptions { probe: None, latency: false, deployed, isas }
    }
}
