//! What a machine is and how it feels just now: model, cores, instruction set, clock, temperature, throttling.
//!
//! Everything comes from a [`Snapshot`] of files, so that a board is read through its shell before anything is
//! installed there, and tests read trees of files.

pub mod energy;
mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::Snapshot;

use crate::profiles::{Profile, Throttle};
use serde::Serialize;

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Machine {
    /// Model string of the device tree, where there is one.
    pub model: Option<String>,
    /// Name of the board's profile, if one fits.
    pub board: Option<String>,
    /// As `uname -m` prints it.
    pub architecture: Option<String>,
    /// The processor as it calls itself, or its implementer and part.
    pub processor: Option<String>,
    /// Processors in use.
    pub processors: usize,
    /// What the instruction sets of the engine depend on.
    pub features: Vec<String>,
    /// The engine's fastest instruction set there.
    pub isa: Option<&'static str>,
    /// Release of the kernel.
    pub kernel: Option<String>,
    /// Name of the distribution.
    pub system: Option<String>,
    /// All memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Memory that programs can still take, in bytes.
    pub memory_available_bytes: Option<u64>,
    /// What governs the clock; differing ones are joined by commas.
    pub governor: Option<String>,
    /// Highest clock of any core now, in MHz.
    pub frequency_mhz: Option<f64>,
    /// Lowest clock of any core now, in MHz.
    pub lowest_frequency_mhz: Option<f64>,
    /// Highest clock that a core can have, in MHz.
    pub max_frequency_mhz: Option<f64>,
    /// Temperature of the processor in degrees Celsius.
    pub temperature_c: Option<f64>,
    /// Why the board slows itself down, now or since it started; `None` where it does not tell.
    pub throttled: Option<Throttled>,
    /// Power mode of a Jetson.
    pub power_mode: Option<String>,
}

/// What a board says about slowing itself down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Throttled {
    /// The bits or the sum of counters, as the board gives them.
    pub raw: u64,
    /// Whether `raw` counts events; otherwise it is bits.
    pub counts: bool,
    /// True now.
    pub now: Vec<&'static str>,
    /// Was true since the board started.
    pub since_start: Vec<&'static str>,
}

impl Throttled {
    /// What happened after `before`, or holds now; `None` if nothing.
    pub fn since(&self, before: Option<&Self>) -> Option<String> {
        let earlier = before.map_or(0, |b| b.raw);
        if self.counts {
            let events = self.raw.saturating_sub(earlier);
            return (events > 0).then(|| format!("{events} events of {}", self.since_start.join(", ")));
        }
        let fresh = self.raw & !earlier;
        let names = PI_BITS.iter().filter(|(bit, _)| (self.raw | fresh >> 16) >> bit & 1 == 1);
        let names: Vec<&str> = names.map(|&(_, name)| name).collect();
        (!names.is_empty()).then(|| format!("{} ({:#x})", names.join(", "), self.raw))
    }
}

/// Bits of `vcgencmd get_throttled`; the same sixteen places higher for "since the start".
const PI_BITS: [(u32, &str); 4] =
    [(0, "under-voltage"), (1, "clock capped"), (2, "throttled"), (3, "soft temperature limit")];

impl Machine {
    /// This machine.
    pub fn here() -> Self {
        let mut machine = Self::of(&Snapshot::of("/".as_ref()));
        machine.isa = Some(mcir_runtime::Isa::best().name());
        machine.architecture.get_or_insert_with(|| std::env::consts::ARCH.into());
        machine
    }

