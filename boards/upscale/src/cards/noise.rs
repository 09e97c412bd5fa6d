//! Deterministic randomness: a hash of integers, a sequence, and smooth noise fields.

/// Mixes a seed and two coordinates into 0..1.
pub fn hash(seed: u32, x: i64, y: i64) -> f64 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca77);
    // Finalizer of MurmurHash3.
    h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
    h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
    h ^= h >> 16;
    f64::from(h) / 4_294_967_296.0
}

/// Smooth noise in 0..1 that changes over about one unit.
pub fn value(seed: u32, x: f64, y: f64) -> f64 {
    let (x0, y0) = (libm::floor(x), libm::floor(y));
    let ease = |t: f64| t * t * (3.0 - 2.0 * t);
    let (tx, ty) = (ease(x - x0), ease(y - y0));
    let at = |dx, dy| hash(seed, x0 as i64 + dx, y0 as i64 + dy);
    let top = at(0, 0) + (at(1, 0) - at(0, 0)) * tx;
    let bottom = at(0, 1) + (at(1, 1) - at(0, 1)) * tx;
    top + (bottom - top) * ty
}

/// Sum of `octaves` of [`value`] noise, each of twice the frequency and half the amplitude: a spectrum that
/// falls like that of natural textures. In 0..1.
pub fn fractal(seed: u32, x: f64, y: f64, octaves: u32) -> f64 {
    let (mut sum, mut weight, mut frequency, mut total) = (0.0, 1.0, 1.0, 0.0);
    for octave in 0..octaves {
        sum += weight * value(seed.wrapping_add(octave), x * frequency, y * frequency);
        total += weight;
        weight *= 0.5;
        frequency *= 2.0;
    }
    sum / total
}

/// A sequence of numbers in 0..1.
pub struct Sequence {
    seed: u32,
    next: i64,
}

impl Sequence {
    pub fn new(seed: u32) -> Self {
        Self { seed, next: 0 }
    }

    pub fn unit(&mut self) -> f64 {
        self.next += 1;
        hash(self.seed, self.next, 0)
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}
