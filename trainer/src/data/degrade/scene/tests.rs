use super::*;
use crate::data::degrade::{Degradation, Degrade};
use crate::seed::Purpose;
use crate::shared::picture;

fn stream(index: u64) -> Stream {
    Stream::new(1, Purpose::Degrade, index)
}

fn haze(index: u64) -> Scattering {
    Haze { prob: 1.0, ..Haze::default() }.draw(&mut stream(index))
}

#[test]
fn haze_is_the_model_of_scattering() {
    let clear = Planes::of(&picture(1, 40, 30));
    for index in 0..20 {
        let haze = haze(index);
        assert!((0.6..=1.8).contains(&haze.beta) && (0.7..=1.0).contains(&haze.light), "{haze}");
        let mut hazy = clear.clone();
        haze.apply(&mut hazy);
        let depths = haze.depths(40, 30);
        assert!(depths.iter().all(|d| (haze.near as f32 - 1e-6..=1.0).contains(d)), "{haze}");
        for (i, (found, clear)) in hazy.data.iter().zip(&clear.data).enumerate() {
            let through = (-haze.beta * f64::from(depths[i % 1200])).exp();
            let expected = f64::from(*clear) * through + haze.light * (1.0 - through);
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} for {expected}");
        }
    }
}

#[test]
fn what_is_higher_up_is_farther_on_even_ground() {
    let even = Scattering { rough: 0.0, tilt: 0.0, near: 0.25, ..haze(1) };
    let depths = even.depths(3, 50);
    assert!(depths.windows(4).all(|d| d[0] >= d[3]), "{depths:?}");
    assert!((depths[0] - 0.9925).abs() < 1e-4 && (depths[149] - 0.2575).abs() < 1e-4);
    // With objects on it that is no longer so everywhere, and pictures differ.
    let rough = Scattering { rough: 0.8, ..even };
    let column = rough.depths(1, 50);
    assert!(column.windows(2).any(|d| d[0] < d[1]), "{column:?}");
    assert_ne!(column, Scattering { noise: 7, ..rough }.depths(1, 50));
}

#[test]
fn a_patch_has_the_depths_that_its_picture_has_there() {
    let whole = haze(3);
    let picture = whole.depths(300, 300);
    let patch = Scattering { part: Part::Of { side: 300.0, place: [0.25, 0.75] }, ..whole };
    // It may lie at 0 to 260 and 0 to 280.
    let depths = patch.depths(40, 20);
    for (i, depth) in depths.iter().enumerate() {
        let (x, y) = (65 + i % 40, 210 + i / 40);
        let expected = picture[y * 300 + x];
        assert!((depth - expected).abs() < 1e-6, "{depth} for {expected}");
    }
    // A patch that is larger than the picture is all of it.
    let large = Scattering { part: Part::Of { side: 8.0, place: [0.3, 0.9] }, ..whole };
    assert_eq!(large.depths(30, 30), whole.depths(30, 30));
}

#[test]
fn training_patches_are_parts_and_test_images_are_whole() {
    let settings = Degrade { clean: 0.25, ..Degrade::preset("haze").expect("a preset") };
    let mut spared = 0;
    for index in 0..400 {
        let drawn = Degradation::draw(&settings, &mut stream(index));
        assert_eq!(drawn.haze.expect("haze").part, Part::Whole);
        match Degradation::draw_for_training(&settings, &mut stream(index)).haze {
            None => spared += 1,
            Some(Scattering { part: Part::Of { side, place: [x, y] }, .. }) => {
                assert!(
                    (256.0..=640.0).contains(&side) && (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y)
                );
            }
            Some(whole) => panic!("{whole:?}"),
        }
    }
    assert!((70..130).contains(&spared), "{spared}");
}

#[test]
fn rain_only_adds_and_falls_as_it_is_told() {
    let dark = Planes { width: 120, height: 80, data: vec![0.25; 3 * 120 * 80] };
    let rained = |streaks: Streaks, upscale, index| {
        let mut image = dark.clone();
        streaks.apply(&mut image, upscale, &mut stream(index));
        image
    };
    let streaks = Streaks { density: 40.0, length: 12.0, lean: 0.0, brightness: 0.5 };
    let image = rained(streaks, 1, 1);
    assert_eq!(image, rained(streaks, 1, 1));
    assert_ne!(image, rained(streaks, 1, 2));
    assert!(image.data.iter().all(|v| (0.25..=1.0).contains(v)));
    let plane = 120 * 80;
    assert_eq!(image.data[..plane], image.data[plane..2 * plane]);
    let light = |image: &Planes| image.data.iter().map(|v| f64::from(v - 0.25)).sum::<f64>();
    let twice = light(&rained(Streaks { density: 80.0, ..streaks }, 1, 1)) / light(&image);
    assert!((1.6..2.4).contains(&twice), "{twice}");
    // In a picture twice as large they are as many in all of it, and twice as long.
    let large = light(&rained(streaks, 2, 1)) / light(&image);
    assert!((0.3..0.8).contains(&large), "{large}");
    // Differences along the direction of fall are small, those across are large.
    let change = |image: &Planes, step: usize| -> f64 {
        image.data[..plane].iter().zip(&image.data[step..plane]).map(|(a, b)| f64::from((a - b).abs())).sum()
    };
    assert!(change(&image, 1) > 2.0 * change(&image, 120));
    let lying = rained(Streaks { lean: 90.0, ..streaks }, 1, 1);
    assert!(change(&lying, 120) > 2.0 * change(&lying, 1));
}

#[test]
fn presets_of_one_size_do_one_thing() {
    let drawn = |name: &str| Degradation::draw(&Degrade::preset(name).expect("a preset"), &mut stream(5));
    for name in ["haze", "rain", "motion"] {
        let d = drawn(name);
        assert!(Degrade::keeps_size(name) && d.noise.is_none() && d.jpeg.is_empty() && d.sharpen.is_none());
        let does = [d.haze.is_some(), d.rain.is_some(), d.blur.is_some()];
        assert_eq!(does, ["haze", "rain", "motion"].map(|n| n == name), "{d}");
    }
    assert!(!Degrade::keeps_size("camera") && drawn("camera").haze.is_none());
    assert!(drawn("haze").to_string().starts_with("haze "));
    for (key, wrong) in [
        (
            "haze.light",
            Degrade {
                haze: Haze { light: [0.5, 1.5], ..Haze::default() },
                ..Degrade::preset("haze").expect("a preset")
            },
        ),
        (
            "haze.beta",
            Degrade {
                haze: Haze { beta: [-1.0, 1.5], ..Haze::default() },
                ..Degrade::preset("haze").expect("a preset")
            },
        ),
        (
            "rain.lean",
            Degrade {
                rain: Rain { lean: [30.0, -30.0], ..Rain::default() },
                ..Degrade::preset("rain").expect("a preset")
            },
        ),
        (
            "rain.prob",
            Degrade {
                rain: Rain { prob: 2.0, ..Rain::default() },
                ..Degrade::preset("rain").expect("a preset")
            },
        ),
    ] {
        assert!(wrong.fault().expect("refused").0.ends_with(key), "{key}");
    }
}
