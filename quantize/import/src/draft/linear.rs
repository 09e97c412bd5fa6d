//! Convolutions with nothing between them, joined: networks are published in the form in which they were trained, where one
//! convolution stands as several.

use super::{Conv, Draft, Node, Work};

/// Most multiplications of weights to join two convolutions; a file could ask for any number of them.
const MAX_PRODUCTS: usize = 1 << 24;

impl Conv {
    /// Multiplications for a pixel.
    fn cost(&self) -> usize {
        self.weight.len()
    }

    /// This one and then `next`, of which one looks at a single pixel. `None` if zeros around the image would be other values
    /// between them, or if two are cheaper than one.
    fn then(&self, next: &Self) -> Option<Self> {
        let (from, between, outputs) = (self.inputs(), self.bias.len(), next.bias.len());
        let (mine, theirs) = (self.kernel.pow(2), next.kernel.pow(2));
        let plain = next.kernel == 1 || (self.kernel == 1 && self.bias.iter().all(|b| *b == 0.0));
        let area = mine * theirs;
        let joined = outputs.checked_mul(from)?.checked_mul(area)?;
        if self.relu
            || !plain
            || joined > self.cost() + next.cost()
            || joined.checked_mul(between)? > MAX_PRODUCTS
        {
            return None;
        }
        let mut weight = vec![0.0; joined];
        let mut bias = next.bias.clone();
        for (o, (rows, bias)) in weight.chunks_exact_mut(from * area).zip(&mut bias).enumerate() {
            let mut sums = vec![0.0f64; from * area];
            let mut shift = 0.0f64;
            for m in 0..between {
                for theirs_tap in 0..theirs {
                    let w = f64::from(next.weight[(o * between + m) * theirs + theirs_tap]);
                    for (i, taps) in
                        self.weight[m * from * mine..(m + 1) * from * mine].chunks_exact(mine).enumerate()
                    {
                        for (tap, v) in taps.iter().enumerate() {
                            sums[i * area + theirs_tap + tap] += w * f64::from(*v);
                        }
                    }
                    shift += w * f64::from(self.bias[m]);
                }
            }
            rows.iter_mut().zip(sums).for_each(|(to, sum)| *to = sum as f32);
            *bias = (f64::from(*bias) + shift) as f32;
        }
        Some(Self { kernel: self.kernel.max(next.kernel), weight, bias, relu: next.relu })
    }

    /// This one and `scale` times another one of the same image.
    fn plus(&self, other: &Self, scale: f32) -> Self {
        let kernel = self.kernel.max(other.kernel);
        let mut weight = vec![0.0; self.bias.len() * self.inputs() * kernel * kernel];
        for (conv, scale) in [(self, 1.0), (other, scale)] {
            let (k, edge) = (conv.kernel, (kernel - conv.kernel) / 2);
            for (to, taps) in weight.chunks_exact_mut(kernel * kernel).zip(conv.weight.chunks_exact(k * k)) {
                for (tap, v) in taps.iter().enumerate() {
                    to[(edge + tap / k) * kernel + edge + tap % k] += scale * v;
                }
            }
        }
        let bias = self.bias.iter().zip(&other.bias).map(|(a, b)| a + scale * b).collect();
        Self { kernel, weight, bias, relu: false }
    }
}

/// Joins a convolution with the one before it, or a sum of two convolutions of the same image.
pub(super) fn join(draft: &mut Draft, i: usize) -> bool {
    let node = &draft.nodes[i];
    let conv = |at: usize| match &draft.nodes[at].work {
        Work::Conv(conv) if draft.is_read_once(at) => Some(conv),
        _ => None,
    };
    let (joined, from) = match (&node.work, &node.inputs[..]) {
        (Work::Conv(next), &[from]) => (conv(from).and_then(|conv| conv.then(next)), from),
        (&Work::Add { scale }, &[a, b]) if draft.nodes[a].inputs == draft.nodes[b].inputs => {
            let pair = conv(a).zip(conv(b)).filter(|(a, b)| !a.relu && !b.relu);
            (pair.map(|(a, b)| a.plus(b, scale)), a)
        }
        _ => return false,
    };
    let Some(joined) = joined else { return false };
    let Node { name, inputs, .. } = draft.nodes[from].clone();
    draft.nodes[i] = Node { name, work: Work::Conv(joined), inputs, ..draft.nodes[i].clone() };
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(kernel: usize, outputs: usize, inputs: usize, bias: f32) -> Conv {
        let weight = (0..outputs * inputs * kernel * kernel).map(|i| (i * 7 % 11) as f32 - 5.0).collect();
        Conv { kernel, weight, bias: vec![bias; outputs], relu: false }
    }

    /// `[C, 5, 5]` with zeros around it.
    fn apply(conv: &Conv, x: &[f32]) -> Vec<f32> {
        let (k, from) = (conv.kernel, conv.inputs());
        let mut out = Vec::new();
        for (o, bias) in conv.bias.iter().enumerate() {
            for (y, x_) in (0..5).flat_map(|y| (0..5).map(move |x| (y, x))) {
                let mut sum = *bias;
                for (i, t) in (0..from).flat_map(|i| (0..k * k).map(move |t| (i, t))) {
                    let (y, x_) = ((y + t / k).wrapping_sub(k / 2), (x_ + t % k).wrapping_sub(k / 2));
                    if y < 5 && x_ < 5 {
                        sum += conv.weight[(o * from + i) * k * k + t] * x[(i * 5 + y) * 5 + x_];
                    }
                }
                out.push(sum);
            }
        }
        out
    }

    #[test]
    fn joined_convolutions_compute_what_both_did() {
        let x: Vec<f32> = (0..50).map(|i| (i * 13 % 17) as f32).collect();
        for (first, next) in [
            (conv(1, 6, 2, 0.0), conv(3, 3, 6, 2.0)),
            (conv(3, 6, 2, 4.0), conv(1, 3, 6, 2.0)),
            (conv(1, 3, 2, 4.0), conv(1, 2, 3, 2.0)),
        ] {
            let joined = first.then(&next).expect("one is cheaper");
            assert_eq!(apply(&joined, &x), apply(&next, &apply(&first, &x)), "whole numbers are exact");
        }
        let (a, b) = (conv(3, 3, 2, 1.0), conv(1, 3, 2, 5.0));
        let expected: Vec<f32> = apply(&a, &x).iter().zip(apply(&b, &x)).map(|(a, b)| a + 0.5 * b).collect();
        assert_eq!(apply(&a.plus(&b, 0.5), &x), expected);
        assert_eq!(
            conv(1, 6, 2, 1.0).then(&conv(3, 3, 6, 2.0)),
            None,
            "a bias does not reach beyond the image"
        );
        assert_eq!(conv(3, 6, 2, 0.0).then(&conv(3, 3, 6, 2.0)), None, "zeros around hide what is there");
        assert_eq!(conv(1, 2, 8, 0.0).then(&conv(3, 8, 2, 2.0)), None, "two are cheaper");
    }
}
