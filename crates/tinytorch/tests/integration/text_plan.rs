//! Text models as plans: to the bit what they are op by op, in float and in int8.

use super::generate_support::decoders;
use super::text_stories::{reference_ids, stories};
use tinytorch::autograd::{Ctx, Var};
use tinytorch::models::{Architecture, BertConfig, Model, Sample};
use tinytorch::nn::{Forward, Init};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::{Result, Rng, Tensor};

fn bert() -> Box<dyn Model> {
    let config = BertConfig {
        vocab: 40,
        context: 16,
        types: 2,
        dim: 36,
        layers: 2,
        heads: 3,
        hidden: 50,
        norm_eps: 1e-12,
        pad: 0,
        first_position: 0,
    };
    Architecture::Bert(config).build(&mut Init::seed(4)).unwrap()
}

fn vocab(model: &dyn Model) -> usize {
    match model.architecture().unwrap().sample().unwrap() {
        Sample::Ids { vocab, .. } => vocab,
        other => panic!("{other:?}"),
    }
}

fn ids(model: &dyn Model, batch: usize, length: usize) -> Tensor {
    let mut rng = Rng::seed((batch * 100 + length) as u64);
    let ids = (0..batch * length).map(|_| rng.below(vocab(model)) as i64).collect();
    Tensor::from_vec(ids, [batch, length]).unwrap()
}

/// The float model, and int8 models of every kind of activation.
fn forms(float: &dyn Model) -> Vec<Box<dyn Model>> {
    let kind = |activations| QuantConfig::new(activations);
    let configs = [
        QuantConfig::for_architecture(&float.architecture().unwrap()),
        kind(Activations::Dynamic),
        kind(Activations::Static),
        kind(Activations::Float),
    ];
    let mut forms = vec![float.clone_box()];
    for config in configs {
        let mut int8 = float.clone_box();
        let config = config.knowingly();
        let calibration: Result<Var> = Ok(ids(float, 4, 12).into());
        quantize_model(&mut *int8, [calibration], &config).unwrap();
        forms.push(int8);
    }
    forms
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn assert_equals_eager(model: &dyn Model, plan: &mut Plan, x: &Tensor) {
    let want = model.forward(&x.into(), &mut Ctx::eval()).unwrap().into_value();
    let got = plan.run(x).unwrap();
    assert_eq!(got.shape(), want.shape());
    assert_eq!(bits(&got), bits(&want), "{:?} of {:?}", x.shape(), model.architecture());
}

#[test]
fn every_form_of_every_text_model_gives_the_same_bits_at_any_shape() {
    for float in decoders().into_iter().chain([bert()]) {
        for model in forms(&*float) {
            let mut plan = Plan::compile(&*model, &ids(&*model, 2, 5)).unwrap();
            for (batch, length) in [(1, 1), (2, 5), (3, 16), (1, 7), (2, 5)] {
                assert_equals_eager(&*model, &mut plan, &ids(&*model, batch, length));
            }
        }
    }
}

#[test]
fn a_trained_llama_gives_the_same_bits() {
    let float = stories();
    let text = Tensor::from_vec(reference_ids(), [1, 201]).unwrap();
    for model in &forms(&*float)[..2] {
        let mut plan = Plan::compile(&**model, &ids(&**model, 1, 8)).unwrap();
        assert_equals_eager(&**model, &mut plan, &text);
    }
}

#[test]
fn integers_can_be_run_into_memory_of_the_callers() {
    let model = bert();
    let x = ids(&*model, 2, 5);
    let mut plan = Plan::compile(&*model, &x).unwrap();
    let mut out = vec![0f32; 2 * 5 * 36];
    plan.run_into(x.as_slice::<i64>().unwrap(), x.shape(), &mut out).unwrap();
    let want = plan.run(&x).unwrap();
    assert_eq!(out, want.to_vec::<f32>().unwrap());
    let error = plan.run_into(&[0f32; 10][..], x.shape(), &mut out).unwrap_err();
    assert!(error.to_string().contains("i64"), "{error}");
}

#[test]
fn what_the_model_refuses_its_plan_refuses_and_goes_on() {
    for model in decoders().into_iter().chain([bert()]) {
        let good = ids(&*model, 1, 4);
        let mut plan = Plan::compile(&*model, &good).unwrap();
        let want = bits(&plan.run(&good).unwrap());
        for bad in [-1, vocab(&*model) as i64, i64::MAX] {
            let outside = Tensor::from_vec(vec![1, bad], [1, 2]).unwrap();
            let error = plan.run(&outside).unwrap_err().to_string();
            assert!(error.contains(&format!("index {bad} is outside")), "{error}");
        }
        let error = plan.run(&ids(&*model, 1, 17)).unwrap_err().to_string();
        assert!(error.contains("there are 16 positions"), "{error}");
        assert!(plan.run(&Tensor::ones([1, 4]).unwrap()).is_err());
        assert_eq!(bits(&plan.run(&good).unwrap()), want);
    }
}
