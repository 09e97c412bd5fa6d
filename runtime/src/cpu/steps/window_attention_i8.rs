//! Window attention on 8-bit edges: integers from the scores to the weighted sums.
//!
//! Queries are multiplied with what turns a product into 2⁻¹¹ powers of two (and as many bits more as fit 16
//! bits), once for each query instead of once for each score. What is left is in `cpu::attention`. This
//! file brings a window's pixels into its order and the sums back; `docs/model-format.md` has the definition.

use crate::arithmetic::round_clamp;
use crate::cpu::attention::{self, Head, MAX_HEAD, MAX_KEYS, QUERIES, Sums, attend};
use crate::cpu::codec::Codec;
use crate::cpu::kernels::Elementwise;
use crate::cpu::steps::step::{Dtypes, Io, Step};
use crate::cpu::steps::window_attention::{Area, Windows};
use crate::cpu::table::Cpu;
use crate::memory::ring::RingReader;
use crate::program::{IntAttention, MAX_QUERY};
use crate::threads::columns::RingWriter;
use alloc::{vec, vec::Vec};

/// Channels of the heads that are worked on together, of queries, keys or values.
const CHANNELS: usize = 64;

/// A window attention that reads 8 bits.
pub(crate) struct IntAttentionStep {
    windows: Windows,
    attention: attention::Attention,
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
    /// `None` for larger windows or more channels of a head than there is room for.
    pub fn new(attention: &IntAttention, channels: usize, dtypes: Dtypes, cpu: Cpu) -> Option<Self> {
        let &IntAttention { heads, window: size, shift, query_factor, score_shift, ref bias, factor } =
            attention;
        let head = channels / heads;
        let (Codec::I8 { zero_point, xor }, to) = dtypes.codecs() else { return None };
        if size * size > MAX_KEYS || head > MAX_HEAD {
            return None;
        }
        Some(Self {
            windows: Windows { size, shift },
            attention: cpu.attention,
            heads,
            head,
            padded: head.next_multiple_of(2),
            zero_point,
            xor,
            query_factor,
            shift: score_shift,
            factor,
            to,
            bias: expand(bias, heads, size),
        })
    }
}

impl Step for IntAttentionStep {
    fn run(&self, io: &mut Io<'_>) {
        let mut scratch = Scratch::new();
        let (input, cpu, rows) = (io.inputs[0], io.cpu, io.rows.clone());
        let out = &mut io.out;
        let cols = out.cols();
        self.windows.each((input.width(), input.height()), cols, rows, |area, queries| {
            cpu.run(Window { step: self, input, area, queries, out, scratch: &mut scratch });
        });
    }

    fn weight_bytes(&self) -> usize {
        size_of_val(self.bias.as_slice())
    }
}

/// The position bias of every key and query of a full window, from the table of their differences
/// `[(2·size − 1)², heads]`.
fn expand(table: &[i32], heads: usize, size: usize) -> Vec<i32> {
    let mut bias = vec![0; heads * size * size * QUERIES];
    for (at, bias) in bias.iter_mut().enumerate() {
        let (head, key, query) = (at / QUERIES / (size * size), at / QUERIES % (size * size), at % QUERIES);
        if query < size * size {
            let dy = query / size + size - 1 - key / size;
            let dx = query % size + size - 1 - key % size;
            *bias = table[(dy * (2 * size - 1) + dx) * heads + head];
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
    values: [[i16; 2]; MAX_KEYS / 2 * CHANNELS],
    /// One head's queries by slot, `[pair][QUERIES][2]`.
    by_slot: [[i16; 2]; MAX_HEAD / 2 * QUERIES],
    slots: [u8; MAX_KEYS],
    blocks: [usize; QUERIES],
    ones: [[i16; 2]; MAX_KEYS / 2 + 1],
    sums: Sums,
    /// Output bytes of four channels of a head, `[channel / 4][QUERIES]`, the first in the lowest bits.
    quads: [[u32; QUERIES]; MAX_HEAD / 4],
}

impl Scratch {
    fn new() -> Self {
        Self {
            queries: [0; MAX_KEYS * CHANNELS],
            keys: [0; MAX_KEYS * CHANNELS],
            values: [[0; 2]; MAX_KEYS / 2 * CHANNELS],
            by_slot: [[0; 2]; MAX_HEAD / 2 * QUERIES],
            slots: [0; MAX_KEYS],
            blocks: [0; QUERIES],
            ones: [[1; 2]; MAX_KEYS / 2 + 1],
            sums: Sums::new(),
            quads: [[0; QUERIES]; MAX_HEAD / 4],
        }
    }
}

struct Window<'a, 'b, 'o> {
    step: &'a IntAttentionStep,
    input: RingReader<'a>,
    /// All pixels of the window: the keys.
    area: Area,
    /// Those to compute.
    queries: Area,
    out: &'a mut RingWriter<'o>,
    scratch: &'b mut Scratch,
}

impl Elementwise for Window<'_, '_, '_> {
    #[inline(always)]
    fn run(mut self) {
        let step = self.step;
        let size = step.windows.size;
        let corner = Corner {
            row: step.windows.start(self.area.rows.start),
            col: step.windows.start(self.area.cols.start),
            size,
        };
        let mut keys = 0;
        for y in self.area.rows.clone() {
            for x in self.area.cols.clone() {
                self.scratch.slots[keys] = corner.slot(y, x) as u8;
                keys += 1;
            }
        }
        self.scratch.ones[keys / 2] = [1, 0];
        let lanes = step.attention.lanes;
        let mut blocks = 0;
        let first = corner.slot(self.queries.rows.start, self.queries.cols.start) / lanes;
        let last = corner.slot(self.queries.rows.end - 1, self.queries.cols.end - 1) / lanes;
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
                self.store(head, corner);
            }
        }
        self.scratch.ones[keys / 2] = [1, 1];
    }
}

