//! Attention of one head inside one window, on integers from end to end: scores, softmax, weighted sums.
//!
//! Vectors run over the queries, so nothing is ever added across a vector: a score is a dot product of pairs
//! of channels, the maximum and the sums of softmax go from key to key, and a head of 10 channels wastes
//! nothing. Everything is generic over [`Lanes`], the few operations that an instruction set provides.
//!
//! All sums are exact, so all instruction sets give the same numbers. `docs/model-format.md` has the
//! definition; [`weight`] is the part of it that is not plain arithmetic.

#[cfg(test)]
mod tests;

use crate::program::EXPONENT_BITS;

/// Most pixels of a window.
pub(crate) const MAX_KEYS: usize = 64;
/// Most channels of a head.
pub(crate) const MAX_HEAD: usize = 32;
/// Queries of the buffers: all pixels of a window, rounded up to the longest vector.
pub(crate) const QUERIES: usize = MAX_KEYS;
/// Most channels summed in one pass over the keys, so that the sums stay in registers.
const MAX_PASS: usize = 11;

/// One, and the factors of `2⁻ˣ ≈ 1 − x·(C1 − x·(C2 − x·C3))`, in units of 2⁻¹⁵: relative error below 1.3·10⁻⁴.
pub(crate) const ONE: i16 = 32767;
pub(crate) const C1: i16 = 22655;
pub(crate) const C2: i16 = 7557;
pub(crate) const C3: i16 = 1287;

/// What a head reads in one window. Pixels of the window have slots `row · window + column`; windows at the
/// border lack some.
pub(crate) struct Head<'a> {
    /// Scaled queries by slot, two channels each: `[pair][QUERIES][2]`.
    pub queries: &'a [i16],
    /// Vectors of queries to compute start at these slots.
    pub blocks: &'a [usize],
    /// Slots of the keys.
    pub keys: &'a [u8],
    /// Channels of the keys in the order of [`keys`](Self::keys), each `stride` from the one before.
    pub key_channels: &'a [i16],
    /// Values of the keys 2j and 2j + 1: `[j][2]`, of a channel; `stride` pairs from j to j + 1. Zero for a
    /// key that is not there.
    pub values: &'a [i16],
    /// One for each key of a pair, zero for one that is not there.
    pub ones: &'a [[i16; 2]],
    /// Distance of keys in channels, and of pairs of keys in pairs of values.
    pub stride: usize,
    /// Channels of the head; an odd number has another channel of zeros in queries and keys.
    pub channels: usize,
    /// Position bias in units of a score: `[slot of the key][QUERIES]`.
    pub bias: &'a [i32],
    /// Bits of a score below the exponent's.
    pub shift: u32,
}

/// Sums of a head: `Σ weight · value` by channel, and `Σ weight`.
pub(crate) struct Sums {
    pub values: [[i32; QUERIES]; MAX_HEAD],
    pub total: [i32; QUERIES],
}

impl Sums {
    pub fn new() -> Self {
        Self { values: [[0; QUERIES]; MAX_HEAD], total: [0; QUERIES] }
    }
}

