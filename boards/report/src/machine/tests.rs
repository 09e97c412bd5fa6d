#[path = "../../../../tests/src/skip.rs"]
mod skip;

use super::*;
use std::path::Path;

/// Writes a tree of files.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(&path[1..]);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn cpuinfo(features: &str, implementer: &str, part: &str, count: usize) -> String {
    let core = |i| {
        format!(
            "processor\t: {i}\nFeatures\t: {features}\nCPU implementer\t: {implementer}\nCPU part\t: {part}\n\n"
        )
    };
    (0..count).map(core).collect()
}

/// A board as its kernel shows it: model, cpuinfo, further files, and what must be read from them.
struct Case {
    model: &'static str,
    cpuinfo: String,
    more: &'static [(&'static str, &'static str)],
    board: &'static str,
    isa: &'static str,
    check: fn(&Machine),
}

const A53: &str = "fp asimd evtstrm crc32 cpuid";
const A76: &str =
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp";
const CARMEL: &str = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm dcpop";

fn cases() -> Vec<Case> {
    const PI: &[(&str, &str)] = &[
        ("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("/sys/class/thermal/thermal_zone0/temp", "48312\n"),
        ("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "ondemand\n"),
        ("/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "600000\n"),
        ("/sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq", "1400000\n"),
        ("/sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n"),
        ("/proc/meminfo", "MemTotal:         931436 kB\nMemFree: 1 kB\nMemAvailable:     654321 kB\n"),
    ];
    const NANO: &[(&str, &str)] = &[
        ("/sys/class/thermal/thermal_zone0/type", "AO-therm\n"),
        ("/sys/class/thermal/thermal_zone0/temp", "99000\n"),
        ("/sys/class/thermal/thermal_zone1/type", "CPU-therm\n"),
        ("/sys/class/thermal/thermal_zone1/temp", "31500\n"),
        ("/var/lib/nvpmodel/status", "pmode:0001 fmode:fanNull\n"),
        (
            "/etc/nvpmodel.conf",
            "# comment\n< POWER_MODEL ID=0 NAME=MAXN >\nCPU_ONLINE CORE_0 1\n< POWER_MODEL ID=1 NAME=5W >\n",
        ),
    ];
    const ORIN: &[(&str, &str)] = &[
        ("/sys/class/hwmon/hwmon1/oc1_event_cnt", "3\n"),
        ("/sys/class/hwmon/hwmon1/oc2_event_cnt", "4\n"),
        ("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n"),
        ("/sys/class/thermal/thermal_zone0/temp", "52125\n"),
        ("/sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "schedutil\n"),
        ("/sys/devices/system/cpu/cpufreq/policy4/scaling_governor", "performance\n"),
        ("/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1190400\n"),
        ("/sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "1510400\n"),
    ];
    vec![
        Case {
            model: "Raspberry Pi Zero 2 W Rev 1.0",
            cpuinfo: cpuinfo(A53, "0x41", "0xd03", 4),
            more: PI,
            board: "raspberry-pi-zero-2-w",
            isa: "neon",
            check: |m| assert_eq!(m.processor.as_deref(), Some("Cortex-A53")),
        },
        Case {
            model: "Raspberry Pi 3 Model B Plus Rev 1.3",
            cpuinfo: cpuinfo(A53, "0x41", "0xd03", 4),
            more: PI,
            board: "raspberry-pi-3b-plus",
            isa: "neon",
            check: |m| {
                assert_eq!((m.temperature_c, m.governor.as_deref()), (Some(48.312), Some("ondemand")));
                assert_eq!((m.frequency_mhz, m.max_frequency_mhz), (Some(600.0), Some(1400.0)));
                assert_eq!(
                    (m.memory_bytes, m.memory_available_bytes),
                    (Some(953_790_464), Some(670_024_704))
                );
                let throttled = m.throttled.as_ref().unwrap();
                assert_eq!(throttled.raw, 0x50005);
                assert_eq!(throttled.now, ["under-voltage", "throttled"]);
                assert_eq!(throttled.since_start, ["under-voltage", "throttled"]);
            },
        },
        Case {
            model: "Raspberry Pi 4 Model B Rev 1.4",
            cpuinfo: cpuinfo(A53, "0x41", "0xd08", 4),
            more: &[],
            board: "raspberry-pi-4",
            isa: "neon",
            check: |m| assert_eq!((m.processor.as_deref(), &m.throttled), (Some("Cortex-A72"), &None)),
        },
        Case {
            model: "Raspberry Pi 5 Model B Rev 1.0",
            cpuinfo: cpuinfo(A76, "0x41", "0xd0b", 4),
            more: PI,
            board: "raspberry-pi-5",
            isa: "neon_dot",
            check: |m| {
                assert_eq!(
                    (m.processors, m.features.as_slice()),
                    (4, &["asimd", "asimdhp", "asimddp"].map(String::from)[..])
                )
            },
        },
        Case {
            model: "NVIDIA Jetson Nano Developer Kit",
            cpuinfo: cpuinfo(A53, "0x41", "0xd07", 4),
            more: NANO,
            board: "jetson-nano",
            isa: "neon",
            check: |m| assert_eq!((m.temperature_c, m.power_mode.as_deref()), (Some(31.5), Some("5W (1)"))),
        },
        Case {
            model: "NVIDIA Jetson Xavier NX Developer Kit",
            cpuinfo: cpuinfo(CARMEL, "0x4e", "0x004", 6),
            more: &[],
            board: "jetson-xavier-nx",
            isa: "neon",
            check: |m| assert_eq!((m.processor.as_deref(), m.processors), (Some("Carmel"), 6)),
        },
        Case {
            model: "NVIDIA Jetson Orin Nano Developer Kit",
            cpuinfo: cpuinfo(A76, "0x41", "0xd42", 6),
            more: ORIN,
            board: "jetson-orin-nano",
            isa: "neon_dot",
            check: |m| {
                assert_eq!(m.throttled.as_ref().unwrap().raw, 7);
                assert_eq!(m.governor.as_deref(), Some("schedutil, performance"));
                assert_eq!(m.frequency_mhz, Some(1510.4));
            },
        },
    ]
}

#[test]
fn every_board_is_recognised_by_its_files() {
    for case in cases() {
        let model = format!("{}\0", case.model);
        let mut files = vec![("/proc/device-tree/model", model.as_str()), ("/proc/cpuinfo", &case.cpuinfo)];
        files.extend(case.more);
        let root = tree(&files);
        let machine = Machine::of(&Snapshot::of(root.path()));
        assert_eq!(machine.model.as_deref(), Some(case.model));
        assert_eq!(machine.board.as_deref(), Some(case.board), "{}", case.model);
        assert_eq!(machine.isa, Some(case.isa), "{}", case.model);
        let profile = Profile::open(case.board).unwrap();
        assert_eq!(machine.isa, Some(profile.isa.as_str()), "{}: the profile agrees", case.model);
        (case.check)(&machine);
    }
}

#[test]
fn vcgencmd_answers_where_the_kernel_does_not() {
    let root = tree(&[("/proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.1")]);
    let program = root.path().join("usr/bin/vcgencmd");
    std::fs::create_dir_all(program.parent().unwrap()).unwrap();
    std::fs::write(&program, "#!/bin/sh\necho throttled=0x20000\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let throttled = Machine::of(&Snapshot::of(root.path())).throttled.unwrap();
    assert_eq!((throttled.now.len(), throttled.since_start.as_slice()), (0, &["clock capped"][..]));
}

/// The shell's way to the files and ours give the same machine.
#[test]
fn a_shell_prints_the_same_snapshot() {
    let output = std::process::Command::new("sh").args(["-c", &Snapshot::script()]).output().unwrap();
    let there = Machine::of(&Snapshot::parse(&String::from_utf8_lossy(&output.stdout)));
    let here = Machine::of(&Snapshot::of(Path::new("/")));
    assert!(here.processors > 0);
    assert_eq!((there.processors, &there.features, there.isa), (here.processors, &here.features, here.isa));
    assert_eq!(
        (&there.system, &there.kernel, there.memory_bytes),
        (&here.system, &here.kernel, here.memory_bytes)
    );
}

/// Keeps the rule here in step with the engine's own detection.
#[test]
fn the_instruction_set_is_the_one_that_the_engine_picks() {
    let read = Machine::of(&Snapshot::of(Path::new("/")));
    if read.features.is_empty() {
        skip::skip("this system shows no processor flags in /proc/cpuinfo");
        return;
    }
    assert_eq!(read.isa, Some(mcir_runtime::Isa::best().name()));
}

#[test]
fn nonsense_is_no_machine_and_no_panic() {
    let root = tree(&[
        ("/proc/cpuinfo", "::::\nFeatures"),
        ("/proc/meminfo", "MemTotal: 99999999999999999999 kB"),
        ("/sys/class/thermal/thermal_zone0/temp", "warm"),
        ("/var/lib/nvpmodel/status", "pmode:x"),
        ("/sys/devices/platform/soc/soc:firmware/get_throttled", "zz"),
    ]);
    let machine = Machine::of(&Snapshot::of(root.path()));
    assert_eq!((machine.memory_bytes, machine.temperature_c, machine.power_mode), (None, None, None));
    assert_eq!((machine.throttled, machine.processors), (None, 0));
    assert_eq!(Snapshot::parse("|stray\n@\n@ /a\n|b\n\n").get("/a"), Some("b"));
}
