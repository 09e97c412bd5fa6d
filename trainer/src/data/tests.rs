use super::augment::{draw, turn};
use super::batches::Recipe;
use super::degrade::Degrade;
use super::layout::Part;
use super::library::Library;
use super::pairs::{self, Source, check_patch, load};
use crate::shared;
use image::RgbImage;
use mcir_runtime::image::Image;
use std::path::Path;
use std::sync::Arc;

fn save(folder: &Path, name: &str, width: u32, height: u32) {
    let pixel = |x: u32, y: u32| image::Rgb([(x * 7 + y) as u8, (y * 5) as u8, (x ^ y) as u8]);
    RgbImage::from_fn(width, height, pixel).save(folder.join(name)).expect("saved");
}

#[test]
fn set5_is_reproduced_from_its_originals() {
    let (Some(hr), Some(lr)) = (shared::path("sr/Set5/HR"), shared::path("sr/Set5/LR_bicubic")) else {
        return;
    };
    for upscale in [2, 3, 4] {
        let made = load(&hr, None, upscale).expect("made");
        let read = load(&hr, Some(&lr.join(format!("X{upscale}"))), upscale).expect("read");
        assert_eq!(made.len(), 5);
        for (made, read) in made.iter().zip(&read) {
            assert_eq!((&made.name, &made.lr, &made.hr), (&read.name, &read.lr, &read.hr), "x{upscale}");
        }
    }
}

#[test]
fn pairs_that_do_not_fit_are_named() {
    let root = tempfile::tempdir().expect("a folder");
    let (hr, lr) = (root.path().join("hr"), root.path().join("lr"));
    let error = |upscale| load(&hr, Some(&lr), upscale).unwrap_err().to_string();
    assert!(error(2).contains("hr"), "a missing folder");
    std::fs::create_dir(&hr).expect("made");
    std::fs::create_dir(&lr).expect("made");
    assert!(error(2).contains("no image in"), "an empty folder");
    save(&hr, "b.png", 21, 14);
    save(&lr, "c.png", 10, 7);
    assert!(error(2).contains("b.png has no partner"), "{}", error(2));
    save(&lr, "bx2.png", 10, 7);
    assert!(error(2).contains("1 of the 2 images in") && error(2).contains("c.png"), "{}", error(2));
    std::fs::remove_file(lr.join("c.png")).expect("removed");
    let pairs = load(&hr, Some(&lr), 2).expect("paired");
    assert_eq!((pairs[0].hr.width(), pairs[0].hr.height()), (20, 14), "cropped to a multiple");
    std::fs::remove_file(lr.join("bx2.png")).expect("removed");
    save(&lr, "b.png", 11, 7);
    assert!(error(2).contains("11x7 pixels where 10x7"), "{}", error(2));
    assert!(check_patch(&pairs, 7).is_ok());
    let small = check_patch(&pairs, 8).unwrap_err().to_string();
    assert!(small.contains("b.png") && small.contains("10x7") && small.contains("patch of 8"), "{small}");
    std::fs::write(hr.join("a.png"), b"not an image").expect("written");
    assert!(error(2).contains("a.png"), "{}", error(2));
    let tiny = root.path().join("tiny");
    std::fs::create_dir(&tiny).expect("made");
    save(&tiny, "t.png", 1, 1);
    assert!(load(&tiny, None, 2).unwrap_err().to_string().contains("t.png"));
}

/// Restoration: degraded image and target have one size.
#[test]
fn pairs_of_one_size_need_both_folders() {
    let root = tempfile::tempdir().expect("a folder");
    let (hr, lr) = (root.path().join("sharp"), root.path().join("blur"));
    std::fs::create_dir(&hr).expect("made");
    std::fs::create_dir(&lr).expect("made");
    save(&hr, "a.png", 21, 14);
    save(&lr, "a.png", 21, 14);
    let error = load(&hr, None, 1).expect_err("refused").to_string();
    assert!(error.contains("--lr") && error.contains("sharp"), "{error}");
    let pairs = load(&hr, Some(&lr), 1).expect("paired");
    assert_eq!((pairs[0].lr.width(), pairs[0].hr.width()), (21, 21));
    let images = Arc::new(pairs.into());
    let recipe = Recipe { images, seed: 4, batch: 2, patch: 8, upscale: 1, augment: true, degrade: None };
    let batch = recipe.batch(0).expect("made");
    assert_eq!(batch.lr, batch.hr, "both are cut and turned alike");
    save(&lr, "a.png", 20, 14);
    let error = load(&hr, Some(&lr), 1).expect_err("refused").to_string();
    assert!(error.contains("20x14 pixels where 21x14"), "{error}");
}

fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    save(root.path(), "a.png", 40, 32);
    save(root.path(), "b.png", 33, 47);
    root
}

fn library(upscale: usize) -> Arc<Library> {
    Arc::new(load(folder().path(), None, upscale).expect("made").into())
}

fn recipe(images: Arc<Library>) -> Recipe {
    Recipe { images, seed: 4, batch: 3, patch: 8, upscale: 2, augment: true, degrade: None }
}

#[test]
fn batches_depend_on_seed_and_step_only() {
    let recipe = recipe(library(2));
    let ahead: Vec<_> = recipe.clone().ahead(5..8).map(|b| b.expect("made")).collect();
    assert_eq!(ahead.iter().map(|b| b.step).collect::<Vec<_>>(), [5, 6, 7]);
    for batch in &ahead {
        assert_eq!(batch, &recipe.batch(batch.step).expect("made"));
        assert_eq!((batch.lr.len(), batch.hr.len()), (3 * 3 * 64, 3 * 3 * 256));
    }
    assert_ne!(ahead[0].lr, ahead[1].lr);
    assert_ne!(ahead[0].lr, Recipe { seed: 5, ..recipe.clone() }.batch(5).expect("made").lr);
    for threads in [1, 2, 3, 7] {
        let again: Vec<_> = recipe.clone().ahead_in(5..8, threads).map(|b| b.expect("made")).collect();
        assert_eq!(again, ahead, "{threads} threads");
    }
}

/// An error that a thread meets, or its death, is told and is not the end of the training.
#[test]
fn a_thread_that_dies_is_an_error() {
    // A patch larger than the images.
    let mut ahead = Recipe { patch: 1000, ..recipe(library(2)) }.ahead_in(0..2, 1);
    assert!(ahead.next().expect("two steps").expect_err("dead").to_string().contains("died"));
}

#[test]
fn images_beyond_the_memory_are_read_from_a_file_that_leaves_nothing_behind() {
    let (images, run) = (folder(), tempfile::tempdir().expect("a folder"));
    let source = Source::open(images.path(), None, 2, Part::Train).expect("opened");
    let bytes = 3 * (40 * 32 + 20 * 16 + 32 * 46 + 16 * 23);
    let whole = library(2);
    assert_eq!(whole.bytes_on_disk(), 0);
    for (memory, on_disk) in [(usize::MAX, 0), (bytes, 0), (0, bytes)] {
        let library = Library::load(&source, 8, memory, run.path()).expect("loaded");
        assert_eq!(library.bytes_on_disk(), on_disk, "{memory} bytes of memory");
        let (ours, theirs) = (recipe(Arc::new(library)), recipe(whole.clone()));
        for step in 0..20 {
            assert_eq!(ours.batch(step).expect("read"), theirs.batch(step).expect("read"));
        }
    }
    let half = Library::load(&source, 8, bytes / 2, run.path()).expect("loaded");
    assert!((1..bytes).contains(&half.bytes_on_disk()), "{}", half.bytes_on_disk());
    assert_eq!(std::fs::read_dir(run.path()).expect("listed").count(), 0);
    let error = Library::load(&source, 20, 0, run.path()).expect_err("refused").to_string();
    assert!(error.contains("patch of 20"), "{error}");
    let error = Library::load(&source, 8, 0, &run.path().join("none")).expect_err("refused").to_string();
    assert!(error.contains("data.memory_mb") && error.contains("none"), "{error}");
}

