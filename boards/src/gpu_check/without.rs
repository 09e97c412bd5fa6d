//! Without the feature `gpu` there is nothing to measure.

use super::{Bits, Timed};
use mcir_upscale::device::Accelerator;
use mcir_upscale::error::Result;

pub(super) fn all(
    gpu: &Accelerator,
    _: (usize, usize),
    _: f64,
    _: &mut dyn FnMut(&str),
) -> Result<(Vec<Bits>, Vec<Timed>)> {
    match *gpu {}
}