/// Entry of an instruction set.
///
/// # Safety
/// The processor has the instruction set; [`attend`] has checked the lengths.
pub(crate) type Attend = unsafe fn(&Head<'_>, &mut Sums);

/// The attention of an instruction set: its entry and the queries of a vector.
#[derive(Clone, Copy)]
pub(crate) struct Attention {
    pub entry: Attend,
    pub lanes: usize,
}

/// The weight of a key whose score is `(e >> EXPONENT_BITS) + (e & 2047) / 2048` powers of two below the
/// largest, in units of 2⁻¹⁵.
#[inline(always)]
pub(crate) fn weight(e: i16) -> i16 {
    let high = |a: i16, b: i16| ((i32::from(a) * i32::from(b) + 0x4000) >> 15) as i16;
    let x = (e & 2047) << 4;
    let p = C2 - high(x, C3);
    let p = C1 - high(x, p);
    let p = ONE - high(x, p);
    p >> (e >> EXPONENT_BITS)
}

/// Checks the lengths and computes the sums of a head.
#[inline]
pub(crate) fn attend(attention: Attention, head: &Head<'_>, sums: &mut Sums) {
    let pairs = head.channels.div_ceil(2);
    let keys = head.keys.len();
    assert!((1..=MAX_HEAD).contains(&head.channels) && (1..=MAX_KEYS).contains(&keys), "known sizes");
    assert!(head.queries.len() >= pairs * QUERIES * 2, "all pairs of channels have queries");
    assert!(head.blocks.iter().all(|b| b + attention.lanes <= QUERIES), "blocks lie in the buffers");
    assert!(head.key_channels.len() >= (keys - 1) * head.stride + 2 * pairs, "all keys are there");
    let couples = keys.div_ceil(2);
    assert!(head.values.len() >= 2 * ((couples - 1) * head.stride + head.channels), "all values are there");
    assert!(head.ones.len() >= couples, "all pairs of keys are there");
    assert!(
        head.keys.iter().all(|&slot| (usize::from(slot) + 1) * QUERIES <= head.bias.len()),
        "slots exist"
    );
    assert!(head.shift < 32, "a shift of 32 bits");
    // SAFETY: lengths checked; `Isa::attention` hands out what this processor has.
    unsafe { (attention.entry)(head, sums) }
}

/// Vector operations of an instruction set.
///
/// # Safety
/// Implementations access exactly the memory that the method's description names. All methods may only be
/// called on a processor with the instruction set.
pub(crate) unsafe trait Lanes {
    /// Queries of a vector; divides 16.
    const LANES: usize;
    /// LANES 32-bit numbers.
    type S: Copy;
    /// LANES pairs of 16-bit numbers.
    type P: Copy;

    /// LANES numbers.
    unsafe fn load(p: *const i32) -> Self::S;
    /// LANES numbers.
    unsafe fn store(p: *mut i32, s: Self::S);
    /// LANES pairs, `[lane][2]`.
    unsafe fn load_pairs(p: *const i16) -> Self::P;
    /// LANES pairs, `[lane][2]`.
    unsafe fn store_pairs(p: *mut i16, pairs: Self::P);
    /// Adds to each sum the dot product of its pair and the pair at `two`.
    unsafe fn dot(sum: Self::S, pairs: Self::P, two: *const i16) -> Self::S;
    /// The larger of each two.
    unsafe fn max(a: Self::S, b: Self::S) -> Self::S;
    /// [`weight`] of `min((largest − score) >> shift, 32767)` for two scores.
    unsafe fn weights(a: Self::S, b: Self::S, largest: Self::S, shift: u32) -> Self::P;
}

/// Scores and weights of a vector of queries.
#[repr(C, align(64))]
struct Buffer {
    scores: [i32; MAX_KEYS * 16],
    weights: [i16; MAX_KEYS * 16],
}

/// All blocks of queries of a head.
///
/// # Safety
/// As [`Attend`].
#[inline(always)]
pub(crate) unsafe fn run<L: Lanes>(head: &Head<'_>, sums: &mut Sums) {
    let mut buffer = core::mem::MaybeUninit::<Buffer>::uninit();
    // SAFETY: plain numbers need not be set before their address is taken; `scores` writes each that `weigh`
    // reads, and `weigh` each that `gather` reads.
    unsafe {
        let scores = (&raw mut (*buffer.as_mut_ptr()).scores).cast::<i32>();
        let weights = (&raw mut (*buffer.as_mut_ptr()).weights).cast::<i16>();
        for &block in head.blocks {
            let largest = match head.channels.div_ceil(2) {
                1 => self::scores::<L, 1>(head, block, scores),
                2 => self::scores::<L, 2>(head, block, scores),
                3 => self::scores::<L, 3>(head, block, scores),
                4 => self::scores::<L, 4>(head, block, scores),
                5 => self::scores::<L, 5>(head, block, scores),
                6 => self::scores::<L, 6>(head, block, scores),
                7 => self::scores::<L, 7>(head, block, scores),
                8 => self::scores::<L, 8>(head, block, scores),
                9 => self::scores::<L, 9>(head, block, scores),
                10 => self::scores::<L, 10>(head, block, scores),
                11 => self::scores::<L, 11>(head, block, scores),
                12 => self::scores::<L, 12>(head, block, scores),
                13 => self::scores::<L, 13>(head, block, scores),
                14 => self::scores::<L, 14>(head, block, scores),
                15 => self::scores::<L, 15>(head, block, scores),
                _ => self::scores::<L, 16>(head, block, scores),
            };
            weigh::<L>(head, scores, weights, largest);
            let passes = head.channels.div_ceil(MAX_PASS);
            let mut first = 0;
            for pass in 0..passes {
                let count = (head.channels - first).div_ceil(passes - pass);
                match count {
                    1 => gather::<L, 1>(head, weights, first, block, sums),
                    2 => gather::<L, 2>(head, weights, first, block, sums),
                    3 => gather::<L, 3>(head, weights, first, block, sums),
                    4 => gather::<L, 4>(head, weights, first, block, sums),
                    5 => gather::<L, 5>(head, weights, first, block, sums),
                    6 => gather::<L, 6>(head, weights, first, block, sums),
                    7 => gather::<L, 7>(head, weights, first, block, sums),
                    8 => gather::<L, 8>(head, weights, first, block, sums),
                    9 => gather::<L, 9>(head, weights, first, block, sums),
                    10 => gather::<L, 10>(head, weights, first, block, sums),
                    _ => gather::<L, MAX_PASS>(head, weights, first, block, sums),
                }
                first += count;
            }
        }
    }
}

/// Writes the scores of all keys, twice that of the last one if their number is odd, and returns the largest
/// of each query. The `PAIRS` pairs of channels of the queries stay in registers.
///
/// # Safety
/// As [`Attend`]; the head has `PAIRS` pairs, and `scores` takes those of all keys.
#[inline(always)]
unsafe fn scores<L: Lanes, const PAIRS: usize>(head: &Head<'_>, block: usize, scores: *mut i32) -> L::S {
    // SAFETY: `attend` checked that queries, keys and bias are there; the buffer of queries holds QUERIES of
    // each pair, among them those of the block.
    unsafe {
        let from = head.queries.as_ptr().add(2 * block);
        let mut queries = [L::load_pairs(from); PAIRS];
        for (pair, query) in queries.iter_mut().enumerate() {
            *query = L::load_pairs(from.add(2 * pair * QUERIES));
        }
        let count = head.keys.len();
        let mut largest = score::<L, PAIRS>(head, block, &queries, 0);
        let mut n = 0;
        // Four at a time, for sums that do not wait for each other.
        while n + 4 <= count {
            let a = score::<L, PAIRS>(head, block, &queries, n);
            let b = score::<L, PAIRS>(head, block, &queries, n + 1);
            let c = score::<L, PAIRS>(head, block, &queries, n + 2);
            let d = score::<L, PAIRS>(head, block, &queries, n + 3);
            L::store(scores.add(n * L::LANES), a);
            L::store(scores.add((n + 1) * L::LANES), b);
            L::store(scores.add((n + 2) * L::LANES), c);
            L::store(scores.add((n + 3) * L::LANES), d);
            largest = L::max(largest, L::max(L::max(a, b), L::max(c, d)));
            n += 4;
        }
        while n < count + count % 2 {
            let s = score::<L, PAIRS>(head, block, &queries, if n < count { n } else { count - 1 });
            L::store(scores.add(n * L::LANES), s);
            largest = L::max(largest, s);
            n += 1;
        }
        largest
    }
}

/// The scores of key `n`.
///
/// # Safety
/// As [`scores`]; the key exists.
#[inline(always)]
unsafe fn score<L: Lanes, const PAIRS: usize>(
    head: &Head<'_>,
    block: usize,
    queries: &[L::P; PAIRS],
    n: usize,
) -> L::S {
    // SAFETY: `attend` checked the slots and the keys.
    unsafe {
        let slot = usize::from(*head.keys.get_unchecked(n));
        let mut score = L::load(head.bias.as_ptr().add(slot * QUERIES + block));
        let key = head.key_channels.as_ptr().add(n * head.stride);
        for (pair, &query) in queries.iter().enumerate() {
            score = L::dot(score, query, key.add(2 * pair));
        }
        score
    }
}

/// Scores to weights.
///
/// # Safety
/// As [`Attend`]; `scores` holds those of all pairs of keys, and `weights` takes as many.
#[inline(always)]
unsafe fn weigh<L: Lanes>(head: &Head<'_>, scores: *const i32, weights: *mut i16, largest: L::S) {
    for pair in 0..head.keys.len().div_ceil(2) {
        // SAFETY: as promised by the caller.
        unsafe {
            let a = L::load(scores.add(2 * pair * L::LANES));
            let b = L::load(scores.add((2 * pair + 1) * L::LANES));
            L::store_pairs(weights.add(2 * pair * L::LANES), L::weights(a, b, largest, head.shift));
        }
    }
}

/// Weighted sums of `N` channels from `first` on, and of the weights with the first of them.
///
/// # Safety
/// As [`Attend`]; the head has these channels, and `weights` holds those of all pairs of keys.
#[inline(always)]
unsafe fn gather<L: Lanes, const N: usize>(
    head: &Head<'_>,
    weights: *const i16,
    first: usize,
    block: usize,
    sums: &mut Sums,
) {
    const ZERO: [i32; 16] = [0; 16];
    // SAFETY: `attend` checked that the values of all pairs of keys are there, and that the block lies in
    // the buffers.
    unsafe {
        let zero = L::load(ZERO.as_ptr());
        let mut total = zero;
        let mut values = [zero; N];
        for pair in 0..head.keys.len().div_ceil(2) {
            let w = L::load_pairs(weights.add(2 * pair * L::LANES));
            let at = head.values.as_ptr().add(2 * (pair * head.stride + first));
            for (c, value) in values.iter_mut().enumerate() {
                *value = L::dot(*value, w, at.add(2 * c));
            }
            if first == 0 {
                total = L::dot(total, w, head.ones.as_ptr().add(pair).cast());
            }
        }
        for (c, &value) in values.iter().enumerate() {
            L::store(sums.values[first + c].as_mut_ptr().add(block), value);
        }
        if first == 0 {
            L::store(sums.total.as_mut_ptr().add(block), total);
        }
    }
}
