//! Why an engine gives something else than the integers of a file: experiments, each of which one fault alone explains.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tinytorch::Tensor;
use tinytorch::audit::Outside;
use tinytorch::files::TemporaryFolder;
use tinytorch_onnx::{Misreading, OnnxModel, in_seven_bits};

/// How much nearer an explanation must bring the engine to what it gives.
const EXPLAINED: f64 = 4.0;

/// An engine that gives something else than the integers of its file.
pub(crate) struct Suspect {
    /// The file.
    pub(crate) file: PathBuf,
    /// The first samples, in one batch.
    pub(crate) inputs: Vec<Tensor>,
    /// The engine on the file.
    pub(crate) engine: Outside,
    /// The integers of the file.
    pub(crate) exact: Outside,
}

impl Suspect {
    /// What explains it, in a sentence. `open` gives the engine on another file, and `plain` the engine on this one as it is written,
    /// where it can be told not to rewrite it.
    ///
    /// # Errors
    /// What the engine says, or what is wrong with the file.
    pub(crate) fn why(
        &self,
        open: impl Fn(&Path) -> Result<Outside>,
        plain: impl Fn() -> Result<Option<Outside>>,
    ) -> Result<Option<String>> {
        let answers = self.engine.answer(&self.inputs)?;
        let apart = off(&answers, &self.exact.answer(&self.inputs)?)?;
        let explains = |left: f64| left * EXPLAINED <= apart;
        let told = |left: f64| format!("{:.2} % are left of {:.2} %", 100.0 * left, 100.0 * apart);
        let readings = Misreading::ALL.into_iter().filter_map(|how| self.read_as(how, &answers));
        let best = readings.min_by(|a, b| a.0.total_cmp(&b.0));
        if let Some((left, how)) = best.filter(|(left, _)| explains(*left)) {
            return Ok(Some(format!("{}: read like that, {}", sentence(how), told(left))));
        }
        if let Some(left) = self.in_seven_bits(open)?.filter(|left| explains(*left)) {
            return Ok(Some(format!(
                "its products saturate: with the same weights in 7 bits, of which no two products exceed 16 bits, {}",
                told(left)
            )));
        }
        let Some(plain) = plain()? else { return Ok(None) };
        let left = off(&plain.answer(&self.inputs)?, &self.exact.answer(&self.inputs)?)?;
        Ok(explains(left).then(|| {
            format!("it rewrites the graph before it runs it: without that, {}", told(left))
        }))
    }

    /// How far the engine lies from the file with this misread; `None` if that is the same file, or runs on nothing.
    fn read_as(&self, how: Misreading, answers: &[Tensor]) -> Option<(f64, Misreading)> {
        let bytes = how.of(&self.file).ok()??;
        let model = OnnxModel::from_bytes("the file", bytes).ok()?;
        let read = Outside::planned("misread", &model, &self.inputs).ok()?;
        let left = off(answers, &read.answer(&self.inputs).ok()?).ok()?;
        Some((left, how))
    }

    /// How far the engine lies from the integers of the file with weights of 7 bits.
    fn in_seven_bits(&self, open: impl Fn(&Path) -> Result<Outside>) -> Result<Option<f64>> {
        let Some(bytes) = in_seven_bits(&self.file)? else { return Ok(None) };
        let folder = TemporaryFolder::new().context("cannot make a temporary folder")?;
        let path = folder.path().join("seven_bits.onnx");
        std::fs::write(&path, &bytes).context("cannot write a temporary file")?;
        let exact = OnnxModel::from_bytes("the file in 7 bits", bytes)?;
        let exact = Outside::planned("integers", &exact, &self.inputs)?;
        let answers = open(&path)?.answer(&self.inputs)?;
        Ok(Some(off(&answers, &exact.answer(&self.inputs)?)?))
    }
}

fn sentence(how: Misreading) -> &'static str {
    match how {
        Misreading::SymmetricWeights => "it reads asymmetric weights as symmetric ones",
        Misreading::NoWeightZeroPoints => "it leaves out the zero points of weights",
        Misreading::NoInputZeroPoints => "it leaves out the zero points of what layers read",
        Misreading::OneScale => "it reads the scales of channels as one for all",
        Misreading::OtherAxis => "it reads the scales of channels along another axis",
    }
}

