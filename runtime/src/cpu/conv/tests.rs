//! Every kernel that this processor has, against a direct convolution in 64 bits: equal, not close, over
//! ragged widths, channel counts and depths, and extreme values.

mod i16;
mod post_ops;
mod properties;
mod table;

use crate::cpu::conv::form::{Products, Store};
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::requant::{Requant, Sums};
use crate::cpu::conv::row::{RowArgs, conv_row};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::Kernels;
use crate::memory::ring::SLACK_BYTES;
use crate::program::{largest_sum, short};
use crate::testing::Rng;
use alloc::{vec, vec::Vec};

const SHAPES: [(usize, usize, usize); 12] = [
    (3, 16, 3),
    (16, 16, 3),
    (16, 48, 3),
    (16, 12, 3),
    (5, 7, 5),
    (1, 1, 1),
    (64, 64, 3),
    (64, 3, 3),
    (60, 180, 1),
    (33, 65, 3),
    (2, 130, 9),
    (7, 27, 7),
];
const WIDTHS: [usize; 10] = [1, 2, 5, 6, 8, 9, 11, 13, 24, 37];

/// Activations and weights: random, or all at an extreme.
fn values(case: usize, n: usize, rng: &mut Rng) -> Vec<i8> {
    match case {
        0 => rng.bytes(n).into_iter().map(u8::cast_signed).collect(),
        1 => vec![-128; n],
        2 => vec![127; n],
        _ => (0..n).map(|i| if i % 3 == 0 { -128 } else { 127 }).collect(),
    }
}

/// Rows of activations as the instruction set stores them, with slack.
pub(crate) fn stored(rows: &[Vec<i8>], xor: u8) -> Vec<Vec<u8>> {
    let slack = [0x5a; SLACK_BYTES];
    rows.iter().map(|row| row.iter().map(|&v| v as u8 ^ xor).chain(slack).collect()).collect()
}

