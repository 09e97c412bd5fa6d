use super::*;
use crate::shared::picture;

fn image(width: usize, height: usize) -> Image {
    picture(1, width, height)
}

fn planes(width: usize, height: usize) -> Planes {
    Planes::of(&image(width, height))
}

fn mean(x: &Planes) -> f64 {
    x.data.iter().map(|&v| f64::from(v)).sum::<f64>() / x.data.len() as f64
}

fn deviation(a: &Planes, b: &Planes) -> f64 {
    let sum: f64 = a.data.iter().zip(&b.data).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.data.len() as f64).sqrt()
}

/// Clean but for one thing.
fn only(settings: impl FnOnce(&mut Degrade)) -> Degrade {
    let mut degrade = Degrade::preset("clean").expect("a preset");
    settings(&mut degrade);
    degrade
}

#[test]
fn clean_is_the_bicubic_downscaling_of_the_field() {
    // `imresize` on bytes rounds between its two passes, which is worth up to two levels.
    let hr = image(48, 36);
    let clean = Degrade::preset("clean").expect("a preset");
    for upscale in [1, 2, 3, 4] {
        let (lr, cropped, drawn) = degrade(&hr, upscale, &clean, 1, 0).expect("degraded");
        let (expected, target) = downscale(&hr, upscale).expect("downscaled");
        assert_eq!(cropped, target);
        let apart = lr.data().iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(apart <= Some(2), "x{upscale}: {apart:?}");
        assert_eq!(drawn.to_string(), "bicubic");
    }
}

#[test]
fn seed_and_index_alone_decide() {
    let (hr, camera) = (image(64, 64), Degrade::preset("camera").expect("a preset"));
    let made = |seed, index| degrade(&hr, 2, &camera, seed, index).expect("degraded");
    assert_eq!(made(1, 7), made(1, 7));
    assert_ne!(made(1, 7).2, made(2, 7).2);
    assert_ne!(made(1, 7).2, made(1, 8).2);
}

#[test]
fn every_stage_is_drawn_as_often_as_it_says() {
    let camera = Degrade::preset("camera").expect("a preset");
    let mut counts = [0.0; 7];
    let n = 4000;
    for i in 0..n {
        let drawn = Degradation::draw(&camera, &mut Stream::new(1, Purpose::Degrade, i));
        let noise = drawn.noise;
        let found = [
            drawn.blur.is_some(),
            matches!(drawn.blur, Some(Kernel::Defocus { .. })),
            drawn.intermediate.is_some(),
            noise.is_some(),
            noise.is_some_and(|noise| noise.grey),
            drawn.sharpen.is_some(),
            drawn.jpeg.len() == 2,
        ];
        counts.iter_mut().zip(found).for_each(|(count, found)| *count += f64::from(u8::from(found)));
        for (quality, _, (x, y)) in drawn.jpeg {
            assert!((35..=95).contains(&quality) && x < 8 && y < 8);
        }
    }
    let expected = [0.5, 0.5 * 0.15, 0.2, 0.7, 0.7 * 0.35, 0.2, 0.8 * 0.2];
    for (count, expected) in counts.into_iter().zip(expected) {
        let share = count / n as f64;
        assert!((share - expected).abs() < 0.03, "{share} for {expected}");
    }
}

#[test]
fn some_training_patches_are_spared_and_no_test_image() {
    let camera = Degrade { clean: 0.3, ..only(|d| d.noise.prob = 1.0) };
    let stream = |i| Stream::new(1, Purpose::Degrade, i);
    let spared =
        (0..2000).filter(|&i| Degradation::draw_for_training(&camera, &mut stream(i)).noise.is_none());
    let share = spared.count() as f64 / 2000.0;
    assert!((share - 0.3).abs() < 0.04, "{share}");
    assert!((0..200).all(|i| Degradation::draw(&camera, &mut stream(i)).noise.is_some()));
}

#[test]
fn blurs_keep_the_mean_and_have_the_width_they_say() {
    // A point in the middle becomes the kernel itself.
    let mut point = Planes { width: 41, height: 41, data: vec![0.0; 41 * 41] };
    point.data[20 * 41 + 20] = 1.0;
    let spread = |x: &Planes, along: (f64, f64)| {
        let place = |i: usize| (i % 41) as f64 - 20.0;
        let moment = |i: usize| {
            let (x, y) = (place(i), (i / 41) as f64 - 20.0);
            (x * along.0 + y * along.1).powi(2)
        };
        x.data.iter().enumerate().map(|(i, &v)| f64::from(v) * moment(i)).sum::<f64>().sqrt()
    };
    for (kernel, x, y) in [
        (Kernel::Gaussian { sigma: 2.0 }, 2.0, 2.0),
        (Kernel::Anisotropic { sigma: [3.0, 1.0], angle: 0.0 }, 3.0, 1.0),
        (Kernel::Anisotropic { sigma: [3.0, 1.0], angle: std::f64::consts::FRAC_PI_2 }, 1.0, 3.0),
        // A disc of radius r has a deviation of r/2 along each axis, a line of length l one of l/√12.
        (Kernel::Defocus { radius: 6.0 }, 3.0, 3.0),
        (Kernel::Motion { length: 12.0, angle: 0.0 }, 3.46, 0.0),
    ] {
        let blurred = kernel.apply(&point);
        let sum: f32 = blurred.data.iter().sum();
        assert!((sum - 1.0).abs() < 1e-4, "{kernel:?}: {sum}");
        let found = (spread(&blurred, (1.0, 0.0)), spread(&blurred, (0.0, 1.0)));
        assert!((found.0 - x).abs() < 0.25 && (found.1 - y).abs() < 0.25, "{kernel:?}: {found:?}");
        assert_eq!(kernel.enlarged(2.0).enlarged(0.5), kernel);
    }
}

