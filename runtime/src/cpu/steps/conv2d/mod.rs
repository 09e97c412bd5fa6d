//! 2-D convolution with stride 1 and zero padding, float, int8, or 8-bit weights on 16-bit activations.
//!
//! Integers: `acc = bias + Σ (x − zero_point) · w` in 32 bits, exact; then one multiplication in float by
//! `input scale · weight scale / output scale`, clamping, and rounding half to even. There are several [`Algorithm`]s for
//! the sums, which give the same ones, so that the planner may choose freely; what is done with them is the
//! [`Epilogue`].

mod epilogue;

use crate::cpu::codec::Codec;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{MAX_KERNEL, Products, Store};
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::requant::{Requant, Sums};
use crate::cpu::conv::row::{ConvKernel, PostOps, RowArgs, conv_row};
use crate::cpu::conv::winograd_2x1::{self, Winograd2x1, Winograd2x1Args, winograd_2x1};
use crate::cpu::conv::winograd_4x4::{PATCH, StripArgs, TILE, Winograd4x4, strip};
use crate::cpu::steps::narrow_out::NarrowOut;
use crate::cpu::steps::step::{Io, Step};
use crate::cpu::table::Cpu;
use crate::model::{Activation, DType};
use crate::program::{Convolution, Numbers};
use alloc::vec::Vec;
use core::ops::Range;
use epilogue::Epilogue;

/// A convolution with packed weights.
pub(crate) struct Conv2dStep {
    packed: Packed,
    kernel: ConvKernel,
    /// Initial sums (32-bit integers or floats) and multipliers.
    requant: Requant,
    store: Store,
    algorithm: Algorithm,
    epilogue: Epilogue,
}

/// How the sums are computed. All but the first do the rest of a row, or what they cannot do, as the first.
enum Algorithm {
    /// Tile by tile, with the weights as they are.
    Direct,
    /// Few output channels in the lanes of a vector.
    NarrowOut(NarrowOut),
    /// Winograd's F(4x4, 3x3): four rows at a time.
    Winograd4x4(Winograd4x4),
    /// Winograd's F(2, 3) down the columns: two rows at a time.
    Winograd2x1(Winograd2x1),
}

impl Conv2dStep {
    /// For a convolution that reads an edge of this dtype and shuffles nothing.
    pub fn new(conv: &Convolution, input: DType, cpu: Cpu) -> Self {
        let shape = ConvShape {
            in_channels: conv.in_channels,
            out_channels: conv.out_channels,
            kernel: conv.kernel,
            columns: conv.kernel,
        };
        let plain: Vec<usize> = (0..shape.out_channels).collect();
        let relu = conv.epilogue.activation == Some(Activation::Relu);
        let store = Codec::new(conv.epilogue.output, cpu.xor).stored(relu);
        let epilogue = Epilogue::new(&conv.epilogue, input, cpu);
        // Numbers that are stored by a plain multiplication.
        let plainly = |packed: &Packed, bias: &[u8], mult: Vec<f32>| {
            debug_assert_eq!(bias.len(), 4 * packed.padded_out, "one for every lane");
            Requant { bias: bias.to_vec(), mult, offset: None, products: Products::Any }
        };
        let (kernel, packed, requant, algorithm) = match &conv.numbers {
            Numbers::F32 { weights, bias } => {
                let packed = pack(shape, &cpu.f32.geometry, weights, &plain);
                let ones = alloc::vec![1.0; packed.padded_out];
                let requant = plainly(&packed, bytemuck::cast_slice(&packed.pad(bias, &plain)), ones);
                (cpu.f32, packed, requant, Algorithm::Direct)
            }
            Numbers::I16 { weights, bias, multipliers } => {
                let weights: Vec<i16> = weights.iter().map(|&w| i16::from(w)).collect();
                let packed = pack(shape, &cpu.i16.geometry, &weights, &plain);
                let mult = packed.pad(multipliers, &plain);
                let requant = plainly(&packed, bytemuck::cast_slice(&packed.pad(bias, &plain)), mult);
                (cpu.i16, packed, requant, Algorithm::Direct)
            }
            Numbers::I8 { weights, bias, multipliers, largest } => {
                let packed = pack(shape, &cpu.i8.geometry, weights, &plain);
                let requant = Requant::new(
                    &packed,
                    &plain,
                    &Sums { weights, bias, multipliers, largest },
                    cpu.sums(),
                    store,
                );
                let algorithm = Algorithm::choose(shape, weights, &requant, store, cpu);
                (cpu.i8, packed, requant, algorithm)
            }
        };
        Self { packed, kernel, requant, store, algorithm, epilogue }
    }

