//! Convolutions and pools of signals, against the formulas that PyTorch documents.

use tinytorch::autograd::{Ctx, Var};
use tinytorch::graph::{ConvGeometry, PoolGeometry};
use tinytorch::nn::{
    AvgPool1d, Conv1d, Flatten, Forward, Init, Linear, MaxPool1d, Module, Relu, Sequential,
};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, quantize_model};
use tinytorch::{Rng, Tensor};

fn randn(shape: &[usize], seed: u64) -> Tensor {
    Tensor::randn(shape, 1.0, &mut Rng::seed(seed)).unwrap()
}

/// How windows lie: kernel, stride, padding before and after, dilation.
type Windows = (usize, usize, [usize; 2], usize);

/// `floor((length + before + after - dilation (kernel - 1) - 1) / stride + 1)`.
fn count((kernel, stride, pads, dilation): Windows, length: usize) -> usize {
    (length + pads[0] + pads[1] - dilation * (kernel - 1) - 1) / stride + 1
}

/// The places in a signal of window `at`; `None` for padding.
fn window(
    (kernel, stride, pads, dilation): Windows,
    length: usize,
    at: usize,
) -> Vec<Option<usize>> {
    let places = (0..kernel).map(|j| (stride * at + dilation * j).checked_sub(pads[0]));
    places.map(|place| place.filter(|place| *place < length)).collect()
}

const WINDOWS: [Windows; 5] =
    [(3, 1, [0, 0], 1), (3, 2, [1, 1], 1), (4, 3, [2, 0], 1), (2, 1, [0, 1], 3), (1, 1, [0, 0], 1)];

#[test]
fn convolutions_are_sums_over_channels_and_taps() {
    for (windows, groups) in WINDOWS.into_iter().flat_map(|w| [(w, 1), (w, 2), (w, 4)]) {
        let (kernel, stride, pads, dilation) = windows;
        let (batch, inputs, outputs, length) = (2, 4, 8, 11);
        let x = randn(&[batch, inputs, length], 1);
        let (weight, bias) = (randn(&[outputs, inputs / groups, kernel], 2), randn(&[outputs], 3));
        let geometry = ConvGeometry::default().with_stride(stride).with_dilation(dilation);
        let geometry = geometry.with_pads([[7, 7], pads]).with_groups(groups);
        let layer = Conv1d::from_tensors(weight.clone(), Some(bias.clone()), geometry).unwrap();
        let y = layer.forward(&(&x).into(), &mut Ctx::eval()).unwrap();

        let [x, weight, bias] = [x, weight, bias].map(|t| t.to_vec::<f32>().unwrap());
        let (out_length, in_group) = (count(windows, length), inputs / groups);
        assert_eq!(y.shape().dims(), [batch, outputs, out_length]);
        let y = y.value().to_vec::<f32>().unwrap();
        for (i, got) in y.iter().enumerate() {
            let (n, o, l) = (i / out_length / outputs, i / out_length % outputs, i % out_length);
            let mut want = f64::from(bias[o]);
            for c in 0..in_group {
                let channel = o / (outputs / groups) * in_group + c;
                for (j, place) in window(windows, length, l).into_iter().enumerate() {
                    let w = f64::from(weight[(o * in_group + c) * kernel + j]);
                    let at = |place: usize| x[(n * inputs + channel) * length + place];
                    want += w * place.map_or(0.0, |place| f64::from(at(place)));
                }
            }
            assert!((f64::from(*got) - want).abs() < 1e-4, "{windows:?} {groups}: {got} {want}");
        }
    }
}