/// Slots count from a window's corner, which may lie outside the image.
#[derive(Clone, Copy)]
struct Corner {
    row: i64,
    col: i64,
    size: usize,
}

impl Corner {
    #[inline(always)]
    fn slot(self, y: usize, x: usize) -> usize {
        (y as i64 - self.row) as usize * self.size + (x as i64 - self.col) as usize
    }
}

impl Window<'_, '_, '_> {
    /// Unpacks the channels of some heads of all pixels of the window.
    #[inline(always)]
    fn load(&mut self, heads: core::ops::Range<usize>) {
        let IntAttentionStep { head, padded, xor, zero_point, query_factor, .. } = *self.step;
        let channels = self.step.heads * head;
        let width = self.area.cols.len();
        let count = heads.len() * head;
        let zero = (xor, zero_point);
        let Scratch { queries, keys, values, .. } = &mut *self.scratch;
        let mut before = [0_i16; CHANNELS];
        for (i, y) in self.area.rows.clone().enumerate() {
            let row = self.input.pixels(y, self.area.cols.clone());
            for x in 0..width {
                let n = i * width + x;
                let at = 3 * x * channels + heads.start * head;
                let mut query = unpack(row, at, count, zero);
                for q in &mut query {
                    let scaled = f32::from(*q) * query_factor;
                    *q = round_clamp(scaled, -MAX_QUERY as f32, MAX_QUERY as f32) as i16;
                }
                let key = unpack(row, at + channels, count, zero);
                queries[n * CHANNELS..(n + 1) * CHANNELS].copy_from_slice(&spread(query, head, padded));
                keys[n * CHANNELS..(n + 1) * CHANNELS].copy_from_slice(&spread(key, head, padded));
                let value = unpack(row, at + 2 * channels, count, zero);
                if n % 2 == 1 {
                    let couple = &mut values[n / 2 * CHANNELS..(n / 2 + 1) * CHANNELS];
                    for ((couple, &a), &b) in couple.iter_mut().zip(&before).zip(&value) {
                        *couple = [a, b];
                    }
                }
                before = value;
            }
        }
        let count = self.area.rows.len() * width;
        if count % 2 == 1 {
            // The last one has none beside it.
            let couple = &mut values[count / 2 * CHANNELS..(count / 2 + 1) * CHANNELS];
            couple.iter_mut().zip(&before).for_each(|(couple, &a)| *couple = [a, 0]);
        }
    }

    /// Sums of a head that is loaded as the `place`th.
    #[inline(always)]
    fn attend(&mut self, head: usize, place: usize, keys: usize, blocks: usize) {
        let step = self.step;
        let Scratch { queries, by_slot, slots, .. } = &mut *self.scratch;
        let pairs = step.padded / 2;
        for (pair, by_slot) in by_slot.chunks_exact_mut(QUERIES).take(pairs).enumerate() {
            let at = place * step.padded + 2 * pair;
            if keys == QUERIES {
                // All slots are taken, in order.
                for (to, pixel) in by_slot.iter_mut().zip(queries.chunks_exact(CHANNELS)) {
                    *to = [pixel[at], pixel[at + 1]];
                }
            } else {
                for (&slot, pixel) in slots[..keys].iter().zip(queries.chunks_exact(CHANNELS)) {
                    by_slot[usize::from(slot)] = [pixel[at], pixel[at + 1]];
                }
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
            values: values[place * step.head..].as_flattened(),
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
    fn store(&mut self, head: usize, corner: Corner) {
        let step = self.step;
        let Scratch { sums, quads, .. } = &mut *self.scratch;
        let mut share = [0.0_f32; QUERIES];
        for (share, &total) in share.iter_mut().zip(&sums.total) {
            *share = step.factor / total as f32;
        }
        let (channels, first) = (step.heads * step.head, self.out.cols().start);
        let first_byte = head * step.head;
        let Codec::I8 { zero_point, xor } = step.to else {
            for y in self.queries.rows.clone() {
                let row = self.out.row_mut(y);
                for x in self.queries.cols.clone() {
                    let slot = corner.slot(y, x);
                    let mut pixel = [0.0; MAX_HEAD];
                    for (value, sums) in pixel.iter_mut().zip(&sums.values) {
                        *value = sums[slot] as f32 * share[slot];
                    }
                    step.to.store(&pixel[..step.head], row, (x - first) * channels + first_byte);
                }
            }
            return;
        };
        let (lo, hi) = step.to.limits();
        for (quad, sums) in quads.iter_mut().zip(sums.values.chunks_exact(4)).take(step.head.div_ceil(4)) {
            for (q, (quad, &share)) in quad.iter_mut().zip(&share).enumerate() {
                let mut bytes = 0;
                for (c, sums) in sums.iter().enumerate() {
                    let value = round_clamp(sums[q] as f32 * share, lo, hi) + zero_point;
                    bytes |= ((value.cast_unsigned() & 0xff) ^ u32::from(xor)) << (8 * c);
                }
                *quad = bytes;
            }
        }
        let cols = self.queries.cols.clone();
        for y in self.queries.rows.clone() {
            let row = self.out.row_mut(y);
            let slot = corner.slot(y, cols.start);
            for (c, quads) in quads.iter().enumerate().take(step.head.div_ceil(4)) {
                let at = (cols.start - first) * channels + first_byte + 4 * c;
                let (quads, row) = (&quads[slot..slot + cols.len()], &mut row[at..]);
                match step.head - 4 * c {
                    1 => place::<1>(quads, row, channels),
                    2 => place::<2>(quads, row, channels),
                    3 => place::<3>(quads, row, channels),
                    _ => place::<4>(quads, row, channels),
                }
            }
        }
    }
}

/// Writes the lowest `N` bytes of each number, `stride` bytes apart.
#[inline(always)]
fn place<const N: usize>(quads: &[u32], row: &mut [u8], stride: usize) {
    for (quad, pixel) in quads.iter().zip(row.chunks_mut(stride)) {
        pixel[..N].copy_from_slice(&quad.to_le_bytes()[..N]);
    }
}

/// `CHANNELS` stored values from `at` on, of which `count` matter and the rest is anything; without their zero
/// point.
#[inline(always)]
fn unpack(row: &[u8], at: usize, count: usize, (xor, zero_point): (u8, i32)) -> [i16; CHANNELS] {
    let mut values = [0; CHANNELS];
    let zero_point = zero_point as i16;
    let bytes = match row.get(at..at + CHANNELS) {
        Some(bytes) => bytes,
        None => &row[at..at + count],
    };
    for (value, &b) in values.iter_mut().zip(bytes) {
        *value = i16::from((b ^ xor).cast_signed()) - zero_point;
    }
    values
}

/// Heads of an odd number of channels, each with a zero behind it.
#[inline(always)]
fn spread(values: [i16; CHANNELS], head: usize, padded: usize) -> [i16; CHANNELS] {
    if head == padded {
        return values;
    }
    let mut out = [0; CHANNELS];
    for (from, to) in values.chunks_exact(head).zip(out.chunks_exact_mut(padded)) {
        to[..head].copy_from_slice(from);
    }
    out
}
