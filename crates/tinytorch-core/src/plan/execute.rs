//! Running a program in its placement.

use super::action::{Operands, Target, copy};
use super::placement::Placement;
use super::program::{Instruction, Origin, Program, ValueId};
use super::{Plan, PlanError};
use crate::Result;
use crate::graph::{Elements, ElementsMut, Exec, View, ViewMut, Viewed, for_dtype};
use crate::int8::{Encoding, QParams};
use crate::tensor::{Dtype, Shape, TensorError};
use std::ops::Range;
use std::time::{Duration, Instant};
use tinytorch_kernels::aligned::{AlignedVec, flags, flags_mut, numbers, numbers_mut};
use tinytorch_kernels::int8::{Int8Error, RowParams, min_max};
use tinytorch_kernels::os::room;
use tinytorch_kernels::{Isa, Ran};

/// What a run writes to, beside the output.
#[derive(Debug)]
pub(super) struct Memory {
    exec: Exec,
    arena: AlignedVec<u8>,
    /// For each value whose rows have their own parameters, these.
    row_params: Vec<Vec<QParams>>,
    /// The kernel that each instruction ran last.
    kernels: Vec<Option<Ran>>,
    lists: Lists,
}

/// Lists of what instructions read and write, kept from one to the next; they are empty in between.
#[derive(Debug, Default)]
struct Lists {
    views: Vec<View<'static>>,
    outputs: Vec<ViewMut<'static>>,
    pieces: Vec<Piece<'static>>,
}

impl Memory {
    /// Memory that has not been allocated yet.
    pub(super) fn new(program: &Program, exec: Exec) -> Memory {
        Memory {
            exec,
            arena: AlignedVec::new(),
            row_params: vec![Vec::new(); program.values.len()],
            kernels: vec![None; program.instructions.len()],
            lists: Lists::default(),
        }
    }

    pub(super) fn isa(&self) -> Isa {
        self.exec.isa()
    }

    /// What placements work out their decided values with.
    pub(super) fn exec(&mut self) -> &mut Exec {
        &mut self.exec
    }

    /// Bytes held, without the arena.
    pub(super) fn scratch_bytes(&self) -> usize {
        let params: usize = self.row_params.iter().map(Vec::capacity).sum();
        let Lists { views, outputs, pieces } = &self.lists;
        let lists = views.capacity() * size_of::<View<'_>>()
            + outputs.capacity() * size_of::<ViewMut<'_>>()
            + pieces.capacity() * size_of::<Piece<'_>>();
        self.exec.bytes() + params * size_of::<QParams>() + lists
    }

    pub(super) fn kernel(&self, instruction: usize) -> Option<Ran> {
        self.kernels[instruction]
    }
}

