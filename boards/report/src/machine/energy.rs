//! How much energy a machine takes while something runs, where it can tell: the whole processor or board, with all that
//! runs beside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time between two readings of what tells power only.
const INTERVAL: Duration = Duration::from_millis(100);
/// Where `vcgencmd` lies.
const VCGENCMD: [&str; 2] = ["usr/bin/vcgencmd", "opt/vc/bin/vcgencmd"];
/// Names that the input of a whole board has at its power monitor.
const INPUTS: [&str; 4] = ["VDD_IN", "POM_5V_IN", "VDD_5V_IN", "5V_IN"];

/// Something that tells energy or power.
#[derive(Debug, Clone, PartialEq)]
pub struct Meter {
    /// What it measures, for the reader of a report.
    pub source: String,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    /// Counters of microjoules that begin again at zero after the second number.
    Counters(Vec<(PathBuf, u64)>),
    /// A file with millivolts and one with milliamperes.
    Product(PathBuf, PathBuf),
    /// A file with power, and the watts of its unit.
    Power(PathBuf, f64),
    /// `vcgencmd pmic_read_adc`: voltage and current of each rail of a Raspberry Pi 5.
    Pmic(PathBuf),
}

/// A measurement that has begun.
pub struct Running<'a> {
    meter: &'a Meter,
    start: Instant,
    counters: Vec<u64>,
    sampler: Option<(Sender<()>, JoinHandle<Vec<f64>>)>,
}

impl Meter {
    /// This machine's, if it has one that this user may read.
    pub fn here() -> Option<Self> {
        Self::of("/".as_ref())
    }

    /// What the files below `root` offer: first what measures the whole board.
    pub fn of(root: &Path) -> Option<Self> {
        monitor(root).or_else(|| rails(root)).or_else(|| pmic(root)).or_else(|| packages(root))
    }

    /// Begins to measure.
    pub fn start(&self) -> Running<'_> {
        let counters = match &self.kind {
            Kind::Counters(files) => files.iter().map(|(file, _)| number(file).unwrap_or(0)).collect(),
            _ => Vec::new(),
        };
        let sampler = (!matches!(self.kind, Kind::Counters(_))).then(|| {
            let (sender, stop) = channel();
            let kind = self.kind.clone();
            let sample = move || {
                let mut watts = Vec::new();
                loop {
                    watts.extend(kind.watts());
                    if stop.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                        return watts;
                    }
                }
            };
            (sender, std::thread::spawn(sample))
        });
        Running { meter: self, start: Instant::now(), counters, sampler }
    }
}

impl Running<'_> {
    /// Ends the measurement: energy in joules since its start, or none when the machine did not tell after all.
    pub fn joules(self) -> Option<f64> {
        let elapsed = self.start.elapsed().as_secs_f64();
        if let Kind::Counters(files) = &self.meter.kind {
            let used = |((file, range), before): (&(PathBuf, u64), &u64)| {
                let after = number(file)?;
                // A counter that is smaller than before has begun again.
                Some(if after >= *before { after - before } else { after + range.saturating_sub(*before) })
            };
            let microjoules = files.iter().zip(&self.counters).map(used).sum::<Option<u64>>()?;
            return (microjoules > 0).then_some(microjoules as f64 * 1e-6);
        }
        let (stop, thread) = self.sampler?;
        drop(stop);
        let watts = thread.join().ok().filter(|w| !w.is_empty())?;
        Some(watts.iter().sum::<f64>() / watts.len() as f64 * elapsed)
    }
}

impl Kind {
    /// Power now, in watts.
    fn watts(&self) -> Option<f64> {
        match self {
            Self::Counters(_) => None,
            Self::Product(millivolts, milliamperes) => {
                Some(number(millivolts)? as f64 * number(milliamperes)? as f64 * 1e-6)
            }
            Self::Power(file, unit) => Some(number(file)? as f64 * unit),
            Self::Pmic(program) => {
                let output = Command::new(program).arg("pmic_read_adc").output().ok()?;
                rail_watts(&String::from_utf8_lossy(&output.stdout))
            }
        }
    }
}

