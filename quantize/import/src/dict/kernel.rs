//! Convolutions of training that become one: branches that are added up and convolutions behind each other, without anything
//! between them that is not linear.

use super::Fault;
use super::build::Build;

/// Most multiplications of making one kernel: what a few layers of a large network take, and a second at the most.
const MAX_WORK: usize = 1 << 29;
/// Most weights of one kernel.
const MAX_WEIGHTS: usize = 1 << 24;

/// Refuses kernels that a small file can ask for and that no network has.
fn bounded(outputs: usize, inputs: usize, area: usize, through: usize) -> Result<(), Fault> {
    let weights = outputs.checked_mul(inputs).and_then(|n| n.checked_mul(area)).filter(|n| *n <= MAX_WEIGHTS);
    let work = weights.and_then(|n| n.checked_mul(through)).filter(|n| *n <= MAX_WORK);
    work.map(drop)
        .ok_or_else(|| Fault::Cannot("its linear convolutions are larger than those of any network".into()))
}

/// A convolution's weights, `[outputs, inputs, side, side]`, and its bias.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kernel {
    pub outputs: usize,
    pub inputs: usize,
    pub side: usize,
    pub weight: Vec<f64>,
    pub bias: Vec<f64>,
}

impl Kernel {
    /// Of the layer `name`, whose bias may be missing.
    pub fn of(build: &mut Build<'_>, layer: &str) -> Result<Self, Fault> {
        let bias = format!("{layer}.bias");
        Self::named(build, &format!("{layer}.weight"), build.shape(&bias).is_some().then_some(&bias))
    }

    /// Of two tensors.
    pub fn named(build: &mut Build<'_>, weight: &str, bias: Option<&str>) -> Result<Self, Fault> {
        let (shape, values) = build.tensor(weight)?;
        let wrong = |name: &str, found: &[usize], expected: &str| Fault::Shape {
            name: name.into(),
            found: found.to_vec(),
            expected: expected.into(),
        };
        let [outputs, inputs, side, wide] = shape[..] else {
            return Err(wrong(weight, shape, "a convolution's, four sizes"));
        };
        if side != wide || side.is_multiple_of(2) || shape.contains(&0) {
            return Err(wrong(weight, shape, "a square kernel of an odd side"));
        }
        let doubles = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let bias = match bias {
            Some(name) => {
                let (shape, values) = build.tensor(name)?;
                if values.len() != outputs {
                    return Err(wrong(name, shape, "a value for each output"));
                }
                doubles(values)
            }
            None => vec![0.0; outputs],
        };
        Ok(Self { outputs, inputs, side, weight: doubles(values), bias })
    }

    /// A kernel that reads each channel for itself, as one that reads all.
    pub fn dense(self) -> Result<Self, Fault> {
        let area = self.side * self.side;
        if self.inputs != 1 {
            return Err(Fault::Cannot("its filters of single channels read several".into()));
        }
        bounded(self.outputs, self.outputs, area, 1)?;
        let mut weight = vec![0.0; self.outputs * self.outputs * area];
        for (c, taps) in self.weight.chunks_exact(area).enumerate() {
            weight[(c * self.outputs + c) * area..][..area].copy_from_slice(taps);
        }
        Ok(Self { inputs: self.outputs, weight, ..self })
    }

    fn at(&self, o: usize, i: usize, y: usize, x: usize) -> f64 {
        self.weight[((o * self.inputs + i) * self.side + y) * self.side + x]
    }

    /// This one and then another, one of which reads single pixels. What is around the image is zero before this one, so that
    /// its bias is what the other finds there: so it is trained.
    pub fn then(&self, next: &Self) -> Result<Self, Fault> {
        if self.outputs != next.inputs || self.side.min(next.side) != 1 {
            return Err(Fault::Cannot("its linear convolutions do not fit each other".into()));
        }
        let side = self.side.max(next.side);
        bounded(next.outputs, self.inputs, side * side, self.outputs)?;
        let mut weight = Vec::with_capacity(next.outputs * self.inputs * side * side);
        for o in 0..next.outputs {
            for i in 0..self.inputs {
                for (y, x) in (0..side).flat_map(|y| (0..side).map(move |x| (y, x))) {
                    let [a, b] = [self.side, next.side].map(|s| if s == 1 { (0, 0) } else { (y, x) });
                    let term = |m: usize| self.at(m, i, a.0, a.1) * next.at(o, m, b.0, b.1);
                    weight.push((0..self.outputs).map(term).sum());
                }
            }
        }
        let bias = (0..next.outputs).map(|o| {
            let taps = &next.weight[o * next.inputs * next.side * next.side..];
            let taps = taps[..next.inputs * next.side * next.side].chunks_exact(next.side * next.side);
            let through: f64 = taps.zip(&self.bias).map(|(taps, bias)| taps.iter().sum::<f64>() * bias).sum();
            next.bias[o] + through
        });
        Ok(Self { outputs: next.outputs, inputs: self.inputs, side, bias: bias.collect(), weight })
    }

