//! The table of ops in `ops.md` says what the ops say of themselves.

use super::*;
use crate::autograd::Op;
use crate::graph::{ConvGeometry, Orders, PoolGeometry, Properties, ShortcutGeometry, Sizes};
use crate::tensor::{Dtype, Shape};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The cells of each row by the op's name.
fn table() -> BTreeMap<&'static str, Vec<&'static str>> {
    let rows = include_str!("ops.md").lines().filter(|line| line.starts_with("| [`"));
    let cells = rows.map(|row| row.trim_matches('|').split(" | ").map(str::trim).collect());
    cells.map(|cells: Vec<&str>| (cells[0].trim_matches(&['[', ']', '`'][..]), cells)).collect()
}

/// Names of the types in this folder that implement `Op`, and whether with a derivative.
fn ops() -> BTreeMap<String, bool> {
    fn read(folder: &Path, found: &mut BTreeMap<String, bool>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, found);
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            let mut lines = source.lines();
            while let Some(line) = lines.next() {
                let Some((before, name)) = line.split_once(" Op for ") else { continue };
                if !before.starts_with("impl") {
                    continue;
                }
                let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
                let mut body = lines.by_ref().take_while(|line| *line != "}");
                let has = !line.ends_with("{}") && body.any(|line| line.contains("fn backward"));
                found.insert(name, has);
            }
        }
    }
    let mut found = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ops"), &mut found);
    found
}

#[test]
fn every_op_has_its_row_and_every_row_its_op() {
    let (table, ops) = (table(), ops());
    assert!(ops.len() > 40, "{ops:?}");
    let note = include_str!("ops.md").rsplit_once("What follows").unwrap().1;
    for (op, has_derivative) in &ops {
        let of_op = |name: &str| name.split("::").next() == Some(op);
        let mut rows = table.iter().filter(|(name, _)| of_op(name)).peekable();
        assert!(rows.peek().is_some() || note.contains(&format!("`{op}`")), "{op} is nowhere");
        for (name, cells) in rows {
            assert_eq!(cells.len(), 6, "{name}");
            assert_eq!(cells[3] != "none", *has_derivative, "{name}");
        }
    }
    for name in table.keys() {
        assert!(ops.contains_key(name.split("::").next().unwrap()), "{name} is no op");
    }
}

/// The facts as the table has them.
fn facts(properties: Properties) -> Vec<&'static str> {
    let Properties {
        pointwise,
        reshapes,
        selects,
        joins,
        keeps_range,
        sums,
        positive_part,
        clips,
        standardizes,
        normalizes_channels,
        looks_up,
        keeps_samples_apart,
        orders,
        sizes,
    } = properties;
    let facts = [
        ("pointwise", pointwise),
        ("reshapes", reshapes),
        ("selects", selects),
        ("joins", joins),
        ("keeps_range", keeps_range),
        ("sums", sums),
        ("positive_part", positive_part),
        ("clips", clips.is_some()),
        ("standardizes", standardizes),
        ("normalizes_channels", normalizes_channels),
        ("looks_up", looks_up),
        ("keeps_samples_apart", keeps_samples_apart),
        ("orders", orders != Orders::ByChannel),
        ("sizes", sizes != Sizes::Follow),
    ];
    facts.iter().filter(|(_, is_so)| *is_so).map(|(name, _)| *name).collect()
}

