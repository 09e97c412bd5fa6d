use super::*;
use crate::cpu::conv::WinogradKernel;
use crate::cpu::conv::form::{Narrowing, Products};
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::row::{PostOps, RowArgs, conv_row};
use crate::cpu::conv::tests::{self, stored};
use crate::cpu::isa::Isa;
use crate::cpu::kernels::Kernels;
use crate::memory::ring::SLACK_BYTES;
use crate::program::short;
use crate::testing::Rng;
use alloc::vec;

/// Values up to `most` in magnitude.
fn values(n: usize, most: f32, rng: &mut Rng) -> Vec<i8> {
    (0..n).map(|_| (rng.unit() * most).round() as i8).collect()
}

fn requant(weights: &[i8], shape: ConvShape, bias: &[i32], table: &Kernels) -> (Packed, Requant) {
    let order: Vec<usize> = (0..shape.out_channels).collect();
    let packed = pack(shape, &table.i8.geometry, weights, &order);
    let mult = vec![1.0 / 1023.0; shape.out_channels];
    let requant = tests::requant(&packed, &order, weights, bias, &mult, table);
    (packed, requant)
}

#[test]
fn winograd_2x1_equals_the_direct_convolution() {
    let mut rng = Rng(15);
    let (mut tried, mut refused) = (0, 0);
    for isa in Isa::available() {
        let table = isa.cpu().unwrap();
        let Some(WinogradKernel::F2x1(kernel)) = table.winograd else { continue };
        for (in_channels, out_channels) in [(16, 8), (16, 48), (48, 24), (16, 32), (80, 96), (64, 64)] {
            if out_channels % kernel.block != 0 {
                continue;
            }
            let shape = ConvShape { in_channels, out_channels, kernel: 3, columns: 3 };
            for (case, pixels) in (0..6).flat_map(|case| [6, 7, 11, 12, 33, 48].map(|p| (case, p))) {
                // Three of the largest weights still fit 8 bits, and all together the sums.
                let most = (14_000.0 / (9 * in_channels) as f32).min(42.0);
                let weights = values(out_channels * 9 * in_channels, most, &mut rng);
                let bias: Vec<i32> = (0..out_channels).map(|_| (rng.unit() * 1e5) as i32).collect();
                let len = (pixels + 2) * in_channels + SLACK_BYTES;
                let mut rows: Vec<Vec<i8>> = (0..TAPS).map(|_| values(len, 63.0, &mut rng)).collect();
                // Sums at both ends of 8 bits; in the last cases one beyond them, in the last place, of each kind.
                let last = (pixels + 2) * in_channels - 1;
                (rows[1][0], rows[2][0], rows[0][1], rows[2][1]) = (-64, -64, 63, -64);
                let beyond = match case {
                    2 => [None, Some(64), Some(64), None],
                    3 => [Some(64), None, Some(-64), None],
                    4 => [None, Some(-66), Some(63), Some(0)],
                    5 => [None, Some(64), Some(0), Some(-65)],
                    _ => [None; TAPS],
                };
                for (row, value) in rows.iter_mut().zip(beyond) {
                    row[last] = value.unwrap_or(row[last]);
                }
                let rows = stored(&rows, table.xor);
                let (packed, requant) = requant(&weights, shape, &bias, &table);
                let two =
                    Winograd2x1::new(kernel, &weights, in_channels, out_channels, &requant, table.sums())
                        .expect("weights fit");
                let residuals: Vec<Vec<i16>> = (0..2)
                    .map(|_| (0..pixels * out_channels).map(|_| (rng.unit() * 32767.0) as i16).collect())
                    .collect();
                for (store, fused) in [
                    (Store::I16 { lo: -32767.0, hi: 32767.0 }, None),
                    (Store::I16 { lo: 0.0, hi: 32767.0 }, None),
                    (Store::I8 { lo: 0.0, hi: 191.0, zero_point: -64, xor: table.xor }, None),
                    (Store::I8 { lo: -128.0, hi: 127.0, zero_point: 0, xor: table.xor }, None),
                    (Store::I8 { lo: -133.0, hi: 122.0, zero_point: 5, xor: table.xor }, None),
                    (Store::F32 { relu: false }, None),
                    (Store::I16 { lo: -32767.0, hi: 32767.0 }, Some(([1.0, 1.0], true))),
                    (Store::I16 { lo: -32767.0, hi: 32767.0 }, Some(([0.75, 0.5], true))),
                    (Store::I16 { lo: -32767.0, hi: 32767.0 }, Some(([1.0, 1.0], false))),
                ] {
                    if fused.is_some() && !table.post_ops {
                        continue;
                    }
                    let values = pixels * out_channels;
                    // The rows themselves, and in 8 bits.
                    let blank =
                        || [0, 1].map(|_| (vec![0x55; values * store.size_bytes()], vec![0x55; values]));
                    let to = Narrowing { zero_point: 5, xor: table.xor };
                    let post_ops_of = |y: usize, narrow| {
                        fused.map(|(factors, narrows)| PostOps {
                            residual: Some((residuals[y].as_slice(), factors)),
                            narrow: Some((narrow, short(0.004), to)).filter(|_| narrows),
                        })
                    };
                    let mut direct = blank();
                    for (y, (out, narrow)) in direct.iter_mut().enumerate() {
                        let taps: Vec<&[u8]> = rows[y..y + 3].iter().map(Vec::as_slice).collect();
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
                            post_ops: post_ops_of(y, narrow),
                            out,
                        };
                        conv_row(&table.i8, args);
                    }
                    let mut found = blank();
                    let [(above, narrow_above), (below, narrow_below)] = &mut found;
                    let post_ops = post_ops_of(0, narrow_above).zip(post_ops_of(1, narrow_below));
                    let args = Winograd2x1Args {
                        taps: core::array::from_fn(|y| rows[y].as_slice()),
                        pixels,
                        weights: &two,
                        requant: &requant,
                        store,
                        post_ops: post_ops.map(|(above, below)| [above, below]),
                        out: [above, below],
                    };
                    let done = winograd_2x1(args);
                    let what = (in_channels, out_channels, pixels, case);
                    assert_eq!(done, case < 2, "{} {what:?}: a sum beyond 8 bits", isa.name());
                    if !done {
                        refused += 1;
                        continue;
                    }
                    assert!(found == direct, "{} {what:?} {store:?} {fused:?}", isa.name());
                    tried += 1;
                }
            }
        }
    }
    if tried + refused == 0 {
        std::eprintln!("skipped: no instruction set here does two rows at once");
    }
}

