//! How fast the engine is on a kind of core: a few measured numbers for each instruction set and kind of numbers.

use super::Profile;
use mcir_runtime::model::{Activation, Conv2d, Model, Op};
use serde::{Deserialize, Serialize};

/// Measured and modelled speeds for all boards.
const TABLE: &str = include_str!("../../profiles/efficiency.toml");

/// Cycles that the engine takes, as fitted to measured frames.
///
/// A frame costs `macs / macs_per_cycle + values * cycles_per_value` cycles of one core, where `values` counts
/// the elements of all edges of the network: what convolutions do in proportion to their multiplications,
/// and what every step does in proportion to what it writes. Operators that do neither have costs of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Efficiency {
    /// Microarchitecture, as in a profile's cores.
    pub core: String,
    /// Instruction set of the engine.
    pub isa: String,
    /// `int8` or `f32`.
    pub precision: String,
    /// Multiply-accumulates a cycle, when nothing else is done.
    pub macs_per_cycle: f64,
    /// Cycles for each element that a step writes.
    pub cycles_per_value: f64,
    /// Share of its speed that is left for each core when all cores work, 1 for none lost.
    #[serde(default = "one")]
    pub parallel_efficiency: f64,
    /// Cycles that it takes all cores to meet, as they do at the ends of every band of a frame and after each of its steps.
    #[serde(default)]
    pub join_cycles: f64,
    /// How the numbers were found.
    pub source: String,
    /// Largest relative error on the frames that they were fitted to.
    #[serde(default)]
    pub fit_error: Option<f64>,
    /// Costs of operators that are no convolutions; where they were not measured, these cost what their
    /// multiplications and values would in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators: Option<Operators>,
}

/// Cycles of operators that neither multiply as convolutions do nor merely pass values on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operators {
    /// Layer norm: cycles for each pixel, whose mean and variance are sums over its channels.
    pub norm_pixel: f64,
    /// Layer norm: cycles for each value.
    pub norm_value: f64,
    /// Window attention: cycles for each pair of a query and a key in a head, which has one softmax weight.
    pub attention_score: f64,
    /// Window attention: cycles for each of its multiplications.
    pub attention_mac: f64,
    /// Cycles for each value of a GELU, or of a table.
    pub activation: f64,
}

fn one() -> f64 {
    1.0
}

impl Efficiency {
    pub(super) fn check(&self) -> Result<(), String> {
        let sound = self.macs_per_cycle > 0.0
            && self.macs_per_cycle < 1e6
            && (0.0..1e6).contains(&self.cycles_per_value)
            && self.operators.is_none_or(|operators| {
                let Operators { norm_pixel, norm_value, attention_score, attention_mac, activation } =
                    operators;
                let all = [norm_pixel, norm_value, attention_score, attention_mac, activation];
                all.iter().all(|cycles| (0.0..1e6).contains(cycles))
            })
            && self.parallel_efficiency > 0.0
            && self.parallel_efficiency <= 1.0
            && (0.0..1e9).contains(&self.join_cycles);
        let name = || format!("efficiency of {} {} {}", self.core, self.isa, self.precision);
        if sound { Ok(()) } else { Err(format!("{}: a value is zero, negative or too large", name())) }
    }

    /// Cycles for a frame that takes one core `alone`, when several cores meet `joins` times and the busiest has this share
    /// of it ([`Plan::largest_share`](mcir_runtime::plan::Plan::largest_share)).
    pub fn cycles_together(&self, alone: f64, share: f64, joins: usize) -> f64 {
        if share >= 1.0 {
            return alone;
        }
        alone * share / self.parallel_efficiency + self.join_cycles * joins as f64
    }

    /// Cycles of one core for a frame.
    pub fn cycles(&self, work: &Work) -> f64 {
        let simple = |macs: f64, values: f64| macs / self.macs_per_cycle + values * self.cycles_per_value;
        match &self.operators {
            Some(operators) => simple(work.plain_macs, work.plain_values) + operators.cycles(work),
            None => simple(work.macs, work.values),
        }
    }
}

impl Operators {
    /// Cycles of one core for what these operators do in a frame.
    pub fn cycles(&self, work: &Work) -> f64 {
        self.norm_pixel * work.norm_pixels
            + self.norm_value * work.norm_values
            + self.attention_score * work.scores
            + self.attention_mac * work.attention_macs
            + self.activation * work.activated
    }
}

