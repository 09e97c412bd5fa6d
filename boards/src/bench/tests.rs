use super::report::Latency;
use super::system::System;
use super::{Floor, size};
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
    assert_eq!(System::read(folder.path()), System::default());
    let root = folder.path();
    for (cpu, clock) in [(0, "1500000\n"), (1, "2400000\n"), (10, "600000\n")] {
        write(root, &format!("devices/system/cpu/cpu{cpu}/cpufreq/scaling_cur_freq"), clock);
        write(root, &format!("devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count"), "2\n");
    }
    write(root, "devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n");
    write(root, "devices/system/cpu/cpufreq/other", "not a core");
    write(root, "class/thermal/thermal_zone0/temp", "48312\n");
    write(root, "class/thermal/thermal_zone1/temp", "51000\n");
    write(root, "devices/platform/soc/soc:firmware/get_throttled", "0x50000\n");
    let before = System::read(root);
    assert_eq!(
        before,
        System {
            clock_mhz: Some([2400.0, 600.0]),
            governor: Some("ondemand".into()),
            temperature_c: Some(51.0),
            throttle_events: Some(6),
            pi_throttled: Some(0x50000),
        }
    );
    // What happened before the run does not count.
    assert!(before.throttled(&before).is_empty());
    let hotter = System { throttle_events: Some(7), ..before.clone() };
    assert!(before.throttled(&hotter)[0].contains("throttled 1 times"));
    let weak = System { pi_throttled: Some(0x50005), ..before.clone() };
    assert!(before.throttled(&weak)[0].contains("0x50005"));
}

#[test]
fn floors_and_sizes_are_checked() {
    for bad in ["", "fps", "fps=", "fps=-1", "fps=nan", "speed=3", "=3"] {
        assert!(Floor::parse(bad).is_err(), "{bad}");
    }
    assert!(Floor::parse("memory-mb=24").is_ok());
    for bad in ["", "320", "0x180", "320x", "99999x1", "ax3"] {
        assert!(size(bad).is_err(), "{bad}");
    }
    assert_eq!(size("320x180"), Ok((320, 180)));
}