/// Blocks of eight channels, which nothing computes here.
const EIGHT: crate::cpu::conv::winograd_2x1::Kernel =
    crate::cpu::conv::winograd_2x1::Kernel { pass: never, block: 8 };

/// # Safety
/// None is needed.
unsafe fn never(_: &mut Winograd2x1Args<'_, '_>) -> bool {
    unreachable!("only the weights are looked at")
}

#[test]
fn sums_that_might_wrap_around_before_they_are_halved_are_refused() {
    // Of unsigned activations, which are integers and not floats in disguise.
    let table = Kernels { takes_floats: false, xor: 0x80, ..*Isa::Scalar.cpu().unwrap() };
    for (bias, taken) in [(0, true), (1_000_000_000, true), (1_073_741_000, false), (-1_073_741_000, false)] {
        let shape = ConvShape { in_channels: 16, out_channels: 8, kernel: 3, columns: 3 };
        let weights = vec![1; 8 * 9 * 16];
        let (_, requant) = requant(&weights, shape, &[bias; 8], &table);
        let two = Winograd2x1::new(EIGHT, &weights, 16, 8, &requant, table.sums());
        assert_eq!(two.is_some(), taken, "a bias of {bias}");
    }
}

#[test]
fn weights_whose_sums_do_not_fit_are_refused() {
    let table = Kernels { takes_floats: true, ..*Isa::Scalar.cpu().unwrap() };
    for (channels, weight, taken) in [(16, 42, true), (16, -42, true), (16, 43, false), (64, 42, true)] {
        let shape = ConvShape { in_channels: channels, out_channels: 8, kernel: 3, columns: 3 };
        let weights = vec![weight; 8 * 9 * channels];
        let (_, mut requant) = requant(&weights, shape, &[0; 8], &table);
        assert!(requant.offset.is_some(), "the direct sums fit");
        let two = Winograd2x1::new(EIGHT, &weights, channels, 8, &requant, table.sums());
        assert_eq!(two.is_some(), taken, "{channels} channels, weights of {weight}");
        requant.offset = None;
        assert!(
            Winograd2x1::new(EIGHT, &weights, channels, 8, &requant, table.sums()).is_none(),
            "the direct sums might not fit"
        );
    }
}

#[test]
fn passes_are_whole_tiles_and_fit_the_memory() {
    for channels in [16, 64, 256, 512] {
        let weights = vec![0; 8 * 9 * channels];
        let shape = ConvShape { in_channels: channels, out_channels: 8, kernel: 3, columns: 3 };
        let table = Kernels { takes_floats: true, ..*Isa::Scalar.cpu().unwrap() };
        let (_, requant) = requant(&weights, shape, &[0; 8], &table);
        let two = Winograd2x1::new(EIGHT, &weights, channels, 8, &requant, table.sums())
            .expect("nothing is too large");
        for pixels in 1..1000 {
            let pass = two.pass(pixels);
            assert!(
                pass >= TILE && pass.is_multiple_of(TILE),
                "{channels} channels, {pixels} pixels: {pass}"
            );
            assert!(
                TAPS * (pass + 2) * channels <= SCRATCH_BYTES,
                "{channels} channels, {pixels} pixels: {pass}"
            );
        }
    }
    let requant = Requant {
        bias: vec![0; 32],
        mult: vec![1.0; 8],
        offset: Some(vec![0.0; 8]),
        products: Products::Any,
    };
    assert!(
        Winograd2x1::new(EIGHT, &vec![0; 8 * 9 * 1024], 1024, 8, &requant, Isa::Scalar.cpu().unwrap().sums())
            .is_none(),
        "no memory for six pixels"
    );
}
