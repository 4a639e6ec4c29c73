//! What an operator is once its node is read: a function of values, and how it uses those that are parameters.

use std::fmt;
use std::sync::Arc;
use tinytorch_core::autograd::{Ctx, Param, Role, Var};
use tinytorch_core::graph::GraphError;
use tinytorch_core::ops::Weight;
use tinytorch_core::{Result, Tensor};

/// How an operator uses an input that is a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// As any value.
    Value,
    /// As a layer's weight, stored as it is.
    Weight(Role),
    /// As the weight `[out, in / groups, length]` of a convolution of signals, which is stored as that of images of
    /// one row.
    Signal {
        /// Number of groups.
        groups: usize,
    },
    /// As the weight `[out, in / groups, depth, rows, columns]` of a convolution of volumes, which is stored as that of
    /// images with a channel for each slice.
    Volume {
        /// Number of groups.
        groups: usize,
    },
    /// As the weight `[in, out]` of a linear layer, which is stored as `[out, in]`.
    Transposed,
    /// As the weight `[1, gates, in]` of a recurrent layer of one direction, which is stored as that of a linear layer.
    Gates,
    /// As a layer's bias, or as a norm's scale or shift.
    Vector,
    /// As a running statistic.
    Buffer,
}

/// A parameter of a model.
#[derive(Clone, Debug)]
pub(crate) enum Held {
    /// A layer's weight.
    Weight(Weight),
    /// Anything else.
    Param(Param),
}

impl Held {
    /// Its values.
    pub(crate) fn value(&self) -> Result<&Tensor> {
        match self {
            Held::Weight(weight) => weight.value(),
            Held::Param(param) => param.value(),
        }
    }
}

type Function = dyn Fn(&Args<'_>, &mut Ctx<'_>) -> Result<Vec<Var>> + Send + Sync;

/// A node that has been read.
#[derive(Clone)]
pub(crate) struct Operator {
    function: Arc<Function>,
    uses: Vec<(usize, Use)>,
    passes: bool,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator").field("uses", &self.uses).finish_non_exhaustive()
    }
}

impl Operator {
    /// An operator of one output.
    pub(crate) fn one(
        function: impl Fn(&Args<'_>, &mut Ctx<'_>) -> Result<Var> + Send + Sync + 'static,
    ) -> Operator {
        Operator::many(move |args, ctx| Ok(vec![function(args, ctx)?]))
    }

    /// An operator of any number of outputs.
    pub(crate) fn many(
        function: impl Fn(&Args<'_>, &mut Ctx<'_>) -> Result<Vec<Var>> + Send + Sync + 'static,
    ) -> Operator {
        let function = Arc::new(function);
        Operator { function, uses: Vec::new(), passes: false }
    }

    /// Its first output is its first input.
    pub(crate) fn passing() -> Operator {
        Operator { passes: true, ..Operator::one(|args, _| args.need(0).cloned()) }
    }

    /// A value that is known.
    pub(crate) fn constant(value: Tensor) -> Operator {
        Operator::one(move |_, _| Ok(Var::from(&value)))
    }

    /// The same, with input `i` used like this if it is a parameter.
    pub(crate) fn using(mut self, i: usize, how: Use) -> Operator {
        self.uses.push((i, how));
        self
    }

    pub(crate) fn how(&self, i: usize) -> Use {
        self.uses.iter().find(|(input, _)| *input == i).map_or(Use::Value, |(_, how)| *how)
    }

    pub(crate) fn passes(&self) -> bool {
        self.passes
    }

    pub(crate) fn run(&self, args: &Args<'_>, ctx: &mut Ctx<'_>) -> Result<Vec<Var>> {
        (self.function)(args, ctx)
    }
}

/// An input of an operator.
#[derive(Clone, Debug)]
pub(crate) enum Arg<'a> {
    Absent,
    Value(Var),
    Held(&'a Held),
}

/// The inputs of an operator.
#[derive(Debug)]
pub(crate) struct Args<'a> {
    pub(crate) operator: &'static str,
    pub(crate) args: Vec<Arg<'a>>,
}

impl<'a> Args<'a> {
    /// Number of inputs.
    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    /// Input `i`, if it is there.
    pub(crate) fn get(&self, i: usize) -> Option<&Var> {
        if let Some(Arg::Value(value)) = self.args.get(i) { Some(value) } else { None }
    }

    /// Input `i`.
    pub(crate) fn need(&self, i: usize) -> Result<&Var> {
        let missing = GraphError::MissingInput { op: self.operator, input: i };
        Ok(self.get(i).ok_or(missing)?)
    }

    /// Every input that is there.
    pub(crate) fn all(&self) -> Vec<&Var> {
        (0..self.len()).filter_map(|i| self.get(i)).collect()
    }

    /// Every input, those left out too.
    pub(crate) fn optional(&self) -> Vec<Option<&Var>> {
        (0..self.len()).map(|i| self.get(i)).collect()
    }

    /// Input `i`, if it is a layer's weight.
    pub(crate) fn weight(&self, i: usize) -> Option<&'a Weight> {
        match self.args.get(i) {
            Some(Arg::Held(Held::Weight(weight))) => Some(weight),
            _ => None,
        }
    }

    /// Input `i`, if it is a parameter that is used as one.
    pub(crate) fn param(&self, i: usize) -> Option<&'a Param> {
        match self.args.get(i) {
            Some(Arg::Held(Held::Param(param))) => Some(param),
            Some(Arg::Held(Held::Weight(weight))) => Some(weight),
            _ => None,
        }
    }

    /// Input `i` as a value, also if it is a parameter; `None` if it is left out.
    pub(crate) fn value(&self, i: usize, ctx: &mut Ctx<'_>) -> Result<Option<Var>> {
        match self.args.get(i) {
            Some(Arg::Value(value)) => Ok(Some(value.clone())),
            Some(Arg::Held(Held::Param(param))) => ctx.param(param).map(Some),
            Some(Arg::Held(Held::Weight(weight))) => ctx.param(weight).map(Some),
            Some(Arg::Absent) | None => Ok(None),
        }
    }
}
