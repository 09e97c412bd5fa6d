//! What Linux tells of the machine: clocks, temperature, throttling, memory, waiting. Everything is optional: where a
//! file is not there, the figure is left out.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Bits of the Raspberry Pi's firmware that say what holds now: under-voltage, capped frequency, throttled, soft
/// temperature limit. The same bits from 16 on say that it held since the start.
const PI_NOW: u32 = 0xf;

/// State of the machine at one moment.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct System {
    /// Clock of the fastest and slowest core in MHz.
    pub clock_mhz: Option<[f64; 2]>,
    /// Frequency governor of the first core.
    pub governor: Option<String>,
    /// Temperature of the hottest zone in °C.
    pub temperature_c: Option<f64>,
    /// Times that cores were throttled since the start, summed over cores.
    pub throttle_events: Option<u64>,
    /// The Raspberry Pi firmware's `get_throttled` bits.
    pub pi_throttled: Option<u32>,
}

impl System {
    /// The machine now.
    pub fn now() -> Self {
        Self::read(Path::new("/sys"))
    }

    /// What the files below `sys` say.
    pub(super) fn read(sys: &Path) -> Self {
        let cpus = folders(&sys.join("devices/system/cpu"), "cpu");
        let clocks: Vec<f64> =
            cpus.iter().filter_map(|cpu| number(&cpu.join("cpufreq/scaling_cur_freq"))).collect();
        let range = |clocks: &[f64]| {
            let most = clocks.iter().copied().fold(f64::MIN, f64::max);
            let least = clocks.iter().copied().fold(f64::MAX, f64::min);
            [most / 1e3, least / 1e3]
        };
        let counts: Vec<f64> =
            cpus.iter().filter_map(|cpu| number(&cpu.join("thermal_throttle/core_throttle_count"))).collect();
        let zones = folders(&sys.join("class/thermal"), "thermal_zone");
        let temperatures = zones.iter().filter_map(|zone| number(&zone.join("temp")));
        let pi = text(&sys.join("devices/platform/soc/soc:firmware/get_throttled"));
        Self {
            clock_mhz: (!clocks.is_empty()).then(|| range(&clocks)),
            governor: cpus.first().and_then(|cpu| text(&cpu.join("cpufreq/scaling_governor"))),
            temperature_c: temperatures.reduce(f64::max).map(|millidegrees| millidegrees / 1e3),
            throttle_events: (!counts.is_empty()).then(|| counts.iter().sum::<f64>() as u64),
            pi_throttled: pi.and_then(|bits| u32::from_str_radix(bits.trim_start_matches("0x"), 16).ok()),
        }
    }

    /// Why a run that began with `self` and ended with `after` does not stand for the machine at its full speed.
    pub(super) fn throttled(&self, after: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if let (Some(before), Some(after)) = (self.throttle_events, after.throttle_events)
            && after > before
        {
            reasons.push(format!(
                "cores were throttled {} times during the run; cool the machine and run again",
                after - before
            ));
        }
        if let Some(bits) = after.pi_throttled.filter(|bits| bits & PI_NOW != 0) {
            reasons.push(format!(
                "the firmware reports throttled=0x{bits:x} (bit 0 under-voltage, 1 capped, 2 throttled, 3 hot); use a \
                 better power supply or cool the board, and run again"
            ));
        }
        reasons
    }
}

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some([most, least]) = self.clock_mhz {
            match most == least {
                true => parts.push(format!("{most:.0} MHz")),
                false => parts.push(format!("{least:.0} to {most:.0} MHz")),
            }
        }
        parts.extend(self.governor.iter().map(|governor| format!("governor {governor}")));
        parts.extend(self.temperature_c.map(|t| format!("{t:.1} °C")));
        parts.extend(self.throttle_events.map(|n| format!("{n} throttle events")));
        parts.extend(self.pi_throttled.map(|bits| format!("throttled=0x{bits:x}")));
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
pub(super) fn waited_ns() -> Option<u64> {
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let of = |thread: PathBuf| -> Option<u64> {
        let line = fs::read_to_string(thread.join("schedstat")).ok()?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    threads.filter_map(Result::ok).map(|thread| of(thread.path())).sum()
}

/// Folders of a name with a number behind it, sorted by it.
fn folders(parent: &Path, name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(name)?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_string()).filter(|text| !text.is_empty())
}

fn number(path: &Path) -> Option<f64> {
    text(path)?.parse().ok()
}