    /// The machine that these files were read from.
    pub fn of(files: &Snapshot) -> Self {
        let model = files.get("/proc/device-tree/model").map(str::to_owned);
        let cpuinfo = files.get("/proc/cpuinfo").unwrap_or_default();
        let field = |key: &str| {
            cpuinfo.lines().find_map(|line| {
                let (k, value) = line.split_once(':')?;
                (k.trim() == key).then(|| value.trim().to_owned())
            })
        };
        let flags = field("Features").or_else(|| field("flags")).unwrap_or_default();
        let flags: Vec<&str> = flags.split_whitespace().collect();
        let architecture = files.get("/proc/sys/kernel/arch").map(str::to_owned).or_else(|| {
            let known = [("asimd", "aarch64"), ("lm", "x86_64"), ("thumb", "armv7l")];
            known.iter().find(|(flag, _)| flags.contains(flag)).map(|&(_, arch)| arch.into())
        });
        let profile = model.as_deref().and_then(Profile::of_model);
        let part = || Some(format!("implementer {} part {}", field("CPU implementer")?, field("CPU part")?));
        let known_part = || {
            let number = |key| u32::from_str_radix(field(key)?.trim_start_matches("0x"), 16).ok();
            core_name([number("CPU implementer")?, number("CPU part")?])
        };
        let os = files.get("/etc/os-release").unwrap_or_default();
        let system =
            os.lines().find_map(|l| l.strip_prefix("PRETTY_NAME=")).map(|v| v.trim_matches('"').into());
        Self {
            board: profile.as_ref().map(|p| p.name.clone()),
            processor: field("model name")
                .filter(|_| field("CPU part").is_none())
                .or_else(known_part)
                .or_else(part),
            processors: cpuinfo.lines().filter(|l| l.starts_with("processor")).count(),
            features: features(&flags),
            isa: architecture.as_deref().map(|a| isa(a, &flags)),
            kernel: files.get("/proc/sys/kernel/osrelease").map(str::to_owned),
            system,
            memory_bytes: memory(files, "MemTotal:"),
            memory_available_bytes: memory(files, "MemAvailable:"),
            governor: governor(files),
            frequency_mhz: megahertz(files, "/scaling_cur_freq")
                .or_else(|| x86_megahertz(cpuinfo))
                .map(|r| r[1]),
            lowest_frequency_mhz: megahertz(files, "/scaling_cur_freq")
                .or_else(|| x86_megahertz(cpuinfo))
                .map(|range| range[0]),
            max_frequency_mhz: megahertz(files, "/cpuinfo_max_freq").map(|r| r[1]),
            temperature_c: temperature(files, profile.as_ref().map_or(&[], |p| &p.thermal_zones)),
            throttled: throttled(files, profile.as_ref().map(|p| p.throttle)),
            power_mode: power_mode(files),
            model,
            architecture,
        }
    }
}

/// Flags that decide which kernels run, or tell boards apart.
const FEATURES: [&str; 11] = [
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "bf16",
    "sve",
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
];

fn features(flags: &[&str]) -> Vec<String> {
    FEATURES.iter().filter(|f| flags.contains(f)).map(|&f| f.to_owned()).collect()
}

/// What [`mcir_runtime::Isa::best`] picks on a processor with these flags of `/proc/cpuinfo`.
fn isa(architecture: &str, flags: &[&str]) -> &'static str {
    let has = |needed: &[&str]| needed.iter().all(|f| flags.contains(f));
    match architecture {
        "aarch64" if has(&["asimddp", "i8mm"]) => "neon_i8mm",
        "aarch64" if has(&["asimddp"]) => "neon_dot",
        "aarch64" => "neon",
        "x86_64" if has(&["avx512f", "avx512bw", "avx512vl", "avx512_vnni"]) => "avx512vnni",
        "x86_64" if has(&["avx2", "fma", "avx_vnni"]) => "avxvnni",
        "x86_64" if has(&["avx2", "fma"]) => "avx2",
        _ => "scalar",
    }
}

/// The name of a core that a profile has.
fn core_name(part: [u32; 2]) -> Option<String> {
    let all = Profile::all();
    let core = all.iter().flat_map(|p| &p.cores).find(|c| c.part == Some(part))?;
    Some(core.kind.clone())
}

