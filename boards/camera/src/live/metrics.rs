//! The status for Prometheus, in its text format.

use super::hub::Status;
use std::fmt::Write as _;

/// The type that Prometheus expects.
pub const KIND: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A value of a label, between its quotes.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// All that the status tells, as numbers with names.
pub fn text(status: &Status) -> String {
    let mut out = String::new();
    let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, f64)]| {
        let _ = write!(out, "# HELP mcir_{name} {help}\n# TYPE mcir_{name} {kind}\n");
        for (labels, value) in samples {
            let _ = writeln!(out, "mcir_{name}{labels} {value}");
        }
    };
    let plain = |value: f64| [(String::new(), value)];
    let model = format!(
        "{{version=\"{}\",model=\"{}\",precision=\"{}\",upscale=\"{}\"}}",
        env!("CARGO_PKG_VERSION"),
        label(&status.model),
        status.precision,
        status.upscale
    );
    family("info", "gauge", "What runs.", &[(model, 1.0)]);
    let running = f64::from(u8::from(status.state == "running"));
    family("running", "gauge", "Whether frames come from the camera.", &plain(running));
    family("captured_total", "counter", "Frames that the camera delivered.", &plain(status.captured as f64));
    let results = [("output", status.output), ("dropped", status.dropped), ("broken", status.broken)];
    let results = results.map(|(name, n)| (format!("{{result=\"{name}\"}}"), n as f64));
    family("frames_total", "counter", "What became of the frames.", &results);
    family(
        "reconnects_total",
        "counter",
        "How often the camera came back.",
        &plain(status.reconnects as f64),
    );
    family("frames_per_second", "gauge", "Frames that leave, over the last seconds.", &plain(status.fps));
    if let Some(temperature) = status.temperature_c {
        let name = "temperature_celsius";
        family(name, "gauge", "Temperature of the processor.", &plain(f64::from(temperature)));
    }
    let name = "latency_seconds";
    let _ = write!(out, "# HELP mcir_{name} Latency of a frame by stage.\n# TYPE mcir_{name} summary\n");
    for l in &status.latency {
        for (quantile, ms) in [(0.5, l.p50_ms), (0.99, l.p99_ms)] {
            let _ =
                writeln!(out, "mcir_{name}{{stage=\"{}\",quantile=\"{quantile}\"}} {}", l.stage, ms / 1e3);
        }
        let _ = writeln!(out, "mcir_{name}_sum{{stage=\"{}\"}} {}", l.stage, l.sum_s);
        let _ = writeln!(out, "mcir_{name}_count{{stage=\"{}\"}} {}", l.stage, l.frames);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Latency;

    #[test]
    fn every_sample_has_a_type_and_a_number() {
        let latency = Latency { stage: "infer", p50_ms: 5.0, p99_ms: 9.0, sum_s: 1.5, frames: 300 };
        let status = Status {
            state: "running",
            model: "a\"b".into(),
            precision: "int8",
            upscale: 4,
            fps: 29.5,
            captured: 12,
            latency: vec![latency],
            temperature_c: Some(51.5),
            ..Status::default()
        };
        let text = text(&status);
        for line in [
            "# TYPE mcir_frames_total counter",
            "mcir_captured_total 12",
            "mcir_frames_total{result=\"dropped\"} 0",
            "mcir_running 1",
            "mcir_temperature_celsius 51.5",
            "mcir_latency_seconds{stage=\"infer\",quantile=\"0.99\"} 0.009",
            "mcir_latency_seconds_count{stage=\"infer\"} 300",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
        }
        assert!(text.contains(r#"model="a\"b""#), "{text}");
        let mut typed = std::collections::BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(typed.insert(rest.split(' ').next().unwrap()), "{line} comes twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let name = name.split('{').next().unwrap();
                let base = name.trim_end_matches("_sum").trim_end_matches("_count");
                assert!(typed.contains(base), "{line} has no type");
                assert!(value.parse::<f64>().unwrap().is_finite(), "{line}");
            }
        }
    }
}
