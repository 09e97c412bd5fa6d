//! How the machine feels before and after a run, and what Linux tells of this process. Everything is optional: where
//! a file is not there, the figure is left out.

use crate::machine::{Machine, Snapshot};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// State of the machine at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct System {
    /// Clock of the slowest and fastest core in MHz.
    pub clock_mhz: Option<[f64; 2]>,
    /// Frequency governor.
    pub governor: Option<String>,
    /// Power mode of a Jetson.
    pub power_mode: Option<String>,
    /// Temperature of the processor in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// The Raspberry Pi firmware's `get_throttled` bits, or the number of times that others were throttled.
    pub throttled: Option<u64>,
}

/// The machine's state with what is needed to compare it with a later one.
pub struct Reading {
    /// What a report has of it.
    pub system: System,
    machine: Machine,
}

impl Reading {
    /// The machine now.
    pub fn now() -> Self {
        Self::of("/".as_ref())
    }

    /// What the files below `root` say.
    pub fn of(root: &Path) -> Self {
        let machine = Machine::of(&Snapshot::of(root));
        let system = System {
            clock_mhz: machine.lowest_frequency_mhz.zip(machine.frequency_mhz).map(<[f64; 2]>::from),
            governor: machine.governor.clone(),
            power_mode: machine.power_mode.clone(),
            temperature_c: machine.temperature_c,
            throttled: machine.throttled.as_ref().map(|t| t.raw),
        };
        Self { system, machine }
    }

    /// Why a run that began with `before` and ended with `self` does not stand for the machine at its full speed.
    pub fn throttled_since(&self, before: &Self) -> Option<String> {
        let what = self.machine.throttled.as_ref()?.since(before.machine.throttled.as_ref())?;
        Some(format!("the machine slowed itself down: {what}; cool it or give it more power, and run again"))
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some([least, most]) = self.clock_mhz {
            match most == least {
                true => parts.push(format!("{most:.0} MHz")),
                false => parts.push(format!("{least:.0} to {most:.0} MHz")),
            }
        }
        parts.extend(self.governor.iter().map(|governor| format!("governor {governor}")));
        parts.extend(self.power_mode.iter().map(|mode| format!("power mode {mode}")));
        parts.extend(self.temperature_c.map(|t| format!("{t:.1} °C")));
        parts.extend(self.throttled.map(|raw| format!("throttled {raw:#x}")));
        if parts.is_empty() {
            parts.push("the system does not tell clock, governor or temperature".into());
        }
        write!(f, "{}", parts.join(", "))
    }
}

/// Most memory that this process had resident, in bytes.
pub(super) fn process_peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
}

/// Nanoseconds in which threads of this process could have run but had no processor.
pub fn waited_ns() -> Option<u64> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let of = |thread: PathBuf| -> Option<u64> {
        let line = fs::read_to_string(thread.join("schedstat")).ok()?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    threads.filter_map(Result::ok).map(|thread| of(thread.path())).sum()
}

/// Processor time that all threads of this process have had.
pub fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.cast_unsigned(), now.tv_nsec as u32)
}
