use super::augment::{cut, draw};
use super::batches::Recipe;
use super::pairs::{check_patch, load};
use super::*;
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
    let recipe = Recipe { pairs: Arc::new(pairs), seed: 4, batch: 2, patch: 8, upscale: 1, augment: true };
    let batch = recipe.batch(0);
    assert_eq!(batch.lr, batch.hr, "both are cut and turned alike");
    save(&lr, "a.png", 20, 14);
    let error = load(&hr, Some(&lr), 1).expect_err("refused").to_string();
    assert!(error.contains("20x14 pixels where 21x14"), "{error}");
}

fn pairs(upscale: usize) -> Vec<pairs::Pair> {
    let root = tempfile::tempdir().expect("a folder");
    save(root.path(), "a.png", 40, 32);
    save(root.path(), "b.png", 33, 47);
    load(root.path(), None, upscale).expect("made")
}

#[test]
fn batches_depend_on_seed_and_step_only() {
    let recipe = Recipe { pairs: Arc::new(pairs(2)), seed: 4, batch: 3, patch: 8, upscale: 2, augment: true };
    let ahead: Vec<_> = recipe.clone().ahead(5..8).iter().collect();
    assert_eq!(ahead.iter().map(|b| b.step).collect::<Vec<_>>(), [5, 6, 7]);
    for batch in &ahead {
        assert_eq!(batch, &recipe.batch(batch.step));
        assert_eq!((batch.lr.len(), batch.hr.len()), (3 * 3 * 64, 3 * 3 * 256));
    }
    assert_ne!(ahead[0].lr, ahead[1].lr);
    assert_ne!(ahead[0].lr, Recipe { seed: 5, ..recipe }.batch(5).lr);
}

#[test]
fn crops_reach_every_corner_and_symmetry() {
    let pairs = pairs(2);
    let crops: Vec<_> = (0..400).flat_map(|step| draw(&pairs, 1, step, 4, 14, true)).collect();
    for (pair, p) in pairs.iter().enumerate() {
        let lr = &p.lr;
        let (x, y) = (lr.width() - 14, lr.height() - 14);
        for corner in [(0, 0), (x, 0), (0, y), (x, y)] {
            assert!(crops.iter().any(|c| c.pair == pair && c.corner == corner), "{corner:?} of {pair}");
        }
    }
    assert!((0..8).all(|s| crops.iter().any(|c| c.symmetry == s)));
    assert!(draw(&pairs, 1, 0, 9, 14, false).iter().all(|c| c.symmetry == 0));
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
        cut(&lr, (0, 0), 2, symmetry, &mut small);
        cut(&hr, (0, 0), 4, symmetry, &mut large);
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
