//! A convolution cut into tasks, each a product of a slab of an image with some output channels.

use std::ops::Range;

use super::columns::{COLUMNS, Columns};
use super::conv_access::{Access, KernelRuns};
use super::conv_job::{Cut, Job};
use super::depthwise::{Depthwise, PIXELS};
use super::depthwise_block::Block;
use super::finish::{Finish, Staged, Target};
use super::level_sums::SumWindows;
use super::operands::Layout;
use super::panels::{Packed, pack_row};
use super::product::Product;
use super::rows::Rows;
use super::runs::Runs;
use super::slab::{COPY_SLACK, Slab, copy_short};
use super::turned::Turned;
use super::widen::Wide;
use super::winograd::Winograd;
use super::{Int8Error, QParams};
use crate::Scratch;
use crate::parallel::{SharedOut, share};
use crate::scratch::bytes_for;
use crate::tuning::GROUP;

/// How the kernel meets the image.
#[derive(Copy, Clone)]
struct Reading<'a> {
    /// Where its runs lie, from the first one on.
    offsets: &'a [usize],
    weight: Packed<'a>,
    /// Rows whose results are turned together before they are written; 0 if none are.
    turned_rows: usize,
}

/// Some rows of an output image, counted from the first one of a task, and what their values are made of.
struct Lines<'a> {
    rows: Range<usize>,
    columns: Range<usize>,
    out_width: usize,
    slab: Slab<'a>,
    params: QParams,
}

/// Some rows and channels of an output image.
struct Task {
    image: usize,
    rows: Range<usize>,
    columns: Range<usize>,
}

/// Where the results of a task go: to the first pixel of the first channel, and the others from there on.
struct Place {
    target: Target,
    row_stride: usize,
    column_stride: usize,
    relu: bool,
}

impl Place {
    /// The same for the pixels from `pixel` on, and some channels.
    fn finish(&self, pixel: usize, columns: Range<usize>) -> Finish {
        let Place { target, row_stride, column_stride, relu } = *self;
        // SAFETY: the element is one that is written.
        let target = unsafe { target.skip(pixel * row_stride + columns.start * column_stride) };
        Finish { target, row_stride, column_stride, columns, relu }
    }
}

/// The working memory of a thread.
struct Workspace<'a> {
    slab: &'a mut [u8],
    gathered: &'a mut [u8],
    wide: Wide<'a>,
    numbers: &'a mut [i32],
    /// Where weights have zero points: those of pixels and of windows.
    level_sums: [&'a mut [i32]; 2],
    /// What is turned.
    results: &'a mut [f32],
    /// For depthwise convolutions: a block of weights, and what they are multiplied with.
    block: &'a mut [i32],
    taps: &'a mut [i32],
}