#[test]
fn resizing_keeps_ramps_and_means() {
    let ramp = Planes { width: 24, height: 24, data: (0..24 * 24).map(|i| (i % 24) as f32 / 24.0).collect() };
    for filter in [ResizeFilter::Area, ResizeFilter::Bilinear, ResizeFilter::Bicubic] {
        for side in [6, 8, 12, 17, 30] {
            let small = ramp.resize(side, side, filter);
            let inside = side / 4..side - side / 4;
            for x in inside {
                let centre = ((x as f32 + 0.5) * 24.0 / side as f32 - 0.5) / 24.0;
                // With factors that are no whole numbers a ramp is met nearly.
                let limit = if filter == ResizeFilter::Area { 0.015 } else { 2e-3 };
                let found = small.data[side / 2 * side + x];
                assert!((found - centre).abs() < limit, "{filter:?} to {side} at {x}: {found} for {centre}");
            }
            assert!((mean(&small) - mean(&ramp)).abs() < 0.01, "{filter:?} to {side}");
        }
    }
}

#[test]
fn noise_has_the_variance_it_says() {
    let flat = |value| Planes { width: 200, height: 100, data: vec![value; 3 * 200 * 100] };
    for (shot, read, value) in [(0.0, 0.03, 0.5), (0.002, 0.0, 0.25), (0.001, 0.02, 0.8)] {
        for grey in [false, true] {
            for correlation in [None, Some(0.7)] {
                let mut noisy = flat(value);
                let noise = SensorNoise { shot, read, grey, correlation };
                noise.apply(&mut noisy, &mut Stream::new(3, Purpose::Degrade, 0));
                let (found, expected) =
                    (deviation(&noisy, &flat(value)), (shot * f64::from(value) + read * read).sqrt());
                assert!((found / expected - 1.0).abs() < 0.03, "{noise:?}: {found} for {expected}");
                assert!((mean(&noisy) - f64::from(value)).abs() < 0.002);
                let (a, b) = (&noisy.data[..20_000], &noisy.data[20_000..40_000]);
                assert_eq!(a == b, grey);
                // The correlation of neighbours in a row.
                let product: f64 = a.windows(2).map(|w| f64::from((w[0] - value) * (w[1] - value))).sum();
                let near = product / 20_000.0 / expected.powi(2);
                assert!(if correlation.is_some() { near > 0.3 } else { near.abs() < 0.05 }, "{near}");
            }
        }
    }
}

#[test]
fn compression_damages_more_the_lower_its_quality() {
    let hr = planes(64, 48);
    let at = |quality, shift| deviation(&stages::jpeg(&hr, quality, Subsampling::Both, shift), &hr);
    let (low, high) = (at(20, (0, 0)), at(90, (0, 0)));
    assert!(low > 1.5 * high && high > 0.0, "{low} {high}");
    // Another grid, another damage; the image stays where it is.
    let shifted = at(20, (3, 5));
    assert!(shifted != low && shifted < 2.0 * low, "{shifted} {low}");
    let full = deviation(&stages::jpeg(&hr, 90, Subsampling::Full, (0, 0)), &hr);
    assert!(full < high, "chroma of full resolution is closer: {full} {high}");
}

#[test]
fn sharpening_overshoots_at_edges_only() {
    let data = (0..32 * 8).map(|i| if i % 32 < 16 { 0.25 } else { 0.75 }).collect();
    let mut edge = Planes { width: 32, height: 8, data };
    stages::sharpen(&mut edge, 0.8, 1.0);
    assert!(edge.data[15] < 0.2 && edge.data[16] > 0.8, "{:?}", &edge.data[12..20]);
    assert!((edge.data[4] - 0.25).abs() < 1e-6 && (edge.data[28] - 0.75).abs() < 1e-6);
}

