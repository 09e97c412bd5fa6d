//! Temperature of the processor and memory of this program, where the system tells (Linux).

use std::path::{Path, PathBuf};

/// A thermometer of the processor.
#[derive(Debug, Clone)]
pub struct Thermometer(Option<PathBuf>);

impl Thermometer {
    /// The zone whose type names the processor, or else the first one.
    pub fn find() -> Self {
        Self::find_in(Path::new("/sys/class/thermal"))
    }

    fn find_in(folder: &Path) -> Self {
        let mut zones: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("temp").exists())
            .collect();
        zones.sort();
        let kind = |zone: &PathBuf| std::fs::read_to_string(zone.join("type")).unwrap_or_default();
        let of_cpu = zones.iter().find(|zone| kind(zone).to_lowercase().contains("cpu"));
        Self(of_cpu.or(zones.first()).map(|zone| zone.join("temp")))
    }

    /// Degrees Celsius.
    pub fn read(&self) -> Option<f32> {
        let text = std::fs::read_to_string(self.0.as_ref()?).ok()?;
        Some(text.trim().parse::<f32>().ok()? / 1000.0)
    }
}

/// Memory in use now, in bytes.
pub fn resident_bytes() -> Option<u64> {
    status("VmRSS:")
}

/// Most memory in use so far, in bytes.
pub fn peak_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// Whether this program was started with a signal ignored, as `nohup` does.
pub fn ignores(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|m| u64::from_str_radix(m.trim(), 16).ok()).unwrap_or(0);
    (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1
}

fn status(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_s_zone_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let zone = |name: &str, kind: &str, temp: &str| {
            let zone = folder.path().join(name);
            std::fs::create_dir(&zone).unwrap();
            std::fs::write(zone.join("type"), kind).unwrap();
            std::fs::write(zone.join("temp"), temp).unwrap();
        };
        assert_eq!(Thermometer::find_in(folder.path()).read(), None);
        zone("thermal_zone1", "GPU-therm\n", "39000\n");
        assert_eq!(Thermometer::find_in(folder.path()).read(), Some(39.0));
        zone("thermal_zone2", "CPU-therm\n", "51234\n");
        assert_eq!(Thermometer::find_in(folder.path()).read(), Some(51.234));
    }
}