/// What of it products need.
struct Working<'w, 'a> {
    gathered: &'w mut [u8],
    wide: &'w mut Wide<'a>,
    numbers: &'w mut [i32],
    level_sums: [&'w mut [i32]; 2],
}

impl Job<'_> {
    pub(super) fn run(&self, scratch: &mut Scratch) -> Result<(), Int8Error> {
        let out_size = self.shape.output_size()?;
        if self.shape.output_len()? == 0 {
            return Ok(());
        }
        let cut = self.cut(out_size);
        let runs = KernelRuns::of(self.shape);
        let slab = if self.copies_slab() {
            Slab::bytes(&self.in_bytes(), Slab::height(self.shape, cut.task_rows))
        } else {
            0
        };
        let gathered = match self.access {
            Access::Gathered(pixels) => self.level_bytes() * pixels * self.weight.k() + COPY_SLACK,
            _ => 0,
        };
        let block = self.images.params.block(&self.epilogue.scales, self.weight.k());
        let numbers = Columns::numbers(block, self.weight.k());
        let (block, taps) = match self.access {
            Access::Depthwise => {
                (Block::numbers(self.shape), Depthwise::numbers(self.shape, out_size[1]))
            }
            _ => (0, 0),
        };
        let wide = self.wide_size(&cut, &runs, gathered);
        let most_columns = cut.most_columns(self.shape.out_channels);
        let results = cut.turned_rows * out_size[1] * most_columns;
        let (slab_step, gathered_step) = (bytes_for::<u8>(slab), bytes_for::<u8>(gathered));
        let levels_step = bytes_for::<u8>(wide.levels);
        let summed = self.summed(cut.task_rows, out_size[1]);
        let of_numbers = [numbers, block, taps, wide.weights, summed[0], summed[1]];
        let of_numbers = of_numbers.map(bytes_for::<i32>);
        let results_step = bytes_for::<f32>(results);
        let per_thread = slab_step
            + gathered_step
            + levels_step
            + results_step
            + of_numbers.iter().sum::<usize>();
        let padded_k = if self.access == Access::Padded { runs.count * runs.read } else { 0 };
        let padded = self.weight.n() * padded_k;
        let shared = bytes_for::<usize>(runs.count)
            + bytes_for::<i8>(padded)
            + bytes_for::<i8>(padded_k + self.weight.k());
        let mut arena = scratch.arena(shared + cut.threads * per_thread);
        let offsets = arena.take::<usize>(runs.count);
        self.fill_offsets(offsets);
        let (panels, rows) = (arena.take(padded), arena.take(padded_k + self.weight.k()));
        let weight = if self.access == Access::Padded {
            self.pad_weight(&runs, panels, rows)
        } else {
            self.weight.packed()
        };
        let slabs = SharedOut::new(arena.take::<u8>(cut.threads * slab_step));
        let gathers = SharedOut::new(arena.take::<u8>(cut.threads * gathered_step));
        let all_levels = SharedOut::new(arena.take::<u8>(cut.threads * levels_step));
        let all_weights = SharedOut::new(arena.take::<i32>(cut.threads * wide.weights));
        let all_numbers = SharedOut::new(arena.take::<i32>(cut.threads * numbers));
        let blocks = SharedOut::new(arena.take::<i32>(cut.threads * block));
        let all_taps = SharedOut::new(arena.take::<i32>(cut.threads * taps));
        let all_summed =
            summed.map(|numbers| SharedOut::new(arena.take::<i32>(cut.threads * numbers)));
        let tasks = cut.channel_parts * self.shape.batch * cut.row_parts;
        let all_results = SharedOut::new(arena.take::<f32>(cut.threads * results));
        share(tasks, cut.threads, &|worker| {
            let thread = worker.index();
            // SAFETY: each thread has its own part of the scratch.
            let mut workspace = unsafe {
                Workspace {
                    slab: slabs.slice(thread * slab_step, slab),
                    gathered: gathers.slice(thread * gathered_step, gathered),
                    wide: Wide {
                        weights: all_weights.slice(thread * wide.weights, wide.weights),
                        levels: all_levels.slice(thread * levels_step, wide.levels),
                    },
                    numbers: all_numbers.slice(thread * numbers, numbers),
                    level_sums: [0, 1].map(|i| all_summed[i].slice(thread * summed[i], summed[i])),
                    results: all_results.slice(thread * results, results),
                    block: blocks.slice(thread * block, block),
                    taps: all_taps.slice(thread * taps, taps),
                }
            };
            for index in worker {
                let task = self.task(&cut, index, out_size[0]);
                let reading = Reading { offsets, weight, turned_rows: cut.turned_rows };
                self.convolve(&task, &reading, out_size, &mut workspace);
            }
        });
        Ok(())
    }

    fn task(&self, cut: &Cut, index: usize, out_height: usize) -> Task {
        let per_part = self.shape.batch * cut.row_parts;
        let (part, index) = (index / per_part, index % per_part);
        let first_row = index % cut.row_parts * cut.task_rows;
        Task {
            image: index / cut.row_parts,
            rows: first_row..out_height.min(first_row + cut.task_rows),
            columns: cut.columns(part, self.shape.out_channels),
        }
    }

