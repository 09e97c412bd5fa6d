//! Whether a device rounds, multiplies and adds as the CPU does, tried before anything is computed on it.
//!
//! The standard leaves room that this crate's modules close (see `README.md`); a driver that does not keep to them is found here, on
//! numbers where the difference is seen: ties, products that a fused multiply-add would not round, products of bytes with their
//! signs; and a small network, whose picture is held against the CPU's.

use crate::cases;
use crate::device::buffer::{Buffer, Use};
use crate::device::logical::Device;
use crate::device::recording::{Buffers, Recording};
use crate::error::{Error, Result};
use crate::kernel::{Dispatch, Kernel, Module, Push, linear};
use crate::network::{Gpu, Network};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::sync::Arc;

/// Cases of the arithmetic.
const CASES: usize = 4096;

/// One case, in the words that the shader reads.
struct Case {
    values: [i32; 2],
    factors: [f32; 2],
    bytes: [i32; 2],
}

impl Case {
    fn words(&self) -> [i32; 6] {
        let [x, y] = self.values;
        let [f, g] = self.factors.map(|f| f.to_bits().cast_signed());
        [x, y, f, g, self.bytes[0], self.bytes[1]]
    }

    /// What the shader writes: both values rounded, the sum of the products, the dot product of the bytes.
    fn expected(&self) -> [u32; 4] {
        let [x, y] = self.values.map(|v| v as f32);
        let [f, g] = self.factors;
        let rounded = |x: f32| (x.clamp(-32767.0, 32767.0).round_ties_even() as i32).cast_unsigned();
        let dot: i32 = self.bytes[0]
            .to_le_bytes()
            .iter()
            .zip(self.bytes[1].to_le_bytes())
            .map(|(&a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed()))
            .sum();
        [rounded(x * f), rounded(y * g), (x * f + y * g).to_bits(), dot.cast_unsigned()]
    }
}

/// The cases: ties first, then numbers as networks have them.
fn cases() -> Vec<Case> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    };
    (0..CASES)
        .map(|i| {
            let byte_words = [random().cast_signed(), random().cast_signed()];
            let (values, factors) = if i < 512 {
                // Odd halves and quarters of both signs: exact products that lie between two integers.
                ([2 * i as i32 - 511, 511 - 2 * i as i32], [0.5, 0.25])
            } else {
                // 22 bits, as multipliers have, and sums of up to 24 bits.
                let factor = |bits: u32| f32::from_bits((0x3700_0000 + (bits & 0x07ff_ffff)) & !3);
                let value = |bits: u32| bits.cast_signed() >> 8;
                ([value(random()), value(random())], [factor(random()), factor(random())])
            };
            Case { values, factors, bytes: byte_words }
        })
        .collect()
}

/// Tries a device's arithmetic.
pub(crate) fn arithmetic(device: &Arc<Device>) -> Result<()> {
    let cases = cases();
    let words: Vec<i32> = cases.iter().flat_map(Case::words).collect();
    let bytes: &[u8] = bytemuck::cast_slice(&words);
    let mut constants = Buffer::new(device, bytes.len() as u64, Use::Upload)?;
    constants.bytes_mut()?[..bytes.len()].copy_from_slice(bytes);
    constants.flush()?;
    let output = Buffer::new(device, 16 * cases.len() as u64, Use::Download)?;
    let buffers = Buffers {
        constants: Arc::new(constants),
        arena: Buffer::new(device, 4, Use::Device)?,
        input: Buffer::new(device, 4, Use::Upload)?,
        output,
        download: None,
    };
    let module = if device.uses_dot() { Module::ProbeDot } else { Module::Probe };
    let kernel = Kernel { module, constants: Vec::new() };
    let push = Push { extra0: cases.len() as i32, ..Push::default() };
    let dispatch = Dispatch { kernel, push, groups: linear(cases.len()) };
    let mut recording = Recording::new(device, buffers, &[dispatch])?;
    recording.submit(|_| {})?;
    recording.wait()?;
    let found: Vec<u32> = recording
        .result()?
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
        .collect();
    let what = ["rounding", "rounding", "two products and their sum", "signed bytes"];
    for (case, found) in cases.iter().zip(found.chunks_exact(4)) {
        let expected = case.expected();
        if let Some(at) = (0..4).find(|&at| expected[at] != found[at]) {
            let (values, factors) = (case.values, case.factors);
            return Err(Error::Probe {
                device: device.info.name.clone(),
                what: format!(
                    "{} of {values:?} by {factors:?} gave {:#010x} instead of {:#010x}",
                    what[at], found[at], expected[at]
                ),
            });
        }
    }
    Ok(())
}

/// Tries a small network with what most networks have: convolutions, residual sums, the interpolated image.
pub(crate) fn network(gpu: &Gpu) -> Result<()> {
    let case = cases::residual_blocks();
    let [width, height] = [37, 11];
    let pixels = cases::picture(width, height, 3);
    let plan = Plan::new(&case.model, width, &PlanOptions::default()).expect("the case is small");
    let mut expected = vec![0; pixels.len() * usize::from(case.model.upscale()).pow(2)];
    plan.run_image(&mut plan.workspace(), &pixels, height, &mut expected).expect("the lengths fit");
    let mut frames = Network::new(gpu, &case.model)?.frames(width, height)?;
    let found = frames.run(&pixels)?;
    let different = expected.iter().zip(found).filter(|(a, b)| a != b).count();
    if different == 0 {
        return Ok(());
    }
    let what = format!("{}: {different} of {} bytes", case.name, expected.len());
    Err(Error::Probe { device: gpu.info().name.clone(), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without such cases a device that fuses, or rounds otherwise, would pass.
    #[test]
    fn the_cases_tell_other_arithmetic_apart() {
        let cases = cases();
        let products = |c: &Case| (c.values.map(|v| v as f32), c.factors);
        let fused = cases.iter().filter(|c| {
            let ([x, y], [f, g]) = products(c);
            x.mul_add(f, y * g).to_bits() != c.expected()[2]
        });
        assert!(fused.count() > 100);
        let away = cases.iter().filter(|c| {
            let ([x, _], [f, _]) = products(c);
            ((x * f).clamp(-32767.0, 32767.0).round() as i32).cast_unsigned() != c.expected()[0]
        });
        assert!(away.count() > 100);
    }
}
