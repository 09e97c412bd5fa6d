//! Window attention on 8-bit edges: integers from the scores to the weighted sums.
//!
//! Queries are multiplied with what turns a product into 2⁻¹¹ powers of two (and as many bits more as fit 16
//! bits), once for each query instead of once for each score. What is left is in `kernel::attention`. This
//! file brings a window's pixels into its order and the sums back; `docs/model-format.md` has the definition.

use super::rows::Codec;
use super::window_attention::{Area, Windows};
use super::{Io, dtypes, scale_of};
use crate::error::PlanError;
use crate::kernel::attention::{
    Attention, EXPONENT_BITS, Head, MAX_BIAS, MAX_HEAD, MAX_KEYS, MAX_QUERY, QUERIES, Sums, attend,
};
use crate::kernel::scalar::round_clamp;
use crate::kernel::view::{InView, OutView};
use crate::kernel::{Elementwise, Isa};
use crate::model::{Model, NodeId, Role};
use alloc::{vec, vec::Vec};
use core::f64::consts::LOG2_E;

/// Channels of the heads that are worked on together, of queries, keys or values.
const CHANNELS: usize = 64;
/// Most bits of a score below the exponent's.
const MAX_SHIFT: u32 = 12;

/// A window attention that reads 8 bits.
pub(crate) struct IntAttentionStep {
    windows: Windows,
    attention: Attention,
    heads: usize,
    /// Channels of a head, and rounded up to whole pairs.
    head: usize,
    padded: usize,
    zero_point: i32,
    xor: u8,
    /// What a query is multiplied with.
    query_factor: f32,
    shift: u32,
    /// Real value of a step of the input in steps of the output.
    factor: f32,
    to: Codec,
    /// `[head][slot of the key][QUERIES]`, in units of a score.
    bias: Vec<i32>,
}

impl IntAttentionStep {
    pub fn new(
        model: &Model,
        id: NodeId,
        heads: usize,
        windows: Windows,
        isa: Isa,
    ) -> Result<Self, PlanError> {
        let head = usize::from(model.shape(id).channels) / heads;
        if windows.size * windows.size > MAX_KEYS || head > MAX_HEAD {
            return Err(PlanError::Unsupported { node: id });
        }
        let ([from, _], to) = dtypes(model, id);
        let xor = isa.table().xor;
        let Codec::I8 { zero_point, .. } = Codec::new(from, xor) else {
            return Err(PlanError::Unsupported { node: id });
        };
        // Powers of two of a product of two stored values, in units of the exponent.
        let unit = LOG2_E * f64::from(1_u32 << EXPONENT_BITS);
        let scale = f64::from(scale_of(from));
        let product = unit * scale * scale / libm::sqrt(head as f64);
        let fits = |shift: &u32| product * f64::from(1_u32 << shift) * 255.0 <= f64::from(MAX_QUERY);
        let shift = (0..=MAX_SHIFT).rev().find(fits).unwrap_or(0);
        let power = f64::from(1_u32 << shift);
        let bias = expand(&model.f32s(id, Role::PositionBias), heads, windows.size, unit * power);
        Ok(Self {
            windows,
            attention: isa.attention(),
            heads,
            head,
            padded: head.next_multiple_of(2),
            zero_point,
            xor,
            query_factor: (product * power) as f32,
            shift,
            factor: scale_of(from) / scale_of(to),
            to: Codec::new(to, xor),
            bias,
        })
    }

    pub fn weight_bytes(&self) -> usize {
        size_of_val(self.bias.as_slice())
    }

    pub fn run(&self, io: &mut Io<'_>) {
        let mut scratch = Scratch::new();
        let (input, isa, rows) = (io.inputs[0], io.isa, io.rows.clone());
        let out = &mut io.out;
        let cols = out.cols();
        self.windows.each((input.width(), input.height()), cols, rows, |area, queries| {
            isa.run(Window { step: self, input, area, queries, out, scratch: &mut scratch });
        });
    }
}