#[test]
fn int8_kernels_equal_a_direct_convolution() {
    let mut rng = Rng(11);
    let mut disguised = 0;
    for (in_channels, out_channels, kernel) in SHAPES {
        let shape = ConvShape { in_channels, out_channels, kernel, columns: kernel };
        let depth = kernel * kernel * in_channels;
        let order: Vec<usize> = (0..out_channels).rev().collect();
        for (case, width) in (0..4).flat_map(|case| WIDTHS.map(|w| (case, w))) {
            let weights: Vec<i8> =
                values(3 - case, out_channels * depth, &mut rng).iter().map(|&w| w.max(-127)).collect();
            let bias: Vec<i32> = (0..out_channels).map(|_| (rng.unit() * 1e6) as i32).collect();
            let rows: Vec<Vec<i8>> =
                (0..kernel).map(|_| values(case, (width + kernel - 1) * in_channels, &mut rng)).collect();
            let expected: Vec<i64> = (0..width * out_channels)
                .map(|i| {
                    let (x, n) = (i / out_channels, order[i % out_channels]);
                    let taps = (0..kernel)
                        .flat_map(|ky| rows[ky][x * in_channels..].iter().take(kernel * in_channels));
                    let weights = &weights[n * depth..(n + 1) * depth];
                    let sum: i64 = taps.zip(weights).map(|(&a, &w)| i64::from(a) * i64::from(w)).sum();
                    i64::from(bias[n]) + sum
                })
                .collect();
            for isa in Isa::available() {
                let table = isa.cpu().unwrap();
                let packed = pack(shape, &table.i8.geometry, &weights, &order);
                let offset = if table.xor == 0 { 0 } else { 128 };
                let folded: Vec<i32> = (0..out_channels)
                    .map(|n| {
                        let sum: i32 =
                            weights[n * depth..(n + 1) * depth].iter().map(|&w| i32::from(w)).sum();
                        bias[n] - offset * sum
                    })
                    .collect();
                let bias = packed.pad(&folded, &order);
                let rows = stored(&rows, table.xor);
                let taps: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
                let mult = vec![1.0 / 1024.0; packed.padded_out];
                let run_with =
                    |mult: &[f32], bias: &[i32], offset: Option<&[f32]>, products: Products, store: Store| {
                        let mut out = vec![0; width * out_channels * store.size_bytes()];
                        let args = RowArgs {
                            taps: &taps,
                            px_bytes: in_channels,
                            pixels: width,
                            packed: &packed,
                            bias: bytemuck::cast_slice(bias),
                            mult,
                            offset,
                            products,
                            store,
                            post_ops: None,
                            out: &mut out,
                        };
                        conv_row(&table.i8, args);
                        out
                    };
                let run = |store: Store| run_with(&mult, &bias, None, Products::Any, store);
                // What is known of the products may change how they are stored, not what.
                for store in [
                    Store::I16 { lo: -32767.0, hi: 32767.0 },
                    Store::I16 { lo: 0.0, hi: 32767.0 },
                    Store::I8 { lo: -125.0, hi: 130.0, zero_point: -3, xor: table.xor },
                    Store::I8 { lo: 0.0, hi: 255.0, zero_point: -128, xor: table.xor },
                    Store::I8 { lo: 0.0, hi: 127.0, zero_point: 0, xor: table.xor },
                    Store::I8 { lo: -128.0, hi: 100.0, zero_point: 0, xor: table.xor },
                ] {
                    let found = run_with(&mult, &bias, None, Products::Integer, store);
                    assert!(found == run(store), "{} {shape:?} width {width} {store:?}", isa.name());
                }
                let label = || alloc::format!("{} {shape:?} width {width} case {case}", isa.name());
                if table.takes_floats && expected.iter().all(|e| e.abs() < 1 << 22) {
                    let magic = crate::arithmetic::MAGIC;
                    let raised: Vec<i32> = bias.iter().map(|b| b + magic.to_bits() as i32).collect();
                    let offset: Vec<f32> = mult.iter().map(|m| -magic * m).collect();
                    for store in [
                        Store::F32 { relu: false },
                        Store::I16 { lo: -32767.0, hi: 32767.0 },
                        Store::I16 { lo: 0.0, hi: 32767.0 },
                        Store::I8 { lo: -125.0, hi: 130.0, zero_point: -3, xor: table.xor },
                        Store::I8 { lo: 0.0, hi: 255.0, zero_point: -128, xor: table.xor },
                        Store::I8 { lo: 0.0, hi: 127.0, zero_point: 0, xor: table.xor },
                    ] {
                        let found = run_with(&mult, &raised, Some(&offset), Products::Short, store);
                        assert!(found == run(store), "{} {store:?}", label());
                        disguised += 1;
                    }
                    // Products far beyond 16 bits.
                    let large = vec![0.75; packed.padded_out];
                    let offset: Vec<f32> = large.iter().map(|m| -magic * m).collect();
                    for lo in [-32767.0, 0.0] {
                        let store = Store::I16 { lo, hi: 32767.0 };
                        let found = run_with(&large, &raised, Some(&offset), Products::Mantissa, store);
                        assert!(
                            found == run_with(&large, &bias, None, Products::Any, store),
                            "{} {store:?}",
                            label()
                        );
                    }
                }
                let floats = run(Store::F32 { relu: false });
                for (i, bytes) in floats.chunks_exact(4).enumerate() {
                    let found = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                    assert_eq!(found, expected[i] as f32 / 1024.0, "{} value {i}", label());
                }
                // Limits outside of the 16- and 8-bit ranges would wrap: these are the widest in use.
                let round = |v: i64, lo: i64, hi: i64| {
                    (libm::rint(f64::from(v as f32 / 1024.0)) as i64).clamp(lo, hi)
                };
                for (i, bytes) in run(Store::I16 { lo: -32767.0, hi: 32767.0 }).chunks_exact(2).enumerate() {
                    let found = i64::from(i16::from_le_bytes([bytes[0], bytes[1]]));
                    assert_eq!(found, round(expected[i], -32767, 32767), "{} value {i}", label());
                }
                let store = Store::I8 { lo: -125.0, hi: 130.0, zero_point: -3, xor: table.xor };
                for (i, &byte) in run(store).iter().enumerate() {
                    let found = i64::from((byte ^ table.xor).cast_signed());
                    assert_eq!(found, round(expected[i], -125, 130) - 3, "{} value {i}", label());
                }
            }
        }
    }
    assert!(disguised > 0 || !Isa::available().any(|isa| isa.cpu().unwrap().takes_floats));
}