#[test]
fn each_stage_alone_changes_the_image_and_nothing_changes_its_size() {
    let hr = image(61, 47);
    let (clean, ..) = degrade(&hr, 2, &Degrade::preset("clean").expect("a preset"), 1, 0).expect("degraded");
    for settings in [
        only(|d| d.blur.prob = 1.0),
        only(|d| (d.resize.intermediate, d.resize.scale) = (1.0, [0.7, 0.8])),
        only(|d| d.noise.prob = 1.0),
        only(|d| d.sharpen.prob = 1.0),
        only(|d| d.jpeg.prob = 1.0),
    ] {
        let (lr, cropped, drawn) = degrade(&hr, 2, &settings, 1, 0).expect("degraded");
        assert_eq!((lr.width(), lr.height()), (30, 23));
        assert_eq!((cropped.width(), cropped.height()), (60, 46));
        assert_ne!(lr, clean, "{drawn}");
    }
}

#[test]
fn settings_out_of_bounds_are_named_with_their_limit() {
    for (fault, key) in [
        (only(|d| d.clean = -1.0), "degrade.clean"),
        (only(|d| d.blur.prob = 1.5), "blur.prob"),
        (only(|d| d.blur.sigma = [2.0, 1.0]), "blur.sigma"),
        (only(|d| d.blur.sigma = [0.0, f64::NAN]), "blur.sigma"),
        (only(|d| d.blur.radius = [0.0, 9.0]), "blur.radius"),
        (only(|d| d.blur.length = [-1.0, 2.0]), "blur.length"),
        (
            only(|d| {
                let blur = &mut d.blur;
                (blur.isotropic, blur.anisotropic, blur.defocus, blur.motion) = (0.0, 0.0, 0.0, 0.0);
            }),
            "isotropic",
        ),
        (only(|d| d.resize.filters.clear()), "resize.filters"),
        (only(|d| d.resize.scale = [0.0, 1.0]), "resize.scale"),
        (only(|d| d.noise.shot = [0.0, 1.0]), "noise.shot"),
        (only(|d| d.noise.read = [0.0, f64::INFINITY]), "noise.read"),
        (only(|d| d.noise.grey = -0.1), "noise.grey"),
        (only(|d| d.sharpen.amount = [1.0, 0.0]), "sharpen.amount"),
        (only(|d| d.sharpen.sigma = [0.0, 1.0]), "sharpen.sigma"),
        (only(|d| d.jpeg.quality = [0, 50]), "jpeg.quality"),
        (only(|d| d.jpeg.quality = [90, 30]), "jpeg.quality"),
        (only(|d| d.jpeg.subsampling.clear()), "jpeg.subsampling"),
        (only(|d| d.jpeg.twice = 2.0), "jpeg.twice"),
    ] {
        let (found, _, limit) = fault.fault().expect("refused");
        assert!(found.contains(key) && !limit.is_empty(), "{found}: {limit} for {key}");
    }
    for preset in ["camera", "photo", "clean"] {
        assert_eq!(Degrade::preset(preset).expect("a preset").fault(), None);
    }
}

/// The damaged test sets that published figures are measured on, by their checksums.
#[test]
fn the_protocol_stays_the_same() {
    let Some(folder) = crate::shared::path("sr/Set5/HR") else { return };
    let lists = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/models/protocol");
    let camera = Degrade::preset("camera").expect("a preset");
    for upscale in [2, 4] {
        let list = std::fs::read_to_string(lists.join(format!("Set5-x{upscale}.csv"))).expect("a list");
        let mut rows = list.lines().skip(1);
        for (index, path) in (0..).zip(crate::data::pairs::images(&folder).expect("listed")) {
            let hr = crate::data::pairs::decode(&path).expect("an image");
            for version in 0..4 {
                let (lr, _, drawn) =
                    degrade(&hr, upscale, &camera, 1, version << 32 | index).expect("degraded");
                let row = rows.next().expect("as many rows");
                let expected = format!("{:08x},\"{drawn}\"", crc32fast::hash(lr.data()));
                assert!(row.ends_with(&expected), "{row}: {expected}");
            }
        }
        assert_eq!(rows.next(), None);
    }
}

/// The hazy test set, by its checksums.
#[test]
fn the_haze_of_the_protocol_stays_the_same() {
    let Some(folder) = crate::shared::path("sr/Set5/HR") else { return };
    let list =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/models/protocol/Set5-haze.csv");
    let list = std::fs::read_to_string(list).expect("a list");
    let mut rows = list.lines().skip(1);
    let haze = Degrade::preset("haze").expect("a preset");
    for (index, path) in (0..).zip(crate::data::pairs::images(&folder).expect("listed")) {
        let hr = crate::data::pairs::decode(&path).expect("an image");
        for version in 0..4 {
            let (hazy, target, drawn) = degrade(&hr, 1, &haze, 1, version << 32 | index).expect("degraded");
            assert_eq!(target, hr);
            let row = rows.next().expect("as many rows");
            let expected = format!("{:08x},\"{drawn}\"", crc32fast::hash(hazy.data()));
            assert!(row.ends_with(&expected), "{row}: {expected}");
        }
    }
    assert_eq!(rows.next(), None);
}
