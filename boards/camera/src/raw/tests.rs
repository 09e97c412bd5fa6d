//! Frames of every layout against the picture they were made from, and against hostile bytes.

use super::colour::Studio;
use super::*;
use proptest::prelude::*;

const PLANAR: [Subsampling; 4] =
    [Subsampling::None, Subsampling::Half, Subsampling::Quarter, Subsampling::FourInARow];

fn packings() -> Vec<Packing> {
    let planar = PLANAR.iter().flat_map(|&subsampling| {
        [Siting::Centre, Siting::Left, Siting::TopLeft].map(|siting| Packing::Planar { subsampling, siting })
    });
    let mut all: Vec<_> = planar.collect();
    for flag in [false, true] {
        all.push(Packing::SemiPlanar { red_first: flag });
        all.push(Packing::Packed422 { luma_first: flag });
        all.push(Packing::Rgb { blue_first: flag });
    }
    all.push(Packing::Grey);
    all
}

fn layout(packing: Packing, width: usize, height: usize) -> Layout {
    Layout::new(packing, width, height, false, Matrix::Bt601).unwrap()
}

/// A frame of one colour.
fn plain(layout: &Layout, [y, cb, cr]: [u8; 3]) -> Vec<u8> {
    let mut data = vec![y; layout.bytes()];
    let (luma, chroma) = (layout.stride * layout.height, layout.chroma_stride() * layout.chroma_size().1);
    match layout.packing {
        Packing::Planar { .. } => {
            data[luma..luma + chroma].fill(cb);
            data[luma + chroma..].fill(cr);
        }
        Packing::SemiPlanar { red_first } => {
            for pair in data[luma..].chunks_mut(2) {
                pair.copy_from_slice(&(if red_first { [cr, cb] } else { [cb, cr] })[..pair.len()]);
            }
        }
        Packing::Packed422 { luma_first } => {
            for four in data.chunks_exact_mut(4) {
                four.copy_from_slice(&if luma_first { [y, cb, y, cr] } else { [cb, y, cr, y] });
            }
        }
        Packing::Rgb { .. } | Packing::Grey => {}
    }
    data
}

#[test]
fn one_colour_stays_one_colour_in_every_layout_and_size() {
    // Pure red of BT.601 in video range.
    let red = [81, 90, 240];
    for packing in packings() {
        for (width, height) in [(1, 1), (2, 2), (3, 5), (16, 9), (17, 4)] {
            let layout = layout(packing, width, height);
            let (image, space) = to_image(&layout, &plain(&layout, red), Space::Rgb).unwrap();
            let expected: &[u8] = match packing {
                Packing::Grey => &[76],
                Packing::Rgb { .. } => &[81, 81, 81],
                _ => &[254, 0, 0],
            };
            assert_eq!((image.width(), image.height()), (width, height));
            assert_eq!(image.channels(), space.channels());
            let wrong = image.data().chunks_exact(expected.len()).find(|p| *p != expected);
            assert_eq!(wrong, None, "{packing:?} {width}x{height}");
        }
    }
}

#[test]
fn black_white_and_primaries_of_both_matrices() {
    for (matrix, full_range, yuv, rgb) in [
        (Matrix::Bt601, false, [16, 128, 128], [0, 0, 0]),
        (Matrix::Bt601, false, [235, 128, 128], [255, 255, 255]),
        (Matrix::Bt601, true, [255, 128, 128], [255, 255, 255]),
        (Matrix::Bt601, false, [145, 54, 34], [0, 255, 1]),
        (Matrix::Bt709, false, [173, 42, 26], [0, 255, 1]),
        (Matrix::Bt709, false, [32, 240, 118], [1, 0, 255]),
        (Matrix::Bt601, false, [0, 128, 128], [0, 0, 0]),
    ] {
        let packing = Packing::Planar { subsampling: Subsampling::None, siting: Siting::Centre };
        let layout = Layout::new(packing, 1, 1, full_range, matrix).unwrap();
        let (image, _) = to_image(&layout, &yuv, Space::Rgb).unwrap();
        let off = image.data().iter().zip(rgb).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(off <= 1, "{matrix:?} {yuv:?}: {:?} instead of {rgb:?}", image.data());
    }
}

#[test]
fn colours_lie_where_their_siting_says() {
    // A step in Cb between the samples of columns 0–1 and 2–3.
    let row = |siting| {
        let mut out = [0; 6];
        widen(&[0, 80, 80], &mut out, siting);
        out
    };
    // Centred samples lie between two pixels: weights 1/4 and 3/4. Left ones lie on the even pixels.
    assert_eq!(row(Siting::Centre), [0, 20, 60, 80, 80, 80]);
    assert_eq!(row(Siting::Left), [0, 40, 80, 80, 80, 80]);

    let column = |siting| {
        let packing = Packing::Planar { subsampling: Subsampling::Quarter, siting };
        let layout = layout(packing, 1, 4);
        let data = [0, 0, 0, 0, 0, 80, 0, 0];
        let mut chroma = Chroma::new(&layout);
        [0, 1, 2, 3].map(|y| {
            chroma.row(&data, y);
            chroma.cb[0]
        })
    };
    assert_eq!(column(Siting::Left), [0, 20, 60, 80]);
    assert_eq!(column(Siting::TopLeft), [0, 40, 80, 80]);
}

