//! A model that reads numbers off its input's shape compiles for these alone, and its plan says where.

use tinytorch::autograd::{Ctx, Var};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::plan::{Plan, PlanError};
use tinytorch::{Error, Result, Tensor};

/// What a model does between two layers, given `[batch, length, 8]`.
type Middle = fn(&Var, &mut Ctx<'_>) -> Result<Var>;

#[derive(Module)]
struct Net {
    first: Linear,
    #[module(skip)]
    middle: Middle,
}

impl Forward for Net {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let x = self.first.forward(x, ctx)?;
        (self.middle)(&x, ctx)
    }
}

fn net(middle: Middle) -> Net {
    Net { first: Linear::new(4, 8, &mut Init::seed(1)).unwrap(), middle }
}

fn input(batch: usize, length: usize) -> Tensor {
    Tensor::arange(batch * length * 4).unwrap().reshape([batch, length, 4]).unwrap()
}

/// What the plan of a model traced on `[2, 6, 4]` says to `[batch, length, 4]`.
fn complaint(middle: Middle, batch: usize, length: usize) -> String {
    let model = net(middle);
    let mut plan = Plan::compile(&model, &input(2, 6)).unwrap();
    let error = plan.run(&input(batch, length)).unwrap_err();
    let Error::Plan(PlanError::FixedSizes { .. }) = &error else { panic!("{error}") };
    let want = model.forward(&input(2, 6).into(), &mut Ctx::eval()).unwrap();
    let got = plan.run(&input(2, 6)).unwrap();
    assert!(got.allclose(want.value(), 1e-5, 1e-6).unwrap(), "the plan goes on working");
    error.to_string()
}

fn rows(x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
    x.reshape([x.shape()[0] * x.shape()[1], 8], ctx)
}

#[test]
fn a_reshape_to_numbers_is_named_with_its_place_its_sizes_and_what_to_write() {
    let text = complaint(rows, 3, 6);
    for part in ["[3, 6, 4]", "`reshape` after layer `first`", "[12, 8]", "`flatten`", "-1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn sizes_that_fit_by_chance_are_refused_where_the_result_would_be_wrong() {
    // 3 x 4 rows are as many as 2 x 6, and would come out as 2 samples of 6.
    let back: Middle = |x, ctx| {
        let (batch, length) = (x.shape()[0], x.shape()[1]);
        rows(x, ctx)?.reshape([batch, length, 8], ctx)
    };
    assert!(complaint(back, 3, 4).contains("`reshape` after layer `first`"));
    // The part that was the whole when the model was traced.
    let whole: Middle = |x, ctx| x.slice(1, 0..x.shape()[1], ctx);
    assert!(complaint(whole, 2, 7).contains("`slice` after layer `first`"));
}

#[test]
fn other_numbers_are_found_from_what_they_break() {
    let split: Middle = |x, ctx| x.unflatten(1, &[x.shape()[1] / 2, 2], ctx);
    assert!(complaint(split, 2, 8).contains("`unflatten` after layer `first`"));
    let short: Middle = |x, ctx| x.slice(1, 1..x.shape()[1], ctx);
    assert!(complaint(short, 2, 5).contains("`slice` after layer `first`"));
    let mask: Middle = |x, ctx| {
        let ones = Tensor::ones([x.shape()[1], 1])?;
        x.mul(&ones.into(), ctx)
    };
    let text = complaint(mask, 2, 5);
    assert!(text.contains("a constant that it made has fixed sizes, [6, 1]"), "{text}");
    let stretched: Middle = |x, ctx| {
        let row = x.slice(0, 0..1, ctx)?.slice(1, 0..1, ctx)?;
        let rows = row.broadcast_to([x.shape()[0], 1, 8], ctx)?;
        Var::cat(&[&rows, x], 1, ctx)
    };
    assert!(complaint(stretched, 3, 6).contains("`broadcast_to` after layer `first`"));
}

#[test]
fn what_follows_its_input_runs_at_any_size() {
    let flat: Middle = |x, ctx| {
        let sizes = Tensor::from_vec(vec![-1i64, 8], [2])?;
        x.reshape_to(&sizes.into(), ctx)?.slice(1, 0..4, ctx)
    };
    let mut plan = Plan::compile(&net(flat), &input(2, 6)).unwrap();
    for (batch, length) in [(1, 1), (3, 4), (5, 9)] {
        let y = plan.run(&input(batch, length)).unwrap();
        assert_eq!(y.shape().dims(), [batch * length, 4]);
    }
}

#[test]
fn an_input_that_fits_no_model_is_no_fault_of_the_trace() {
    let mut plan = Plan::compile(&net(|x, ctx| x.flatten(0, 1, ctx)), &input(2, 6)).unwrap();
    let error = plan.run(&Tensor::ones([2, 6, 5]).unwrap()).unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Shape { .. })), "{error}");
}
