use super::*;
use crate::estimate::calibrate::{network, networks};
use mcir_upscale::embedded;

fn model() -> NamedModel {
    NamedModel::from_embedded(embedded::default_for(4, mcir_upscale::embedded::Kind::Clean).unwrap(), false)
        .unwrap()
}

#[test]
fn memory_is_the_engine_s_own() {
    let (profile, model) = (Profile::open("raspberry-pi-5").unwrap(), model());
    for width in [160, 320, 640] {
        let estimate = estimate(&model, &profile, (width, 90)).unwrap();
        let plan = Plan::new(&model.model, width, &PlanOptions::default()).unwrap();
        assert_eq!(estimate.memory_bytes, plan.memory_bytes(estimate.height).unwrap());
        assert_eq!(estimate.memory_bytes, estimate.arena_bytes + estimate.weight_bytes + estimate.row_bytes);
    }
}

#[test]
fn time_follows_area_clock_and_the_table() {
    let (mut profile, model) = (Profile::open("raspberry-pi-5").unwrap(), model());
    let small = estimate(&model, &profile, (160, 90)).unwrap();
    let large = estimate(&model, &profile, (320, 180)).unwrap();
    assert!((large.latency_ms / small.latency_ms - 4.0).abs() < 1e-9);
    let by_hand = (large.work.macs / large.efficiency.macs_per_cycle
        + large.work.values * large.efficiency.cycles_per_value)
        / (profile.cores[0].clock_mhz * 1e3);
    assert!((large.latency_ms - by_hand).abs() < 1e-9);
    assert!(large.latency_all_cores_ms < large.latency_ms);
    profile.cores[0].clock_mhz /= 2.0;
    let slow = estimate(&model, &profile, (320, 180)).unwrap();
    assert!((slow.latency_ms / large.latency_ms - 2.0).abs() < 1e-9);
    // A speed in the profile itself counts before the table.
    profile.efficiency =
        vec![Efficiency { macs_per_cycle: 1.0, cycles_per_value: 0.0, ..large.efficiency.clone() }];
    let own = estimate(&model, &profile, (320, 180)).unwrap();
    assert!((own.latency_ms - own.work.macs / (profile.cores[0].clock_mhz * 1e3)).abs() < 1e-6);
    assert!(text(&large).contains("Mcycles") && text(&large).contains(&large.efficiency.source));
}

#[test]
fn all_cores_wait_for_the_busiest() {
    let (mut profile, model) = (Profile::open("raspberry-pi-5").unwrap(), model());
    let speedup = |profile: &Profile, width| {
        let estimate = estimate(&model, profile, (width, 90)).unwrap();
        estimate.latency_ms / estimate.latency_all_cores_ms
    };
    // 320 columns are ten units of eight for each of four cores; 100 are thirteen, of which the last core has three and the
    // half one.
    let (even, odd) = (speedup(&profile, 320), speedup(&profile, 100));
    assert!((even - 4.0 * 0.85).abs() < 1e-9 && (odd - 100.0 / 28.0 * 0.85).abs() < 1e-9, "{even} {odd}");
    profile.cores[0].count = 1;
    assert_eq!(speedup(&profile, 100), 1.0);
    // Meeting costs the more the more often it happens; nobody has to use cores that do not help.
    profile.cores[0].count = 4;
    let core = profile.cores[0].kind.clone();
    let measured = efficiency_of(&profile, &core, &profile.isa, "int8").unwrap();
    profile.efficiency = vec![Efficiency { join_cycles: 2000.0, ..measured.clone() }];
    assert!(speedup(&profile, 320) < even);
    profile.efficiency = vec![Efficiency { join_cycles: 1e8, ..measured }];
    assert_eq!(speedup(&profile, 320), 1.0);
}

#[test]
fn what_was_not_measured_is_not_estimated() {
    let mut profile = Profile::open("raspberry-pi-5").unwrap();
    profile.cores[0].kind = "Cortex-X99".into();
    let error = estimate(&model(), &profile, (320, 180)).unwrap_err();
    assert!(error.to_string().contains("int8 on Cortex-X99 has not been measured"), "{error}");
    assert!(error.help().contains("mcir-board profile"));
}