/// The position bias of every key and query of a full window, from the table of their differences
/// `[(2·size − 1)², heads]`.
fn expand(table: &[f32], heads: usize, size: usize, unit: f64) -> Vec<i32> {
    let mut bias = vec![0; heads * size * size * QUERIES];
    for (at, bias) in bias.iter_mut().enumerate() {
        let (head, key, query) = (at / QUERIES / (size * size), at / QUERIES % (size * size), at % QUERIES);
        if query < size * size {
            let dy = query / size + size - 1 - key / size;
            let dx = query % size + size - 1 - key % size;
            let real = f64::from(table[(dy * (2 * size - 1) + dx) * heads + head]) * unit;
            *bias = libm::rint(real.clamp(-f64::from(MAX_BIAS), f64::from(MAX_BIAS))) as i32;
        }
    }
    bias
}

/// The channels of a few heads in a window, as the kernel wants them.
struct Scratch {
    /// Pixels of the window, `[key][CHANNELS]`.
    queries: [i16; MAX_KEYS * CHANNELS],
    keys: [i16; MAX_KEYS * CHANNELS],
    /// Values of two pixels, `[key / 2][CHANNELS][2]`.
    values: [i16; MAX_KEYS * CHANNELS],
    /// One head's queries by slot, `[pair][QUERIES][2]`.
    by_slot: [[i16; 2]; MAX_HEAD / 2 * QUERIES],
    slots: [u8; MAX_KEYS],
    blocks: [usize; QUERIES],
    ones: [[i16; 2]; MAX_KEYS / 2 + 1],
    sums: Sums,
    /// Results of a head, `[channel][QUERIES]`.
    results: [[f32; QUERIES]; MAX_HEAD],
}

impl Scratch {
    fn new() -> Self {
        Self {
            queries: [0; MAX_KEYS * CHANNELS],
            keys: [0; MAX_KEYS * CHANNELS],
            values: [0; MAX_KEYS * CHANNELS],
            by_slot: [[0; 2]; MAX_HEAD / 2 * QUERIES],
            slots: [0; MAX_KEYS],
            blocks: [0; QUERIES],
            ones: [[1; 2]; MAX_KEYS / 2 + 1],
            sums: Sums::new(),
            results: [[0.0; QUERIES]; MAX_HEAD],
        }
    }
}

struct Window<'a, 'b, 'o> {
    step: &'a IntAttentionStep,
    input: InView<'a>,
    /// All pixels of the window: the keys.
    area: Area,
    /// Those to compute.
    queries: Area,
    out: &'a mut OutView<'o>,
    scratch: &'b mut Scratch,
}

impl Elementwise for Window<'_, '_, '_> {
    #[inline(always)]
    fn run(mut self) {
        let step = self.step;
        let size = step.windows.size;
        // Slots count from the window's corner, which may lie outside the image.
        let corner = (step.windows.start(self.area.rows.start), step.windows.start(self.area.cols.start));
        let slot =
            |y: usize, x: usize| (y as i64 - corner.0) as usize * size + (x as i64 - corner.1) as usize;
        let mut keys = 0;
        for y in self.area.rows.clone() {
            for x in self.area.cols.clone() {
                self.scratch.slots[keys] = slot(y, x) as u8;
                keys += 1;
            }
        }
        self.scratch.ones[keys / 2] = [1, 0];
        let lanes = step.attention.lanes;
        let mut blocks = 0;
        let first = slot(self.queries.rows.start, self.queries.cols.start) / lanes;
        let last = slot(self.queries.rows.end - 1, self.queries.cols.end - 1) / lanes;
        for block in first..=last {
            self.scratch.blocks[blocks] = block * lanes;
            blocks += 1;
        }
        let at_once = CHANNELS / step.padded;
        for heads in (0..step.heads).step_by(at_once) {
            let heads = heads..(heads + at_once).min(step.heads);
            self.load(heads.clone());
            for head in heads.clone() {
                self.attend(head, head - heads.start, keys, blocks);
                self.store(head, slot);
            }
        }
        self.scratch.ones[keys / 2] = [1, 1];
    }
}