#[test]
fn pools_are_maxima_without_padding_and_means_with_it() {
    for windows in WINDOWS.into_iter().filter(|(kernel, _, pads, dilation)| {
        pads.iter().all(|pad| 2 * pad <= dilation * (kernel - 1) + 1)
    }) {
        let (kernel, stride, pads, dilation) = windows;
        let x = randn(&[2, 3, 11], 4);
        let geometry = PoolGeometry::of_signals(kernel).with_stride(stride);
        let geometry = geometry.with_pads([[7, 7], pads]).with_dilation(dilation);
        let (largest, mean) = (MaxPool1d::new(geometry), AvgPool1d::new(geometry));
        let run = |layer: &dyn Forward<Output = Var>| {
            let y = layer.forward(&(&x).into(), &mut Ctx::eval()).unwrap();
            assert_eq!(y.shape().dims(), [2, 3, count(windows, 11)]);
            y.value().to_vec::<f32>().unwrap()
        };
        let (largest, mean) = (run(&largest), run(&mean));
        let x = x.to_vec::<f32>().unwrap();
        for (i, (max, mean)) in largest.iter().zip(&mean).enumerate() {
            let len = count(windows, 11);
            let signal = &x[i / len * 11..][..11];
            let places = window(windows, 11, i % len).into_iter().flatten();
            let values: Vec<f32> = places.map(|place| signal[place]).collect();
            assert_eq!(*max, values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let want = values.iter().sum::<f32>() / kernel as f32;
            assert!((mean - want).abs() < 1e-5, "{windows:?}: {mean} {want}");
        }
    }
}

fn net() -> Sequential {
    let mut init = Init::seed(5);
    let same = ConvGeometry::default().with_padding(1);
    Sequential::new()
        .push(Conv1d::new(2, 8, 3, same, &mut init).unwrap())
        .push(Relu)
        .push(MaxPool1d::new(PoolGeometry::of_signals(2)))
        .push(Conv1d::new(8, 8, 3, same.with_stride(2), &mut init).unwrap())
        .push(AvgPool1d::new(PoolGeometry::of_signals(2)))
        .push(Flatten)
        .push(Linear::new(8 * 4, 3, &mut init).unwrap())
}

#[test]
fn a_plan_takes_any_batch_and_gives_what_the_layers_give() {
    let model = net();
    let mut plan = Plan::compile(&model, &randn(&[1, 2, 32], 6)).unwrap();
    for batch in 1..4 {
        let x = randn(&[batch, 2, 32], 7);
        let want = model.call(&(&x).into(), &mut Ctx::eval()).unwrap();
        assert!(plan.run(&x).unwrap().allclose(want.value(), 1e-5, 1e-5).unwrap());
    }
}

#[test]
fn int8_signals_stay_close_and_have_the_same_bits_in_a_plan() {
    for activations in [Activations::Static, Activations::Dynamic] {
        let (float, mut int8) = (net(), net());
        let calibration = Var::from(randn(&[64, 2, 32], 8));
        let config = QuantConfig::new(activations).knowingly();
        quantize_model(&mut int8, [Ok(calibration)], &config).unwrap();
        let weights = int8.named_params();
        let stored = weights.iter().filter(|(_, param)| param.int8().is_some());
        assert_eq!(stored.count(), 3, "both convolutions and the linear layer");

        let x = randn(&[8, 2, 32], 9);
        let run = |model: &Sequential| model.call(&(&x).into(), &mut Ctx::eval()).unwrap();
        let (want, got) = (run(&float), run(&int8));
        let planned = Plan::compile(&int8, &x).unwrap().run(&x).unwrap();
        assert_eq!(planned.to_vec::<f32>().unwrap(), got.value().to_vec::<f32>().unwrap());
        let [want, got] = [want, got].map(|y| y.value().to_vec::<f32>().unwrap());
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>();
        let error = square(&mut want.iter().zip(&got).map(|(a, b)| a - b));
        assert!(error > 0.0 && error < 0.001 * square(&mut want.iter().copied()), "{error}");
    }
}

#[test]
fn layers_report_their_settings_and_refuse_impossible_ones() {
    let layer = Conv1d::new(4, 6, 3, ConvGeometry::default(), &mut Init::seed(0)).unwrap();
    let info = layer.named_layers().remove(0).1;
    assert_eq!(info.kind, "Conv1d");
    assert!(info.config.contains(&("kernel_size", "3".to_string())), "{info:?}");
    let new = |geometry, kernel| Conv1d::new(4, 6, kernel, geometry, &mut Init::seed(0));
    assert!(new(ConvGeometry::default().with_groups(4), 3).is_err());
    assert!(new(ConvGeometry::default().with_stride(0), 3).is_err());
    assert!(new(ConvGeometry::default(), 0).is_err());
    assert!(Conv1d::from_tensors(randn(&[2, 2], 1), None, ConvGeometry::default()).is_err());
    let image = Var::from(randn(&[1, 4, 3, 3], 1));
    let error = layer.forward(&image, &mut Ctx::eval()).unwrap_err();
    assert!(error.to_string().contains("[batch, channels, length]"), "{error}");
}
