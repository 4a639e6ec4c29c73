//! Errors of shapes name the layer in which the pass was, whoever runs the model.

use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{Gpt, GptConfig, Mlp, MlpConfig};
use tinytorch::nn::{Flatten, Forward, Init, LayerNorm, Linear, Module, Relu, Sequential};
use tinytorch::plan::{Plan, PlanError};
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::tensor::TensorError;
use tinytorch::{Error, Result, Tensor};

/// Two layers that do not fit each other, and a norm that does.
#[derive(Module, Clone)]
struct Net {
    body: Body,
    head: Linear,
}

#[derive(Module, Clone)]
struct Body {
    hidden: Linear,
    norm: LayerNorm,
}

impl Forward for Net {
    type Output = Var;

    fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
        let hidden = self.body.hidden.forward(x, ctx)?.relu(ctx)?;
        let hidden = self.body.norm.forward(&hidden, ctx)?;
        self.head.forward(&hidden, ctx)
    }
}

fn linear(inputs: usize, outputs: usize) -> Linear {
    Linear::new(inputs, outputs, &mut Init::seed(1)).unwrap()
}

fn net(hidden: usize, norm: usize, head: usize) -> Net {
    let norm = LayerNorm::new(norm, &mut Init::seed(1)).unwrap();
    Net { body: Body { hidden: linear(784, hidden), norm }, head: linear(head, 10) }
}

fn images() -> Tensor {
    Tensor::ones([2, 784]).unwrap()
}

fn failure(model: &Net, x: &Tensor) -> Error {
    let eager = model.call(&x.into(), &mut Ctx::eval()).unwrap_err();
    let traced = Plan::compile(model, x).unwrap_err();
    assert_eq!(eager.to_string(), traced.to_string());
    eager
}

#[test]
fn an_own_struct_says_which_of_its_layers_got_what() {
    let error = failure(&net(8, 8, 8), &Tensor::ones([2, 10]).unwrap());
    assert_eq!(error.layer(), Some("body.hidden"));
    let text = error.to_string();
    for part in ["layer `body.hidden`: linear", "[2, 10]", "[8, 784]", "last dimension"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(failure(&net(8, 9, 8), &images()).layer(), Some("body.norm"));
    assert_eq!(failure(&net(8, 8, 9), &images()).layer(), Some("head"));
}

#[test]
fn the_error_itself_stays_within_reach() {
    let error = failure(&net(8, 8, 9), &images());
    assert!(matches!(error, Error::InLayer { after: false, .. }));
    assert!(matches!(error.without_place(), Error::Tensor(TensorError::Mismatch { .. })));
    assert!(error.downcast_ref::<TensorError>().is_some());
}

#[test]
fn a_layer_that_is_the_whole_model_has_no_name_to_give() {
    let error = linear(4, 2).call(&images().into(), &mut Ctx::eval()).unwrap_err();
    assert!(matches!(error, Error::Tensor(_)), "{error}");
}

#[test]
fn a_sequence_counts_its_layers_and_the_model_around_it_adds_its_own_name() {
    let inner = Sequential::new().push(linear(784, 8)).push(Relu).push(linear(9, 4));
    let error = inner.forward(&images().into(), &mut Ctx::eval()).unwrap_err();
    assert_eq!(error.layer(), Some("2"));
    let outer = Sequential::new().push(Flatten).push(inner);
    let error = outer.forward(&images().into(), &mut Ctx::eval()).unwrap_err();
    assert_eq!(error.layer(), Some("1.2"));
    assert!(error.to_string().starts_with("layer `1.2`: linear"), "{error}");
}

#[test]
fn what_has_no_parameter_is_placed_after_the_layer_before_it() {
    #[derive(Module)]
    struct Sum {
        hidden: Linear,
    }
    impl Forward for Sum {
        type Output = Var;
        fn forward(&self, x: &Var, ctx: &mut Ctx<'_>) -> Result<Var> {
            self.hidden.forward(x, ctx)?.add(x, ctx)
        }
    }
    let error = Sum { hidden: linear(784, 8) }.call(&images().into(), &mut Ctx::eval());
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("after layer `hidden`: add"), "{text}");
}

#[test]
fn a_transformer_names_block_and_part() {
    let config = GptConfig {
        vocab: 9,
        context: 8,
        dim: 8,
        layers: 2,
        heads: 2,
        hidden: 16,
        dropout: 0.0,
        ..GptConfig::TALKS_GPT
    };
    let mut model = Gpt::new(&config, &mut Init::seed(1)).unwrap();
    model.blocks[1].attention.q_proj = linear(7, 8);
    let ids = Tensor::from_vec(vec![1i64, 2, 3], [1, 3]).unwrap();
    let error = model.forward(&(&ids).into(), &mut Ctx::eval()).unwrap_err();
    assert_eq!(error.layer(), Some("blocks.1.attention.q_proj"), "{error}");
    let error = Plan::compile(&model, &ids).unwrap_err();
    assert_eq!(error.layer(), Some("blocks.1.attention.q_proj"), "{error}");
}

#[test]
fn an_int8_layer_is_named_as_a_float_one() {
    let config = MlpConfig { inputs: 16, hidden: vec![8], outputs: 3 };
    let mut model = Mlp::new(&config, &mut Init::seed(1)).unwrap();
    let config = QuantConfig::new(Activations::Dynamic).knowingly();
    let batch = Var::from(Tensor::ones([2, 16]).unwrap());
    quantize_model(&mut model, [Ok(batch)], &config).unwrap();
    let error = model.call(&images().into(), &mut Ctx::eval()).unwrap_err();
    assert_eq!(error.layer(), Some("layers.0"), "{error}");
}

#[test]
fn a_plan_names_the_layer_that_other_sizes_do_not_fit() {
    let model = net(8, 8, 8);
    let mut plan = Plan::compile(&model, &images()).unwrap();
    let error = plan.run(&Tensor::ones([2, 10]).unwrap()).unwrap_err();
    let Error::Plan(PlanError::Shape { source, .. }) = &error else { panic!("{error}") };
    assert_eq!(source.layer(), Some("body.hidden"));
    assert!(plan.run(&images()).is_ok());
}