#[test]
fn padded_rows_are_skipped() {
    for packing in packings() {
        let tight = layout(packing, 6, 4);
        let loose = Layout { stride: tight.stride + 8, ..tight };
        let pattern = |layout: &Layout| {
            // Rows of each plane with their own values, padding filled with something else.
            let mut data = vec![0xee; layout.bytes()];
            let mut at = 0;
            let (chroma_rows, luma_rows) = (layout.chroma_size().1, layout.height);
            let planes = match layout.packing {
                Packing::Planar { .. } => 2,
                Packing::SemiPlanar { .. } => 1,
                _ => 0,
            };
            let width = |n: usize| if n == 0 { tight.stride } else { tight.chroma_stride() };
            let stride = |n: usize| if n == 0 { layout.stride } else { layout.chroma_stride() };
            for plane in 0..=planes {
                for y in 0..if plane == 0 { luma_rows } else { chroma_rows } {
                    for x in 0..width(plane) {
                        data[at + x] = (17 * plane + 31 * y + 7 * x) as u8;
                    }
                    at += stride(plane);
                }
            }
            data
        };
        let of = |layout: &Layout| to_image(layout, &pattern(layout), Space::YCbCr).unwrap();
        assert_eq!(of(&tight), of(&loose), "{packing:?}");
    }
}

#[test]
fn rgb_goes_to_ycbcr_and_back() {
    let mut worst = 0;
    for r in (0..=255).step_by(15) {
        for g in (0..=255).step_by(15) {
            for b in (0..=255).step_by(15) {
                let back = ycbcr_to_rgb(from_rgb([r, g, b]));
                worst = [r, g, b].iter().zip(back).map(|(a, b)| a.abs_diff(b)).max().unwrap().max(worst);
            }
        }
    }
    assert!(worst <= 2, "{worst}");
    for matrix in [Matrix::Bt601, Matrix::Bt709] {
        let studio = Studio::new(matrix);
        let tables = colour::Tables::new(matrix, false);
        for rgb in [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 130, 77]] {
            let [y, cb, cr] = studio.of_rgb(rgb);
            let back = tables.rgb(y, cb, cr);
            let worst = rgb.iter().zip(back).map(|(a, b)| a.abs_diff(b)).max();
            assert!(worst <= Some(2), "{rgb:?} became {back:?}");
        }
    }
    assert_eq!((Studio::of_grey(0), Studio::of_grey(255)), (16, 235));
    for matrix in [Matrix::Bt601, Matrix::Bt709] {
        let (studio, tables) = (Studio::new(matrix), colour::Tables::new(matrix, false));
        for full in [[0, 128, 128], [255, 128, 128], [100, 90, 200], [180, 140, 100]] {
            let [y, cb, cr] = studio.of_full(full);
            let worst = full.iter().zip(tables.full(y, cb, cr)).map(|(a, b)| a.abs_diff(b)).max();
            assert!(worst <= Some(2), "{matrix:?} {full:?}");
        }
    }
}

#[test]
fn impossible_frames_are_errors() {
    let grey = |width, height| Layout::new(Packing::Grey, width, height, true, Matrix::Bt601);
    for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 1), (MAX_SIDE, MAX_SIDE), (usize::MAX, usize::MAX)]
    {
        assert_eq!(grey(width, height), Err(RawError::Size { width, height }));
    }
    let layout = grey(4, 4).unwrap();
    let error = to_image(&layout, &[0; 15], Space::Rgb).unwrap_err();
    assert_eq!(error, RawError::Length { expected: 16, found: 15 });
    let overlapping = Layout { stride: 3, ..layout };
    assert_eq!(overlapping.check(), Err(RawError::Stride { expected: 4, found: 3 }));
    assert!(Layout { stride: usize::MAX, ..layout }.check().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_of_any_layout_panic(
        which in 0usize..19,
        (width, height) in (1usize..40, 1usize..20),
        pad in 0usize..9,
        full_range: bool,
        missing in 0usize..3,
        seed: u8,
    ) {
        let packing = packings()[which];
        let tight = Layout::new(packing, width, height, full_range, Matrix::Bt709).unwrap();
        let layout = Layout { stride: tight.stride + pad, ..tight };
        let length = layout.bytes().saturating_sub(missing);
        let data: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed)).collect();
        for space in [Space::Rgb, Space::YCbCr] {
            prop_assert_eq!(to_image(&layout, &data, space).is_ok(), length == layout.bytes());
        }
    }
}
