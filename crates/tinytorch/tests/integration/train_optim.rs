//! What an optimizer's step promises: it changes what it should, and nothing when it cannot.

use super::train_support::Net;
use tinytorch::autograd::{BufferUpdate, Ctx, Gradients, Param, Role, Stored, Var};
use tinytorch::nn::{Forward, Init, Linear, Module};
use tinytorch::optim::{Adam, AdamW, OptimError, Optimizer, Sgd, clip_grad_norm, clip_grad_value};
use tinytorch::{Rng, Tensor};

fn net() -> Net {
    Net::new(3, 4, 2, 7)
}

/// Takes a step that must fail, and checks that model and optimizer have not changed.
fn refused(mut optimizer: impl Optimizer, net: &mut Net, grads: Gradients) -> OptimError {
    let (before, steps) = (net.values(), steps(&optimizer));
    let error = optimizer.step(net, grads).unwrap_err();
    assert_eq!(net.values(), before);
    assert_eq!(self::steps(&optimizer), steps);
    error.downcast().unwrap()
}

fn steps(optimizer: &impl Optimizer) -> Vec<(String, u64)> {
    optimizer.state().moments.into_iter().map(|(name, m)| (name, m.steps)).collect()
}

#[test]
fn a_step_moves_every_parameter_and_buffer() {
    let mut net = net();
    let before = net.values();
    let grads = net.some_gradients();
    Sgd::new(0.1).step(&mut net, grads).unwrap();
    for ((name, old), (_, new)) in before.iter().zip(net.values()) {
        assert_ne!(*old, new, "{name} has not moved");
    }
}

#[test]
fn a_missing_gradient_is_named() {
    let mut net = net();
    let mut ctx = Ctx::train(Rng::seed(0));
    let x = Var::from(Tensor::ones([1, 3]).unwrap());
    let hidden_only = net.hidden.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
    let grads = ctx.backward(&hidden_only).unwrap();
    let error = refused(Adam::new(0.1), &mut net, grads);
    assert_eq!(error, OptimError::MissingGradient { name: "head.weight".into() });
    assert!(error.to_string().contains("parameter head.weight got no gradient"));
}

#[test]
fn gradients_of_a_clone_are_not_taken_for_the_models_own() {
    let mut net = net();
    let grads = net.clone().some_gradients();
    let error = refused(Sgd::new(0.1), &mut net, grads);
    assert_eq!(error, OptimError::MissingGradient { name: "hidden.weight".into() });
}

#[test]
fn a_gradient_that_is_not_finite_is_named_with_its_place() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut net = net();
        let mut grads = net.some_gradients();
        let id = net.head.weight.id();
        for (_, grad) in grads.iter_mut().filter(|(of, _)| *of == id) {
            grad.as_mut_slice::<f32>().unwrap()[5] = bad;
        }
        let error = refused(AdamW::new(0.1), &mut net, grads);
        let OptimError::GradientNotFinite { name, element, value } = error else {
            panic!("{error}")
        };
        assert_eq!((name.as_str(), element, value.to_bits()), ("head.weight", 5, bad.to_bits()));
    }
}

#[test]
fn a_gradient_of_another_shape_is_named() {
    let mut net = net();
    let mut grads = net.some_gradients();
    let id = net.hidden.weight.id();
    for (_, grad) in grads.iter_mut().filter(|(of, _)| *of == id) {
        *grad = Tensor::ones([12]).unwrap();
    }
    let error = refused(Sgd::new(0.1), &mut net, grads).to_string();
    assert_eq!(
        error,
        "the gradient of hidden.weight has shape [12], but the parameter has shape [4, 3]"
    );
}

#[test]
fn a_gradient_that_is_a_view_is_read_in_its_own_order() {
    let start = Tensor::zeros([2, 3]).unwrap();
    let mut w = Param::new(start, Role::LinearWeight);
    let mut ctx = Ctx::train(Rng::seed(0));
    let factor = Tensor::arange(6).unwrap().reshape([2, 3]).unwrap().into();
    let loss = ctx.param(&w).unwrap().mul(&factor, &mut ctx).unwrap().sum(&mut ctx).unwrap();
    let mut grads = ctx.backward(&loss).unwrap();
    for (_, grad) in grads.iter_mut() {
        let swapped = grad.transpose(0, 1).unwrap().contiguous().unwrap();
        *grad = swapped.transpose(0, 1).unwrap();
        assert!(!grad.is_contiguous());
    }
    Sgd::new(1.0).step(&mut w, grads).unwrap();
    let values = w.value().unwrap().to_vec::<f32>().unwrap();
    assert_eq!(values, [0.0, -1.0, -2.0, -3.0, -4.0, -5.0]);
}

