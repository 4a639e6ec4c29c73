pub(crate) mod audit;
pub(crate) mod bench;
pub(crate) mod eval;
pub(crate) mod inspect;
pub(crate) mod probe;
pub(crate) mod quantize;
pub(crate) mod run;
pub(crate) mod train;
