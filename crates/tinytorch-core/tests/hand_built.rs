//! A graph of any op, built from outside of the crate as an importer builds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch_core::autograd::{Ctx, Param, Role, Var};
use tinytorch_core::graph::{Compute, ConvGeometry, Edge, Graph, GraphError, PoolGeometry, Step};
use tinytorch_core::int8::{Encoding, Granularity, Int8Weight, QWeight};
use tinytorch_core::ops::{
    BatchNorm2d, Binary, Conv2d, Conv2dInt8, Linear, LinearInt8, Lookup, MatMul, NormKind,
    Pointwise, Pool, Rearrange, Reshape, RowNorm, Rows, Softmax, SumAxis, functions,
};
use tinytorch_core::plan::Plan;
use tinytorch_core::{Error, Result, Rng, Tensor};

fn randn(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 0.5, &mut Rng::seed(seed)).unwrap()
}

fn plan(graph: Graph, example: &Tensor) -> Plan {
    Plan::from_graph(graph, &[example], &BTreeMap::new()).unwrap()
}

/// The rows of attention without heads over `x W^T`, after a convolution and a pool.
fn network(weights: &[Tensor; 4]) -> Result<Graph> {
    let mut graph = Graph::new();
    let g = &mut graph;
    let x = g.input();
    let [conv, bias, linear, gain] = weights.each_ref().map(|t| Some(g.constant(t.clone())));
    let geometry = ConvGeometry::default().with_padding(1);
    let x = g.apply(Conv2d { geometry }, &[Some(x), conv, bias])?;
    let x = g.apply(Pool::Max(PoolGeometry::square(2)), &[Some(x)])?;
    let x = g.apply(Reshape::Flatten { start: 2, end: 3 }, &[Some(x)])?;
    let x = g.apply(Linear, &[Some(x), linear])?;
    let x = g.apply(RowNorm { kind: NormKind::Rms, eps: 1e-5 }, &[Some(x), gain])?;
    let t = g.apply(Rearrange::Permute(vec![0, 2, 1]), &[Some(x)])?;
    let scores = g.apply(MatMul, &[Some(x), Some(t)])?;
    let weights = g.apply(Softmax { axis: 2, log: false }, &[Some(scores)])?;
    let mixed = g.apply(MatMul, &[Some(weights), Some(x)])?;
    let mixed = g.apply(Pointwise { name: "tanh", f: functions::Tanh }, &[Some(mixed)])?;
    let y = g.apply(SumAxis { axis: 1, keep: false, mean: true }, &[Some(mixed)])?;
    graph.set_output(y);
    Ok(graph)
}

/// The same through the methods of `Var`.
fn eager(weights: &[Tensor; 4], x: &Tensor) -> Result<Tensor> {
    let mut ctx = Ctx::eval();
    let ctx = &mut ctx;
    let [conv, bias, linear, gain] = weights.clone();
    let param = |tensor, role| Param::new(tensor, role);
    let geometry = ConvGeometry::default().with_padding(1);
    let conv = param(conv, Role::ConvWeight { groups: 1 });
    let x = Var::from(x).conv2d(&conv, Some(&param(bias, Role::Vector)), geometry, ctx)?;
    let x = x.max_pool2d(PoolGeometry::square(2), ctx)?.flatten(2, 3, ctx)?;
    let x = x.linear(&param(linear, Role::LinearWeight), None, ctx)?;
    let x = x.rms_norm(&gain.into(), 1e-5, ctx)?;
    let weights = x.matmul(&x.permute(&[0, 2, 1], ctx)?, ctx)?.softmax(2, ctx)?;
    Ok(weights.matmul(&x, ctx)?.tanh(ctx)?.mean_axis(1, false, ctx)?.into_value())
}

