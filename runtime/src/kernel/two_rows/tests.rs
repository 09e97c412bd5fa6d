use super::*;
use crate::kernel::pack::{ConvShape, pack};
use crate::kernel::requant::Products;
use crate::kernel::tile::{RowArgs, conv_row};
use crate::kernel::view::SLACK_BYTES;
use crate::kernel::winograd::Kernel;
use crate::kernel::{Isa, Table};
use crate::testing::Rng;
use alloc::vec;

/// Values up to `most` in magnitude.
fn values(n: usize, most: f32, rng: &mut Rng) -> Vec<i8> {
    (0..n).map(|_| (rng.unit() * most).round() as i8).collect()
}

fn requant(
    weights: &[i8],
    shape: ConvShape,
    bias: &[i32],
    table: &Table,
) -> (crate::kernel::pack::Packed, Requant) {
    let order: Vec<usize> = (0..shape.out_channels).collect();
    let packed = pack(shape, &table.i8, weights, &order);
    let mult = vec![1.0 / 1023.0; shape.out_channels];
    // 16 bits, which products may be beyond.
    let widest = Store::I16 { lo: -32767.0, hi: 32767.0 };
    let requant = Requant::new(&packed, &order, weights, bias, &mult, table, widest);
    (packed, requant)
}

#[test]
fn two_rows_equal_the_direct_convolution() {
    let mut rng = Rng(15);
    let (mut tried, mut refused) = (0, 0);
    for isa in Isa::available() {
        let table = isa.table();
        let Some(Kernel::TwoRows(entry)) = table.winograd else { continue };
        for (in_channels, out_channels) in [(16, 8), (16, 48), (48, 24), (64, 64)] {
            let shape = ConvShape { in_channels, out_channels, kernel: 3, columns: 3 };
            for (case, pixels) in (0..3).flat_map(|case| [6, 7, 11, 12, 33, 48].map(|p| (case, p))) {
                // Three of the largest weights still fit 8 bits, and all together the sums.
                let most = (14_000.0 / (9 * in_channels) as f32).min(42.0);
                let weights = values(out_channels * 9 * in_channels, most, &mut rng);
                let bias: Vec<i32> = (0..out_channels).map(|_| (rng.unit() * 1e5) as i32).collect();
                let len = (pixels + 2) * in_channels + SLACK_BYTES;
                let mut rows: Vec<Vec<u8>> =
                    (0..TAPS).map(|_| bytemuck::cast_slice(&values(len, 63.0, &mut rng)).to_vec()).collect();
                // Sums at both ends of 8 bits; in the last case one beyond them, in the last place.
                let last = (pixels + 2) * in_channels - 1;
                (rows[1][0], rows[2][0], rows[0][1], rows[2][1]) = (0xc0, 0xc0, 63, 0xc0);
                if case == 2 {
                    (rows[1][last], rows[2][last]) = (64, 64);
                }
                let (packed, requant) = requant(&weights, shape, &bias, &table);
                let two = TwoRows::new(&weights, in_channels, out_channels, &requant).expect("weights fit");
                for store in [
                    Store::I16 { lo: -32767.0, hi: 32767.0 },
                    Store::I16 { lo: 0.0, hi: 32767.0 },
                    Store::I8 { lo: 0.0, hi: 191.0, zero_point: -64, xor: 0 },
                    Store::I8 { lo: -128.0, hi: 127.0, zero_point: 0, xor: 0 },
                    Store::I8 { lo: -133.0, hi: 122.0, zero_point: 5, xor: 0 },
                    Store::F32 { relu: false },
                ] {
                    let row_bytes = pixels * out_channels * store.size_bytes();
                    let mut direct = vec![vec![0; row_bytes]; 2];
                    for (y, out) in direct.iter_mut().enumerate() {
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
                            chain: None,
                            out,
                        };
                        conv_row(table.conv_i8, &table.i8, 1, args);
                    }
                    let mut out = vec![vec![0x55; row_bytes]; 2];
                    let [above, below] = &mut out[..] else { unreachable!("two rows") };
                    let taps = core::array::from_fn(|y| rows[y].as_slice());
                    let args = TwoRowsArgs {
                        taps,
                        pixels,
                        weights: &two,
                        requant: &requant,
                        store,
                        out: [above, below],
                    };
                    let done = two_rows(entry, args);
                    let what = (in_channels, out_channels, pixels, case);
                    assert_eq!(done, case < 2, "{} {what:?}: 128 does not fit", isa.name());
                    if done {
                        assert!(out == direct, "{} {what:?} {store:?}", isa.name());
                        tried += 1;
                    } else {
                        assert!(out == vec![vec![0x55; row_bytes]; 2], "nothing was written");
                        refused += 1;
                    }
                }
            }
        }
    }
    if tried + refused == 0 {
        std::eprintln!("skipped: no instruction set here does two rows at once");
    }
}

#[test]
fn weights_whose_sums_do_not_fit_are_refused() {
    let table = Table { takes_floats: true, ..Isa::Scalar.table() };
    for (channels, weight, taken) in [(16, 42, true), (16, -42, true), (16, 43, false), (64, 42, true)] {
        let shape = ConvShape { in_channels: channels, out_channels: 8, kernel: 3, columns: 3 };
        let weights = vec![weight; 8 * 9 * channels];
        let (_, mut requant) = requant(&weights, shape, &[0; 8], &table);
        assert!(requant.offset.is_some(), "the direct sums fit");
        let two = TwoRows::new(&weights, channels, 8, &requant);
        assert_eq!(two.is_some(), taken, "{channels} channels, weights of {weight}");
        requant.offset = None;
        assert!(TwoRows::new(&weights, channels, 8, &requant).is_none(), "the direct sums might not fit");
    }
}

#[test]
fn passes_are_whole_tiles_and_fit_the_memory() {
    for channels in [16, 64, 256, 512] {
        let weights = vec![0; 8 * 9 * channels];
        let shape = ConvShape { in_channels: channels, out_channels: 8, kernel: 3, columns: 3 };
        let table = Table { takes_floats: true, ..Isa::Scalar.table() };
        let (_, requant) = requant(&weights, shape, &[0; 8], &table);
        let two = TwoRows::new(&weights, channels, 8, &requant).expect("nothing is too large");
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
    assert!(TwoRows::new(&vec![0; 8 * 9 * 1024], 1024, 8, &requant).is_none(), "no memory for six pixels");
}
