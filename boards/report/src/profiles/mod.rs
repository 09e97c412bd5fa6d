//! Boards as data: what is known about each before it is at hand.
//!
//! One TOML file a board in `boards/profiles`, compiled into the program; `--board FILE.toml` takes another one.
//! What a board is measured to be belongs to [`machine`](crate::machine), how fast it will be to
//! [`estimate`](crate::estimate).

mod efficiency;
mod error;
#[cfg(test)]
mod tests;

pub use efficiency::{Efficiency, Operators, Work, efficiency_of};

pub use error::ProfileError;

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Longest profile file that is read.
const MAX_BYTES: u64 = 1 << 20;
/// Most cores, of any kind, that a profile may claim.
const MAX_CORES: u32 = 1024;

/// An entry of [`EMBEDDED`]: the name of a file in `boards/profiles`.
macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../profiles/", $name, ".toml")))),*]
    };
}

/// Names and texts of the profiles that the program carries.
const EMBEDDED: &[(&str, &str)] = embedded![
    "raspberry-pi-zero-2-w",
    "raspberry-pi-3b-plus",
    "raspberry-pi-4",
    "raspberry-pi-5",
    "jetson-nano",
    "jetson-xavier-nx",
    "jetson-orin-nano",
    "jetson-orin-nx",
];

/// A board.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name for `--board`.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// System on a chip.
    pub soc: String,
    /// Beginnings of the device tree's model string.
    #[serde(default)]
    pub device_tree: Vec<String>,
    /// As in `uname -m`: `aarch64`, `x86_64`.
    pub architecture: String,
    /// The engine's fastest instruction set there.
    pub isa: String,
    /// Memory of the versions that are sold, in MiB.
    pub memory_mb: Vec<u32>,
    /// Types of the thermal zones to read, the first that exists.
    #[serde(default)]
    pub thermal_zones: Vec<String>,
    /// How the board tells that it slowed itself down.
    #[serde(default)]
    pub throttle: Throttle,
    /// Whether `nvpmodel` switches power modes.
    #[serde(default)]
    pub power_modes: bool,
    /// Ways to a camera: `rpicam`, `nvargus`, `v4l2`.
    #[serde(default)]
    pub camera: Vec<String>,
    /// What a user should know.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Kinds of cores, the fastest first.
    pub cores: Vec<Cores>,
    /// Pins.
    #[serde(default)]
    pub gpio: Option<Gpio>,
    /// The GPU, where it is worth using for int8 networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuProfile>,
    /// Measured speed of the engine; the table for all boards is used where a profile has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub efficiency: Vec<Efficiency>,
}

/// Cores of one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cores {
    /// Microarchitecture, as in `Cortex-A76`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `CPU implementer` and `CPU part` of `/proc/cpuinfo`.
    #[serde(default)]
    pub part: Option<[u32; 2]>,
    /// How many.
    pub count: u32,
    /// Highest clock in MHz.
    pub clock_mhz: f64,
    /// First-level data cache of each, in KiB.
    #[serde(default)]
    pub l1d_kb: u32,
    /// Second-level cache in KiB: of each core, or of all when shared.
    #[serde(default)]
    pub l2_kb: u32,
    /// Whether cores share the second-level cache.
    #[serde(default)]
    pub l2_shared: bool,
    /// Shared third-level cache in KiB.
    #[serde(default)]
    pub l3_kb: u32,
}

/// A GPU, from its data sheet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuProfile {
    /// Its architecture and size.
    pub name: String,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Highest clock in MHz.
    pub clock_mhz: f64,
    /// Products of four bytes that a multiprocessor begins in a cycle.
    pub dots_per_cycle: f64,
    /// Rate of the memory in 10⁹ bytes a second; the processor shares it.
    pub bandwidth_gb_s: f64,
}

/// The chip that drives the pins of the header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gpio {
    /// Its label.
    pub label: String,
    /// Its device, usually.
    pub device: String,
}

/// How a board tells that it slowed itself down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Throttle {
    /// Not at all: only the clock shows it.
    #[default]
    None,
    /// The firmware's bits, which `vcgencmd get_throttled` prints.
    RaspberryPi,
    /// Counters of over-current events.
    JetsonOverCurrent,
}

impl Profile {
    /// All embedded profiles.
    pub fn all() -> Vec<Self> {
        let parse = |(name, text): &(&str, &str)| {
            Self::parse(text).unwrap_or_else(|e| panic!("the embedded profile {name} is damaged: {e}"))
        };
        EMBEDDED.iter().map(parse).collect()
    }

    /// Names of all embedded profiles, for messages.
    pub fn names() -> String {
        EMBEDDED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// The profile of this name, or in the file of this name when it ends in `.toml`.
    ///
    /// # Errors
    /// [`ProfileError::NoBoard`], [`ProfileError::Profile`].
    pub fn open(name: &str) -> Result<Self, ProfileError> {
        if !name.ends_with(".toml") {
            return Self::all()
                .into_iter()
                .find(|p| p.name == name)
                .ok_or_else(|| ProfileError::NoBoard { name: name.into(), known: Self::names() });
        }
        let failed = |reason: String| ProfileError::Profile { path: name.into(), reason };
        let path = Path::new(name);
        let size = std::fs::metadata(path).map_err(|e| failed(e.to_string()))?.len();
        if size > MAX_BYTES {
            return Err(failed(format!("it has {size} bytes; the limit is {MAX_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
        Self::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let profile: Self = toml::from_str(text).map_err(|e| e.to_string())?;
        let counts = profile.cores.iter().try_fold(0_u32, |sum, c| sum.checked_add(c.count));
        if profile.cores.is_empty() || !counts.is_some_and(|n| (1..=MAX_CORES).contains(&n)) {
            return Err(format!("cores: there must be 1 to {MAX_CORES}"));
        }
        if let Some(c) = profile.cores.iter().find(|c| !(c.clock_mhz > 0.0 && c.clock_mhz < 1e5)) {
            return Err(format!(
                "clock_mhz of {} is {}; it must be above 0 and below 100000",
                c.kind, c.clock_mhz
            ));
        }
        if let Some(gpu) = &profile.gpu {
            let sound = |x: f64| x > 0.0 && x < 1e5;
            if gpu.multiprocessors == 0
                || ![gpu.clock_mhz, gpu.dots_per_cycle, gpu.bandwidth_gb_s].into_iter().all(sound)
            {
                return Err(format!("gpu: the figures of {} must be above 0 and below 100000", gpu.name));
            }
        }
        profile.efficiency.iter().try_for_each(Efficiency::check)?;
        Ok(profile)
    }

    /// As the text of a profile file.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a profile is plain data")
    }

    /// All cores.
    pub fn core_count(&self) -> u32 {
        self.cores.iter().map(|c| c.count).sum()
    }

    /// The fastest cores.
    pub fn fast_cores(&self) -> &Cores {
        &self.cores[0]
    }

    /// Whether a device tree's model string is this board's.
    pub fn has_model(&self, model: &str) -> bool {
        let starts = |prefix: &String| {
            // `Raspberry Pi 4` must not take a `Raspberry Pi 400`.
            model
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        };
        self.device_tree.iter().any(starts)
    }

    /// The embedded profile with this device tree model, if any.
    pub fn of_model(model: &str) -> Option<Self> {
        Self::all().into_iter().find(|p| p.has_model(model))
    }
}

/// Memory as boards are sold.
pub fn gib(mb: u64) -> String {
    if mb < 1024 { format!("{mb} MB") } else { format!("{} GB", mb / 1024) }
}