#[test]
fn a_graph_of_public_ops_computes_what_the_recorded_ones_do() {
    let weights = [randn(&[5, 3, 3, 3], 1), randn(&[5], 2), randn(&[6, 16], 3), randn(&[6], 4)];
    let mut plan = plan(network(&weights).unwrap(), &randn(&[1, 3, 8, 8], 5));
    for batch in 1..4 {
        let x = randn(&[batch, 3, 8, 8], 10 + batch as u64);
        let (got, want) = (plan.run(&x).unwrap(), eager(&weights, &x).unwrap());
        assert_eq!(got.shape().dims(), [batch, 6]);
        assert!(got.allclose(&want, 1e-5, 1e-6).unwrap());
    }
    // Layers have the form that plans pack, and not that of any op.
    let steps: Vec<&str> = plan.steps().iter().map(|step| step.op).collect();
    assert!(steps.contains(&"conv2d") && steps.contains(&"linear"), "{steps:?}");
}

#[test]
fn int8_ops_quantize_what_they_read() {
    let int8 = |shape: &[usize], seed| {
        let weight = QWeight::quantize(&randn(shape, seed), Granularity::PerChannel).unwrap();
        Int8Weight::new(weight, Encoding::PerRow)
    };
    let geometry = ConvGeometry::default();
    let (conv, linear) = (int8(&[4, 2, 3, 3], 1), int8(&[3, 16], 2));
    let mut graph = Graph::new();
    let x = graph.input();
    let conv2d = Conv2dInt8 { weight: conv.clone(), geometry };
    let y = graph.apply(conv2d, &[Some(x)]).unwrap();
    let y = graph.apply(Reshape::Flatten { start: 1, end: 3 }, &[Some(y)]).unwrap();
    let y = graph.apply(LinearInt8(linear.clone()), &[Some(y)]).unwrap();
    graph.set_output(y);
    let x = randn(&[2, 2, 4, 4], 3);
    let got = plan(graph, &x).run(&x).unwrap();

    let mut ctx = Ctx::eval();
    let y = ctx.apply(Conv2dInt8 { weight: conv, geometry }, &[&Var::from(&x)]).unwrap();
    let y = y.flatten(1, 3, &mut ctx).unwrap();
    let want = ctx.apply(LinearInt8(linear), &[&y]).unwrap();
    assert_eq!(got.to_vec::<f32>().unwrap(), want.value().to_vec::<f32>().unwrap());
}

#[test]
fn inputs_that_an_op_needs_are_asked_for_and_nothing_panics() {
    fn refused(op: impl tinytorch_core::autograd::Op + Clone, there: usize) {
        let x = randn(&[2, 2], 1);
        let given = vec![Var::from(&x); there];
        let missing = |error: Error| {
            let error = error.downcast_ref::<GraphError>().cloned();
            assert!(matches!(error, Some(GraphError::MissingInput { .. })), "{error:?}");
        };
        let inputs: Vec<&Var> = given.iter().collect();
        missing(Ctx::eval().apply(op.clone(), &inputs).unwrap_err());
        let mut graph = Graph::new();
        let edges = vec![graph.input(); there];
        let optional: Vec<Option<Edge>> = edges.iter().copied().map(Some).collect();
        missing(graph.apply(op.clone(), &optional).unwrap_err());
        let y = graph.push(Step::Compute(Arc::new(op)), &edges).unwrap();
        graph.set_output(y);
        let error = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap_err();
        assert!(error.to_string().contains("needs its input"), "{error}");
    }
    refused(MatMul, 1);
    refused(Linear, 1);
    refused(Binary::Mul, 1);
    refused(Conv2d { geometry: ConvGeometry::default() }, 1);
    refused(RowNorm { kind: NormKind::Layer, eps: 1e-5 }, 1);
    refused(BatchNorm2d { eps: 1e-5 }, 4);
    refused(Lookup(Rows::Ids), 1);
}

#[test]
fn ops_report_their_properties() {
    assert!(Pointwise { name: "exp", f: functions::Exp }.properties().pointwise);
    assert!(Reshape::Squeeze { axis: 0 }.properties().reshapes);
    assert!(Lookup(Rows::Ids).properties().looks_up);
    assert!(Lookup(Rows::One { row: 0 }).properties().looks_up);
    assert!(!MatMul.properties().pointwise);
}