impl Window<'_, '_, '_> {
    /// Unpacks the channels of some heads of all pixels of the window.
    #[inline(always)]
    fn load(&mut self, heads: core::ops::Range<usize>) {
        let IntAttentionStep { head, padded, xor, zero_point, query_factor, .. } = *self.step;
        let channels = self.step.heads * head;
        let width = self.area.cols.len();
        let real = |b: u8| (i32::from((b ^ xor).cast_signed()) - zero_point) as i16;
        for (i, y) in self.area.rows.clone().enumerate() {
            let row = self.input.pixels(y, self.area.cols.clone());
            for (x, pixel) in row.chunks_exact(3 * channels).enumerate() {
                let n = i * width + x;
                let part = |which: usize| {
                    &pixel[which * channels + heads.start * head..which * channels + heads.end * head]
                };
                let to = n * CHANNELS..(n + 1) * CHANNELS;
                spread(part(0), &mut self.scratch.queries[to.clone()], head, padded, |b| {
                    let scaled = f32::from(real(b)) * query_factor;
                    round_clamp(scaled, -MAX_QUERY as f32, MAX_QUERY as f32) as i16
                });
                spread(part(1), &mut self.scratch.keys[to], head, padded, real);
                // Every value is one of a pair of pixels; of an odd number, the last one has none beside it.
                let couple = &mut self.scratch.values[n / 2 * 2 * CHANNELS..(n / 2 + 1) * 2 * CHANNELS];
                if n % 2 == 0 {
                    for (to, &b) in couple.chunks_exact_mut(2).zip(part(2)) {
                        to.copy_from_slice(&[real(b), 0]);
                    }
                } else {
                    for (to, &b) in couple.chunks_exact_mut(2).zip(part(2)) {
                        to[1] = real(b);
                    }
                }
            }
        }
    }

    /// Sums of a head that is loaded as the `place`th.
    #[inline(always)]
    fn attend(&mut self, head: usize, place: usize, keys: usize, blocks: usize) {
        let step = self.step;
        let Scratch { queries, by_slot, slots, .. } = &mut *self.scratch;
        let pairs = step.padded / 2;
        for (n, &slot) in slots[..keys].iter().enumerate() {
            let query = &queries[n * CHANNELS + place * step.padded..][..step.padded];
            for (pair, two) in query.chunks_exact(2).enumerate() {
                by_slot[pair * QUERIES + usize::from(slot)] = [two[0], two[1]];
            }
        }
        let Scratch { keys: key_channels, values, by_slot, slots, blocks: all_blocks, ones, sums, .. } =
            &mut *self.scratch;
        let slots_of_head = step.windows.size * step.windows.size * QUERIES;
        let head = Head {
            queries: by_slot[..pairs * QUERIES].as_flattened(),
            blocks: &all_blocks[..blocks],
            keys: &slots[..keys],
            key_channels: &key_channels[place * step.padded..],
            values: &values[2 * place * step.head..],
            ones,
            stride: CHANNELS,
            channels: step.head,
            bias: &step.bias[head * slots_of_head..(head + 1) * slots_of_head],
            shift: step.shift,
        };
        attend(step.attention, &head, sums);
    }

    /// Divides the sums by the total weight and writes a head's channels.
    #[inline(always)]
    fn store(&mut self, head: usize, slot: impl Fn(usize, usize) -> usize) {
        let step = self.step;
        let Scratch { sums, results, .. } = &mut *self.scratch;
        let mut share = [0.0_f32; QUERIES];
        for (share, &total) in share.iter_mut().zip(&sums.total) {
            *share = step.factor / total as f32;
        }
        for (result, sums) in results.iter_mut().zip(&sums.values).take(step.head) {
            for ((result, &sum), share) in result.iter_mut().zip(sums).zip(&share) {
                *result = sum as f32 * share;
            }
        }
        let channels = step.heads * step.head;
        let first = self.out.cols().start;
        for y in self.queries.rows.clone() {
            let row = self.out.row_mut(y);
            for x in self.queries.cols.clone() {
                let slot = slot(y, x);
                let mut pixel = [0.0_f32; MAX_HEAD];
                for (value, result) in pixel.iter_mut().zip(&results[..step.head]) {
                    *value = result[slot];
                }
                step.to.store(&pixel[..step.head], row, (x - first) * channels + head * step.head);
            }
        }
    }
}

/// Channels of heads one after the other, each padded with zeros to `padded`.
#[inline(always)]
fn spread(from: &[u8], to: &mut [i16], head: usize, padded: usize, f: impl Fn(u8) -> i16) {
    if head == padded {
        for (to, &b) in to.iter_mut().zip(from) {
            *to = f(b);
        }
        return;
    }
    for (from, to) in from.chunks_exact(head).zip(to.chunks_exact_mut(padded)) {
        for (to, &b) in to.iter_mut().zip(from) {
            *to = f(b);
        }
        to[head] = 0;
    }
}
