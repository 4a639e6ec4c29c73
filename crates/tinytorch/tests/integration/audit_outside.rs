//! Black boxes: the gates that judge answers find what is planted, and those about the inside say that they cannot.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tinytorch::audit::{
    AuditOptions, Budget, Footprint, Gate, HeldOut, ModelReport, Outcome, Outside, OutsideError,
    audit_outside,
};
use tinytorch::{Result, Rng, Tensor};

const SAMPLES: usize = 512;

fn samples() -> HeldOut {
    let x = Tensor::rand([SAMPLES, 4], -1.0, 1.0, &mut Rng::seed(1)).unwrap();
    let classes = x.argmax_last().unwrap();
    HeldOut::new([x], [classes]).unwrap()
}

/// A model that gives back its input, changed by a function of the pass's samples, the value and its column.
fn changed(
    name: &str,
    change: impl Fn(usize, f32, usize) -> f32 + Send + Sync + 'static,
) -> Outside {
    Outside::new(name, move |inputs: &[Tensor]| {
        let (x, n) = (&inputs[0], inputs[0].shape()[0]);
        let values = x.to_vec::<f32>()?.into_iter().enumerate();
        let values = values.map(|(i, v)| change(n, v, i % 4)).collect();
        Ok(vec![Tensor::from_vec(values, *x.shape())?])
    })
}

fn judged(float: &Outside, int8: &Outside) -> Result<ModelReport> {
    let options = AuditOptions::default();
    audit_outside([float, int8], Ok, samples(), &Budget::default(), &options)
}

fn gate(report: &ModelReport, id: &str) -> Gate {
    report.gates.iter().find(|gate| gate.id == id).unwrap().clone()
}

#[test]
fn rounding_passes_and_the_inside_is_not_applicable() {
    let float = changed("float", |_, v, _| v);
    let report = judged(&float, &changed("int8", |_, v, _| (v * 4096.0).round() / 4096.0)).unwrap();
    assert_eq!(report.verdict, Outcome::Pass, "{:?}", report.gates);
    let apart = ["structure", "coverage", "weight_bytes", "round_trip", "overflow", "calibration"];
    for id in apart {
        let gate = gate(&report, id);
        assert_eq!(gate.result, Outcome::NotApplicable);
        assert!(gate.reason.starts_with("only the answers"), "{}", gate.reason);
    }
    assert_eq!((report.float_quality, report.layers.len()), (100.0, 0));
}

#[test]
fn what_is_planted_is_found() {
    let float = changed("float", |_, v, _| v);
    let passes = AtomicU32::new(0);
    let faults: [(&str, Outside); 4] = [
        ("output_error", changed("saturating", |_, v, _| v.clamp(-0.8, 0.8))),
        ("classes", changed("blind", |_, v, column| if column == 2 { v - 9.0 } else { v })),
        ("batches", changed("uneven", |n, v, _| if n == 7 { v * 1.5 } else { v })),
        (
            "determinism",
            changed("unsteady", move |_, v, _| {
                v + passes.fetch_add(1, Ordering::Relaxed) as f32 * 1e-7
            }),
        ),
    ];
    for (id, int8) in faults {
        let report = judged(&float, &int8).unwrap();
        assert_eq!(report.verdict, Outcome::Fail);
        assert_eq!(gate(&report, id).result, Outcome::Fail, "{id}: {}", gate(&report, id).reason);
    }
}

/// A model whose file in a folder has so many bytes, and each copy of which holds so many.
fn of_size(folder: &Path, name: &str, bytes: usize, held: u64) -> Outside {
    let file = folder.join(name);
    std::fs::write(&file, vec![0u8; bytes]).unwrap();
    let how = "a sum".to_string();
    let measure = move |copies| Ok(Footprint { bytes: held * copies as u64, how: how.clone() });
    changed(name, |_, v, _| v).in_file(file).measured_by(measure)
}

#[test]
fn files_and_processes_are_held_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, bytes: usize, held: u64| of_size(folder.path(), name, bytes, held);
    let gates = |int8: usize, held: u64| {
        let report = judged(&of("float", 8 << 20, 8 << 20), &of("int8", int8, held)).unwrap();
        (gate(&report, "file_bytes"), gate(&report, "process_memory"))
    };
    let (file, memory) = gates(2 << 20, 2 << 20);
    assert_eq!((file.result, file.value), (Outcome::Pass, Some(4.0)));
    assert_eq!((memory.result, memory.value), (Outcome::Pass, Some(4.0)));
    // Stored as floats after all; and held as floats though stored as bytes.
    assert_eq!(gates(8 << 20, 2 << 20).0.result, Outcome::Fail);
    let (file, memory) = gates(2 << 20, 8 << 20);
    assert_eq!((file.result, memory.result), (Outcome::Pass, Outcome::Fail));
    let (file, memory) = {
        let report = judged(&of("small", 1 << 10, 1 << 10), &of("smaller", 900, 900)).unwrap();
        (gate(&report, "file_bytes"), gate(&report, "process_memory"))
    };
    assert_eq!((file.result, memory.result), (Outcome::NotApplicable, Outcome::NotApplicable));
}

