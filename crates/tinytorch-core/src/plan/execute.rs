use super::action::{Inputs, MAX_INPUTS, Target};
use super::placement::Placement;
use super::program::{Instruction, Kind, Origin, Program, ValueId};
use super::{Plan, PlanError};
use crate::Result;
use crate::graph::{Elements, Exec, View};
use crate::int8::QParams;
use std::ops::Range;
use std::time::{Duration, Instant};
use tinytorch_kernels::Isa;
use tinytorch_kernels::aligned::{AlignedVec, numbers, numbers_mut};
use tinytorch_kernels::int8::{Int8Error, RowParams, min_max};

/// What a run writes to, beside the output.
#[derive(Debug)]
pub(super) struct Memory {
    exec: Exec,
    arena: AlignedVec<u8>,
    /// For each value whose rows have their own parameters, these.
    row_params: Vec<Vec<QParams>>,
    /// The kernel that each instruction ran last.
    kernels: Vec<Option<&'static str>>,
}

impl Memory {
    /// Memory that has not been allocated yet.
    pub(super) fn new(program: &Program, exec: Exec) -> Memory {
        Memory {
            exec,
            arena: AlignedVec::new(),
            row_params: vec![Vec::new(); program.values.len()],
            kernels: vec![None; program.instructions.len()],
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.exec.isa()
    }

    /// Bytes held, without the arena.
    pub(super) fn scratch_bytes(&self) -> usize {
        let params: usize = self.row_params.iter().map(Vec::capacity).sum();
        self.exec.bytes() + params * size_of::<QParams>()
    }

    pub(super) fn kernel(&self, instruction: usize) -> Option<&'static str> {
        self.kernels[instruction]
    }
}

impl Plan {
    /// Runs every instruction for the current placement, on several threads if any is worth it, and
    /// notes in `times` how long each took.
    pub(super) fn execute(
        &mut self,
        inputs: &[View<'_>],
        out: &mut [f32],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<()> {
        for input in inputs {
            check_finite(self.isa(), input)?;
        }
        let placement = &self.placements[self.current];
        if self.memory.arena.len() < placement.bytes {
            // The old memory is freed first, so that the peak is the new size alone.
            self.memory.arena = AlignedVec::new();
            self.memory.arena = AlignedVec::zeroed(placement.bytes);
        }
        let mut run = Run { program: &self.program, placement, inputs, memory: &mut self.memory };
        if placement.shares_work && rayon::current_num_threads() > 1 {
            // Entering the pool once, rather than for each instruction: it costs about 13 us.
            rayon::scope(|_| run.all(out, times))
        } else {
            run.all(out, times)
        }
    }
}

fn check_finite(isa: Isa, input: &View<'_>) -> Result<()> {
    let Elements::F32(values) = input.elements else { return Ok(()) };
    match min_max(isa, values) {
        Err(Int8Error::NotFinite { index, value, .. }) => {
            Err(PlanError::NotFinite { index, value }.into())
        }
        other => Ok(other.map(drop)?),
    }
}

struct Run<'a> {
    program: &'a Program,
    placement: &'a Placement,
    inputs: &'a [View<'a>],
    memory: &'a mut Memory,
}

impl Run<'_> {
    fn all(&mut self, out: &mut [f32], mut times: Option<&mut Vec<Duration>>) -> Result<()> {
        for (i, instruction) in self.program.instructions.iter().enumerate() {
            let started = times.is_some().then(Instant::now);
            self.one(instruction, out)?;
            self.memory.kernels[i] = Some(self.memory.exec.take_kernel());
            if let (Some(times), Some(started)) = (&mut times, started) {
                times.push(started.elapsed());
            }
        }
        Ok(())
    }

    fn one(&mut self, instruction: &Instruction, out: &mut [f32]) -> Result<()> {
        let Memory { exec, arena, row_params, .. } = &mut *self.memory;
        let output = instruction.output;
        let kind = self.program.values[output].kind;
        // Taken out of the list for as long as the others are read.
        let mut own_params = match kind {
            Kind::RowLevels | Kind::WideRowLevels => std::mem::take(&mut row_params[output]),
            Kind::Plain | Kind::Levels(_) => Vec::new(),
        };
        let (target, rest) = if output == self.program.root(self.program.output) {
            (Target::Floats(out), Rest { before: arena, after: &[], after_start: usize::MAX })
        } else {
            let (bytes, rest) = Rest::split(arena, &self.placement.places[output]);
            let target = match kind {
                Kind::Plain => Target::Floats(numbers_mut(bytes)),
                Kind::Levels(params) => Target::Levels(bytes, params),
                Kind::RowLevels | Kind::WideRowLevels => Target::RowLevels(bytes, &mut own_params),
            };
            (target, rest)
        };
        let scalar = View { shape: crate::tensor::Shape::SCALAR, elements: Elements::F32(&[]) };
        let mut views = [scalar; MAX_INPUTS];
        for (view, &id) in views.iter_mut().zip(&instruction.inputs) {
            *view = resolve(self.program, self.placement, self.inputs, &rest, id)?;
        }
        let first = instruction.inputs.first().map(|&id| self.program.root(id));
        let params = first.and_then(|id| match self.program.values[id].kind {
            Kind::Plain => None,
            Kind::Levels(params) => Some(RowParams::Tensor(params)),
            Kind::RowLevels | Kind::WideRowLevels => Some(RowParams::PerRow(&row_params[id])),
        });
        let inputs = Inputs { views: &views[..instruction.inputs.len()], params };
        let done = instruction.action.run(&inputs, target, exec);
        if matches!(kind, Kind::RowLevels | Kind::WideRowLevels) {
            row_params[output] = own_params;
        }
        done
    }
}

/// A value as an action reads it.
fn resolve<'a>(
    program: &'a Program,
    placement: &Placement,
    inputs: &[View<'a>],
    rest: &Rest<'a>,
    id: ValueId,
) -> Result<View<'a>> {
    let shape = placement.shapes[id];
    let root = program.root(id);
    let elements = match &program.values[root].origin {
        Origin::Input(i) => inputs[*i].elements,
        Origin::Constant(tensor) => View::of(tensor)?.elements,
        Origin::Computed | Origin::Reshaped(..) => {
            let bytes = rest.bytes(&placement.places[root]);
            match program.values[root].kind {
                Kind::Plain => Elements::F32(numbers(bytes)),
                Kind::Levels(_) | Kind::RowLevels | Kind::WideRowLevels => Elements::U8(bytes),
            }
        }
    };
    Ok(View { shape, elements })
}

/// The arena without the part that is being written.
struct Rest<'a> {
    before: &'a [u8],
    after: &'a [u8],
    after_start: usize,
}

impl<'a> Rest<'a> {
    fn split(arena: &'a mut [u8], written: &Range<usize>) -> (&'a mut [u8], Rest<'a>) {
        let (before, rest) = arena.split_at_mut(written.start);
        let (bytes, after) = rest.split_at_mut(written.len());
        (bytes, Rest { before, after, after_start: written.end })
    }

    /// Bytes that do not meet those written, as a placement ensures.
    fn bytes(&self, range: &Range<usize>) -> &'a [u8] {
        match range.start.checked_sub(self.after_start) {
            Some(start) => &self.after[start..start + range.len()],
            None => &self.before[range.clone()],
        }
    }
}
