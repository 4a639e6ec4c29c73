//! Grouped and depthwise convolutions in int8, over shapes that fill no vector: the layer, its plan on
//! every instruction set, and its file.

use proptest::prelude::*;
use std::collections::BTreeMap;
use tinytorch::autograd::{Ctx, Param, Var};
use tinytorch::files::{TensorFile, load_into, save_params};
use tinytorch::graph::ConvGeometry;
use tinytorch::int8::{Encoding, Granularity};
use tinytorch::nn::{Conv2d, Forward, Init};
use tinytorch::plan::Plan;
use tinytorch::quant::{Activations, QuantConfig, Scheme, quantize_model};
use tinytorch::{Rng, Tensor};
use tinytorch_kernels::Isa;

/// Sizes of a convolution: `groups`, channels in and out of each, kernel, stride, padding, image.
#[derive(Clone, Debug)]
struct Sizes {
    groups: usize,
    channels: [usize; 2],
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    image: [usize; 2],
    batch: usize,
}

impl Sizes {
    fn conv(&self, init: &mut Init) -> Conv2d {
        let geometry = ConvGeometry::default()
            .with_stride(self.stride)
            .with_padding(self.padding)
            .with_groups(self.groups);
        let [from, to] = self.channels.map(|channels| channels * self.groups);
        Conv2d::new(from, to, self.kernel, geometry, init).unwrap()
    }

    fn images(&self) -> Tensor {
        let [height, width] = self.image;
        let shape = [self.batch, self.channels[0] * self.groups, height, width];
        Tensor::randn(shape, 1.0, &mut Rng::seed(5)).unwrap()
    }
}

/// Depthwise half of the time: one channel in, one or two out.
fn sizes() -> impl Strategy<Value = Sizes> {
    let depthwise = (1usize..24).prop_flat_map(|groups| (Just(groups), Just(1usize), 1usize..3));
    let grouped = (2usize..5, 2usize..8, 1usize..10);
    let spatial =
        ((1usize..4, 1usize..4), 1usize..3, 0usize..2, (4usize..10, 4usize..10), 1usize..4);
    (prop_oneof![depthwise, grouped], spatial).prop_map(
        |((groups, from, to), ((kh, kw), stride, padding, (height, width), batch))| Sizes {
            groups,
            channels: [from, to],
            kernel: [kh, kw],
            stride,
            padding,
            image: [height, width],
            batch,
        },
    )
}

fn bits(tensor: &Tensor) -> Vec<u32> {
    tensor.to_vec::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

/// What the layer computes with floats that are exactly the ones its levels stand for.
fn by_hand(int8: &Conv2d, x: &Tensor) -> Tensor {
    let weight = int8.weight.int8().unwrap();
    let x = match weight.input() {
        Encoding::Static(params) => {
            let level = |&v: &f32| params.dequantize(params.quantize(v));
            let levels = x.to_vec::<f32>().unwrap().iter().map(level).collect();
            Tensor::from_vec(levels, *x.shape()).unwrap()
        }
        Encoding::PerRow | Encoding::PerRow16 | Encoding::F32 => x.clone(),
    };
    let float = Param::new(weight.dequantize().unwrap(), int8.weight.role());
    let y = Var::from(x).conv2d(&float, int8.bias.as_ref(), int8.geometry(), &mut Ctx::eval());
    y.unwrap().into_value()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn layer_plan_and_file_agree(sizes in sizes(), which in 0usize..5) {
        let (granularity, activations) = [
            (Granularity::PerChannel, Activations::Static),
            (Granularity::PerTensor, Activations::Static),
            (Granularity::Blocks, Activations::Static),
            (Granularity::PerChannel, Activations::Dynamic),
            (Granularity::PerChannel, Activations::Float),
        ][which];
        let (x, mut int8) = (sizes.images(), sizes.conv(&mut Init::seed(1)));
        let config = QuantConfig::new(Scheme::new(granularity, activations));
        quantize_model(&mut int8, [Ok((&x).into())], &config).unwrap();
        let y = int8.forward(&(&x).into(), &mut Ctx::eval()).unwrap().into_value();
        // Dynamic ranges differ from image to image; half a step of the widest is 0.02 of a value.
        let tolerance = if activations == Activations::Dynamic { 0.1 } else { 2e-5 };
        prop_assert!(y.allclose(&by_hand(&int8, &x), 1e-4, tolerance).unwrap());

        for isa in Isa::available() {
            let mut plan = Plan::compile(&int8, &x).unwrap().on(isa);
            let planned = plan.run(&x).unwrap();
            prop_assert!(planned.allclose(&y, 1e-5, 1e-5).unwrap());
            if activations != Activations::Float {
                prop_assert_eq!(bits(&planned), bits(&y), "{}", isa.name());
            }
        }

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("conv.safetensors");
        save_params(&path, &int8, &BTreeMap::new()).unwrap();
        let mut loaded = sizes.conv(&mut Init::absent());
        load_into(&mut loaded, &TensorFile::open(&path).unwrap()).unwrap();
        // Not compared as they are: in a file, the one scale of one channel is a scale per channel.
        let [was, is] = [&int8, &loaded].map(|layer| layer.weight.int8().unwrap());
        prop_assert_eq!(was.panels(), is.panels());
        prop_assert_eq!((was.input(), was.shift()), (is.input(), is.shift()));
        prop_assert_eq!(bits(&was.dequantize().unwrap()), bits(&is.dequantize().unwrap()));
    }
}