fn memory(files: &Snapshot, key: &str) -> Option<u64> {
    let line = files.get("/proc/meminfo")?.lines().find_map(|l| l.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

const POLICY: &str = "/sys/devices/system/cpu/cpufreq/policy";

fn governor(files: &Snapshot) -> Option<String> {
    let mut all: Vec<_> = files.between(POLICY, "/scaling_governor").map(|(_, g)| g).collect();
    all.dedup();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Least and greatest of all cores.
fn megahertz(files: &Snapshot, name: &str) -> Option<[f64; 2]> {
    range(files.between(POLICY, name).filter_map(|(_, v)| v.parse::<f64>().ok()).map(|khz| khz * 1e-3))
}

/// The clock as x86 processors tell it, also where a virtual machine hides the rest.
fn x86_megahertz(cpuinfo: &str) -> Option<[f64; 2]> {
    let lines = cpuinfo.lines().filter(|line| line.starts_with("cpu MHz"));
    range(lines.filter_map(|line| line.split(':').nth(1)?.trim().parse().ok()).filter(|&mhz: &f64| mhz > 1.0))
}

fn range(values: impl Iterator<Item = f64>) -> Option<[f64; 2]> {
    values.map(|v| [v, v]).reduce(|a, b| [a[0].min(b[0]), a[1].max(b[1])])
}

/// The zone of the first type that exists; for an unknown board, the processor's by its usual names.
fn temperature(files: &Snapshot, types: &[String]) -> Option<f64> {
    const USUAL: [&str; 4] = ["cpu-thermal", "CPU-therm", "x86_pkg_temp", "cpu"];
    let zones = "/sys/class/thermal/thermal_zone";
    let names = types.iter().map(String::as_str).chain(USUAL);
    let zone = names.filter_map(|name| files.between(zones, "/type").find(|(_, kind)| *kind == name)).next();
    let folder = zone.map_or("/sys/class/thermal/thermal_zone0", |(path, _)| path.trim_end_matches("/type"));
    files.get(&format!("{folder}/temp"))?.parse::<f64>().ok().map(|milli| milli * 1e-3)
}

fn throttled(files: &Snapshot, how: Option<Throttle>) -> Option<Throttled> {
    let sum = |start: &str, end: &str| {
        let counts = files.between(start, end).filter_map(|(_, v)| v.parse::<u64>().ok());
        counts.reduce(u64::saturating_add)
    };
    let counter = |raw: u64, what: &'static str| {
        let since_start = if raw > 0 { vec![what] } else { vec![] };
        Throttled { raw, counts: true, now: vec![], since_start }
    };
    if how == Some(Throttle::JetsonOverCurrent) {
        return sum("/sys/class/hwmon/hwmon", "_event_cnt").map(|raw| counter(raw, "over-current"));
    }
    if let Some(raw) = sum("/sys/devices/system/cpu/cpu", "/core_throttle_count") {
        return Some(counter(raw, "heat"));
    }
    let sysfs = files.get("/sys/devices/platform/soc/soc:firmware/get_throttled");
    let answer = files.get(snapshot::VCGENCMD_ANSWER).and_then(|a| a.strip_prefix("throttled="));
    let text = sysfs.or(answer)?;
    let raw = u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()?;
    let set = |shift: u32| {
        PI_BITS.iter().filter(|(bit, _)| raw >> (bit + shift) & 1 == 1).map(|&(_, name)| name).collect()
    };
    Some(Throttled { raw, counts: false, now: set(0), since_start: set(16) })
}

/// The name, from the number in `nvpmodel`'s state and the table in its configuration.
fn power_mode(files: &Snapshot) -> Option<String> {
    let id: u32 = files
        .get("/var/lib/nvpmodel/status")?
        .lines()
        .find_map(|l| l.trim().strip_prefix("pmode:")?.split_whitespace().next()?.parse().ok())?;
    let name = files.get("/etc/nvpmodel.conf").and_then(|conf| {
        conf.lines().filter(|l| l.contains("POWER_MODEL")).find_map(|l| {
            let value = |key: &str| l.split_whitespace().find_map(|w| w.strip_prefix(key));
            (value("ID=")?.parse::<u32>().ok()? == id)
                .then(|| value("NAME=").map(|n| n.trim_end_matches('>')))?
        })
    });
    Some(name.map_or_else(|| id.to_string(), |name| format!("{name} ({id})")))
}