#[test]
fn float_kernels_give_the_same_bits() {
    let mut rng = Rng(12);
    for (in_channels, out_channels, kernel) in SHAPES {
        let shape = ConvShape { in_channels, out_channels, kernel, columns: kernel };
        let depth = kernel * kernel * in_channels;
        let order: Vec<usize> = (0..out_channels).collect();
        let weights: Vec<f32> = (0..out_channels * depth).map(|_| rng.unit()).collect();
        let bias: Vec<f32> = (0..out_channels).map(|_| rng.unit()).collect();
        for width in WIDTHS {
            let row_len = (width + kernel - 1) * in_channels + SLACK_BYTES / 4;
            let rows: Vec<Vec<f32>> =
                (0..kernel).map(|_| (0..row_len).map(|_| rng.unit()).collect()).collect();
            let run = |isa: Isa| {
                let table = isa.cpu().unwrap();
                let packed = pack(shape, &table.f32.geometry, &weights, &order);
                let bias = packed.pad(&bias, &order);
                let taps: Vec<&[u8]> = rows.iter().map(|row| bytemuck::cast_slice(row)).collect();
                let mut out = vec![0; width * out_channels * 4];
                let args = RowArgs {
                    taps: &taps,
                    px_bytes: 4 * in_channels,
                    pixels: width,
                    packed: &packed,
                    bias: bytemuck::cast_slice(&bias),
                    mult: &vec![1.0; packed.padded_out],
                    offset: None,
                    products: Products::Any,
                    store: Store::F32 { relu: true },
                    post_ops: None,
                    out: &mut out,
                };
                conv_row(&table.f32, args);
                out
            };
            let expected = run(Isa::Scalar);
            for isa in Isa::available() {
                assert!(run(isa) == expected, "{} {shape:?} width {width}", isa.name());
            }
        }
    }
}

#[test]
#[should_panic(expected = "rows reach over the last pixel's kernel")]
fn short_rows_are_refused_before_the_kernel_runs() {
    let shape = ConvShape { in_channels: 4, out_channels: 4, kernel: 1, columns: 1 };
    let table = Isa::best().cpu().unwrap();
    let packed = pack(shape, &table.i8.geometry, &[1_i8; 16], &[0, 1, 2, 3]);
    let bias = vec![0; 4 * packed.padded_out];
    let mult = vec![1.0; packed.padded_out];
    let row = [0; 2 * 4 + SLACK_BYTES - 1];
    let args = RowArgs {
        taps: &[&row],
        px_bytes: 4,
        pixels: 2,
        packed: &packed,
        bias: &bias,
        mult: &mult,
        offset: None,
        products: Products::Any,
        store: Store::F32 { relu: false },
        post_ops: None,
        out: &mut [0; 32],
    };
    conv_row(&table.i8, args);
}

#[test]
fn names_and_lists_agree() {
    assert!(Isa::available().any(|isa| isa == Isa::Scalar));
    assert!(Isa::best().is_available());
    for &isa in Isa::COMPILED {
        assert_eq!(Isa::from_name(isa.name()), Some(isa));
    }
    assert_eq!(Isa::from_name("mmx"), None);
}

/// Rows as the operators' plain code computes them.
fn plainly(values: &[i16], others: &[i16], [f, g]: [f32; 2], lo: f32, hi: f32) -> Vec<i32> {
    let sums = values.iter().zip(others).map(|(&a, &b)| f32::from(a) * f + f32::from(b) * g);
    sums.map(|x| crate::arithmetic::round_clamp(x, lo, hi)).collect()
}

