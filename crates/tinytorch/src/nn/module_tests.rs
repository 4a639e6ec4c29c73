//! Walking models that were derived.

use crate::nn::{Init, Linear, Module};

#[derive(Module, Clone)]
struct Net {
    #[module(config)]
    depth: usize,
    layers: Vec<Linear>,
    head: Option<Linear>,
    #[module(skip)]
    note: String,
}

fn net() -> Net {
    let mut init = Init::seed(1);
    let layer = Linear::new(2, 2, &mut init).unwrap();
    let (layers, head) = (vec![layer.clone(), layer], None);
    Net { depth: 2, layers, head, note: "not a parameter".into() }
}

#[test]
fn names_follow_the_declaration() {
    let net = net();
    let names: Vec<String> = net.named_params().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]);
    assert_eq!(net.param_count(), 12);
    let layers = net.named_layers();
    assert_eq!((layers[0].0.as_str(), layers[0].1.kind), ("", "Net"));
    assert_eq!(layers[0].1.config, [("depth", "2".to_string())]);
    assert_eq!((layers[1].0.as_str(), layers[1].1.kind), ("layers.0", "Linear"));
    assert!(!net.note.is_empty());
}

#[test]
fn a_clone_has_parameters_of_its_own() {
    let a = net();
    let b = a.clone();
    for ((_, p), (_, q)) in a.named_params().iter().zip(b.named_params()) {
        assert_ne!(p.id(), q.id());
        assert!(p.value().unwrap().shares_storage(q.value().unwrap()));
    }
}

#[test]
fn freezing_goes_by_prefix() {
    let mut net = net();
    assert_eq!(net.set_frozen("layers.0", true), 2);
    let trainable = net.named_params().iter().filter(|(_, p)| p.is_trainable()).count();
    assert_eq!(trainable, 2);
}