#[test]
fn a_running_statistic_that_does_not_fit_stops_the_step() {
    let statistic = |value: Tensor| {
        let net = net();
        let mut ctx = Ctx::train(Rng::seed(0));
        let x = Var::from(Tensor::ones([2, 3]).unwrap());
        let loss = net.forward(&x, &mut ctx).unwrap().sum(&mut ctx).unwrap();
        ctx.update_buffer(&net.mean, 0.1, value);
        let grads = ctx.backward(&loss).unwrap();
        (net, grads)
    };
    let (mut net, grads) = statistic(Tensor::ones([5]).unwrap());
    let error = refused(Sgd::new(0.1), &mut net, grads).to_string();
    assert!(error.contains("running statistic for mean has shape [5]"), "{error}");
    let (mut net, grads) = statistic(Tensor::full(f32::NAN, [4]).unwrap());
    let error = refused(Sgd::new(0.1), &mut net, grads).to_string();
    assert!(error.contains("running statistic for mean is NaN"), "{error}");
}

#[test]
fn running_statistics_follow_the_batches_in_their_order() {
    let mut net = net();
    let grads = net.some_gradients();
    let [BufferUpdate { momentum, value, .. }] = grads.updates() else { panic!("one update") };
    let expected: Vec<f32> = value
        .to_vec::<f32>()
        .unwrap()
        .iter()
        .map(|v| (1.0 - momentum) * 0.0 + momentum * v)
        .collect();
    Sgd::new(0.1).step(&mut net, grads).unwrap();
    assert_eq!(net.mean.value().unwrap().to_vec::<f32>().unwrap(), expected);
}

#[test]
fn frozen_parameters_and_buffers_stay() {
    let mut net = net();
    net.set_frozen("hidden", true);
    net.set_frozen("mean", true);
    let before = net.values();
    let grads = net.some_gradients();
    Adam::new(0.1).step(&mut net, grads).unwrap();
    let same: Vec<bool> = before.iter().zip(net.values()).map(|(a, b)| *a == b).collect();
    assert_eq!(same, [true, true, true, false, false]);
}

#[test]
fn a_parameter_without_values_is_named() {
    let mut model = Linear::new(2, 2, &mut Init::absent()).unwrap();
    let error = Sgd::new(0.1).step(&mut model, Gradients::default()).unwrap_err();
    assert!(error.to_string().contains("parameter weight holds no values yet"), "{error}");
    assert!(matches!(model.weight.stored(), Stored::Absent(_)));
}

#[test]
fn two_parameters_of_one_name_are_refused() {
    struct Twins(Param, Param);
    impl Module for Twins {
        fn visit<'a>(
            &'a self,
            path: &mut tinytorch::nn::Path,
            visitor: &mut dyn tinytorch::nn::Visitor<'a>,
        ) {
            path.within("w", |path| visitor.param(path, &self.0));
            path.within("w", |path| visitor.param(path, &self.1));
        }
        fn visit_mut<'a>(
            &'a mut self,
            path: &mut tinytorch::nn::Path,
            visitor: &mut dyn tinytorch::nn::VisitorMut<'a>,
        ) {
            path.within("w", |path| visitor.param(path, &mut self.0));
            path.within("w", |path| visitor.param(path, &mut self.1));
        }
    }
    let param = || Param::new(Tensor::ones([1]).unwrap(), Role::Vector);
    let mut twins = Twins(param(), param());
    let mut ctx = Ctx::train(Rng::seed(0));
    let (a, b) = (ctx.param(&twins.0).unwrap(), ctx.param(&twins.1).unwrap());
    let loss = a.mul(&b, &mut ctx).unwrap();
    let grads = ctx.backward(&loss).unwrap();
    let error = Adam::new(0.1).step(&mut twins, grads).unwrap_err().to_string();
    assert!(error.contains("two parameters of the model are called w"), "{error}");
}

#[test]
fn settings_out_of_range_are_named() {
    let message = |optimizer: &mut dyn Optimizer| {
        let mut net = net();
        let before = net.values();
        let grads = net.some_gradients();
        let error = optimizer.step(&mut net, grads).unwrap_err().to_string();
        assert_eq!(net.values(), before);
        error
    };
    assert!(message(&mut Sgd::new(f64::NAN)).starts_with("sgd: lr is NaN"));
    assert!(message(&mut Sgd::new(0.1).momentum(1.0)).starts_with("sgd: momentum is 1"));
    assert!(message(&mut Adam::new(0.1).betas(0.9, 1.5)).starts_with("adam: beta2 is 1.5"));
    assert!(message(&mut Adam::new(0.1).eps(0.0)).starts_with("adam: eps is 0"));
    assert!(message(&mut AdamW::new(1e300)).starts_with("adamw: lr is 1e300"));
    assert!(message(&mut AdamW::new(0.1).weight_decay(-1.0)).starts_with("adamw: weight_decay"));
    let mut grads = net().some_gradients();
    assert!(clip_grad_norm(&mut grads, 0.0).is_err());
    assert!(clip_grad_value(&mut grads, f32::NAN).is_err());
}

