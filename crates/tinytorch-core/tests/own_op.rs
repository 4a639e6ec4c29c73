//! Ops from outside the crate, and ops under other names, are as good as its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use tinytorch_core::autograd::{Ctx, Op, Saved, Saves, Var, gradcheck};
use tinytorch_core::graph::{
    Bounds, Compute, ConvGeometry, Cost, Exec, Graph, Inputs, Known, PoolGeometry, Properties,
    Step, View, ViewMut, Weight,
};
use tinytorch_core::int8::{Encoding, Granularity, Int8Weight, QWeight};
use tinytorch_core::ops::{Binary, Cat, Pool, Relu};
use tinytorch_core::plan::Plan;
use tinytorch_core::tensor::{Dtype, Shape};
use tinytorch_core::{Result, Rng, Tensor};
use tinytorch_kernels::int8::Layout;

/// `x^3`, whose derivative is `3 x^2`.
#[derive(Debug)]
struct Cube;

impl Compute for Cube {
    fn name(&self) -> &'static str {
        "cube"
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(y, x)| *y = x * x * x);
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 2)
    }
}

impl Op for Cube {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let x = saved.input(0)?;
        Ok(vec![Some(grad.mul(&x.mul(x)?.scale(3.0)?)?)])
    }
}

#[test]
fn an_op_of_ones_own_is_derived_recorded_and_deployed() {
    let x = Tensor::randn([2, 3], 1.0, &mut Rng::seed(1)).unwrap();
    gradcheck(|v, ctx| ctx.apply(Cube, &[&v[0]]), std::slice::from_ref(&x), 1e-3).unwrap();

    let mut ctx = Ctx::trace();
    let input = ctx.input(&x);
    let cubed = ctx.apply(Cube, &[&input]).unwrap();
    let y = cubed.add(&input, &mut ctx).unwrap();
    let graph = ctx.into_tape().unwrap().lower(&(y.clone(), cubed.clone())).unwrap();
    let mut plan = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap();
    let got = plan.run_many(&[&x]).unwrap();
    for (got, want) in got.iter().zip([&y, &cubed]) {
        assert_eq!(got.to_vec::<f32>().unwrap(), want.value().to_vec::<f32>().unwrap());
    }
    assert!(plan.steps().iter().any(|step| step.op == "cube"));
}

#[test]
fn an_op_of_more_than_16_inputs_is_deployed() {
    let x = Tensor::randn([2, 3], 1.0, &mut Rng::seed(1)).unwrap();
    let mut graph = Graph::new();
    let input = graph.input();
    let y = graph.push(Step::Compute(Arc::new(Cat { axis: 1 })), &[input; 40]).unwrap();
    graph.set_output(y);
    let y = Plan::from_graph(graph, &[&x], &BTreeMap::new()).unwrap().run(&x).unwrap();
    assert_eq!(y.shape().dims(), [2, 120]);
    assert_eq!(y.slice(1, 117..120).unwrap().to_vec::<f32>().unwrap(), x.to_vec::<f32>().unwrap());
}

/// Another op under another name.
#[derive(Debug)]
struct Renamed<C>(C);

impl<C: Compute> Compute for Renamed<C> {
    fn name(&self) -> &'static str {
        "something_else"
    }

    fn properties(&self) -> Properties {
        self.0.properties()
    }

    fn output_count(&self) -> usize {
        self.0.output_count()
    }

    fn outputs(&self, inputs: &[Option<Known<'_>>]) -> Result<Vec<(Shape, Dtype)>> {
        self.0.outputs(inputs)
    }

    fn run_typed(
        &self,
        inputs: &Inputs<'_>,
        outputs: &mut [ViewMut<'_>],
        exec: &mut Exec,
    ) -> Result<()> {
        self.0.run_typed(inputs, outputs, exec)
    }

    fn run_images(
        &self,
        inputs: &Inputs<'_>,
        output: ViewMut<'_>,
        orders: [Layout; 2],
        exec: &mut Exec,
    ) -> Result<()> {
        self.0.run_images(inputs, output, orders, exec)
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        self.0.cost(inputs, output)
    }
}

fn conv(seed: u64) -> Step {
    let weight = Tensor::randn([4, 4, 3, 3], 0.3, &mut Rng::seed(seed)).unwrap();
    let weight = QWeight::quantize(&weight, Granularity::PerChannel).unwrap();
    let weight = Weight::Int8(Int8Weight::new(weight, Encoding::PerRow));
    let geometry = ConvGeometry::default().with_padding(1);
    Step::Conv2d { weight, bias: None, geometry, bounds: Bounds::NONE }
}

/// `conv(pool(relu(conv(x) + x)))` with these ops.
fn block(add: Step, relu: Step, pool: Step, x: &Tensor) -> Plan {
    let mut graph = Graph::new();
    let input = graph.input();
    let quantize = |graph: &mut Graph, edge| {
        let step = Step::Quantize { encoding: Encoding::PerRow, images: true };
        graph.push(step, &[edge]).unwrap()
    };
    let levels = quantize(&mut graph, input);
    let first = graph.push(conv(1), &[levels]).unwrap();
    let sum = graph.push(add, &[first, input]).unwrap();
    let pooled = graph.push(pool, &[sum]).unwrap();
    let positive = graph.push(relu, &[pooled]).unwrap();
    let levels = quantize(&mut graph, positive);
    let last = graph.push(conv(2), &[levels]).unwrap();
    graph.set_output(last);
    Plan::from_graph(graph, &[x], &BTreeMap::new()).unwrap()
}

#[test]
fn renaming_ops_changes_no_step() {
    fn step(op: impl Compute) -> Step {
        Step::Compute(Arc::new(op))
    }
    let x = Tensor::randn([2, 4, 6, 6], 1.0, &mut Rng::seed(3)).unwrap();
    let pool = Pool::Max(PoolGeometry::square(2));
    let mut plain = block(step(Binary::Add), step(Relu), step(pool), &x);
    let mut renamed =
        block(step(Renamed(Binary::Add)), step(Renamed(Relu)), step(Renamed(pool)), &x);
    let bits = |plan: &mut Plan| {
        let y = plan.run(&x).unwrap().to_vec::<f32>().unwrap();
        y.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    assert_eq!(bits(&mut plain), bits(&mut renamed));
    let (plain, renamed) = (plain.steps(), renamed.steps());
    // The convolution has taken over the sum and the ReLU.
    assert!(plain.iter().any(|step| step.op == "conv2d + add + relu"), "{plain:#?}");
    let facts = |steps: &[tinytorch_core::plan::StepInfo]| {
        steps.iter().map(|s| (s.kernel, s.output, s.converts, s.cost)).collect::<Vec<_>>()
    };
    assert_eq!(facts(&plain), facts(&renamed));
}

#[test]
fn what_an_op_leaves_out_is_an_error_with_its_name() {
    #[derive(Debug)]
    struct Nothing;
    impl Compute for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }
        fn cost(&self, _: &[Shape], _: &Shape) -> Cost {
            Cost::default()
        }
    }
    impl Op for Nothing {}
    let x = Var::from(Tensor::scalar(1.0));
    let error = Ctx::eval().apply(Nothing, &[&x]).unwrap_err();
    assert!(error.to_string().contains("nothing defines neither"), "{error}");
}