#[test]
fn the_properties_are_those_that_the_ops_report() {
    let windows = PoolGeometry::square(2);
    let shortcut = ShortcutGeometry { stride: 2, channels: 4 };
    let rope = Rope::new(1e4, RopePairs::Halves);
    let (geometry, axis, keep, mean) = (ConvGeometry::default(), 0, true, true);
    let (kernel, stride, dilation) = (vec![1], vec![1], vec![1]);
    let kind = PoolKind::Average { with_border: true };
    let pool = PoolWindows { kind, kernel, stride, padding: vec![[0; 2]], dilation, ceil: false };
    let response = ResponseNorm { size: 1, alpha: 1.0, beta: 1.0, bias: 1.0 };
    let ops: Vec<(&str, Box<dyn Op>)> = vec![
        ("Attention", Box::new(Attention { causal: true })),
        ("BatchNorm2d", Box::new(BatchNorm2d { eps: 1e-5 })),
        ("Binary::Add", Box::new(Binary::Add)),
        ("Binary::Sub", Box::new(Binary::Sub)),
        ("Binary::Mul", Box::new(Binary::Mul)),
        ("Binary::Div", Box::new(Binary::Div)),
        ("Blocks", Box::new(Blocks::SpaceToDepth { block: 2 })),
        ("Cast", Box::new(Cast(Dtype::I64))),
        ("Cat", Box::new(Cat { axis })),
        ("Compare", Box::new(Compare::Equal)),
        ("Conv2d", Box::new(Conv2d { geometry })),
        ("ConvTranspose2d", Box::new(ConvTranspose2d { geometry, extra: [0; 2] })),
        ("Expand", Box::new(Expand)),
        ("Extremum", Box::new(Extremum::Max)),
        ("Gather", Box::new(Gather { axis })),
        ("GatherElements", Box::new(GatherElements { axis })),
        ("GlobalAvgPool", Box::new(GlobalAvgPool)),
        ("IsNot", Box::new(IsNot { value: 0 })),
        ("Linear", Box::new(Linear)),
        ("Logic", Box::new(Logic::And)),
        ("Lookup", Box::new(Lookup(Rows::Ids))),
        ("MatMul", Box::new(MatMul)),
        ("MaxAxis", Box::new(MaxAxis { axis, keep })),
        ("Normalize", Box::new(Normalize { mean: [0.0].into(), std: [1.0].into() })),
        ("OneHot", Box::new(OneHot { axis: 0 })),
        ("Pad", Box::new(Pad(Border::Constant))),
        ("PadShortcut", Box::new(PadShortcut(shortcut))),
        ("Pointwise", Box::new(Pointwise { name: "gelu", f: functions::Gelu })),
        ("Pool::Max", Box::new(Pool::Max(windows))),
        ("Pool::Avg", Box::new(Pool::Avg(windows))),
        ("PoolWindows", Box::new(pool)),
        ("Pow", Box::new(Pow(2.0))),
        ("Power", Box::new(Power)),
        ("Range", Box::new(Range)),
        ("Rearrange", Box::new(Rearrange::Slice { axis, range: 0..1 })),
        ("Reduce", Box::new(Reduce { reduction: Reduction::Sum, axes: vec![0], keep })),
        ("Relu", Box::new(Relu)),
        ("Remainder", Box::new(Remainder { like_first: false })),
        ("Reshape", Box::new(Reshape::Fixed(Shape::SCALAR))),
        ("ReshapeTo", Box::new(ReshapeTo)),
        ("Resize", Box::new(Resize::nearest())),
        ("ResponseNorm", Box::new(response)),
        ("Rotate", Box::new(Rotate { rope, offset: 0 })),
        ("RowNorm", Box::new(RowNorm { kind: NormKind::Rms, eps: 1e-5 })),
        ("Scalar", Box::new(Scalar::Sin)),
        ("ScatterNd", Box::new(ScatterNd(Update::Replace))),
        ("ShapeOf", Box::new(ShapeOf)),
        ("Slice", Box::new(Slice)),
        ("Softmax", Box::new(Softmax { axis, log: false })),
        ("Split", Box::new(Split { axis, parts: Parts::Sizes(vec![1]) })),
        ("SumAll", Box::new(SumAll { mean })),
        ("SumAxis", Box::new(SumAxis { axis, keep, mean })),
        ("Tile", Box::new(Tile)),
        ("TopK", Box::new(TopK { axis, largest: true })),
        ("Triangle", Box::new(Triangle { upper: true })),
        ("Where", Box::new(Where)),
        ("WithinContext", Box::new(WithinContext { offset: 0, positions: 1 })),
    ];
    let table = table();
    for (name, op) in &ops {
        let mut cell: Vec<&str> = table[name][4].split([',', ';']).map(str::trim).collect();
        // A fact with a condition begins with the fact.
        cell.iter_mut().for_each(|fact| *fact = fact.split(' ').next().unwrap_or(fact));
        cell.retain(|fact| *fact != "none");
        let (mut want, got) = (facts(op.properties()), cell);
        want.sort_unstable();
        let mut got = got;
        got.sort_unstable();
        assert_eq!(got, want, "{name}");
    }
    // The rest holds a weight or a value, and has no facts or those of its float form.
    assert_eq!(table.len(), ops.len() + 4);
}
