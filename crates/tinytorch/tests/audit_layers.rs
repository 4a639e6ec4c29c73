//! What an audit says about single layers.

use std::error::Error;
use tinytorch::audit::{AuditOptions, Evidence, Subject};
use tinytorch::data::Examples;
use tinytorch::models::{Architecture, CnnBlock, CnnConfig};
use tinytorch::nn::{Init, Module};
use tinytorch::quant::{QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};

/// A small convolutional model whose batch norms change their inputs, and what was made of it.
fn subject() -> Result<Subject, Box<dyn Error>> {
    let mut rng = Rng::seed(7);
    let blocks = vec![CnnBlock { channels: 4, pool: 2 }];
    let config = CnnConfig { input: [1, 8, 8], blocks, hidden: vec![8], outputs: 3 };
    let mut float = Architecture::Cnn(config).build(&mut Init::seed(3))?;
    for (name, param) in float.named_params_mut() {
        if name == "blocks.0.norm.weight" {
            *param.value_mut()? = Tensor::from_vec(vec![0.1, 1.0, 3.0, 8.0], [4])?;
        }
    }
    let images = Tensor::randn([16, 1, 8, 8], 1.0, &mut rng)?;
    let mut int8 = float.clone();
    let config = QuantConfig::default().knowingly();
    let report = quantize_model(&mut *int8, [Ok((&images).into())], &config)?;
    let labels = Tensor::from_vec(vec![0i64; 16], [16])?;
    let subject = Subject::new("small", &*float, &*int8, Examples::new(images, labels)?)?;
    Ok(subject.quantized_by(&config, &report))
}

#[test]
fn every_layer_shows_the_values_that_its_levels_stand_for() -> Result<(), Box<dyn Error>> {
    let evidence = Evidence::gather(&subject()?, &AuditOptions::default())?;
    assert_eq!(evidence.layers.len(), 3);
    for layer in &evidence.layers {
        let (name, weight) = (&layer.name, &layer.weight);
        let range = weight.int8.as_ref().ok_or("not int8")?;
        assert_eq!(weight.counts.iter().sum::<u64>() as usize, layer.shape.len(), "{name}");
        // The largest scale maps the largest weight to 127, so it stands at one end of the histogram,
        // and the other end is the range's: a batch norm that is folded in is part of both.
        let ends = weight.counts.first().max(weight.counts.last());
        assert!(ends > Some(&0), "{name}: {weight:?}");
        assert!((weight.high - range.max).abs() <= 1e-5 * range.max, "{name}: {weight:?}");
        assert_eq!(range.clipped_percent, 0.0, "{name}");

        let input = layer.activation.as_ref().ok_or("no activation")?;
        let range = input.int8.as_ref().ok_or("not static")?;
        assert_eq!(range.clipped_percent, 0.0, "{name}: calibrated on the same samples");
        assert!(range.levels_used > 1 && range.levels_used <= range.levels, "{name}");
    }
    Ok(())
}
