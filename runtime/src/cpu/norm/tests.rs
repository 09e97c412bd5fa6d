//! The layer norm of every instruction set against plain Rust: equal, not close, over all numbers of channels.

use super::*;
use crate::arithmetic::round_clamp;
use crate::cpu::isa::Isa;
use crate::testing::Rng;
use alloc::{vec, vec::Vec};

/// `ops::layer_norm` on one pixel, value by value.
fn slowly(norm: &Norm<'_>, pixel: &[i16]) -> Vec<i32> {
    let vectors = norm.weight.len();
    let sum = |x: &[f32]| {
        let mut parts = [0.0; LANES];
        for (i, &x) in x.iter().enumerate() {
            parts[i % LANES] = if i < LANES { x } else { parts[i % LANES] + x };
        }
        for width in [8, 4, 2, 1] {
            (0..width).for_each(|l| parts[l] += parts[l + width]);
        }
        parts[0]
    };
    let share = 1.0 / norm.channels as f32;
    let mut x = vec![0.0; vectors * LANES];
    x.iter_mut().zip(pixel).for_each(|(x, &v)| *x = f32::from(v));
    let mean = sum(&x) * share;
    x[..norm.channels].iter_mut().for_each(|x| *x -= mean);
    let squares: Vec<f32> = x.iter().map(|x| x * x).collect();
    let variance = sum(&squares) * share;
    let factor = norm.from_scale / sqrt(variance * (norm.from_scale * norm.from_scale) + norm.eps);
    let (weight, bias) = (norm.weight.as_flattened(), norm.bias.as_flattened());
    let (lo, hi) = norm.limits;
    let pairs = x.iter().zip(weight.iter().zip(bias)).take(norm.channels);
    pairs.map(|(x, (w, b))| round_clamp(x * factor * w + b, lo, hi)).collect()
}

#[test]
fn equal_to_plain_rust() {
    let mut rng = Rng(0x10);
    let kernels: Vec<(Isa, NormKernel)> =
        Isa::available().filter_map(|isa| isa.cpu().unwrap().norm.map(|k| (isa, k))).collect();
    assert!(Isa::available().all(|isa| isa == Isa::Scalar || isa.cpu().unwrap().norm.is_some()));
    for channels in 1..=MAX_VECTORS * LANES {
        let vectors = channels.div_ceil(LANES);
        let mut padded = |scale: f32| {
            let mut v = vec![[0.0; LANES]; vectors];
            v.as_flattened_mut()[..channels]
                .iter_mut()
                .for_each(|x| *x = ((rng.next() % 2001) as f32 - 1000.0) * scale);
            v
        };
        let (weight, bias) = (padded(0.1), padded(0.02));
        let pixels = 7;
        let input: Vec<i16> = (0..pixels * channels)
            .map(|i| match i / channels {
                // All the same, the extremes, and anything.
                0 => 77,
                1 => [i16::MIN, i16::MAX][i % 2],
                _ => rng.next() as i16,
            })
            .collect();
        let to = Narrowing { zero_point: -17, xor: 0x80 };
        let (from_scale, eps) = (1.0 / 512.0, 1e-5);
        let narrowed =
            Norm { channels, from_scale, eps, weight: &weight, bias: &bias, limits: (-111.0, 144.0) };
        let widened = Norm { limits: (-32767.0, 32767.0), ..narrowed };
        for &(isa, kernel) in &kernels {
            let (mut bytes, mut words) = (vec![0x55; input.len()], vec![0x55; input.len()]);
            let done = to_i8(kernel, &narrowed, &input, to, &mut bytes);
            assert_eq!(done, to_i16(kernel, &widened, &input, &mut words));
            let left = input.len() - done;
            assert!(left < vectors * LANES && done.is_multiple_of(channels), "{}: {left} left", isa.name());
            for at in (0..done).step_by(channels) {
                let expected = slowly(&narrowed, &input[at..at + channels]);
                let expected: Vec<u8> = expected.iter().map(|v| (v - 17) as u8 ^ 0x80).collect();
                assert_eq!(bytes[at..at + channels], expected, "{}, {channels} channels", isa.name());
                let expected = slowly(&widened, &input[at..at + channels]);
                let expected: Vec<i16> = expected.iter().map(|&v| v as i16).collect();
                assert_eq!(words[at..at + channels], expected, "{}, {channels} channels", isa.name());
            }
        }
    }
}

#[test]
fn more_channels_than_registers_are_left_to_plain_rust() {
    let weight = [[1.0; LANES]; MAX_VECTORS + 1];
    let norm = Norm {
        channels: weight.len() * LANES,
        from_scale: 1.0,
        eps: 1e-5,
        weight: &weight,
        bias: &weight,
        limits: (-128.0, 127.0),
    };
    let (input, mut out) = (vec![1; 4 * norm.channels], vec![0; 4 * norm.channels]);
    for kernel in Isa::available().filter_map(|isa| isa.cpu().unwrap().norm) {
        assert_eq!(to_i8(kernel, &norm, &input, Narrowing { zero_point: 0, xor: 0 }, &mut out), 0);
    }
}