#[test]
fn the_networks_for_measuring_are_what_the_quantizer_would_make() {
    let networks = networks();
    for (name, graph) in &networks {
        let (float, int8) = (network(name, graph, true).unwrap(), network(name, graph, false).unwrap());
        assert!(!float.is_quantized() && int8.is_quantized());
        let (float, int8) = (Work::of(&float, (24, 16)), Work::of(&int8, (24, 16)));
        assert_eq!((float.macs, float.scores), (int8.macs, int8.scores), "{name}");
        assert_eq!((float.norm_values, float.activated), (int8.norm_values, int8.activated), "{name}");
        assert_eq!(float.scores > 0.0, name.starts_with("swinir"), "{name}");
        // Conversions are all that int8 adds.
        assert!(int8.values < 1.5 * float.values, "{name}");
    }
    let (own, drawn) = (model(), network("edge", &networks[0].1, false).unwrap());
    let (own, drawn) = (Work::of(&own.model, (8, 8)), Work::of(&drawn, (8, 8)));
    assert_eq!(own.macs, drawn.macs);
    assert!((own.values / drawn.values - 1.0).abs() < 0.1);
}

#[test]
fn networks_with_windows_compute_whole_ones() {
    let networks = networks();
    let (name, graph) = networks.iter().find(|(name, _)| name.starts_with("swinir")).unwrap();
    let model = network(name, graph, true).unwrap();
    assert_eq!(Work::of(&model, (9, 15)), Work::of(&model, (16, 16)));
    let work = Work::of(&model, (8, 8));
    // 64 pixels with 64 keys each, 4 heads, 2 layers; a query and a key of 8 channels, and as many for the sum.
    assert_eq!((work.scores, work.attention_macs), (64.0 * 64.0 * 4.0 * 2.0, 64.0 * 64.0 * 4.0 * 2.0 * 16.0));
    let (_, plain) = &networks[0];
    assert_eq!(Work::pixels(&network("edsr", plain, true).unwrap(), (9, 15)), 135.0);
}

#[test]
fn sizes_are_read() {
    assert_eq!(size("320x180"), Ok((320, 180)));
    for text in
        ["", "320", "0x1", "1x0", "ax1", "-1x5", "40000x2", "1x2x3", "18446744073709551616x1", "32768x32768"]
    {
        assert!(size(text).is_err(), "{text}");
    }
}

/// The figures that `runtime/gpu/README.md` gives are those of `estimate`.
#[test]
fn modelled_gpus_are_as_the_readme_has_them() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../runtime/gpu/README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| jetson-"));
    let mut seen = 0;
    for row in rows {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, board, model, picture, cpu, gpu, _] = cells[..] else { panic!("{row}") };
        let model = NamedModel::open(model).unwrap();
        let e = estimate(&model, &Profile::open(board).unwrap(), size(picture).unwrap()).unwrap();
        let modelled = e.gpu.as_ref().unwrap();
        assert_eq!(
            format!("{:.1} {:.1}", e.latency_all_cores_ms, modelled.latency_ms),
            format!("{cpu} {gpu}"),
            "{row}"
        );
        assert!(modelled.modelled && text(&e).contains("modelled, never measured"));
        seen += 1;
    }
    assert_eq!(seen, 12);
    // Boards whose GPU is slower than their processor, and models that do not run there.
    for board in ["jetson-nano", "raspberry-pi-5"] {
        assert!(estimate(&model(), &Profile::open(board).unwrap(), (32, 18)).unwrap().gpu.is_none());
    }
    let float =
        NamedModel::from_embedded(embedded::default_for(4, embedded::Kind::Clean).unwrap(), true).unwrap();
    let orin = Profile::open("jetson-orin-nano").unwrap();
    assert!(super::gpu::estimate(&float.model, (32, 18), orin.gpu.as_ref().unwrap()).is_none());
}