impl Plan {
    /// Runs every instruction for the current placement, on several threads if any is worth it, and
    /// notes in `times` how long each took. `results` have the shapes and types that the placement says.
    pub(super) fn execute(
        &mut self,
        inputs: &[View<'_>],
        results: &mut [ViewMut<'_>],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<()> {
        match self.placements[self.current].part {
            Some(part) => self.execute_in_parts(part, inputs, results, times),
            None => self.execute_whole(inputs, results, times),
        }
    }

    /// [`Plan::execute`] on all samples at once.
    pub(super) fn execute_whole(
        &mut self,
        inputs: &[View<'_>],
        results: &mut [ViewMut<'_>],
        times: Option<&mut Vec<Duration>>,
    ) -> Result<()> {
        let placement = &self.placements[self.current];
        if self.memory.arena.len() < placement.bytes {
            // The old memory is freed first, so that the peak is the new size alone.
            self.memory.arena = AlignedVec::new();
            room::require("a pass of this batch", placement.bytes as u64)?;
            self.memory.arena = AlignedVec::zeroed(placement.bytes);
        }
        let mut run = Run { program: &self.program, placement, inputs, memory: &mut self.memory };
        if placement.shares_work && rayon::current_num_threads() > 1 {
            // Entering the pool once, rather than for each instruction: it costs about 13 us.
            rayon::scope(|_| run.all(results, times))
        } else {
            run.all(results, times)
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
    fn all(
        &mut self,
        results: &mut [ViewMut<'_>],
        mut times: Option<&mut Vec<Duration>>,
    ) -> Result<()> {
        for (i, instruction) in self.program.instructions.iter().enumerate() {
            let started = times.is_some().then(Instant::now);
            if self.placement.runs[i] {
                self.memory.exec.go_on()?;
                if let Err(error) = self.one(instruction, results) {
                    self.blame_input(instruction)?;
                    return Err(error);
                }
                self.memory.kernels[i] = Some(self.memory.exec.take_kernel());
            }
            if let (Some(times), Some(started)) = (&mut times, started) {
                times.push(started.elapsed());
            }
        }
        for (&id, result) in self.program.results.iter().zip(results) {
            if let Some(value) = &self.placement.decided[id] {
                copy(&View::of(value)?, result)?;
            }
        }
        Ok(())
    }

    /// Where a step could not give an input of the plan another form because it is not finite, says so in
    /// terms of the input.
    fn blame_input(&self, instruction: &Instruction) -> Result<()> {
        for &id in instruction.inputs.iter().filter(|_| instruction.action.converts()) {
            if let Origin::Input(i) = self.program.values[self.program.root(id)].origin {
                check_finite(self.memory.isa(), &self.inputs[i])?;
            }
        }
        Ok(())
    }

    fn one(&mut self, instruction: &Instruction, results: &mut [ViewMut<'_>]) -> Result<()> {
        let Memory { exec, arena, row_params, lists, .. } = &mut *self.memory;
        let (program, placement) = (self.program, self.placement);
        let [output, ..] = instruction.outputs[..] else { return Ok(()) };
        let encoding = program.values[output].encoding;
        // Taken out of the list for as long as the others are read.
        let mut own_params = match encoding {
            Encoding::PerRow | Encoding::PerRow16 => std::mem::take(&mut row_params[output]),
            Encoding::F32 | Encoding::Static(_) => Vec::new(),
        };
        let mut pieces = recycled_pieces(std::mem::take(&mut lists.pieces));
        let mut outputs = recycled_outputs(std::mem::take(&mut lists.outputs));
        let mut views = recycled_views(std::mem::take(&mut lists.views));
        divide(program, placement, instruction, arena, &mut outputs, &mut pieces);
        for (i, result) in results.iter_mut().enumerate() {
            let id = program.root(program.results[i]);
            if let Some(at) = instruction.outputs.iter().position(|&output| output == id) {
                outputs[at] = ViewMut { shape: placement.shapes[id], ..result.reborrow() };
            }
        }
        let in_memory_order = instruction.action.reads_in_memory_order();
        for &id in &instruction.inputs {
            let mut view = resolve(program, placement, self.inputs, &pieces, id)?;
            if in_memory_order {
                view.shape = in_order_of_memory(&view.shape)?;
            }
            views.push(view);
        }
        let first = instruction.inputs.first().map(|&id| program.root(id));
        let params = first.and_then(|id| match program.values[id].encoding {
            Encoding::F32 => None,
            Encoding::Static(params) => Some(RowParams::Tensor(params)),
            Encoding::PerRow => Some(RowParams::PerRow(&row_params[id])),
            Encoding::PerRow16 => Some(RowParams::PerRow16(&row_params[id])),
        });
        let operands = Operands { views: &views, params };
        let target = Target { outputs: &mut outputs, encoding, params: &mut own_params };
        let done = instruction.action.run(&operands, target, exec);
        if matches!(encoding, Encoding::PerRow | Encoding::PerRow16) {
            row_params[output] = own_params;
        }
        lists.views = recycled_views(views);
        lists.outputs = recycled_outputs(outputs);
        lists.pieces = recycled_pieces(pieces);
        done
    }
}

/// An image's shape with its channels last, as its values lie in memory pixel by pixel.
fn in_order_of_memory(shape: &Shape) -> Result<Shape> {
    let [batch, channels, height, width] = crate::geometry::image_dims("plan", shape)?;
    Ok(Shape::new(&[batch, height, width, channels])?)
}

/// A value as an action reads it.
fn resolve<'a>(
    program: &'a Program,
    placement: &'a Placement,
    inputs: &[View<'a>],
    pieces: &[Piece<'a>],
    id: ValueId,
) -> Result<View<'a>> {
    let shape = placement.shapes[id];
    let root = program.root(id);
    if let Some(value) = &placement.decided[root] {
        return Ok(View { shape, ..View::of(value)? });
    }
    let elements = match &program.values[root].origin {
        Origin::Input(i) => inputs[*i].elements,
        Origin::Constant(tensor) => View::of(tensor)?.elements,
        Origin::Computed | Origin::Reshaped { .. } => {
            let bytes = bytes_of(pieces, &placement.places[root]);
            match program.values[root].encoding {
                Encoding::F32 => elements_of(bytes, placement.dtypes[root])?,
                Encoding::Static(_) | Encoding::PerRow | Encoding::PerRow16 => Elements::U8(bytes),
            }
        }
    };
    Ok(View { shape, elements })
}

fn elements_of(bytes: &[u8], dtype: Dtype) -> Result<Elements<'_>> {
    if bytes.is_empty() {
        // No bytes may lie anywhere, numbers may not.
        return Ok(for_dtype!(dtype, T => <T as Viewed>::elements(&[])));
    }
    Ok(match dtype {
        Dtype::F32 => Elements::F32(numbers(bytes)),
        Dtype::I64 => Elements::I64(numbers(bytes)),
        Dtype::I32 => Elements::I32(numbers(bytes)),
        Dtype::U8 => Elements::U8(bytes),
        Dtype::I8 => Elements::I8(numbers(bytes)),
        Dtype::Bool => {
            let wrong = TensorError::Dtype { expected: Dtype::Bool, got: Dtype::U8 };
            Elements::Bool(flags(bytes).ok_or(wrong)?)
        }
    })
}

fn elements_mut_of(bytes: &mut [u8], dtype: Dtype) -> ElementsMut<'_> {
    if bytes.is_empty() {
        return for_dtype!(dtype, T => <T as Viewed>::elements_mut(&mut []));
    }
    match dtype {
        Dtype::F32 => ElementsMut::F32(numbers_mut(bytes)),
        Dtype::I64 => ElementsMut::I64(numbers_mut(bytes)),
        Dtype::I32 => ElementsMut::I32(numbers_mut(bytes)),
        Dtype::U8 => ElementsMut::U8(bytes),
        Dtype::I8 => ElementsMut::I8(numbers_mut(bytes)),
        Dtype::Bool => ElementsMut::Bool(flags_mut(bytes)),
    }
}

/// A part of the arena that an instruction does not write.
#[derive(Debug)]
struct Piece<'a> {
    start: usize,
    bytes: &'a [u8],
}

/// Divides the arena into the places of an instruction's outputs, in `outputs`, and all else, in `pieces`.
fn divide<'a>(
    program: &Program,
    placement: &Placement,
    instruction: &Instruction,
    arena: &'a mut [u8],
    outputs: &mut Vec<ViewMut<'a>>,
    pieces: &mut Vec<Piece<'a>>,
) {
    let (mut rest, mut start) = (arena, 0);
    outputs.extend(instruction.outputs.iter().map(|_| ViewMut::nothing()));
    for (output, &id) in outputs.iter_mut().zip(&instruction.outputs) {
        output.shape = placement.shapes[id];
        let dtype = match program.values[id].encoding {
            Encoding::F32 => placement.dtypes[id],
            _ => Dtype::U8,
        };
        output.elements = elements_mut_of(&mut [], dtype);
    }
    loop {
        // The outputs in the order of their places, of which there are few.
        let places = instruction.outputs.iter().map(|&id| &placement.places[id]).enumerate();
        let left = places.filter(|(_, place)| !place.is_empty() && place.start >= start);
        let Some((next, place)) = left.min_by_key(|(_, place)| place.start) else { break };
        let (before, from) = rest.split_at_mut(place.start - start);
        let (bytes, after) = from.split_at_mut(place.len());
        pieces.push(Piece { start, bytes: before });
        let output = &mut outputs[next];
        output.elements = elements_mut_of(bytes, output.elements.dtype());
        (rest, start) = (after, place.end);
    }
    pieces.push(Piece { start, bytes: rest });
}

/// Bytes that do not meet those written, as a placement ensures.
fn bytes_of<'a>(pieces: &[Piece<'a>], range: &Range<usize>) -> &'a [u8] {
    let at = pieces.partition_point(|piece| piece.start <= range.start) - 1;
    let Piece { start, bytes } = &pieces[at];
    &bytes[range.start - start..range.end - start]
}

/// Lists whose memory serves another instruction. An empty list holds no reference, and collecting from one
/// list into another of the same layout keeps its memory.
macro_rules! recycled {
    ($name:ident, $item:ident) => {
        fn $name<'a>(mut list: Vec<$item<'_>>) -> Vec<$item<'a>> {
            list.clear();
            list.into_iter().map(|_| -> $item<'a> { unreachable!("the list is empty") }).collect()
        }
    };
}
recycled!(recycled_views, View);
recycled!(recycled_outputs, ViewMut);
recycled!(recycled_pieces, Piece);