#[test]
fn published_data_sets_are_named_as_a_whole() {
    let root = tempfile::tempdir().expect("a folder");
    let make = |folder: &str, name: &str, side| {
        let folder = root.path().join(folder);
        std::fs::create_dir_all(&folder).expect("made");
        save(&folder, name, side, side);
    };
    make("DIV2K_train_HR", "0001.png", 24);
    make("DIV2K_train_LR_bicubic/X2", "0001x2.png", 12);
    make("DIV2K_valid_HR", "0801.png", 24);
    make("HR", "baby.png", 24);
    make("LR_bicubic/X2", "babyx2.png", 12);
    let open = |upscale, part| Source::open(root.path(), None, upscale, part).expect("opened");
    let name = |source: &Source| source.read(0).expect("read").name;
    let train = open(2, Part::Train);
    assert_eq!(
        (name(&train), train.low()),
        ("0001".into(), Some(&*root.path().join("DIV2K_train_LR_bicubic/X2")))
    );
    let made = open(3, Part::Train);
    assert_eq!((name(&made), made.low()), ("0001".into(), None), "not there, so made");
    let valid = open(2, Part::Valid);
    assert_eq!((name(&valid), valid.low()), ("0801".into(), None));
    std::fs::remove_dir_all(root.path().join("DIV2K_valid_HR")).expect("removed");
    let valid = open(2, Part::Valid);
    assert_eq!((name(&valid), valid.low()), ("baby".into(), Some(&*root.path().join("LR_bicubic/X2"))));
    // A folder of its own is taken over the one of the layout, and images over folders.
    let low = root.path().join("DIV2K_train_LR_bicubic/X2");
    assert!(Source::open(root.path(), Some(&low), 2, Part::Valid).is_err(), "0001x2 is not baby");
    save(root.path(), "own.png", 24, 24);
    assert_eq!(name(&open(2, Part::Train)), "own");
}

#[test]
fn crops_reach_every_corner_and_symmetry() {
    let images = library(2);
    let crops: Vec<_> = (0..400).flat_map(|step| draw(&images, 1, step, 4, 14, true)).collect();
    for pair in 0..images.len() {
        let (width, height) = images.size(pair);
        let (x, y) = (width - 14, height - 14);
        for corner in [(0, 0), (x, 0), (0, y), (x, y)] {
            assert!(crops.iter().any(|c| c.pair == pair && c.corner == corner), "{corner:?} of {pair}");
        }
    }
    assert!((0..8).all(|s| crops.iter().any(|c| c.symmetry == s)));
    assert!(draw(&images, 1, 0, 9, 14, false).iter().all(|c| c.symmetry == 0));
}

/// The eight symmetries of a patch differ, and low and high resolution turn together.
#[test]
fn symmetries_are_the_same_in_both_resolutions() {
    let hr = Image::new(4, 4, 3, (0..48).map(|i| (i / 3 * 16) as u8).collect()).expect("an image");
    // Each 2x2 block of the high-resolution image has its smallest value at the place the symmetry says.
    let lr =
        Image::new(2, 2, 3, [0u8, 2, 8, 10].iter().flat_map(|v| [v * 16; 3]).collect()).expect("an image");
    let mut seen = Vec::new();
    for symmetry in 0..8 {
        let (mut small, mut large) = (Vec::new(), Vec::new());
        turn(lr.data(), 2, symmetry, &mut small);
        turn(hr.data(), 4, symmetry, &mut large);
        for y in 0..2 {
            for x in 0..2 {
                let block = [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(j, i)| large[(2 * y + j) * 4 + 2 * x + i]);
                let least = block.iter().copied().fold(f32::INFINITY, f32::min);
                assert_eq!(least, small[y * 2 + x], "symmetry {symmetry}");
            }
        }
        assert!(!seen.contains(&large), "symmetry {symmetry} repeats another");
        seen.push(large);
    }
}

#[test]
fn damaged_patches_lie_where_the_clean_ones_do() {
    let clean = Recipe { degrade: Some(Degrade::preset("clean").expect("a preset")), ..recipe(library(2)) };
    for step in 0..4 {
        let batch = clean.batch(step).expect("made");
        assert_eq!((batch.lr.len(), batch.hr.len()), (3 * 3 * 64, 3 * 3 * 256));
        // Every pixel of the input is near the mean of the four of the target above it.
        for (i, lr) in batch.lr.iter().enumerate() {
            let (plane, x, y) = (i / 64, i % 8, i / 8 % 8);
            let at = |dx: usize, dy: usize| batch.hr[plane * 256 + (2 * y + dy) * 16 + 2 * x + dx];
            let mean = 0.25 * (at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1));
            assert!((lr - mean).abs() < 0.12, "step {step}, {i}: {lr} for {mean}");
        }
    }
    let camera = Recipe { degrade: Some(Degrade::preset("camera").expect("a preset")), ..clean.clone() };
    let [a, b] = [&clean, &camera].map(|recipe| recipe.batch(3).expect("made"));
    assert_ne!(a.lr, b.lr);
    assert_eq!(camera.batch(3).expect("made"), b);
    // Values of bytes, as a camera gives them.
    assert!(b.lr.iter().all(|v| (v * 255.0 - (v * 255.0).round()).abs() < 1e-3));
}

