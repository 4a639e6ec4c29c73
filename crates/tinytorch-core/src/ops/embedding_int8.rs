//! Rows of an int8 table.

use super::embedding::Rows;
use crate::Result;
use crate::autograd::{Op, Saved};
use crate::graph::{Compute, Cost, Exec, Properties, View};
use crate::int8::Int8Weight;
use crate::tensor::{Element, Shape, Tensor};
use tinytorch_kernels::Ran;

/// Rows of an int8 table `[entries, dim]`, each turned into floats as it is looked up. The table is
/// frozen, so there is no gradient.
#[derive(Clone, Debug)]
pub struct LookupInt8 {
    /// `[entries, dim]`.
    pub table: Int8Weight,
    /// Which rows.
    pub rows: Rows,
}

impl Compute for LookupInt8 {
    fn name(&self) -> &'static str {
        self.rows.name()
    }

    fn shape(&self, inputs: &[Shape]) -> Result<Shape> {
        let panels = self.table.panels();
        self.rows.shape(&inputs[0], panels.n(), panels.k())
    }

    fn run(&self, inputs: &[View<'_>], out: &mut [f32], exec: &mut Exec) -> Result<()> {
        let (panels, scales) = (self.table.panels(), self.table.scales());
        let (entries, dim) = (panels.n(), panels.k());
        // One row of levels for all look-ups: with one for each, 2048 rows of 64 took 419 us against the 19
        // of a float table.
        let levels = exec.working.numbers(dim);
        self.rows.for_each(&inputs[0], entries, |place, row| {
            panels.row_into(row, levels)?;
            let out = &mut out[place * dim..][..dim];
            // A scale is asked for once for what it covers: asked for with each value, 64 rows of 128 in blocks
            // took 31 us instead of 5.
            let covered = scales.run(dim);
            let zero_point = i16::from(panels.zero_point(row));
            for (run, (out, levels)) in
                out.chunks_mut(covered).zip(levels.chunks(covered)).enumerate()
            {
                let scale = scales.at(row, run * covered, dim);
                let float = |q: i8| f32::from(i16::from(q) - zero_point) * scale;
                out.iter_mut().zip(levels).for_each(|(v, &q)| *v = float(q));
            }
            Ok(())
        })?;
        exec.ran(Ran::float("rows_int8"));
        Ok(())
    }

    fn properties(&self) -> Properties {
        self.rows.properties()
    }

    fn cost(&self, inputs: &[Shape], output: &Shape) -> Cost {
        let flops = output.len() as u64;
        Cost { flops, ..self.rows.cost(&inputs[0], output, i8::DTYPE.size()) }
    }
}

impl Op for LookupInt8 {
    fn backward(&self, _: &Saved, _: &Tensor, _: &mut Exec) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![None])
    }
}

#[cfg(test)]
mod tests {
    use crate::autograd::{Ctx, Param, Role, Stored, Var};
    use crate::int8::{Encoding, Granularity, Int8Weight, QWeight};
    use crate::{Rng, Tensor};

    #[test]
    fn rows_of_an_int8_table_are_the_rows_it_stands_for() {
        let table = Tensor::randn([7, 40], 1.0, &mut Rng::seed(1)).unwrap();
        let ids = Var::from(Tensor::from_vec(vec![6i64, 0, 6, 3], [2, 2]).unwrap());
        let symmetric = [Granularity::PerTensor, Granularity::PerChannel, Granularity::Blocks]
            .map(|granularity| QWeight::quantize(&table, granularity).unwrap());
        let off_center = symmetric[1].clone().with_zero_points(&[7, -128, 127, 0, 1, 2, 3]);
        for packed in symmetric.into_iter().chain(off_center) {
            let float = Param::new(packed.dequantize().unwrap(), Role::Embedding);
            let mut int8 = Param::new(table.clone(), Role::Embedding);
            int8.store(Stored::Int8(Int8Weight::new(packed, Encoding::F32)));
            let want = ids.embedding(&float, &mut Ctx::eval()).unwrap();
            let got = ids.embedding(&int8, &mut Ctx::eval()).unwrap();
            assert_eq!(got.value().to_vec::<f32>().unwrap(), want.value().to_vec::<f32>().unwrap());
            let x = Var::from(Tensor::ones([1, 3, 40]).unwrap());
            let want = x.positions(&float, 4, &mut Ctx::eval()).unwrap();
            let got = x.positions(&int8, 4, &mut Ctx::eval()).unwrap();
            assert_eq!(got.value().to_vec::<f32>().unwrap(), want.value().to_vec::<f32>().unwrap());
            assert!(x.positions(&int8, 5, &mut Ctx::eval()).is_err());
            let outside = Var::from(Tensor::from_vec(vec![7i64], [1]).unwrap());
            let error = outside.embedding(&int8, &mut Ctx::eval()).unwrap_err();
            assert!(error.to_string().contains("index 7 is outside 0..7"), "{error}");
        }
    }
}