#[test]
fn weights_are_updated_where_they_lie() {
    let mut net = net();
    let mut adam = Adam::new(0.01);
    let place = |net: &Net| net.hidden.weight.value().unwrap().as_slice::<f32>().unwrap().as_ptr();
    let before = place(&net);
    for _ in 0..3 {
        let grads = net.some_gradients();
        adam.step(&mut net, grads).unwrap();
    }
    assert_eq!(place(&net), before);
}

#[test]
fn a_large_parameter_moves_alike_on_any_number_of_threads() {
    let step_on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut net = Net::new(300, 500, 2, 7);
            let mut adam = AdamW::new(0.01);
            for _ in 0..2 {
                let mut grads = net.some_gradients();
                clip_grad_norm(&mut grads, 0.5).unwrap();
                adam.step(&mut net, grads).unwrap();
            }
            net.values()
        })
    };
    let alone = step_on(1);
    assert_eq!(step_on(2), alone);
    assert_eq!(step_on(5), alone);
}

#[test]
fn the_norm_does_not_depend_on_the_order_in_which_parameters_were_made() {
    let net = Net::new(30, 50, 3, 7);
    let norm = |net: &Net| clip_grad_norm(&mut net.some_gradients(), 1.0).unwrap().to_bits();
    // `Linear::new` makes the bias first; a clone makes the fields in their order.
    assert!(net.hidden.bias.as_ref().unwrap().id() < net.hidden.weight.id());
    let clone = net.clone();
    assert!(clone.hidden.bias.as_ref().unwrap().id() > clone.hidden.weight.id());
    assert_eq!(norm(&clone), norm(&net));
}

#[test]
fn clipping_leaves_a_norm_that_is_not_finite_for_the_step_to_report() {
    let net = net();
    let mut grads = net.some_gradients();
    for (_, grad) in grads.iter_mut().take(1) {
        grad.as_mut_slice::<f32>().unwrap()[0] = f32::NAN;
    }
    let last = |grads: &Gradients| grads.iter().last().unwrap().1.to_vec::<f32>().unwrap();
    let before = last(&grads);
    assert!(clip_grad_norm(&mut grads, 1e-3).unwrap().is_nan());
    assert_eq!(last(&grads), before);
}

#[test]
fn clipping_by_value_limits_every_element() {
    let mut grads = net().some_gradients();
    clip_grad_value(&mut grads, 0.25).unwrap();
    let all = || grads.iter().flat_map(|(_, g)| g.to_vec::<f32>().unwrap());
    assert!(all().all(|g| g.abs() <= 0.25));
    assert!(all().any(|g| g == 0.25));
}

#[test]
fn a_saved_state_goes_on_and_foreign_ones_are_refused() {
    let mut net = net();
    let mut adam = Adam::new(0.1);
    for _ in 0..2 {
        let grads = net.some_gradients();
        adam.step(&mut net, grads).unwrap();
    }
    let (mut copy, mut other) = (net.clone(), Adam::new(0.5));
    other.load_state(&copy, adam.state()).unwrap();
    assert_eq!(other.lr(), 0.1);
    let (a, b) = (net.some_gradients(), copy.some_gradients());
    adam.step(&mut net, a).unwrap();
    other.step(&mut copy, b).unwrap();
    assert_eq!(net.values(), copy.values());

    let refuse = |optimizer: &mut dyn Optimizer, model: &dyn Module| {
        optimizer.load_state(model, adam.state()).unwrap_err().to_string()
    };
    assert!(refuse(&mut AdamW::new(0.1), &net).contains("is of adam, but this optimizer is adamw"));
    let error = refuse(&mut Adam::new(0.1).eps(1e-4), &net);
    assert!(error.contains("eps = 1e-8, but this optimizer has 0.0001"), "{error}");
    let error = refuse(&mut Adam::new(0.1), &Net::new(3, 5, 2, 7));
    assert!(error.contains("head.weight has shape [2, 5] in the model and [2, 4]"), "{error}");
    let error = refuse(&mut Adam::new(0.1), &net.hidden);
    assert!(error.contains("head.bias is not a parameter of it"), "{error}");
}

#[test]
fn an_optimizer_that_moves_to_another_model_says_so() {
    let mut adam = Adam::new(0.1);
    let mut small = net();
    let grads = small.some_gradients();
    adam.step(&mut small, grads).unwrap();
    let mut large = Net::new(3, 8, 2, 7);
    let grads = large.some_gradients();
    let error = refused(adam, &mut large, grads).to_string();
    assert!(error.contains("hidden.weight has shape [8, 3] in the model and [4, 3]"), "{error}");
}
