//! What kernels do to a row of 16-bit values before they store it, against the same convolution without it, followed by
//! plain code.

use crate::cpu::conv::form::{Narrowing, Products, Store};
use crate::cpu::conv::pack::{ConvShape, pack};
use crate::cpu::conv::row::{PostOps, RowArgs, conv_row};
use crate::cpu::conv::tests::{WIDEST, plainly, stored, values};
use crate::cpu::isa::Isa;
use crate::program::short;
use crate::testing::Rng;
use alloc::{vec, vec::Vec};

/// Input and output channels: whole vectors in panels of one to four, and ragged ones.
const SHAPES: [(usize, usize); 9] =
    [(8, 16), (4, 32), (8, 48), (16, 64), (3, 128), (5, 80), (6, 60), (2, 7), (4, 65)];
const WIDTHS: [usize; 9] = [1, 2, 5, 6, 9, 14, 16, 23, 37];
const FACTORS: [[f32; 2]; 3] = [[1.0, 1.0], [0.75, 0.5], [0.6, 1.3]];

#[test]
fn post_ops_equal_convolution_sum_and_conversion_one_after_the_other() {
    let mut rng = Rng(17);
    let mut tried = 0;
    for isa in Isa::available().filter(|isa| isa.cpu().unwrap().post_ops) {
        let table = isa.cpu().unwrap();
        for ((in_channels, out_channels), width) in SHAPES.into_iter().flat_map(|s| WIDTHS.map(|w| (s, w))) {
            let shape = ConvShape { in_channels, out_channels, kernel: 3, columns: 3 };
            let order: Vec<usize> = (0..out_channels).collect();
            let weights: Vec<i8> = values(0, out_channels * 9 * in_channels, &mut rng);
            let packed = pack(shape, &table.i8.geometry, &weights, &order);
            let rows: Vec<Vec<i8>> = (0..3).map(|_| values(0, (width + 2) * in_channels, &mut rng)).collect();
            let rows = stored(&rows, table.xor);
            let taps: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let bias: Vec<i32> = (0..packed.padded_out).map(|_| (rng.unit() * 1e6) as i32).collect();
            // Some products are beyond 16 bits.
            let mult = vec![short(0.05); packed.padded_out];
            let n = width * out_channels;
            let mut residual: Vec<i16> = (0..n).map(|_| (rng.unit() * 32767.0) as i16).collect();
            (residual[n / 2], residual[n / 3]) = (32767, -32767);
            let run_with = |products: Products, store: Store, post_ops: Option<PostOps<'_>>| {
                let mut out = vec![0_i16; n];
                let args = RowArgs {
                    taps: &taps,
                    px_bytes: in_channels,
                    pixels: width,
                    packed: &packed,
                    bias: bytemuck::cast_slice(&bias),
                    mult: &mult,
                    offset: None,
                    products,
                    store,
                    post_ops,
                    out: bytemuck::cast_slice_mut(&mut out),
                };
                conv_row(&table.i8, args);
                out
            };
            let run =
                |store: Store, post_ops: Option<PostOps<'_>>| run_with(Products::Integer, store, post_ops);
            for store in [WIDEST, Store::I16 { lo: 0.0, hi: 32767.0 }] {
                let plain = run_with(Products::Any, store, None);
                assert!(run(store, None) == plain, "{} {shape:?} width {width} {store:?}", isa.name());
                let sums = FACTORS.map(|f| f.map(short)).map(|factors| {
                    let sums = plainly(&plain, &residual, factors, -32767.0, 32767.0);
                    (Some((residual.as_slice(), factors)), sums)
                });
                let none = [(None, plain.iter().map(|&v| i32::from(v)).collect())];
                for (summand, expected) in sums.into_iter().chain(none) {
                    let label = || {
                        let factors = summand.map(|(_, factors)| factors);
                        alloc::format!("{} {shape:?} width {width} {store:?} {factors:?}", isa.name())
                    };
                    let expected: Vec<i16> = expected.into_iter().map(|v| v as i16).collect();
                    assert!(
                        run(store, Some(PostOps { residual: summand, narrow: None })) == expected,
                        "{}",
                        label()
                    );
                    // The last factor leaves the range.
                    for (zero_point, factor) in
                        [(-128, 0.004), (0, 0.5), (7, 1.0 / 256.0), (3, 0.9), (-5, 7.5)]
                    {
                        let (factor, to) = (short(factor), Narrowing { zero_point, xor: table.xor });
                        let mut bytes = vec![0; n];
                        let post_ops = PostOps { residual: summand, narrow: Some((&mut bytes, factor, to)) };
                        assert!(run(store, Some(post_ops)) == expected, "{}", label());
                        let (lo, hi) = ((-128 - zero_point) as f32, (127 - zero_point) as f32);
                        let narrowed = plainly(&expected, &residual, [factor, 0.0], lo, hi);
                        let found =
                            bytes.iter().map(|&b| i32::from((b ^ table.xor).cast_signed()) - zero_point);
                        assert!(found.eq(narrowed), "{}, 8 bits by {factor}", label());
                        tried += 1;
                    }
                }
            }
        }
    }
    if tried == 0 {
        std::eprintln!("skipped: no instruction set here works on rows before it stores them");
    }
}
