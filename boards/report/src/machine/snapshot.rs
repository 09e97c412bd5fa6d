//! The files under `/proc` and `/sys` that tell what a machine is, as a value: read here, or printed by a shell
//! on a board and read there.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What is read. A `*` stands for any part of one file or folder name.
const FILES: &[&str] = &[
    "/proc/device-tree/model",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/arch",
    "/etc/os-release",
    "/etc/nvpmodel.conf",
    "/var/lib/nvpmodel/status",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_cur_freq",
    "/sys/devices/system/cpu/cpufreq/policy*/cpuinfo_max_freq",
    "/sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count",
    "/sys/class/thermal/thermal_zone*/type",
    "/sys/class/thermal/thermal_zone*/temp",
    "/sys/class/hwmon/hwmon*/oc*_event_cnt",
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
];

/// Where `vcgencmd` lies, on systems whose kernel does not show the throttle bits.
const VCGENCMD: [&str; 2] = ["/usr/bin/vcgencmd", "/opt/vc/bin/vcgencmd"];
/// The name that its answer gets here.
pub(super) const VCGENCMD_ANSWER: &str = "vcgencmd get_throttled";
/// Longest file that is kept; the others are texts of a few lines.
const MAX_BYTES: usize = 1 << 18;

/// Path and content of each file that was there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// Reads the files below `root`, which is `/` on a real machine.
    pub fn of(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        for pattern in FILES {
            for path in matching(root, pattern) {
                if let Ok(bytes) = std::fs::read(root.join(&path[1..])) {
                    files.insert(path, clean(&bytes));
                }
            }
        }
        if let Some(program) = VCGENCMD.iter().map(|p| root.join(&p[1..])).find(|p| p.exists())
            && let Ok(output) = Command::new(program).arg("get_throttled").output()
        {
            files.insert(VCGENCMD_ANSWER.into(), clean(&output.stdout));
        }
        Self(files)
    }

    /// Commands for a POSIX shell that print what [`Snapshot::parse`] reads.
    pub fn script() -> String {
        let show =
            "s() { printf '@ %s\\n' \"$1\"; head -c 262144 | tr '\\000' '\\n' | sed 's/^/|/'; echo; }; ";
        let files = format!("for f in {}; do [ -r \"$f\" ] && s \"$f\" <\"$f\"; done; ", FILES.join(" "));
        let tool = format!(
            "for p in {}; do [ -x $p ] && $p get_throttled | s '{VCGENCMD_ANSWER}'; done; \
             uname -m | s /proc/sys/kernel/arch",
            VCGENCMD.join(" ")
        );
        format!("{show}{{ {files}{tool}; }} 2>/dev/null")
    }

    /// Reads what the commands of [`Snapshot::script`] printed.
    pub fn parse(text: &str) -> Self {
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        let mut current = None;
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("@ ") {
                files.insert(path.into(), String::new());
                current = Some(path);
            } else if let (Some(content), Some(path)) = (line.strip_prefix('|'), current)
                && let Some(file) = files.get_mut(path)
            {
                if !file.is_empty() {
                    file.push('\n');
                }
                file.push_str(content);
            }
        }
        Self(files.into_iter().map(|(path, text)| (path, text.trim().to_owned())).collect())
    }

    /// Content of a file.
    pub fn get(&self, path: &str) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Files whose path starts and ends like this.
    pub fn between<'a>(&'a self, start: &'a str, end: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .iter()
            .filter(move |(path, _)| path.starts_with(start) && path.ends_with(end))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }
}

/// The text of a file, without the zero bytes that end strings in a device tree.
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
    text.replace('\0', "\n").trim().to_owned()
}

/// Paths below `root` that fit a pattern, in order.
fn matching(root: &Path, pattern: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    for part in pattern.split('/').skip(1) {
        let Some((start, end)) = part.split_once('*') else {
            for path in &mut found {
                path.push('/');
                path.push_str(part);
            }
            continue;
        };
        let mut next = Vec::new();
        for path in found {
            let folder = root.join(path.trim_start_matches('/'));
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let names = entries.filter_map(|e| e.file_name().into_string().ok());
            let fits =
                |n: &String| n.len() >= start.len() + end.len() && n.starts_with(start) && n.ends_with(end);
            next.extend(names.filter(fits).map(|name| format!("{path}/{name}")));
        }
        next.sort();
        found = next;
    }
    found
}