#[test]
fn a_teacher_is_paired_by_name_and_cut_with_its_image() {
    let (hr, teacher) = (folder(), tempfile::tempdir().expect("a folder"));
    let source = Source::open(hr.path(), None, 2, Part::Train).expect("opened");
    let error = source.clone().with_teacher(teacher.path()).expect_err("empty").to_string();
    assert!(error.contains("no image"), "{error}");
    // The target itself as the teacher's word, cropped as it is.
    for name in ["a.png", "b.png"] {
        let image = pairs::decode(&hr.path().join(name)).expect("read").crop_to_multiple(2).expect("large");
        crate::files::write_png(&teacher.path().join(name), &image).expect("written");
    }
    let source = source.with_teacher(teacher.path()).expect("paired");
    let images = Library::load(&source, 8, usize::MAX, hr.path()).expect("loaded");
    let batch = recipe(Arc::new(images)).batch(1).expect("made");
    assert_eq!(batch.teacher, batch.hr);
    save(teacher.path(), "a.png", 7, 9);
    let error = Library::load(&source, 8, usize::MAX, hr.path()).expect_err("refused").to_string();
    assert!(error.contains("7x9 pixels where 40x32"), "{error}");
}

/// RESIDE and its like: several degraded images of one target.
#[test]
fn a_target_may_have_several_degraded_images() {
    let folder = tempfile::tempdir().expect("a folder");
    let (clear, hazy) = (folder.path().join("clear"), folder.path().join("hazy"));
    for path in [&clear, &hazy] {
        std::fs::create_dir(path).expect("made");
    }
    let save = |path: &Path, value: u8| {
        image::RgbImage::from_pixel(8, 6, image::Rgb([value; 3])).save(path).expect("written");
    };
    save(&clear.join("1401.png"), 10);
    save(&clear.join("1401_b.png"), 20);
    for (name, value) in [("1401_1.png", 11), ("1401_0.8_0.2.png", 12), ("1401_b_1.png", 21)] {
        save(&hazy.join(name), value);
    }
    let pairs = load(&clear, Some(&hazy), 1).expect("paired");
    let found: Vec<_> = pairs.iter().map(|p| (p.name.as_str(), p.hr.data()[0], p.lr.data()[0])).collect();
    assert_eq!(found, [("1401_0.8_0.2", 10, 12), ("1401_1", 10, 11), ("1401_b", 20, 21)]);
    save(&hazy.join("1500_1.png"), 1);
    let error = load(&clear, Some(&hazy), 1).expect_err("one too many").to_string();
    assert!(error.contains("1401"), "{error}");
}

/// The sets of dehazing and deraining as they unpack; RESIDE's clear indoor images have a border that the hazy ones lack.
#[test]
fn sets_of_restoration_are_named_as_a_whole_and_cropped_to_their_inputs() {
    let root = tempfile::tempdir().expect("a folder");
    let make = |folder: &str, name: &str, width, height| {
        let folder = root.path().join(folder);
        std::fs::create_dir_all(&folder).expect("made");
        save(&folder, name, width, height);
    };
    make("ITS/clear", "1.png", 60, 50);
    make("ITS/hazy", "1_1_0.90.png", 40, 30);
    make("ITS/hazy", "1_2_0.75.png", 40, 30);
    make("RESIDE-6K/train/GT", "a.png", 20, 20);
    make("RESIDE-6K/train/hazy", "a.png", 20, 20);
    make("RESIDE-6K/test/GT", "b.png", 20, 20);
    make("RESIDE-6K/test/hazy", "b.png", 20, 20);
    make("Rain200/train/norain", "norain-1.png", 20, 20);
    make("Rain200/train/rain/X2", "norain-1x2.png", 20, 20);
    let open = |folder: &str, part| Source::open(&root.path().join(folder), None, 1, part);
    let its = open("ITS", Part::Train).expect("opened");
    assert_eq!(its.len(), 2);
    let pair = its.read(1).expect("read");
    assert_eq!((pair.name.as_str(), pair.hr.width(), pair.hr.height()), ("1_2_0.75", 40, 30));
    // The middle of the clear image, which here is the same picture begun 10 pixels later.
    let whole = pairs::decode(&root.path().join("ITS/clear/1.png")).expect("read");
    assert_eq!(pair.hr, whole.crop(10, 10, 40, 30).expect("inside"));
    assert_eq!(open("RESIDE-6K", Part::Train).expect("opened").read(0).expect("read").name, "a");
    assert_eq!(open("RESIDE-6K", Part::Valid).expect("opened").read(0).expect("read").name, "b");
    make("ITS/hazy", "1_3.png", 41, 30);
    let error = open("ITS", Part::Train).expect("opened").read(2).expect_err("refused").to_string();
    assert!(error.contains("41x30 pixels where 60x50"), "{error}");
    let rain = open("Rain200", Part::Train).expect("opened");
    assert!(rain.low().expect("a folder").ends_with("train/rain/X2") && rain.len() == 1);
    // Where it is not clear what is meant, the folder is what it is.
    make("ITS/haze", "1.png", 60, 50);
    assert!(open("ITS", Part::Train).is_err());
}