/// What a frame consists of.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: f64,
    /// Elements that steps write.
    pub values: f64,
    /// Multiply-accumulates outside of window attention.
    pub plain_macs: f64,
    /// Elements that other steps write than those below.
    pub plain_values: f64,
    /// Pixels that layer norms write.
    pub norm_pixels: f64,
    /// Elements that layer norms write.
    pub norm_values: f64,
    /// Pairs of a query and a key in all heads of window attention.
    pub scores: f64,
    /// Multiply-accumulates in window attention.
    pub attention_macs: f64,
    /// Elements that are looked up in tables or go through a GELU, be it at the end of a convolution.
    pub activated: f64,
}

impl Work {
    /// Of a frame of this width and height.
    pub fn of(model: &Model, size: (usize, usize)) -> Self {
        let pixels = Self::pixels(model, size);
        let mut work = Self::default();
        // Not the input, which nobody computes.
        for (id, _) in (0_u16..).zip(&model.graph().nodes).skip(1) {
            work.add(&Self::of_node(model, id, pixels));
        }
        work
    }

    /// Pixels that are computed for an image of this width and height: a network with windows computes whole ones, one with a
    /// margin that too.
    pub fn pixels(model: &Model, (width, height): (usize, usize)) -> f64 {
        (model.graph().seen(width) * model.graph().seen(height)) as f64
    }

    /// Of a node, in a frame of so many input pixels.
    pub fn of_node(model: &Model, id: u16, pixels: f64) -> Self {
        let shape = model.shape(id);
        let macs = model.node_macs_per_pixel(id) as f64 * pixels;
        let pixels = shape.extent.density() * pixels;
        let values = f64::from(shape.channels) * pixels;
        let work = Self { macs, values, ..Self::default() };
        match model.graph().node(id).op {
            Op::WindowAttention { num_heads, window_size, .. } => {
                let scores = pixels * f64::from(num_heads) * f64::from(window_size).powi(2);
                Self { scores, attention_macs: macs, ..work }
            }
            Op::LayerNorm { .. } => Self { norm_pixels: pixels, norm_values: values, ..work },
            Op::Activation(_) | Op::PRelu => Self { activated: values, ..work },
            // Of floats: those of integers have only a clamp.
            Op::Conv2d(Conv2d {
                activation:
                    Some(
                        Activation::Gelu
                        | Activation::Tanh
                        | Activation::Sigmoid
                        | Activation::Silu
                        | Activation::HardSigmoid { .. }
                        | Activation::HardSwish { .. },
                    ),
                ..
            }) => Self { plain_macs: macs, plain_values: values, activated: values, ..work },
            Op::Input { .. }
            | Op::Conv2d(_)
            | Op::Add { .. }
            | Op::Mul
            | Op::Affine
            | Op::PixelShuffle { .. }
            | Op::Resize { .. }
            | Op::MaxPool(_)
            | Op::GlobalPool { .. }
            | Op::Interpolate { .. }
            | Op::Reduce { .. }
            | Op::Convert => Self { plain_macs: macs, plain_values: values, ..work },
        }
    }

    /// Adds what another one consists of.
    pub fn add(&mut self, other: &Self) {
        self.macs += other.macs;
        self.values += other.values;
        self.plain_macs += other.plain_macs;
        self.plain_values += other.plain_values;
        self.norm_pixels += other.norm_pixels;
        self.norm_values += other.norm_values;
        self.scores += other.scores;
        self.attention_macs += other.attention_macs;
        self.activated += other.activated;
    }
}

/// The speed on a kind of core: the profile's own, or that of the table for all boards.
pub fn efficiency_of(profile: &Profile, core: &str, isa: &str, precision: &str) -> Option<Efficiency> {
    let of = |e: &&Efficiency| e.core == core && e.isa == isa && e.precision == precision;
    profile.efficiency.iter().find(of).cloned().or_else(|| table().iter().find(of).cloned())
}

fn table() -> Vec<Efficiency> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        efficiency: Vec<Efficiency>,
    }
    let table: Table = toml::from_str(TABLE).expect("the table of speeds is sound");
    table.efficiency
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound_and_names_its_sources() {
        let table = table();
        for entry in &table {
            entry.check().unwrap();
            assert!(entry.source.len() > 20, "{}", entry.core);
            let known = |p: &Profile| p.cores.iter().any(|c| c.kind == entry.core) && p.isa == entry.isa;
            assert!(Profile::all().iter().any(known), "{} is on no board", entry.core);
        }
        // Every board can be estimated for.
        for profile in Profile::all() {
            let core = &profile.fast_cores().kind;
            assert!(efficiency_of(&profile, core, &profile.isa, "int8").is_some(), "{}", profile.name);
        }
    }
}
