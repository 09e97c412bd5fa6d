//! How fast the engine is on a kind of core: two measured numbers for each instruction set and kind of numbers.

use super::Profile;
use mcir_runtime::model::{Model, Op};
use serde::{Deserialize, Serialize};

/// Measured and modelled speeds for all boards.
const TABLE: &str = include_str!("../../profiles/efficiency.toml");

/// Cycles that the engine takes, as fitted to measured frames.
///
/// A frame costs `macs / macs_per_cycle + values * cycles_per_value` cycles of one core, where `values` counts
/// the elements of all edges of the network: what convolutions do in proportion to their multiplications,
/// and what every step does in proportion to what it writes. Window attention costs `attended *
/// cycles_per_attended` instead of its multiplications, where `attended` counts the elements that it writes.
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
    /// Cycles for each element that a window attention writes, softmax and the layer norms around it included; where
    /// it was not measured, attention costs what its multiplications would in a convolution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycles_per_attended: Option<f64>,
    /// Share of ideal speed that is left for each core when all cores work, 1 for none lost.
    #[serde(default = "one")]
    pub parallel_efficiency: f64,
    /// How the numbers were found.
    pub source: String,
    /// Largest relative error on the frames that they were fitted to.
    #[serde(default)]
    pub fit_error: Option<f64>,
}

fn one() -> f64 {
    1.0
}

impl Efficiency {
    pub(super) fn check(&self) -> Result<(), String> {
        let sound = self.macs_per_cycle > 0.0
            && self.macs_per_cycle < 1e6
            && (0.0..1e6).contains(&self.cycles_per_value)
            && self.cycles_per_attended.is_none_or(|cycles| (0.0..1e6).contains(&cycles))
            && self.parallel_efficiency > 0.0
            && self.parallel_efficiency <= 1.0;
        let name = || format!("efficiency of {} {} {}", self.core, self.isa, self.precision);
        if sound { Ok(()) } else { Err(format!("{}: a value is zero, negative or too large", name())) }
    }

    /// Cycles of one core for a frame.
    pub fn cycles(&self, work: &Work) -> f64 {
        let (macs, attention) = match self.cycles_per_attended {
            Some(cycles) => (work.macs - work.attention_macs, work.attended * cycles),
            None => (work.macs, 0.0),
        };
        macs / self.macs_per_cycle + work.values * self.cycles_per_value + attention
    }
}

/// What a frame consists of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: f64,
    /// Those of them in window attention.
    pub attention_macs: f64,
    /// Elements that steps write.
    pub values: f64,
    /// Those of them that window attention writes.
    pub attended: f64,
}

impl Work {
    /// Of a frame with so many input pixels.
    pub fn of(model: &Model, pixels: usize) -> Self {
        let mut work = Self { macs: 0.0, attention_macs: 0.0, values: 0.0, attended: 0.0 };
        let pixels = pixels as f64;
        // Not the input, which nobody computes.
        for (id, node) in (0_u16..).zip(&model.graph().nodes).skip(1) {
            let shape = model.shape(id);
            let values = f64::from(shape.channels) * f64::from(shape.upscale).powi(2) * pixels;
            let macs = model.node_macs_per_pixel(id) as f64 * pixels;
            work.macs += macs;
            work.values += values;
            if matches!(node.op, Op::WindowAttention { .. }) {
                work.attention_macs += macs;
                work.attended += values;
            }
        }
        work
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