/// Sets whose images lie in folders of scenes have the same file names in all of them.
#[test]
fn scenes_are_read_as_one_set() {
    let root = tempfile::tempdir().expect("a folder");
    let make = |folder: &str, name: &str| {
        let folder = root.path().join(folder);
        std::fs::create_dir_all(&folder).expect("made");
        save(&folder, name, 20, 16);
    };
    for (scene, name) in
        [("GOPR0385_11_01", "1.png"), ("GOPR0372_07_00", "1.png"), ("GOPR0372_07_00", "2.png")]
    {
        for kind in ["sharp", "blur", "blur_gamma"] {
            make(&format!("GOPRO_Large/train/{scene}/{kind}"), name);
        }
    }
    make("GOPRO_Large/test/GOPR0384_11_00/sharp", "7.png");
    make("GOPRO_Large/test/GOPR0384_11_00/blur", "7.png");
    for (scene, name) in [("000", "000.png"), ("001", "001.png")] {
        make(&format!("SPA/real_world_gt/{scene}"), name);
        make(&format!("SPA/real_world/{scene}"), &name.replace(".png", "_0.png"));
        make(&format!("SPA/real_world/{scene}"), &name.replace(".png", "_1.png"));
    }
    make("DDN/label", "901.png");
    make("DDN/rain_image", "901_1.png");
    make("DDN/rain_image", "901_2.png");
    let names = |folder: &str, part| {
        let source = Source::open(&root.path().join(folder), None, 1, part).expect(folder);
        (0..source.len()).map(|i| source.read(i).expect("read").name).collect::<Vec<_>>()
    };
    let gopro = ["GOPR0372_07_00-1", "GOPR0372_07_00-2", "GOPR0385_11_01-1"];
    assert_eq!(names("GOPRO_Large", Part::Train), gopro);
    assert_eq!(names("GOPRO_Large", Part::Valid), ["GOPR0384_11_00-7"]);
    assert_eq!(names("GOPRO_Large/train", Part::Train), gopro);
    assert_eq!(names("SPA", Part::Train), ["000-000_0", "000-000_1", "001-001_0", "001-001_1"]);
    assert_eq!(names("DDN", Part::Train), ["901_1", "901_2"]);
    // A scene that lacks a partner is named.
    make("GOPRO_Large/train/GOPR0385_11_01/sharp", "9.png");
    let error = Source::open(&root.path().join("GOPRO_Large"), None, 1, Part::Train).expect_err("refused");
    assert!(error.to_string().contains("GOPR0385_11_01"), "{error}");
}

#[test]
fn haze_is_made_anew_in_every_step_and_the_same_after_a_resume() {
    let images = || {
        Arc::new(
            Library::load(
                &Source::targets(folder().path(), 1, Part::Train).expect("opened"),
                8,
                usize::MAX,
                Path::new("."),
            )
            .expect("loaded"),
        )
    };
    let degrade = Some(Degrade { clean: 0.0, ..Degrade::preset("haze").expect("a preset") });
    let recipe = Recipe { upscale: 1, degrade, ..recipe(images()) };
    let batches: Vec<_> = recipe.clone().ahead(0..6).map(|b| b.expect("made")).collect();
    for batch in &batches {
        assert_eq!((batch.lr.len(), batch.hr.len()), (3 * 3 * 64, 3 * 3 * 64));
        // Haze brings every value nearer to the light of the air, which is grey and never dark.
        for (hazy, clear) in batch.lr.chunks_exact(3 * 64).zip(batch.hr.chunks_exact(3 * 64)) {
            let spread =
                |x: &[f32]| x.iter().fold(0.0f32, |m, v| m.max(*v)) - x.iter().fold(1.0f32, |m, v| m.min(*v));
            assert!(spread(hazy) < spread(clear) + 0.01 && hazy != clear);
        }
    }
    assert_ne!(batches[0].lr, batches[1].lr);
    let resumed: Vec<_> = recipe.ahead_in(3..6, 3).map(|b| b.expect("made")).collect();
    assert_eq!(resumed, batches[3..]);
}
