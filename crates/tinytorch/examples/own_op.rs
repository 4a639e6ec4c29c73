//! An op from outside of tinytorch: it computes, has a derivative, is recorded, and runs in a plan.
//!
//! `cargo run --release --example own_op`

use tinytorch::autograd::{Op, Saved, Saves, gradcheck};
use tinytorch::graph::{Compute, Cost, Exec, Properties, View};
use tinytorch::prelude::*;
use tinytorch::tensor::Shape;

/// `y = x / (1 + |x|)`, between -1 and 1 (Turian et al., 2009); `dx = g / (1 + |x|)^2`.
#[derive(Debug)]
struct Softsign;

impl Compute for Softsign {
    fn name(&self) -> &'static str {
        "softsign"
    }

    fn properties(&self) -> Properties {
        Properties { pointwise: true, keeps_range: true, ..Properties::default() }
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        Ok(inputs[0])
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], _: &mut Exec) -> Result<()> {
        out.iter_mut().zip(inputs[0].f32()?).for_each(|(y, x)| *y = x / (1.0 + x.abs()));
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        Cost::per_element(inputs, output, 3)
    }
}

impl Op for Softsign {
    fn saves(&self) -> Saves {
        Saves::Inputs
    }

    fn backward(&self, saved: &Saved, grad: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        let (x, g) = (saved.input(0)?.to_vec::<f32>()?, grad.to_vec::<f32>()?);
        let slope = |(x, g): (&f32, &f32)| g / ((1.0 + x.abs()) * (1.0 + x.abs()));
        let dx = x.iter().zip(&g).map(slope).collect();
        Ok(vec![Some(Tensor::from_vec(dx, *saved.shape(0))?)])
    }
}

/// A layer that ends in it.
#[derive(Module, Clone)]
struct Net {
    layer: Linear,
}

impl Forward for Net {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let y = self.layer.forward(x, ctx)?;
        ctx.apply(Softsign, &[&y])
    }
}

fn main() -> Result<()> {
    let x = Tensor::randn([5, 8], 1.0, &mut Rng::seed(1))?;
    gradcheck(|v, ctx| ctx.apply(Softsign, &[&v[0]]), std::slice::from_ref(&x), 1e-3)?;

    let net = Net { layer: Linear::new(8, 4, &mut Init::seed(0))? };
    let eager = net.forward(&(&x).into(), &mut Ctx::eval())?;
    let mut plan = Plan::compile(&net, &x)?;
    assert!(plan.run(&x)?.allclose(eager.value(), 1e-6, 1e-6)?);
    for step in plan.steps() {
        println!("{:10} {}", step.op, step.name);
    }
    Ok(())
}