    /// The weight with zeros after each run, packed into `panels`; `rows` holds a row of either.
    fn pad_weight<'a>(
        &'a self,
        runs: &KernelRuns,
        panels: &'a mut [i8],
        rows: &mut [i8],
    ) -> Packed<'a> {
        let (n, k) = (self.weight.n(), runs.count * runs.read);
        let (row, padded) = rows.split_at_mut(self.weight.k());
        padded.fill(0);
        for i in 0..n {
            self.weight.values_into(i, 0, row);
            for (to, from) in padded.chunks_exact_mut(runs.read).zip(row.chunks_exact(runs.len)) {
                to[..runs.len].copy_from_slice(from);
            }
            pack_row(panels, n, i, padded);
        }
        // Padding changes no sums.
        Packed { bytes: panels, n, k, pair_rule: self.uses_pair_rule(), ..self.weight.packed() }
    }

    fn fill_offsets(&self, offsets: &mut [usize]) {
        let [[_, _], [left, right]] = self.shape.padding;
        let channels = self.shape.in_channels;
        let row_stride = (self.shape.width + left + right) * channels;
        let per_row = offsets.len() / self.shape.kernel[0];
        let [down, across] = self.shape.dilation;
        for (i, offset) in offsets.iter_mut().enumerate() {
            *offset = i / per_row * down * row_stride + i % per_row * across * channels;
        }
    }

    fn convolve(
        &self,
        task: &Task,
        reading: &Reading<'_>,
        out_size: [usize; 2],
        workspace: &mut Workspace<'_>,
    ) {
        let (shape, out_width) = (self.shape, out_size[1]);
        let params = self.images.params.of(task.image);
        let in_bytes = self.in_bytes();
        let image_len = shape.height * shape.width * in_bytes.in_channels;
        let image = &self.images.data[task.image * image_len..][..image_len];
        let slab = if self.copies_slab() {
            Slab::copied(&in_bytes, image, &task.rows, params.zero_point, workspace.slab)
        } else {
            Slab::in_place(&in_bytes, image, &task.rows)
        };
        let place = self.place(task, out_size);
        if self.access == Access::Depthwise {
            let depthwise = Depthwise {
                shape,
                slab,
                params,
                weight: reading.weight,
                epilogue: self.epilogue,
                finish: place.finish(0, 0..shape.out_channels),
                columns: Columns::over(workspace.numbers),
                block: Block::over(shape, workspace.block),
                taps: workspace.taps,
                staged: Staged::new(),
                spare: [0; PIXELS * COLUMNS],
                rows: task.rows.len(),
                out_width,
            };
            return self.isa.run(depthwise);
        }
        let mut working = Working {
            gathered: workspace.gathered,
            wide: &mut workspace.wide,
            numbers: workspace.numbers,
            level_sums: workspace.level_sums.each_mut().map(|sums| &mut **sums),
        };
        let columns = task.columns.clone();
        let lines = |rows| Lines { rows, columns: columns.clone(), out_width, slab, params };
        let height = task.rows.len();
        if reading.turned_rows == 0 {
            let mut finish = |pixel, columns| place.finish(pixel, columns);
            return self.multiply(&lines(0..height), reading, &mut working, &mut finish);
        }
        for start in (0..height).step_by(reading.turned_rows) {
            let rows = start..height.min(start + reading.turned_rows);
            let mut turned = Turned {
                results: &mut workspace.results[..rows.len() * out_width * columns.len()],
                to: place.finish(start * out_width, columns.clone()),
            };
            let mut finish = |pixel, columns| turned.finish(pixel, columns);
            self.multiply(&lines(rows), reading, &mut working, &mut finish);
            turned.write(self.isa);
        }
    }

    /// Where the results of a task go.
    fn place(&self, task: &Task, [out_height, out_width]: [usize; 2]) -> Place {
        let (n, out_pixels) = (self.shape.out_channels, out_height * out_width);
        let first_pixel = task.rows.start * out_width;
        let (first, row_stride, column_stride) = match self.layout {
            Layout::Nchw => (task.image * n * out_pixels + first_pixel, 1, out_pixels),
            Layout::Nhwc => ((task.image * out_pixels + first_pixel) * n, n, 1),
        };
        // SAFETY: the element is one that is written.
        let target = unsafe { self.target.skip(first) };
        Place { target, row_stride, column_stride, relu: self.epilogue.relu }
    }

    /// Multiplies the pixels under the kernel of some rows by the weights, group by group, and writes the
    /// results of the pixels from one on for some columns to where `finish` says.
    fn multiply(
        &self,
        lines: &Lines<'_>,
        reading: &Reading<'_>,
        working: &mut Working<'_, '_>,
        finish: &mut dyn FnMut(usize, Range<usize>) -> Finish,
    ) {
        let (shape, Reading { offsets, weight, .. }) = (self.shape, *reading);
        let Working { gathered, wide, numbers, level_sums: [of_pixels, of_windows] } = working;
        let level_sums = self.sum_levels(lines, of_pixels, of_windows);
        if self.access == Access::Winograd {
            let finish = finish(0, lines.columns.clone());
            let numbers = (&mut **numbers, &mut *wide.weights);
            return self.multiply_transformed(lines, weight, level_sums, numbers, finish);
        }
        let Lines { out_width, slab, params, .. } = *lines;
        let m = lines.rows.len() * out_width;
        let level_bytes = self.level_bytes();
        let (down, across) =
            (shape.stride[0] * slab.row_stride / level_bytes, shape.stride[1] * shape.in_channels);
        for group in 0..shape.groups {
            let per_group = shape.out_channels / shape.groups;
            let columns = if shape.groups == 1 {
                lines.columns.clone()
            } else {
                group * per_group..(group + 1) * per_group
            };
            let first = lines.rows.start * down + group * shape.group_channels();
            let start = &slab.pixels[level_bytes * first..];
            let rows = Rows { start, inner: out_width, outer_stride: down, inner_stride: across };
            let runs = KernelRuns::of(self.shape);
            let of_group = |rows: Range<usize>| match level_sums {
                [] => level_sums,
                sums => &sums[group * m..][rows],
            };
            let Access::Gathered(at_once) = self.access else {
                let runs = if runs.count == 1 {
                    Runs::contiguous(runs.len)
                } else {
                    Runs { offsets, quads: runs.read / GROUP, tail: 0, tail_offset: 0 }
                };
                let product = self.product(m, rows, runs, weight, params, finish(0, columns));
                product.run_here(self.isa, numbers, wide.again(), of_group(0..m));
                continue;
            };
            let k = self.weight.k();
            for first in (0..m).step_by(at_once) {
                let count = at_once.min(m - first);
                for (i, pixel) in (first..first + count).enumerate() {
                    let from = pixel / out_width * down + pixel % out_width * across;
                    for (run, offset) in offsets.iter().enumerate() {
                        let to = &mut gathered[level_bytes * (i * k + run * runs.len)..];
                        let from = &start[level_bytes * (from + offset)..];
                        copy_short(from, to, level_bytes * runs.len);
                    }
                }
                let rows = Rows { start: gathered, inner: count, outer_stride: 0, inner_stride: k };
                let finish = finish(first, columns.clone());
                let runs = Runs::contiguous(k);
                let product = self.product(count, rows, runs, weight, params, finish);
                let level_sums = of_group(first..first + count);
                product.run_here(self.isa, numbers, wide.again(), level_sums);
            }
        }
    }

    /// Numbers of working memory that [`Job::sum_levels`] takes for so many rows of outputs.
    fn summed(&self, rows: usize, out_width: usize) -> [usize; 2] {
        match self.weight.zero_points().is_empty() || self.access == Access::Depthwise {
            true => [0; 2],
            false => [SumWindows::pixels(self.shape, rows), self.shape.groups * rows * out_width],
        }
    }

    /// Where weights have zero points, what the levels under the kernel add up to, less theirs: for each group those
    /// of all pixels.
    fn sum_levels<'s>(
        &self,
        lines: &Lines<'_>,
        of_pixels: &mut [i32],
        of_windows: &'s mut [i32],
    ) -> &'s [i32] {
        let Lines { ref rows, out_width, slab, params, .. } = *lines;
        if of_windows.is_empty() {
            return &[];
        }
        let [pixels, windows] = self.summed(rows.len(), out_width);
        let (pixels, sums) = (&mut of_pixels[..pixels], &mut of_windows[..windows]);
        let start = rows.start * self.shape.stride[0] * slab.row_stride;
        self.isa.run(SumWindows {
            shape: self.shape,
            slab: Slab { pixels: &slab.pixels[start..], ..slab },
            zero_point: params.zero_point,
            rows: rows.len(),
            out_width,
            pixels,
            sums: &mut *sums,
        });
        sums
    }

    /// The same for [tiles](super::winograd) that are transformed.
    fn multiply_transformed(
        &self,
        lines: &Lines<'_>,
        weight: Packed<'_>,
        level_sums: &[i32],
        (columns, numbers): (&mut [i32], &mut [i32]),
        finish: Finish,
    ) {
        let Lines { ref rows, out_width, slab, params, .. } = *lines;
        self.isa.run(Winograd {
            shape: self.shape,
            slab: Slab { pixels: &slab.pixels[rows.start * slab.row_stride..], ..slab },
            rows: rows.len(),
            out_width,
            params,
            level_sums,
            weight,
            epilogue: self.epilogue,
            finish,
            columns: Columns::over(columns),
            numbers,
        });
    }

    fn product<'a>(
        &'a self,
        m: usize,
        rows: Rows<'a>,
        runs: Runs<'a>,
        weight: Packed<'a>,
        params: QParams,
        finish: Finish,
    ) -> Product<'a> {
        let (params, epilogue) = (self.row_params(params), *self.epilogue);
        Product { m, rows, runs, params, weight, epilogue, finish }
    }
}
