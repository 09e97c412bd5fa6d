//! Properties of packing and of convolutions, whatever their shapes.

use crate::cpu::conv::form::{Geometry, Layout, Products, Store};
use crate::cpu::conv::pack::{ConvShape, Packed, pack};
use crate::cpu::conv::row::{RowArgs, conv_row};
use crate::cpu::conv::tests::{requant, stored};
use crate::cpu::isa::Isa;
use crate::testing::Rng;
use alloc::{vec, vec::Vec};
use proptest::prelude::*;

fn config() -> ProptestConfig {
    // Miri is a thousand times slower.
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 128 })
    }
}

fn shape() -> impl Strategy<Value = ConvShape> {
    (1..21_usize, 1..41_usize, prop_oneof![Just(1_usize), Just(3), Just(5)]).prop_map(
        |(in_channels, out_channels, kernel)| ConvShape {
            in_channels,
            out_channels,
            kernel,
            columns: kernel,
        },
    )
}

/// The weights that a packed convolution holds, `[out, kernel, kernel, in]`, read in the order in which a tile does.
fn unpack(packed: &Packed, geometry: &Geometry) -> Vec<i8> {
    let (shape, row) = (packed.shape, packed.shape.row_len());
    let bytes: &[i8] = bytemuck::cast_slice(&packed.weights);
    let mut weights = vec![0; shape.out_channels * shape.kernel * row];
    for panel in &packed.panels {
        let mut values = bytes[panel.offset..].iter();
        for (ky, group) in (0..shape.kernel).flat_map(|ky| (0..packed.groups).map(move |g| (ky, g))) {
            for (vector, place) in
                (0..panel.nv).flat_map(|v| (0..geometry.lanes * geometry.kt).map(move |p| (v, p)))
            {
                let (lane, k) = match geometry.layout {
                    Layout::Dot => (place / geometry.kt, place % geometry.kt),
                    Layout::Pairs => {
                        let (pair, at) = (place / (2 * geometry.lanes), place % (2 * geometry.lanes));
                        (at / 2, 2 * pair + at % 2)
                    }
                };
                let value = *values.next().expect("the panel has all of its weights");
                let (n, x) = (panel.first + vector * geometry.lanes + lane, group * geometry.kt + k);
                if n < shape.out_channels && x < row {
                    weights[(n * shape.kernel + ky) * row + x] = value;
                } else {
                    assert_eq!(value, 0, "what is beyond the convolution is zero");
                }
            }
        }
    }
    weights
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn packed_weights_can_be_unpacked(
        shape in shape(), lanes in prop_oneof![Just(4_usize), Just(8), Just(16)],
        kt in prop_oneof![Just(1_usize), Just(2), Just(4), Just(8)], max_nv in 1..5_usize, pairs: bool, seed: u64
    ) {
        let layout = if pairs && kt > 1 { Layout::Pairs } else { Layout::Dot };
        let geometry = Geometry { name: "", lanes, kt, max_nv, layout };
        let n = shape.out_channels * shape.kernel * shape.row_len();
        let weights: Vec<i8> = Rng(seed).bytes(n).into_iter().map(u8::cast_signed).collect();
        let order: Vec<usize> = (0..shape.out_channels).collect();
        let packed = pack(shape, &geometry, &weights, &order);
        prop_assert!(packed.panels.iter().all(|p| (1..=max_nv).contains(&p.nv)));
        prop_assert_eq!(unpack(&packed, &geometry), weights);
    }

    #[test]
    fn every_instruction_set_computes_the_direct_convolution(
        shape in shape(), width in 1..30_usize, seed: u64
    ) {
        let mut rng = Rng(seed);
        let depth = shape.kernel * shape.row_len();
        let signed = |bytes: Vec<u8>| -> Vec<i8> { bytes.into_iter().map(u8::cast_signed).collect() };
        let weights: Vec<i8> =
            signed(rng.bytes(shape.out_channels * depth)).iter().map(|w| (*w).max(-127)).collect();
        let bias: Vec<i32> = (0..shape.out_channels).map(|_| (rng.unit() * 1e6) as i32).collect();
        let row_len = (width + shape.kernel - 1) * shape.in_channels;
        let rows: Vec<Vec<i8>> = (0..shape.kernel).map(|_| signed(rng.bytes(row_len))).collect();
        let order: Vec<usize> = (0..shape.out_channels).collect();
        let expected: Vec<f32> = (0..width * shape.out_channels)
            .map(|i| {
                let (x, n) = (i / shape.out_channels, i % shape.out_channels);
                let taps = rows.iter().flat_map(|row| &row[x * shape.in_channels..][..shape.row_len()]);
                let products = taps.zip(&weights[n * depth..]).map(|(&a, &w)| i64::from(a) * i64::from(w));
                (i64::from(bias[n]) + products.sum::<i64>()) as f32 / 1024.0
            })
            .collect();
        for isa in Isa::available() {
            let cpu = isa.cpu().unwrap();
            let packed = pack(shape, &cpu.i8.geometry, &weights, &order);
            let multipliers = vec![1.0 / 1024.0; shape.out_channels];
            let requant = requant(&packed, &order, &weights, &bias, &multipliers, &cpu);
            let stored = stored(&rows, cpu.xor);
            let taps: Vec<&[u8]> = stored.iter().map(Vec::as_slice).collect();
            let mut out = vec![0; 4 * expected.len()];
            conv_row(&cpu.i8, RowArgs {
                taps: &taps,
                px_bytes: shape.in_channels,
                pixels: width,
                packed: &packed,
                bias: &requant.bias,
                mult: &requant.mult,
                offset: requant.offset.as_deref(),
                products: Products::Any,
                store: Store::F32 { relu: false },
                post_ops: None,
                out: &mut out,
            });
            let found: Vec<f32> = out.as_chunks::<4>().0.iter().map(|&b| f32::from_ne_bytes(b)).collect();
            prop_assert_eq!(&found, &expected, "{}", isa.name());
        }
    }
}
