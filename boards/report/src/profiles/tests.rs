use super::*;
use mcir_upscale::error::Advice as _;

#[test]
fn every_embedded_profile_has_its_file_s_name_and_sound_values() {
    let all = Profile::all();
    assert_eq!(all.len(), EMBEDDED.len());
    for (profile, (name, _)) in all.iter().zip(EMBEDDED) {
        assert_eq!(profile.name, *name);
        assert_eq!(profile.architecture, "aarch64", "{name}");
        assert!(["neon", "neon_dot"].contains(&profile.isa.as_str()), "{name}");
        assert!(!profile.device_tree.is_empty() && !profile.memory_mb.is_empty(), "{name}");
        assert!(!profile.camera.is_empty() && profile.gpio.is_some(), "{name}");
        assert!(profile.cores.iter().all(|c| c.l1d_kb > 0 && c.l2_kb > 0 && c.part.is_some()), "{name}");
    }
}

#[test]
fn a_model_string_fits_one_board() {
    for (model, expected) in [
        ("Raspberry Pi Zero 2 W Rev 1.0", Some("raspberry-pi-zero-2-w")),
        ("Raspberry Pi 3 Model B Plus Rev 1.3", Some("raspberry-pi-3b-plus")),
        ("Raspberry Pi 4 Model B Rev 1.5", Some("raspberry-pi-4")),
        ("Raspberry Pi 400 Rev 1.0", Some("raspberry-pi-4")),
        ("Raspberry Pi 5 Model B Rev 1.0", Some("raspberry-pi-5")),
        ("Raspberry Pi 500 Rev 1.0", Some("raspberry-pi-5")),
        ("NVIDIA Jetson Nano Developer Kit", Some("jetson-nano")),
        ("NVIDIA Jetson Xavier NX Developer Kit", Some("jetson-xavier-nx")),
        ("NVIDIA Jetson Orin Nano Developer Kit", Some("jetson-orin-nano")),
        ("NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super", Some("jetson-orin-nano")),
        ("NVIDIA Jetson Orin NX Engineering Reference Developer Kit", Some("jetson-orin-nx")),
        ("Raspberry Pi 3 Model B Rev 1.2", None),
        ("", None),
    ] {
        let found: Vec<_> =
            Profile::all().into_iter().filter(|p| p.has_model(model)).map(|p| p.name).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{model}");
    }
}

#[test]
fn bad_profiles_name_what_is_wrong() {
    let good = EMBEDDED[0].1;
    for (from, to, part) in [
        ("count = 4", "count = 0", "cores: there must be 1 to 1024"),
        ("count = 4", "count = 4294967295", "cores"),
        ("clock_mhz = 1000", "clock_mhz = -1", "clock_mhz of Cortex-A53 is -1"),
        ("clock_mhz = 1000", "clock_mhz = nan", "clock_mhz"),
        ("soc = ", "sock = ", "sock"),
        ("throttle = \"raspberry-pi\"", "throttle = \"pi\"", "unknown variant"),
    ] {
        let error = Profile::parse(&good.replace(from, to)).unwrap_err();
        assert!(error.contains(part), "{to}: {error}");
    }
}

#[test]
fn an_unknown_board_lists_the_known_ones() {
    let error = Profile::open("raspberry-pi-6").unwrap_err();
    assert!(
        error.to_string().contains("raspberry-pi-6") && error.help().contains("raspberry-pi-5"),
        "{error}"
    );
    let error = Profile::open("no/such.toml").unwrap_err();
    assert!(error.to_string().contains("no/such.toml"), "{error}");
}