    /// The sum of two.
    pub fn plus(&self, other: &Self) -> Result<Self, Fault> {
        if (self.outputs, self.inputs) != (other.outputs, other.inputs) {
            return Err(Fault::Cannot("its branches do not fit each other".into()));
        }
        let (large, small) = if self.side < other.side { (other, self) } else { (self, other) };
        let mut sum = large.clone();
        let edge = (large.side - small.side) / 2;
        for (pair, taps) in small.weight.chunks_exact(small.side * small.side).enumerate() {
            for (t, tap) in taps.iter().enumerate() {
                let (y, x) = (edge + t / small.side, edge + t % small.side);
                sum.weight[(pair * large.side + y) * large.side + x] += tap;
            }
        }
        sum.bias.iter_mut().zip(&small.bias).for_each(|(a, b)| *a += b);
        Ok(sum)
    }

    /// With its input added.
    pub fn plus_identity(&self) -> Result<Self, Fault> {
        let n = self.inputs;
        bounded(n, n, 1, 1)?;
        let weight = (0..n * n).map(|at| if at / n == at % n { 1.0 } else { 0.0 }).collect();
        self.plus(&Self { outputs: n, inputs: n, side: 1, weight, bias: vec![0.0; n] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(outputs: usize, inputs: usize, side: usize, seed: usize) -> Kernel {
        let value = |i: usize| ((i * 37 + seed * 101) % 23) as f64 / 7.0 - 1.5;
        let weight = (0..outputs * inputs * side * side).map(value).collect();
        Kernel { outputs, inputs, side, weight, bias: (0..outputs).map(|o| value(o + 5)).collect() }
    }

    /// By the definition, of an image with `ring` pixels around it that are left.
    fn apply(kernel: &Kernel, image: &[f64], side: usize) -> Vec<f64> {
        let left = side + 1 - kernel.side;
        let mut out = Vec::new();
        for o in 0..kernel.outputs {
            for (y, x) in (0..left).flat_map(|y| (0..left).map(move |x| (y, x))) {
                let mut sum = kernel.bias[o];
                for i in 0..kernel.inputs {
                    for (ky, kx) in (0..kernel.side).flat_map(|y| (0..kernel.side).map(move |x| (y, x))) {
                        sum += kernel.at(o, i, ky, kx) * image[(i * side + y + ky) * side + x + kx];
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-9)
    }

    #[test]
    fn one_kernel_computes_what_two_do() {
        let image: Vec<f64> = (0..2 * 25).map(|i| f64::from(i * 7 % 11)).collect();
        for (first, second) in [(1, 3), (3, 1), (1, 1), (1, 5)] {
            let (a, b) = (kernel(3, 2, first, 1), kernel(4, 3, second, 2));
            let both = a.then(&b).expect("fit");
            let between = apply(&a, &image, 5);
            let expected = apply(&b, &between, 6 - first);
            assert!(near(&apply(&both, &image, 5), &expected), "{first} then {second}");
        }
        assert!(kernel(3, 2, 3, 1).then(&kernel(4, 3, 3, 2)).is_err());
    }

    #[test]
    fn branches_of_other_sides_are_added_at_their_centres() {
        let image: Vec<f64> = (0..2 * 9).map(|i| f64::from(i * 5 % 13)).collect();
        let (large, small) = (kernel(2, 2, 3, 3), kernel(2, 2, 1, 4));
        let centre: Vec<f64> = vec![image[4], image[13]];
        let expected: Vec<f64> =
            apply(&large, &image, 3).iter().zip(apply(&small, &centre, 1)).map(|(a, b)| a + b).collect();
        for sum in [large.plus(&small), small.plus(&large)] {
            assert!(near(&apply(&sum.expect("fit"), &image, 3), &expected));
        }
        let more = large.plus_identity().expect("square");
        let expected: Vec<f64> = apply(&large, &image, 3).iter().zip(&centre).map(|(a, b)| a + b).collect();
        assert!(near(&apply(&more, &image, 3), &expected));
        assert!(large.plus(&kernel(3, 2, 1, 1)).is_err());
    }

    #[test]
    fn a_filter_of_each_channel_reads_no_other() {
        let each = Kernel { inputs: 1, ..kernel(3, 1, 3, 2) };
        let dense = each.clone().dense().expect("a filter for each channel");
        assert_eq!((dense.inputs, dense.weight.len()), (3, 81));
        assert_eq!(dense.at(1, 1, 0, 2), each.at(1, 0, 0, 2));
        assert_eq!(dense.at(1, 2, 0, 2), 0.0);
        let wide =
            Kernel { outputs: 1 << 16, inputs: 1, side: 1, weight: vec![0.0; 1 << 16], bias: Vec::new() };
        assert!(wide.dense().is_err());
    }
}
