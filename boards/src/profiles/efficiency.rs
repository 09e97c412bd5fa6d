//! How fast the engine is on a kind of core: two measured numbers for each instruction set and kind of numbers.

use super::Profile;
use serde::{Deserialize, Serialize};

/// Measured and modelled speeds for all boards.
const TABLE: &str = include_str!("../../profiles/efficiency.toml");

/// Cycles that the engine takes, as fitted to measured frames.
///
/// A frame costs `macs / macs_per_cycle + values * cycles_per_value` cycles of one core, where `values` counts
/// the elements of all edges of the network: what convolutions do in proportion to their multiplications,
/// and what every step does in proportion to what it writes.
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
            && self.parallel_efficiency > 0.0
            && self.parallel_efficiency <= 1.0;
        let name = || format!("efficiency of {} {} {}", self.core, self.isa, self.precision);
        if sound { Ok(()) } else { Err(format!("{}: a value is zero, negative or too large", name())) }
    }

    /// Cycles of one core for a frame of `macs` multiply-accumulates and `values` elements written.
    pub fn cycles(&self, macs: f64, values: f64) -> f64 {
        macs / self.macs_per_cycle + values * self.cycles_per_value
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
