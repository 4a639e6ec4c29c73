//! Ops as eager execution runs them.

use super::{Action, Operands, Target};
use crate::Result;
use crate::graph::{Compute, Cost, Exec, Inputs, Known, Properties, View, places};
use crate::tensor::{Dtype, Shape, Tensor};
use std::sync::Arc;
use tinytorch_kernels::int8::Layout;
use tinytorch_kernels::threads::{MAX_POOL, PLAIN_LOOP};

/// An op on the values of the plan, some of whose inputs may be left out, and perhaps on a constant of its
/// own after them.
#[derive(Debug)]
pub(in crate::plan) struct Eager {
    op: Arc<dyn Compute>,
    /// The places of its inputs among those that are there; `None` if all are.
    places: Option<Vec<Option<usize>>>,
    constant: Option<Tensor>,
    /// The orders of images, in and out.
    orders: [Layout; 2],
}

impl Eager {
    /// `op` on inputs of which these are there, and on `constant`.
    pub(in crate::plan) fn new(
        op: Arc<dyn Compute>,
        are_there: &[bool],
        constant: Option<&Tensor>,
        orders: [Layout; 2],
    ) -> Result<Eager> {
        let all = are_there.iter().all(|is_there| *is_there);
        let places = (!all).then(|| places(are_there.iter().copied()));
        Ok(Eager { op, places, constant: constant.map(Tensor::contiguous).transpose()?, orders })
    }

    /// What is known of all inputs, from what is known of those that the plan gives.
    fn known<'a>(&'a self, given: &[Known<'a>]) -> Vec<Option<Known<'a>>> {
        let inputs: Vec<Option<Known<'a>>> = match &self.places {
            Some(places) => places.iter().map(|place| place.map(|at| given[at])).collect(),
            None => given.iter().copied().map(Some).collect(),
        };
        inputs.into_iter().chain(self.constant.as_ref().map(|t| Some(Known::all(t)))).collect()
    }

    /// Whether the op itself looks after the order of images.
    fn turns_images(&self) -> bool {
        self.orders != [Layout::Nchw; 2] && self.op.properties().orders.takes_pixels()
    }
}

impl Action for Eager {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn outputs(&self, inputs: &[Known<'_>]) -> Result<Vec<(Shape, Dtype)>> {
        self.op.outputs(&self.known(inputs))
    }

    fn decided(&self, inputs: &[Known<'_>], exec: &mut Exec) -> Result<Option<Vec<Tensor>>> {
        self.op.decided(&self.known(inputs), exec)
    }

    fn properties(&self) -> Properties {
        self.op.properties()
    }

    fn reads_in_memory_order(&self) -> bool {
        self.orders[0] == Layout::Nhwc && !self.turns_images()
    }

    fn run(&self, operands: &Operands<'_>, out: Target<'_, '_>, exec: &mut Exec) -> Result<()> {
        let with_constant;
        let views = match (&self.constant, operands.views) {
            (None, views) => views,
            (Some(constant), [x]) => {
                with_constant = [*x, View::of(constant)?];
                &with_constant[..]
            }
            // Only layers of one input have a constant of their own.
            (Some(_), views) => views,
        };
        let inputs = match &self.places {
            Some(places) => Inputs::some(views, places),
            None => Inputs::all(views),
        };
        match out.outputs {
            [output] if self.turns_images() => {
                self.op.run_images(&inputs, output.reborrow(), self.orders, exec)
            }
            outputs => self.op.run_typed(&inputs, outputs, exec),
        }
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let constant = self.constant.as_ref().map(|t| *t.shape());
        let inputs: Vec<Shape> = inputs.iter().copied().chain(constant).collect();
        self.op.cost(&inputs, output)
    }

    fn shares_work(&self, cost: &Cost) -> bool {
        match self.op.properties().selects {
            true => MAX_POOL.is_shared(cost.read as usize),
            false => PLAIN_LOOP.is_shared(cost.flops as usize),
        }
    }

    fn weight_bytes(&self) -> usize {
        self.constant.as_ref().map_or(0, Tensor::bytes)
    }
}
