//! `mcir-board bench` from outside: its fields, its floors and its exit codes. No figure of time is checked.

mod support;

use mcir_boards::bench::BenchReport;
use support::{Folder, arg, board};

#[test]
fn a_report_says_all_that_it_should() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let args = ["bench", "-m", arg(&model), "--size", "40x24", "--samples", "5", "-j", "1", "--json"];
    let report: BenchReport = serde_json::from_str(&board(args).succeeds().stdout()).unwrap();
    assert_eq!((report.command.as_str(), report.schema), ("bench", 1));
    assert_eq!((report.width, report.height, report.upscale, report.threads), (40, 24, 2, 1));
    assert_eq!((report.latency.samples, report.precision.as_str()), (5, "f32"));
    let macs: u64 = report.nodes.iter().map(|n| n.macs).sum();
    assert_eq!(macs, report.macs, "every convolution is in the table of nodes");
    let whole: f64 = report.nodes.iter().map(|n| n.share_of_time).sum();
    assert!((whole - 1.0).abs() < 1e-9, "{whole}");
    let memory = report.memory;
    // A row of output is what rings and weights leave.
    assert_eq!(memory.engine_bytes - memory.arena_bytes - memory.weight_bytes, 40 * 2 * 3);
    assert!(report.windows.is_empty());
    let first_row = report.first_row.unwrap();
    assert_eq!(first_row.latency.samples, 5);
    assert!((1..=24).contains(&first_row.after_rows), "{first_row:?}");
    assert!(first_row.latency.max_ms <= report.latency.max_ms, "the first row is there before the last");
}

#[test]
fn a_sustained_run_shows_its_course() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let args = ["bench", "-m", arg(&model), "--size", "16x8", "--sustained", "0.2", "--json"];
    let report: BenchReport = serde_json::from_str(&board(args).succeeds().stdout()).unwrap();
    assert!((1..=10).contains(&report.windows.len()));
    let samples: usize = report.windows.iter().map(|w| w.latency.samples).sum();
    assert_eq!(samples, report.latency.samples);
    let text = board(["bench", "-m", arg(&model), "--size", "16x8", "--samples", "2"]).succeeds().stdout();
    assert!(
        text.contains("p99") && text.contains("first output row, after") && text.contains("conv_first"),
        "{text}"
    );
}

#[test]
fn floors_that_do_not_hold_end_with_3() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let bench = |floor: &str| {
        board(["bench", "-m", arg(&model), "--size", "16x8", "--samples", "2", "--assert", floor])
    };
    bench("memory-mb=100000").succeeds();
    let quiet =
        ["bench", "-m", arg(&model), "--size", "16x8", "--samples", "2", "--assert", "gmacs=1000000", "-q"];
    assert_eq!(board(quiet).fails(3, &["1000000 is required"]).stdout(), "");
    bench("gmacs=1000000").fails(3, &["1000000 is required", "GMAC/s"]);
    bench("memory-mb=0.001").fails(3, &["0.001 is required"]);
}
