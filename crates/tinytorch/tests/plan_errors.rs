//! Bad input to a plan is a typed error in one sentence, and the plan goes on working.

mod plan_common;

use plan_common::{bits, cnn, mlp, quantize, randn};
use tinytorch::autograd::Ctx;
use tinytorch::int8::Granularity;
use tinytorch::nn::{Flatten, Forward, Linear, Sequential};
use tinytorch::plan::{Plan, PlanError};
use tinytorch::quant::Activations;
use tinytorch::{Error, Tensor};

fn plan_error(error: Error) -> PlanError {
    match error {
        Error::Plan(error) => error,
        other => panic!("{other}"),
    }
}

fn plans() -> Vec<(Plan, Vec<usize>)> {
    let x = randn(&[2, 1, 28, 28], 1);
    let mut int8 = cnn();
    quantize(&mut int8, &[1, 28, 28], Activations::Static, Granularity::PerChannel);
    let perceptron = Plan::compile(&mlp(&[8, 4]), &randn(&[2, 8], 1)).unwrap();
    vec![
        (Plan::compile(&cnn(), &x).unwrap(), vec![2, 1, 28, 28]),
        (Plan::compile(&int8, &x).unwrap(), vec![2, 1, 28, 28]),
        (perceptron, vec![2, 8]),
    ]
}

#[test]
fn nan_and_infinity_are_named_with_their_place_where_they_meet_an_int8_layer() {
    let shape = [2, 1, 28, 28];
    for activations in [Activations::Static, Activations::Dynamic] {
        let mut model = cnn();
        quantize(&mut model, &shape[1..], activations, Granularity::PerChannel);
        let mut plan = Plan::compile(&model, &randn(&shape, 1)).unwrap();
        let good = randn(&shape, 3);
        let want = bits(&plan.run(&good).unwrap());
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for index in [5, 800] {
                let mut x = good.clone();
                x.as_mut_slice::<f32>().unwrap()[index] = bad;
                let error = plan_error(plan.run(&x).unwrap_err());
                let PlanError::NotFinite { index: found, .. } = error else { panic!("{error}") };
                assert_eq!(found, index);
            }
        }
        assert_eq!(bits(&plan.run(&good).unwrap()), want);
    }
}

#[test]
fn float_layers_take_what_is_not_finite_as_they_do_without_a_plan() {
    let model = mlp(&[8, 4]);
    let good = randn(&[2, 8], 3);
    let mut plan = Plan::compile(&model, &good).unwrap();
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = good.clone();
        x.as_mut_slice::<f32>().unwrap()[5] = bad;
        let got = plan.run(&x).unwrap().to_vec::<f32>().unwrap();
        let want = model.forward(&(&x).into(), &mut Ctx::eval()).unwrap();
        let want = want.value().to_vec::<f32>().unwrap();
        assert!(got[..4].iter().any(|y| !y.is_finite()), "{got:?}");
        for (got, want) in got.iter().zip(&want) {
            assert!(got == want || (got - want).abs() < 1e-5 || got.is_nan() && want.is_nan());
        }
    }
}

#[test]
fn shapes_and_types_that_do_not_fit_are_named() {
    for (mut plan, shape) in plans() {
        let good = randn(&shape, 3);
        let want = bits(&plan.run(&good).unwrap());
        let longer = [shape.as_slice(), &[1]].concat();
        let error = plan_error(plan.run(&randn(&longer, 1)).unwrap_err());
        assert!(matches!(error, PlanError::Input { .. }), "{error}");
        let integers = Tensor::full(1i64, &shape[..]).unwrap();
        let error = plan_error(plan.run(&integers).unwrap_err());
        assert!(matches!(error, PlanError::Input { .. }), "{error}");
        let mut other = shape.clone();
        *other.last_mut().unwrap() += 10;
        let error = plan_error(plan.run(&randn(&other, 1)).unwrap_err());
        assert!(matches!(error, PlanError::Shape { .. }), "{error}");
        assert!(error.to_string().contains(&format!("{other:?}")), "{error}");
        assert_eq!(bits(&plan.run(&good).unwrap()), want);
    }
}

#[test]
fn slices_of_the_wrong_length_are_refused() {
    let mut plan = Plan::compile(&mlp(&[8, 4]), &randn(&[2, 8], 1)).unwrap();
    let x = randn(&[2, 8], 1);
    let values = x.as_slice::<f32>().unwrap();
    let mut out = [0f32; 8];
    plan.run_into(values, x.shape(), &mut out).unwrap();
    let error = plan.run_into(&values[1..], x.shape(), &mut out).unwrap_err();
    assert!(error.to_string().contains("the input has 15 values"), "{error}");
    let error = plan.run_into(values, x.shape(), &mut out[1..]).unwrap_err();
    assert!(error.to_string().contains("the output has 7 values"), "{error}");
}

#[test]
fn a_model_that_does_not_run_on_the_example_does_not_compile() {
    let model = mlp(&[8, 4]);
    assert!(Plan::compile(&model, &randn(&[2, 9], 1)).is_err());
    let mut graph = tinytorch::graph::Graph::new();
    graph.input();
    let error = Plan::from_graph(graph.clone(), &[&randn(&[1], 1)], &Default::default());
    assert!(matches!(plan_error(error.unwrap_err()), PlanError::NoOutput));
    let input = graph.inputs()[0];
    graph.set_output(input);
    let error = Plan::from_graph(graph, &[], &Default::default());
    let error = plan_error(error.unwrap_err());
    assert!(matches!(error, PlanError::InputCount { expected: 1, got: 0 }), "{error}");
}

/// An eager int8 layer refuses an infinite activation; so does a plan, where levels flow between
/// layers that are known to give finite values only.
#[test]
fn activations_that_overflow_are_an_error_here_as_in_eager_execution() {
    let mut model = Sequential::new().push(Flatten);
    for _ in 0..2 {
        let mut layer = Linear::new(4, 4, &mut tinytorch::nn::Init::seed(1)).unwrap();
        *layer.weight.value_mut().unwrap() = Tensor::full(1e30f32, [4, 4]).unwrap();
        model = model.push(layer);
    }
    let tiny = Tensor::full(1e-30f32, [2, 4]).unwrap();
    let config = tinytorch::quant::QuantConfig::default();
    tinytorch::quant::quantize_model(&mut model, [Ok((&tiny).into())], &config).unwrap();
    let mut plan = Plan::compile(&model, &tiny).unwrap();
    let x = Tensor::full(1e30f32, [2, 4]).unwrap();
    let eager = tinytorch::nn::Forward::forward(
        &model,
        &(&x).into(),
        &mut tinytorch::autograd::Ctx::eval(),
    );
    match (eager, plan.run(&x)) {
        (Ok(want), Ok(got)) => assert_eq!(bits(&got), bits(want.value())),
        (Err(want), Err(got)) => assert_eq!(got.to_string(), want.to_string()),
        (want, got) => panic!("eager {want:?}, plan {got:?}"),
    }
}