/// The largest relative distance of an output of floats from what it should be.
fn off(got: &[Tensor], want: &[Tensor]) -> Result<f64> {
    let mut worst = 0.0f64;
    for (got, want) in got.iter().zip(want) {
        if got.shape() != want.shape() {
            return Ok(f64::INFINITY);
        }
        let numbers = |tensor: &Tensor| tensor.to_dtype::<f32>()?.to_vec::<f32>();
        let (got, want) = (numbers(got)?, numbers(want)?);
        let square = |v: f32| f64::from(v).powi(2);
        let apart: f64 = got.iter().zip(&want).map(|(a, b)| square(a - b)).sum();
        let size: f64 = want.iter().map(|&v| square(v)).sum();
        worst = worst.max((apart / size.max(f64::MIN_POSITIVE)).sqrt());
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;
    use tinytorch::nn::Module;
    use tinytorch_onnx::proto::{
        AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto,
        TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
    };

    const SIZE: usize = 8;

    /// A layer of unsigned weights with zero points and scales for each of its channels, over levels with a zero point.
    fn file() -> (TempDir, PathBuf) {
        let node = |op_type: &str, inputs: &[&str], output: &str, attributes: &[(&str, i64)]| {
            let attribute = |(name, i): &(&str, i64)| AttributeProto {
                name: (*name).into(),
                i: *i,
                r#type: 2,
                ..Default::default()
            };
            NodeProto {
                op_type: op_type.into(),
                input: inputs.iter().map(|name| name.to_string()).collect(),
                output: vec![output.into()],
                attribute: attributes.iter().map(attribute).collect(),
                ..Default::default()
            }
        };
        let bytes = |name: &str, dims: &[i64], values: Vec<u8>| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 2,
            raw_data: values.into(),
            ..Default::default()
        };
        let floats = |name: &str, dims: &[i64], float_data: Vec<f32>| TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: 1,
            float_data,
            ..Default::default()
        };
        let size = SIZE as i64;
        let levels = (0..SIZE * SIZE).map(|i| (i * 89 % 256) as u8).collect();
        let channels = |f: &dyn Fn(usize) -> f32| (0..SIZE).map(f).collect::<Vec<f32>>();
        let value = |name: &str| {
            let dim = |size: Option<i64>| DimensionProto { dim_value: size, dim_param: None };
            let shape = Some(TensorShapeProto { dim: vec![dim(None), dim(Some(size))] });
            let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
            ValueInfoProto { name: name.into(), r#type: Some(TypeProto { tensor_type }) }
        };
        let graph = GraphProto {
            node: vec![
                node("QuantizeLinear", &["x", "step", "zero"], "q", &[]),
                node("DequantizeLinear", &["q", "step", "zero"], "d", &[]),
                node("DequantizeLinear", &["w_quantized", "s", "z"], "w", &[("axis", 0)]),
                node("Gemm", &["d", "w"], "y", &[("transB", 1)]),
            ],
            initializer: vec![
                floats("step", &[], vec![1.0 / 64.0]),
                bytes("zero", &[], vec![100]),
                bytes("w_quantized", &[size, size], levels),
                floats("s", &[size], channels(&|i| 0.01 * (1 + i) as f32)),
                bytes("z", &[size], (0..SIZE).map(|i| 90 + 10 * i as u8).collect()),
            ],
            input: vec![value("x")],
            output: vec![value("y")],
            ..Default::default()
        };
        let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
        let model =
            ModelProto { ir_version: 8, graph: Some(graph), opset_import, ..Default::default() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("int8.onnx");
        std::fs::write(&path, prost::Message::encode_to_vec(&model)).unwrap();
        (folder, path)
    }

    fn inputs() -> Vec<Tensor> {
        let values = (0..16 * SIZE).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
        vec![Tensor::from_vec(values, [16, SIZE]).unwrap()]
    }

    fn planned(model: &OnnxModel) -> Outside {
        Outside::planned("model", model, &inputs()).unwrap()
    }

    fn read(bytes: Vec<u8>) -> Outside {
        planned(&OnnxModel::from_bytes("model", bytes).unwrap())
    }

    /// What is said of an engine that makes this of a file.
    fn why(engine: impl Fn(&Path) -> Outside, plain: Option<Outside>) -> Option<String> {
        let (_folder, file) = file();
        let exact = planned(&OnnxModel::open(&file).unwrap());
        let suspect = Suspect { engine: engine(&file), file, inputs: inputs(), exact };
        suspect.why(|file| Ok(engine(file)), || Ok(plain.clone())).unwrap()
    }

    /// Whether no two products of the weights in a file exceed 16 bits.
    fn fits_16_bits(model: &OnnxModel) -> bool {
        let params = model.named_params().into_iter();
        params.filter_map(|(_, param)| param.int8()).all(|w| w.panels().pair_rule_holds())
    }

    fn scaled(outside: Outside, by: f32) -> Outside {
        Outside::new("scaled", move |inputs: &[Tensor]| {
            outside.answer(inputs)?.iter().map(|output| output.scale(by)).collect()
        })
    }

    #[test]
    fn an_engine_that_misreads_a_file_is_named_by_what_it_misreads() {
        for how in Misreading::ALL {
            let told = why(|file| read(how.of(file).unwrap().unwrap()), None).unwrap();
            assert!(told.starts_with(sentence(how)), "{how:?}: {told}");
        }
    }

    #[test]
    fn an_engine_that_is_right_on_weights_of_7_bits_alone_saturates() {
        let saturating = |file: &Path| {
            let model = OnnxModel::open(file).unwrap();
            scaled(planned(&model), if fits_16_bits(&model) { 1.0 } else { 0.7 })
        };
        let told = why(saturating, None).unwrap();
        assert!(told.starts_with("its products saturate"), "{told}");
    }

    #[test]
    fn an_engine_that_is_right_without_rewriting_rewrites_and_others_are_not_explained() {
        let wrong = |file: &Path| scaled(planned(&OnnxModel::open(file).unwrap()), 0.9);
        let (_folder, file) = file();
        let right = planned(&OnnxModel::open(&file).unwrap());
        let told = why(wrong, Some(right.clone())).unwrap();
        assert!(told.starts_with("it rewrites the graph"), "{told}");
        assert_eq!(why(wrong, None), None);
        assert_eq!(why(wrong, Some(scaled(right.clone(), 0.9))), None);
        // What is left may be a fourth of what it was, and no more.
        assert!(why(wrong, Some(scaled(right.clone(), 0.976))).is_some());
        assert_eq!(why(wrong, Some(scaled(right, 0.974))), None);
    }

    #[test]
    fn outputs_of_another_shape_explain_nothing() {
        let rows = Tensor::ones([2, 3]).unwrap();
        let other = Tensor::ones([3, 2]).unwrap();
        let rows = std::slice::from_ref(&rows);
        assert_eq!(off(rows, std::slice::from_ref(&other)).unwrap(), f64::INFINITY);
        assert_eq!(off(rows, rows).unwrap(), 0.0);
    }
}
