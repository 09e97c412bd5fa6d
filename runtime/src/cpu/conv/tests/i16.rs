//! Every 16-bit kernel that this processor has, against a direct convolution in 64 bits: equal, not close.

use crate::cpu::conv::form::{Products, Store};
use crate::cpu::conv::pack::{ConvShape, pack};
use crate::cpu::conv::row::{RowArgs, conv_row};
use crate::cpu::isa::Isa;
use crate::memory::ring::SLACK_BYTES;
use crate::testing::Rng;
use alloc::{format, vec, vec::Vec};

const SHAPES: [(usize, usize, usize); 8] =
    [(3, 16, 3), (16, 16, 3), (16, 12, 3), (5, 7, 5), (1, 1, 1), (60, 180, 1), (33, 65, 3), (7, 27, 7)];

/// The largest weight that cannot overflow the sum of this many products of 16-bit values.
fn largest_weight(depth: usize) -> i64 {
    (i64::from(i32::MAX) / 32767 / depth as i64 - 1).min(127)
}

fn activation(case: usize, i: usize, rng: &mut Rng) -> i16 {
    match case {
        0 => (rng.unit() * 32767.0) as i16,
        1 => 32767,
        2 => -32767,
        _ => [32767, -32767, 255, -256, 0][i % 5],
    }
}

#[test]
fn i16_kernels_equal_a_direct_convolution() {
    let mut rng = Rng(21);
    for (in_channels, out_channels, kernel) in SHAPES {
        let shape = ConvShape { in_channels, out_channels, kernel, columns: kernel };
        let depth = kernel * kernel * in_channels;
        let order: Vec<usize> = (0..out_channels).rev().collect();
        let most = largest_weight(depth) as f32;
        for (case, width) in (0..4).flat_map(|case| [1, 2, 5, 8, 13, 37].map(|w| (case, w))) {
            let weights: Vec<i16> = (0..out_channels * depth)
                .map(|_| if case == 0 { (rng.unit() * most) as i16 } else { most as i16 })
                .collect();
            let bias: Vec<i32> = (0..out_channels).map(|_| (rng.unit() * 30000.0) as i32).collect();
            let row_len = (width + kernel - 1) * in_channels;
            let rows: Vec<Vec<i16>> = (0..kernel)
                .map(|_| (0..row_len + SLACK_BYTES / 2).map(|i| activation(case, i, &mut rng)).collect())
                .collect();
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
            assert!(expected.iter().all(|&sum| i32::try_from(sum).is_ok()), "the case is a valid model");
            for isa in Isa::available() {
                let table = isa.cpu().unwrap();
                let packed = pack(shape, &table.i16.geometry, &weights, &order);
                let bias = packed.pad(&bias, &order);
                let taps: Vec<&[u8]> = rows.iter().map(|row| bytemuck::cast_slice(row)).collect();
                let mult = vec![1.0 / 65536.0; packed.padded_out];
                let run = |store: Store| {
                    let mut out = vec![0; width * out_channels * store.size_bytes()];
                    let args = RowArgs {
                        taps: &taps,
                        px_bytes: 2 * in_channels,
                        pixels: width,
                        packed: &packed,
                        bias: bytemuck::cast_slice(&bias),
                        mult: &mult,
                        offset: None,
                        products: Products::Any,
                        store,
                        post_ops: None,
                        out: &mut out,
                    };
                    conv_row(&table.i16, args);
                    out
                };
                let label = || format!("{} {shape:?} width {width} case {case}", table.i16.geometry.name);
                let floats = run(Store::F32 { relu: false });
                for (found, &expected) in floats.chunks_exact(4).zip(&expected) {
                    let found = f32::from_le_bytes([found[0], found[1], found[2], found[3]]);
                    assert_eq!(found, expected as f32 / 65536.0, "{}", label());
                }
                let round = |v: i64, lo: i64, hi: i64| {
                    (libm::rint(f64::from(v as f32 / 65536.0)) as i64).clamp(lo, hi)
                };
                let narrow = run(Store::I8 { lo: 0.0, hi: 130.0, zero_point: -3, xor: 0x80 });
                for (&found, &expected) in narrow.iter().zip(&expected) {
                    let found = i64::from((found ^ 0x80).cast_signed());
                    assert_eq!(found, round(expected, 0, 130) - 3, "{}", label());
                }
            }
        }
    }
}