    /// Row `y` of an output with `upscale` times the input's resolution, whose pixels are the channels of one input
    /// pixel, one after the other; and those `upscale` further down, where two or four are done at once. How many were.
    pub fn shuffled_rows(&self, io: &mut Io<'_>, y: usize, upscale: usize) -> usize {
        let shape = self.packed.shape;
        let half = shape.kernel / 2;
        let px_bytes = shape.in_channels * self.kernel.element_bytes;
        let (input, cols) = (io.inputs[0], io.out.cols());
        debug_assert!(
            cols.start.is_multiple_of(upscale) && cols.end.is_multiple_of(upscale),
            "columns are whole input pixels"
        );
        let start = (input.pad() - half + cols.start / upscale) * px_bytes;
        let row = |ky: usize| &input.padded_row((y / upscale + ky) as isize - half as isize)[start..];
        if let Algorithm::Winograd2x1(weights) = &self.algorithm
            && y + upscale < io.rows.end
        {
            let out = io.out.rows_at_mut([y, y + upscale]);
            self.by_winograd_2x1(weights, core::array::from_fn(row), cols.len() / upscale, None, out);
            return 2;
        }
        if let Algorithm::Winograd4x4(weights) = &self.algorithm
            && y + (TILE - 1) * upscale < io.rows.end
            && cols.len() / upscale >= TILE
        {
            strip(StripArgs {
                taps: core::array::from_fn(row),
                pixels: cols.len() / upscale,
                weights,
                packed: &self.packed,
                requant: &self.requant,
                store: self.store,
                post_ops: &mut [],
                scratch: io.scratch,
                out: &mut io.out.rows_at_mut::<TILE>(core::array::from_fn(|i| y + i * upscale)),
            });
            return TILE;
        }
        let taps: [&[u8]; MAX_KERNEL] = core::array::from_fn(|ky| match ky < shape.kernel {
            true => row(ky),
            false => &[],
        });
        self.row(io, y, &taps[..shape.kernel], (px_bytes, cols.len() / upscale));
        1
    }

    /// Row `y`, of the input rows `taps`, for so many input pixels of so many bytes.
    fn row(&self, io: &mut Io<'_>, y: usize, taps: &[&[u8]], (px_bytes, pixels): (usize, usize)) {
        match &self.algorithm {
            Algorithm::NarrowOut(narrow_out) if !self.epilogue.has_post_ops() => {
                narrow_out.row(io.cpu, taps, self.store, io.out.row_mut(y), self.packed.shape.out_channels);
            }
            Algorithm::NarrowOut(_)
            | Algorithm::Direct
            | Algorithm::Winograd4x4(_)
            | Algorithm::Winograd2x1(_) => {
                let cols = io.out.cols();
                let post_ops = self.epilogue.post_ops(io.inputs[1], io.second.as_mut(), &cols, y);
                self.direct(taps, (px_bytes, pixels), post_ops, io.out.row_mut(y));
                if !self.epilogue.in_registers() {
                    self.epilogue.finish(io, y);
                }
            }
        }
    }

    /// A row, or a part of one, of the input rows `taps`.
    fn direct(
        &self,
        taps: &[&[u8]],
        (px_bytes, pixels): (usize, usize),
        post_ops: Option<PostOps<'_>>,
        out: &mut [u8],
    ) {
        let args = RowArgs {
            taps,
            px_bytes,
            pixels,
            packed: &self.packed,
            bias: &self.requant.bias,
            mult: &self.requant.mult,
            offset: self.requant.offset.as_deref(),
            products: self.requant.products,
            store: self.store,
            post_ops,
            out,
        };
        conv_row(&self.kernel, args);
    }