#[test]
fn row_kernels_equal_the_plain_code() {
    let mut rng = Rng(13);
    let mut tried = 0;
    for isa in Isa::available() {
        let Some(rows) = isa.cpu().unwrap().rows else { continue };
        for n in [1, 31, 32, 33, 64, 65, 100, 200] {
            let mut random = || -> Vec<i16> {
                let mut values: Vec<i16> = (0..n).map(|_| (rng.unit() * 32767.0) as i16).collect();
                values[n / 2] = 32767;
                values[n / 3] = -32767;
                values
            };
            let (a, b) = (random(), random());
            let none = vec![0; n];
            for factors in [[1.0, 1.0], [0.75, 0.5], [0.6, 1.3]].map(|f| f.map(crate::program::short)) {
                let mut sum = a.clone();
                (rows.residual)(&mut sum, &b, factors);
                let expected = plainly(&a, &b, factors, -32767.0, 32767.0);
                assert!(sum.iter().map(|&s| i32::from(s)).eq(expected), "residual {n} {factors:?}");
            }
            for zero_point in [-128, 0, 7] {
                let xor = isa.cpu().unwrap().xor;
                let to = crate::cpu::conv::form::Narrowing { zero_point, xor };
                let (lo, hi) = ((-128 - zero_point) as f32, (127 - zero_point) as f32);
                // Halves are ties; 0.9 leaves the range.
                for factor in [0.5, 1.0 / 256.0, 0.004, 0.9].map(crate::program::short) {
                    let mut out = vec![0_u8; n];
                    let to_i32 = |out: &[u8]| -> Vec<i32> {
                        out.iter().map(|&b| i32::from((b ^ xor).cast_signed()) - zero_point).collect()
                    };
                    assert!((rows.narrow)(&a, factor, to, &mut out));
                    assert_eq!(
                        to_i32(&out),
                        plainly(&a, &none, [factor, 0.0], lo, hi),
                        "narrow {n} {factor}"
                    );
                    let factors = [factor * 0.5, factor * 0.25];
                    assert!((rows.add)(&a, &b, factors, to, &mut out));
                    assert_eq!(to_i32(&out), plainly(&a, &b, factors, lo, hi), "add {n} {factor}");
                    tried += n;
                }
                // A factor that takes the values far out of the range is refused or done right.
                let mut out = vec![0_u8; n];
                if (rows.narrow)(&a, 1.5, to, &mut out) {
                    let values = out.iter().map(|&b| i32::from((b ^ xor).cast_signed()) - zero_point);
                    assert!(values.eq(plainly(&a, &none, [1.5, 0.0], lo, hi)), "narrow {n} 1.5");
                }
            }
        }
    }
    if tried == 0 {
        std::eprintln!("skipped: no instruction set here has kernels of its own for rows");
    }
}

/// Multipliers for sums that are stored as [`WIDEST`].
pub(crate) fn requant(
    packed: &Packed,
    order: &[usize],
    weights: &[i8],
    bias: &[i32],
    mult: &[f32],
    kernels: &Kernels,
) -> Requant {
    let multipliers: Vec<f32> = mult.iter().map(|&m| short(m)).collect();
    let rows = weights.chunks_exact(weights.len() / bias.len());
    let largest: Vec<i64> = bias.iter().zip(rows).map(|(&bias, row)| largest_sum(bias, row)).collect();
    let sums = Sums { weights, bias, multipliers: &multipliers, largest: &largest };
    Requant::new(packed, order, &sums, kernels.sums(), WIDEST)
}

/// 16 bits, which products may be beyond.
const WIDEST: Store = Store::I16 { lo: -32767.0, hi: 32767.0 };

