//! Non-linearities of real values, and the tables that stand for them on integers.

use crate::arithmetic::{gelu, hard_sigmoid, relu_f32, round_clamp, sigmoid, silu, tanh};
use crate::model::{Activation, DType};
use crate::program::edges::scale_of;
use crate::program::numerics::limits;
use alloc::vec::Vec;

/// The activations of real values, in their place.
#[inline(always)]
pub(crate) fn apply(activation: Activation, values: &mut [f32]) {
    // A loop for each, so that each vectorizes by itself.
    #[inline(always)]
    fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
        values.iter_mut().for_each(|x| *x = f(*x));
    }
    match activation {
        Activation::Relu => each(values, relu_f32),
        Activation::LeakyRelu { slope } => each(values, |x| if x > 0.0 { x } else { x * slope }),
        Activation::Gelu => each(values, gelu),
        Activation::Tanh => each(values, tanh),
        Activation::Sigmoid => each(values, sigmoid),
        Activation::Silu => each(values, silu),
        Activation::HardSigmoid { alpha, beta } => each(values, |x| hard_sigmoid(x, alpha, beta)),
        Activation::HardSwish { alpha, beta } => each(values, |x| x * hard_sigmoid(x, alpha, beta)),
    }
}

/// What an activation stores for every stored value of its input, from the smallest on: 256 for 8 bits, 65536 for 16. It is for
/// executors that look values up instead of computing them.
///
/// `None` where one of both edges carries floats.
pub fn activation_table(activation: Activation, from: DType, to: DType) -> Option<Vec<i32>> {
    let (range, zero) = match from {
        DType::F32 => return None,
        DType::I8 { zero_point, .. } => (-128..=127, i32::from(zero_point)),
        DType::I16 { .. } => (-32768..=32767, 0),
    };
    let zero_out = match to {
        DType::F32 => return None,
        DType::I8 { zero_point, .. } => i32::from(zero_point),
        DType::I16 { .. } => 0,
    };
    let mut values: Vec<f32> = range.map(|stored: i32| (stored - zero) as f32 * scale_of(from)).collect();
    apply(activation, &mut values);
    let (lo, hi) = limits(to, false);
    Some(values.iter().map(|x| round_clamp(x / scale_of(to), lo, hi) + zero_out).collect())
}
