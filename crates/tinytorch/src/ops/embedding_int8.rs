use crate::Result;
use crate::autograd::{Op, Saved, lower_opaque};
use crate::graph::{Compute, Cost, Edge, Exec, Graph, View};
use crate::int8::QWeight;
use crate::tensor::{Element, Shape, Tensor, TensorError};
use std::sync::Arc;

/// Rows of an int8 table `[entries, dim]`, each turned into floats as it is looked up: indices `[..]`
/// give `[.., dim]`. The table is frozen, so there is no gradient.
#[derive(Clone, Debug)]
pub(super) struct LookupInt8(pub(super) Arc<QWeight>);

impl Compute for LookupInt8 {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let mut dims = inputs[0].to_vec();
        dims.push(self.0.panels().k());
        Ok(Shape::new(&dims)?)
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (entries, dim) = (self.0.panels().n(), self.0.panels().k());
        let ids = inputs[0].i64()?;
        for (row, &id) in out.chunks_exact_mut(dim).zip(ids) {
            let outside = TensorError::Index { op: "embedding", index: id, len: entries };
            let i = usize::try_from(id).ok().filter(|&i| i < entries).ok_or(outside)?;
            self.0.dequantize_row_into(i, row)?;
        }
        exec.ran("rows_int8");
        Ok(())
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let ids = i64::DTYPE.size() * inputs[0].len();
        Cost {
            flops: output.len() as u64,
            read: (ids + output.len()) as u64,
            written: 4 * output.len() as u64,
        }
    }
}

impl Op for LookupInt8 {
    fn backward(&self, _: &Saved, _: &Tensor) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }

    fn lower(self: Arc<Self>, graph: &mut Graph, inputs: &[Edge]) -> Result<Edge> {
        lower_opaque(self, graph, inputs)
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Param, Role, Stored, Var};
    use crate::int8::{Granularity, Input, QWeight};
    use crate::{Rng, Tensor};
    use std::sync::Arc;

    #[test]
    fn rows_of_an_int8_table_are_the_rows_it_stands_for() {
        let table = Tensor::randn([7, 40], 1.0, &mut Rng::seed(1)).unwrap();
        let ids = Var::from(Tensor::from_vec(vec![6i64, 0, 6, 3], [2, 2]).unwrap());
        for granularity in [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks] {
            let packed = QWeight::quantize(&table, granularity, Input::Float).unwrap();
            let float = Param::new(packed.dequantize().unwrap(), Role::Embedding);
            let mut int8 = Param::new(table.clone(), Role::Embedding);
            int8.store(Stored::Int8(Arc::new(packed)));
            let want = ids.embedding(&float, &mut Ctx::eval()).unwrap();
            let got = ids.embedding(&int8, &mut Ctx::eval()).unwrap();
            assert_eq!(got.value().to_vec::<f32>().unwrap(), want.value().to_vec::<f32>().unwrap());
            let outside = Var::from(Tensor::from_vec(vec![7i64], [1]).unwrap());
            let error = outside.embedding(&int8, &mut Ctx::eval()).unwrap_err();
            assert!(error.to_string().contains("index 7 is outside 0..7"), "{error}");
        }
    }
}
