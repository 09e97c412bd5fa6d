use super::Floor;
use super::report::Latency;
use super::system::{Reading, System};
use std::fs;
use std::path::Path;

#[test]
fn percentiles_are_samples() {
    let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
    let latency = Latency::of(&times);
    assert_eq!((latency.samples, latency.min_ms, latency.max_ms), (200, 1.0, 200.0));
    assert_eq!((latency.p50_ms, latency.p90_ms, latency.p99_ms), (100.0, 180.0, 198.0));
    let one = Latency::of(&[7.0]);
    assert_eq!((one.min_ms, one.p50_ms, one.p99_ms, one.max_ms), (7.0, 7.0, 7.0, 7.0));
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn what_linux_tells_is_read_and_what_it_does_not_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert_eq!(Reading::of(root).system, System::default());
    for (policy, clock) in [(0, "1500000\n"), (1, "2400000\n"), (10, "600000\n")] {
        write(root, &format!("sys/devices/system/cpu/cpufreq/policy{policy}/scaling_cur_freq"), clock);
    }
    write(root, "sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "ondemand\n");
    write(root, "sys/class/thermal/thermal_zone0/temp", "48312\n");
    write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", "0x50000\n");
    let before = Reading::of(root);
    let expected = System {
        clock_mhz: Some([600.0, 2400.0]),
        governor: Some("ondemand".into()),
        power_mode: None,
        temperature_c: Some(48.312),
        throttled: Some(0x50000),
    };
    assert_eq!(before.system, expected);
    assert_eq!(before.system.to_string(), "600 to 2400 MHz, governor ondemand, 48.3 °C, throttled 0x50000");
    // What happened before the run does not count; what holds now does, and what happened meanwhile.
    assert_eq!(Reading::of(root).throttled_since(&before), None);
    for (bits, word) in [("0x50005", "under-voltage, throttled"), ("0xd0000", "soft temperature limit")] {
        write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", bits);
        let reason = Reading::of(root).throttled_since(&before).unwrap();
        assert!(reason.contains(word) && reason.contains(bits), "{reason}");
    }
}

#[test]
fn processors_that_count_are_throttled_when_the_count_rises() {
    let folder = tempfile::tempdir().unwrap();
    let count = |cpu: u32, count: &str| {
        write(
            folder.path(),
            &format!("sys/devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count"),
            count,
        );
    };
    count(0, "2");
    count(11, "3");
    write(folder.path(), "proc/cpuinfo", "cpu MHz\t\t: 2600.5\ncpu MHz : 3100\n");
    let before = Reading::of(folder.path());
    assert_eq!((before.system.throttled, before.system.clock_mhz), (Some(5), Some([2600.5, 3100.0])));
    assert_eq!(Reading::of(folder.path()).throttled_since(&before), None);
    count(11, "4");
    let reason = Reading::of(folder.path()).throttled_since(&before).unwrap();
    assert!(reason.contains("1 events of heat"), "{reason}");
}

#[test]
fn floors_are_checked() {
    for bad in ["", "fps", "fps=", "fps=-1", "fps=nan", "speed=3", "=3"] {
        assert!(Floor::parse(bad).is_err(), "{bad}");
    }
    assert!(Floor::parse("memory-mb=24").is_ok());
}