/// Power monitors as Linux shows them (INA3221 of a Jetson, INA226 and their like): the channel of the board's input.
fn monitor(root: &Path) -> Option<Meter> {
    let known = |name: &str| name.starts_with("ina") || name == "power_meter";
    let meter = |folder: PathBuf| {
        let name = text(&folder.join("name")).filter(|name| known(name))?;
        let channel = (1..=8).find(|n| {
            text(&folder.join(format!("in{n}_label"))).is_some_and(|label| INPUTS.contains(&label.as_str()))
        });
        let from = |what: &str| format!("{name}, {what}");
        if let Some(n) = channel {
            let (volts, amperes) =
                (folder.join(format!("in{n}_input")), folder.join(format!("curr{n}_input")));
            number(&volts).and(number(&amperes))?;
            let label = text(&folder.join(format!("in{n}_label"))).unwrap_or_default();
            return Some(Meter { source: from(&label), kind: Kind::Product(volts, amperes) });
        }
        let file = ["power1_input", "power1_average"]
            .iter()
            .map(|f| folder.join(f))
            .find(|f| number(f).is_some())?;
        Some(Meter { source: from("power"), kind: Kind::Power(file, 1e-6) })
    };
    folders(&root.join("sys/class/hwmon"), "hwmon").into_iter().find_map(meter)
}

/// The power monitor of a Jetson Nano, whose driver is an older one: milliwatts of each rail.
fn rails(root: &Path) -> Option<Meter> {
    let meter = |folder: PathBuf| {
        let input = |n: &u32| {
            text(&folder.join(format!("rail_name_{n}"))).is_some_and(|rail| INPUTS.contains(&rail.as_str()))
        };
        let n = (0..=2).find(input)?;
        let file = folder.join(format!("in_power{n}_input"));
        number(&file)?;
        let rail = text(&folder.join(format!("rail_name_{n}")))?;
        Some(Meter { source: format!("power monitor, {rail}"), kind: Kind::Power(file, 1e-3) })
    };
    folders(&root.join("sys/bus/iio/devices"), "iio:device").into_iter().find_map(meter)
}

/// A Raspberry Pi 5's power management, which older boards do not have.
fn pmic(root: &Path) -> Option<Meter> {
    let program = VCGENCMD.iter().map(|p| root.join(p)).find(|p| p.exists())?;
    let kind = Kind::Pmic(program);
    kind.watts()?;
    Some(Meter { source: "rails of the power management, without USB and pins".into(), kind })
}

/// Processor packages (RAPL), which many systems show to root only.
fn packages(root: &Path) -> Option<Meter> {
    let counter = |folder: PathBuf| {
        text(&folder.join("name")).filter(|name| name.starts_with("package"))?;
        let file = folder.join("energy_uj");
        number(&file)?;
        Some((file, number(&folder.join("max_energy_range_uj")).unwrap_or(0)))
    };
    let files: Vec<_> =
        folders(&root.join("sys/class/powercap"), "intel-rapl:").into_iter().filter_map(counter).collect();
    (!files.is_empty())
        .then(|| Meter { source: "processor packages (RAPL)".into(), kind: Kind::Counters(files) })
}

/// Sum over the rails of `VDD_CORE_A current(7)=1.5A` and `VDD_CORE_V volt(15)=0.75V`.
fn rail_watts(answer: &str) -> Option<f64> {
    let value = |line: &str, unit: char| -> Option<(String, f64)> {
        let (name, _) = line.trim().split_once(' ')?;
        let (_, value) = line.split_once('=')?;
        let rail = name.strip_suffix(&format!("_{unit}"))?;
        Some((rail.to_owned(), value.trim().strip_suffix(unit)?.parse().ok()?))
    };
    let volts: Vec<_> = answer.lines().filter_map(|line| value(line, 'V')).collect();
    let amperes = answer.lines().filter_map(|line| value(line, 'A'));
    let watts = amperes.filter_map(|(rail, a)| Some(a * volts.iter().find(|(name, _)| *name == rail)?.1));
    watts.reduce(|a, b| a + b)
}