#[test]
fn winograd_equals_the_direct_convolution() {
    use crate::cpu::conv::winograd_4x4::{Form, PATCH, StripArgs, TILE, Winograd4x4, strip};
    let mut rng = Rng(14);
    let mut tried = 0;
    for isa in Isa::available() {
        let table = isa.cpu().unwrap();
        let Some(crate::cpu::conv::WinogradKernel::F4x4(kernel)) = table.winograd else { continue };
        let blocks = matches!(kernel.form, Form::Blocks);
        let unit = if blocks { 8 } else { 16 };
        let shapes = [(8, 4), (16, 16), (16, 48), (24, 12), (64, 36), (48, 20), (64, 64), (16, 256), (32, 3)];
        for (in_channels, out_channels) in shapes {
            if in_channels % unit != 0 || (blocks && out_channels % 4 != 0) {
                continue;
            }
            let shape = ConvShape { in_channels, out_channels, kernel: 3, columns: 3 };
            let depth = 9 * in_channels;
            let order: Vec<usize> = (0..out_channels).rev().collect();
            for (case, pixels) in (0..4).flat_map(|case| [4, 5, 15, 16, 33, 61].map(|p| (case, p))) {
                // The largest weights whose sums still fit, which may be the largest that there are.
                let most = if blocks { (25_000 / depth as i32).min(127) } else { 128 };
                let weights: Vec<i8> = values(3 - case, out_channels * depth, &mut rng)
                    .iter()
                    .map(|&w| (i32::from(w) * most / 128).max(-127) as i8)
                    .collect();
                let bias: Vec<i32> = (0..out_channels).map(|_| (rng.unit() * 1e5) as i32).collect();
                let rows: Vec<Vec<i8>> =
                    (0..PATCH).map(|_| values(case, (pixels + 2) * in_channels, &mut rng)).collect();
                let rows = stored(&rows, table.xor);
                let packed = pack(shape, &table.i8.geometry, &weights, &order);
                // Products beyond 16 bits in one of the cases.
                let mult = vec![if case == 0 { 0.4 } else { 1.0 / 1024.0 }; out_channels];
                let requant = requant(&packed, &order, &weights, &bias, &mult, &table);
                let transformed =
                    Winograd4x4::new(kernel, &weights, &order, in_channels, out_channels, &requant)
                        .expect("sums fit and channels are whole vectors");
                let mut scratch = crate::memory::line::aligned(transformed.scratch_bytes());
                assert_eq!(requant.products == Products::Mantissa, case == 0);
                // Every way to store there is; 8 bits only from products within 16.
                for store in [
                    Store::I16 { lo: -32767.0, hi: 32767.0 },
                    Store::I16 { lo: 0.0, hi: 32767.0 },
                    Store::I8 { lo: 0.0, hi: 255.0, zero_point: -128, xor: table.xor },
                    Store::I8 { lo: 0.0, hi: 191.0, zero_point: -64, xor: table.xor },
                    Store::I8 { lo: -133.0, hi: 122.0, zero_point: 5, xor: table.xor },
                    Store::F32 { relu: false },
                ] {
                    if requant.products == Products::Mantissa && matches!(store, Store::I8 { .. }) {
                        continue;
                    }
                    let row_bytes = pixels * out_channels * store.size_bytes();
                    let direct: Vec<Vec<u8>> = (0..TILE)
                        .map(|y| {
                            let taps: Vec<&[u8]> = rows[y..y + 3].iter().map(Vec::as_slice).collect();
                            let mut out = vec![0; row_bytes];
                            let args = RowArgs {
                                taps: &taps,
                                px_bytes: in_channels,
                                pixels,
                                packed: &packed,
                                bias: &requant.bias,
                                mult: &requant.mult,
                                offset: requant.offset.as_deref(),
                                products: requant.products,
                                store,
                                post_ops: None,
                                out: &mut out,
                            };
                            conv_row(&table.i8, args);
                            out
                        })
                        .collect();
                    for height in 1..=TILE {
                        let mut out = vec![vec![0; row_bytes]; height];
                        let mut slices: Vec<&mut [u8]> = out.iter_mut().map(Vec::as_mut_slice).collect();
                        let taps = core::array::from_fn(|y| rows[y].as_slice());
                        let args = StripArgs {
                            taps,
                            pixels,
                            weights: &transformed,
                            packed: &packed,
                            scratch: &mut scratch,
                            requant: &requant,
                            store,
                            post_ops: &mut [],
                            out: &mut slices,
                        };
                        strip(args);
                        let case = (in_channels, out_channels, pixels, case, height);
                        assert!(out == direct[..height], "{} {case:?} {store:?}", isa.name());
                        tried += 1;
                    }
                }
            }
        }
    }
    if tried == 0 {
        std::eprintln!("skipped: no instruction set here has a Winograd kernel");
    }
}

#[test]
fn winograd_refuses_sums_that_might_not_fit() {
    use crate::cpu::conv::winograd_4x4::{Form, Kernel, StripArgs, Winograd4x4};
    unsafe fn strip(_: &mut StripArgs<'_, '_>) {}
    let direct = Form::Direct { channels: 16, scratch: |_| 0 };
    for (form, weight, taken) in
        [(Form::Blocks, 45_i8, true), (Form::Blocks, 51, false), (direct, 51, true), (direct, 127, true)]
    {
        let blocks = matches!(form, Form::Blocks);
        let table = crate::cpu::kernels::Kernels { takes_floats: blocks, ..*Isa::Scalar.cpu().unwrap() };
        let shape = ConvShape { in_channels: 64, out_channels: 4, kernel: 3, columns: 3 };
        let weights = vec![weight; 4 * 9 * 64];
        let order = [0, 1, 2, 3];
        let packed = pack(shape, &table.i8.geometry, &weights, &order);
        let requant = requant(&packed, &order, &weights, &[0; 4], &[1e-3; 4], &table);
        assert_eq!(requant.offset.is_some(), blocks, "the direct sums fit");
        let kernel = Kernel { strip, form };
        assert_eq!(
            Winograd4x4::new(kernel, &weights, &order, 64, 4, &requant).is_some(),
            taken,
            "weights of {weight}"
        );
    }
}
