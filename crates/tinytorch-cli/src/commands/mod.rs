pub(crate) mod audit;