/// Folders whose name begins like this, in order.
fn folders(parent: &Path, start: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|e| e.file_name().to_string_lossy().starts_with(start));
    let mut found: Vec<_> = named.map(|e| e.path()).collect();
    found.sort();
    found
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|t| t.trim().to_owned())
}

fn number(file: &Path) -> Option<u64> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn a_machine_that_does_not_tell_has_no_meter() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Meter::of(folder.path()), None);
        // Zones of a package, and sensors of other things, are not the machine.
        write(folder.path(), "sys/class/powercap/intel-rapl:0:0/name", "core\n");
        write(folder.path(), "sys/class/powercap/intel-rapl:0:0/energy_uj", "5\n");
        write(folder.path(), "sys/class/hwmon/hwmon0/name", "nvme\n");
        write(folder.path(), "sys/class/hwmon/hwmon0/power1_input", "5000000\n");
        assert_eq!(Meter::of(folder.path()), None);
    }

    #[test]
    fn packages_are_added_and_begin_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (n, energy) in [(0, "1000000\n"), (1, "9000000\n")] {
            write(root, &format!("sys/class/powercap/intel-rapl:{n}/name"), &format!("package-{n}\n"));
            write(root, &format!("sys/class/powercap/intel-rapl:{n}/energy_uj"), energy);
            write(root, &format!("sys/class/powercap/intel-rapl:{n}/max_energy_range_uj"), "10000000\n");
        }
        let meter = Meter::of(root).unwrap();
        assert_eq!(meter.source, "processor packages (RAPL)");
        let running = meter.start();
        write(root, "sys/class/powercap/intel-rapl:0/energy_uj", "3500000\n");
        write(root, "sys/class/powercap/intel-rapl:1/energy_uj", "500000\n");
        assert!((running.joules().unwrap() - 4.0).abs() < 1e-9);
        // A counter that stands still tells nothing.
        assert_eq!(meter.start().joules(), None);
    }

    #[test]
    fn power_times_time_is_energy() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "sys/class/hwmon/hwmon2/name", "ina3221\n");
        write(root, "sys/class/hwmon/hwmon2/in1_label", "VDD_CPU_GPU_CV\n");
        write(root, "sys/class/hwmon/hwmon2/in2_label", "VDD_IN\n");
        write(root, "sys/class/hwmon/hwmon2/in2_input", "5000\n");
        write(root, "sys/class/hwmon/hwmon2/curr2_input", "1200\n");
        let meter = Meter::of(root).unwrap();
        assert_eq!(meter.source, "ina3221, VDD_IN");
        let begin = Instant::now();
        let running = meter.start();
        std::thread::sleep(Duration::from_millis(30));
        let joules = running.joules().unwrap();
        let most = 6.0 * begin.elapsed().as_secs_f64();
        assert!((0.18 * 0.999..=most).contains(&joules), "{joules} of at most {most}");
    }

    #[test]
    fn an_older_jetson_tells_milliwatts() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(root, "sys/bus/iio/devices/iio:device0/rail_name_0", "POM_5V_IN\n");
        write(root, "sys/bus/iio/devices/iio:device0/in_power0_input", "2500\n");
        let meter = Meter::of(root).unwrap();
        assert_eq!((meter.source.as_str(), meter.kind.watts()), ("power monitor, POM_5V_IN", Some(2.5)));
    }

    #[test]
    fn rails_of_a_raspberry_pi_5_are_added() {
        let answer = "3V3_SYS_A current(1)=0.10000000A\nVDD_CORE_A current(7)=2.00000000A\nEXT5V_A current(9)=7A\n\
                      3V3_SYS_V volt(9)=3.30000000V\nVDD_CORE_V volt(15)=0.75000000V\nBATT_V volt(25)=0.0V\n";
        assert!((rail_watts(answer).unwrap() - 1.83).abs() < 1e-9);
        assert_eq!(rail_watts("error=1 error_msg=\"Command not registered\""), None);
    }
}