/// Both sides of the limits: a third of the float file, files of 64 kB, 2 MB for each of 32 copies, and four fifths of what the
/// files allow.
#[test]
fn sizes_are_held_to_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str, bytes: usize, held: u64| of_size(folder.path(), name, bytes, held);
    let results = |(float, int8): (usize, usize), (of_float, of_int8): (u64, u64)| {
        let report = judged(&of("float", float, of_float), &of("int8", int8, of_int8)).unwrap();
        (gate(&report, "file_bytes").result, gate(&report, "process_memory").result)
    };
    let (third, same) = (3 << 20, (1, 1));
    assert_eq!(results((third, 1 << 20), same).0, Outcome::Pass);
    assert_eq!(results((third, (1 << 20) + 1), same).0, Outcome::Fail);
    let small = 64 << 10;
    assert_eq!(results((small, small), same).0, Outcome::Fail);
    assert_eq!(results((small - 1, small), same).0, Outcome::NotApplicable);
    let light = 2 << 20;
    assert_eq!(results((light, light), same).1, Outcome::Pass);
    assert_eq!(results((light - 1, light), same).1, Outcome::NotApplicable);
    assert_eq!(results((4 << 20, 1 << 20), (3200, 1000)).1, Outcome::Pass);
    assert_eq!(results((4 << 20, 1 << 20), (3199, 1000)).1, Outcome::Fail);
}

/// An engine is held to what the integers of its file give: fewer bits, sums that saturate, a bias that is forgotten, and a
/// hundredth or the error of the integers themselves as the limit.
#[test]
fn an_engine_is_as_near_to_its_integers_as_these_are_to_the_floats() {
    let float = changed("float", |_, v, _| v);
    let result = |coarse: f32, engine: Outside| {
        let exact = changed("exact", move |_, v, _| v * (1.0 + coarse));
        gate(&judged(&float, &engine.held_to(exact, "a risk")).unwrap(), "exactness")
    };
    let off = |by: f32| changed("engine", move |_, v, _| v * (1.0 + by));
    assert_eq!(result(0.0, off(0.0099)).result, Outcome::Pass);
    assert_eq!(result(0.0, off(0.0101)).result, Outcome::Fail);
    // The integers are 2 % off, and the engine is as far from them on the other side, or further.
    assert_eq!(result(0.02, off(0.0005)).result, Outcome::Pass);
    assert_eq!(result(0.02, off(-0.0005)).result, Outcome::Fail);
    for engine in [
        changed("few bits", |_, v, _| (v * 8.0).round() / 8.0),
        changed("saturating", |_, v, _| v.clamp(-0.8, 0.8)),
        changed("one column", |_, v, column| if column == 2 { 0.9 * v } else { v }),
    ] {
        let engine = engine.diagnosed_by(|| Ok(Some("it is known".to_string())));
        let gate = result(0.0, engine);
        assert_eq!(gate.result, Outcome::Fail);
        assert!(gate.reason.starts_with("it is known; ") && gate.reason.ends_with("a risk"));
    }
    let alone = gate(&judged(&float, &off(0.0)).unwrap(), "exactness");
    assert_eq!(alone.result, Outcome::NotApplicable);
}

#[test]
fn what_the_parameters_of_a_file_get_wrong_is_told() {
    let float = changed("float", |_, v, _| v);
    let result = |faults: Vec<String>| {
        let int8 = changed("int8", |_, v, _| v).with_parameters(faults, "3 weights");
        gate(&judged(&float, &int8).unwrap(), "parameters")
    };
    let sound = result(Vec::new());
    assert_eq!((sound.result, &*sound.reason), (Outcome::Pass, "3 weights"));
    let faulty = result(vec!["`a` is another".to_string()]);
    assert_eq!((faulty.result, &*faulty.reason), (Outcome::Fail, "`a` is another"));
}

#[test]
fn what_is_no_answer_is_an_error() {
    let float = changed("float", |_, v, _| v);
    let answering = |answer: fn(&Tensor) -> Result<Vec<Tensor>>| {
        Outside::new("wrong", move |inputs: &[Tensor]| answer(&inputs[0]))
    };
    let wrong = [
        answering(|_| Ok(Vec::new())),
        answering(|x| Ok(vec![x.slice(0, 0..1)?])),
        answering(|x| Ok(vec![x.slice(1, 0..3)?])),
        answering(|x| Ok(vec![x.clone(), x.clone()])),
    ];
    for int8 in wrong {
        let error = judged(&float, &int8).unwrap_err();
        assert!(error.downcast_ref::<OutsideError>().is_some(), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}