    /// Two rows of which [`winograd_2x1`] does what it can.
    fn by_winograd_2x1(
        &self,
        weights: &Winograd2x1,
        taps: [&[u8]; winograd_2x1::TAPS],
        pixels: usize,
        mut post_ops: Option<[PostOps<'_>; 2]>,
        mut out: [&mut [u8]; 2],
    ) {
        let shape = self.packed.shape;
        let (px_in, px_out) = (shape.in_channels, shape.out_channels * self.store.size_bytes());
        let pass = weights.pass(pixels);
        for x in (0..pixels).step_by(pass) {
            let pixels = pass.min(pixels - x);
            let taps = taps.map(|tap| &tap[x * px_in..]);
            let values = x * shape.out_channels..(x + pixels) * shape.out_channels;
            let mut part = out.each_mut().map(|row| &mut row[x * px_out..][..pixels * px_out]);
            if pixels >= winograd_2x1::TILE {
                let out = part.each_mut().map(|row| &mut **row);
                let (requant, store) = (&self.requant, self.store);
                let args = Winograd2x1Args {
                    taps,
                    pixels,
                    weights,
                    requant,
                    store,
                    post_ops: parts(&mut post_ops, &values),
                    out,
                };
                if winograd_2x1(args) {
                    continue;
                }
            }
            let post_ops = parts(&mut post_ops, &values).map_or([None, None], |post_ops| post_ops.map(Some));
            for ((taps, out), post_ops) in taps.windows(shape.kernel).zip(part).zip(post_ops) {
                self.direct(taps, (px_in, pixels), post_ops, out);
            }
        }
    }

    /// `N` rows from `y` on, three or four, by [`winograd_4x4`](crate::cpu::conv::winograd_4x4), and what follows them.
    fn by_winograd_4x4<const N: usize>(
        &self,
        weights: &Winograd4x4,
        taps: [&[u8]; PATCH],
        io: &mut Io<'_>,
        y: usize,
    ) {
        let cols = io.out.cols();
        let mut post_ops = self.epilogue.post_ops_of::<N>(io.inputs[1], io.second.as_mut(), &cols, y);
        strip(StripArgs {
            taps,
            pixels: cols.len(),
            weights,
            packed: &self.packed,
            scratch: io.scratch,
            requant: &self.requant,
            store: self.store,
            post_ops: post_ops.as_mut().map_or(&mut [], |post_ops| post_ops.as_mut_slice()),
            out: &mut io.out.rows_mut::<N>(y),
        });
        if post_ops.is_none() {
            (y..y + N).for_each(|y| self.epilogue.finish(io, y));
        }
    }
}

impl Step for Conv2dStep {
    fn run(&self, io: &mut Io<'_>) {
        let shape = self.packed.shape;
        let half = shape.kernel / 2;
        let px_bytes = shape.in_channels * self.kernel.element_bytes;
        let (input, cols) = (io.inputs[0], io.out.cols());
        let start = (input.pad() - half + cols.start) * px_bytes;
        let row = |y: usize| &input.padded_row(y as isize - half as isize)[start..];
        let mut y = io.rows.start;
        while y < io.rows.end {
            // A ring has no place for rows that nobody reads: where a reader takes one in several, those before the first that
            // it takes lie where later ones will, and cannot be written together with them.
            let rows = (io.rows.end - y).min(TILE).min(io.out.slots());
            match &self.algorithm {
                // For fewer rows its four cost more than the direct way.
                Algorithm::Winograd4x4(weights) if rows + 1 >= TILE && cols.len() >= TILE => {
                    let taps = core::array::from_fn(|i| row(y + i));
                    match rows {
                        TILE => self.by_winograd_4x4::<TILE>(weights, taps, io, y),
                        _ => self.by_winograd_4x4::<{ TILE - 1 }>(weights, taps, io, y),
                    }
                    y += rows;
                }
                Algorithm::Winograd2x1(weights) if rows > 1 => {
                    let taps = core::array::from_fn(|i| row(y + i));
                    let post_ops = self.epilogue.post_ops_of::<2>(io.inputs[1], io.second.as_mut(), &cols, y);
                    let fused = post_ops.is_some();
                    self.by_winograd_2x1(weights, taps, cols.len(), post_ops, io.out.rows_mut::<2>(y));
                    if !fused {
                        (y..y + 2).for_each(|y| self.epilogue.finish(io, y));
                    }
                    y += 2;
                }
                Algorithm::Direct
                | Algorithm::NarrowOut(_)
                | Algorithm::Winograd4x4(_)
                | Algorithm::Winograd2x1(_) => {
                    let taps: [&[u8]; MAX_KERNEL] = core::array::from_fn(|ky| match ky < shape.kernel {
                        true => row(y + ky),
                        false => &[],
                    });
                    self.row(io, y, &taps[..shape.kernel], (px_bytes, cols.len()));
                    y += 1;
                }
            }
        }
    }

    fn scratch_bytes(&self) -> usize {
        match &self.algorithm {
            Algorithm::Winograd4x4(winograd) => winograd.scratch_bytes(),
            Algorithm::Direct | Algorithm::NarrowOut(_) | Algorithm::Winograd2x1(_) => 0,
        }
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.packed.weights.as_slice()) + self.algorithm.bytes() + self.requant.bytes()
    }
}

impl Algorithm {
    /// The fastest way of an instruction set to the sums of an 8-bit convolution.
    fn choose(shape: ConvShape, weights: &[i8], requant: &Requant, store: Store, cpu: Cpu) -> Self {
        let (inputs, outputs) = (shape.in_channels, shape.out_channels);
        let winograd = match cpu.winograd.filter(|_| shape.kernel == 3) {
            Some(WinogradKernel::F4x4(kernel)) => {
                let plain: Vec<usize> = (0..outputs).collect();
                Winograd4x4::new(kernel, weights, &plain, inputs, outputs, requant).map(Self::Winograd4x4)
            }
            Some(WinogradKernel::F2x1(kernel)) => {
                Winograd2x1::new(kernel, weights, inputs, outputs, requant, cpu.sums()).map(Self::Winograd2x1)
            }
            None => None,
        };
        let narrow_out = || {
            matches!(store, Store::I8 { .. })
                .then(|| NarrowOut::new(shape, weights, requant, cpu))
                .flatten()
                .map(Self::NarrowOut)
        };
        winograd.or_else(narrow_out).unwrap_or(Self::Direct)
    }

    /// Bytes of what it has beside the packed weights.
    fn bytes(&self) -> usize {
        match self {
            Self::Direct => 0,
            Self::NarrowOut(narrow_out) => narrow_out.bytes(),
            Self::Winograd4x4(winograd) => winograd.bytes(),
            Self::Winograd2x1(winograd) => winograd.bytes(),
        }
    }
}

/// These values of both rows.
fn parts<'a>(post_ops: &'a mut Option<[PostOps<'_>; 2]>, values: &Range<usize>) -> Option<[PostOps<'a>; 2]> {
    post_ops.as_mut().map(|post_ops| post_ops.each_mut().map(|post_ops| post_ops.part(values.clone())))
}
