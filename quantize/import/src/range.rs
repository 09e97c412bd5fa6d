//! Whether a network works on 0..1 or on 0..255, where neither its file nor its kind says so.
//!
//! One that wants 0..255 and gets 0..1 is all biases: every non-linearity stays where it is, and what is left interpolates. One
//! that wants 0..1 and gets 0..255 has none. So both are tried with a picture that was shrunk, and what is nearer to the picture
//! before is it; RLFN's published weights come to 38 dB with 0..255 and to 29 dB with 0..1, bicubic interpolation to 30.
//!
//! A network whose picture does not change between 0..255 and a range 255 times as large has biases that are made for 0..1, or
//! none, so that it is never taken for one of 0..255: random weights around the image's own enlargement look better without.

use crate::net::Net;
use crate::{ImportError, Options, import};
use mcir_runtime::image::{Image, resize_bicubic};
use mcir_runtime::metrics;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};

/// Sides of the picture that goes in.
const WIDTH: usize = 48;
const HEIGHT: usize = 40;
/// A picture is an enlarged one if it is at most so many dB worse than bicubic interpolation: networks that invent texture are
/// worse than it, and noise is far worse.
const WORSE: f64 = 10.0;
/// By how many dB the better range has to be better.
const AHEAD: f64 = 1.0;
/// Pictures as near as this, in dB, are the same.
const SAME: f64 = 40.0;
/// Pixels at the border that are not compared: networks differ in what they see there.
const BORDER: usize = 2;

/// How the range of a network is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Range {
    /// It was asked for.
    Given(f32),
    /// The file or the kind of the network says so.
    Known(f32),
    /// It was found out: how near the test picture came to what it was shrunk from, in dB, with this range and with the other.
    Found {
        /// The range.
        range: f32,
        /// With it.
        with: f64,
        /// With the other.
        without: f64,
    },
    /// Both give the same picture.
    Either,
    /// With neither, or with both, the test picture is an enlarged one: 0..1 is taken. How near it came with 0..1 and with
    /// 0..255, in dB.
    Unclear([f64; 2]),
}

impl Range {
    /// The largest pixel value that the network is given.
    pub fn largest(&self) -> f32 {
        match *self {
            Self::Given(range) | Self::Known(range) | Self::Found { range, .. } => range,
            Self::Either | Self::Unclear(_) => 1.0,
        }
    }
}

/// Makes a model of a network, and finds out its range unless the options, the file or its kind say it.
///
/// # Errors
/// As [`import`].
pub fn import_by_range(net: &Net, options: &Options) -> Result<(Model, Range), ImportError> {
    if let Some(range) = options.range {
        return Ok((import(net, options)?, Range::Given(range)));
    }
    if let Some(range) = net.range {
        return Ok((import(net, options)?, Range::Known(range)));
    }
    let with = |range: f32| import(net, &Options { range: Some(range), ..options.clone() });
    let [unit, bytes, larger] = [with(1.0)?, with(255.0)?, with(255.0 * 255.0)?];
    let range = compare([&unit, &bytes, &larger])
        .map_or(Range::Unclear([0.0; 2]), |(near, bicubic, same)| decide(near, bicubic, same));
    Ok((if range.largest() == 1.0 { unit } else { bytes }, range))
}

/// From how near the pictures with 0..1 and 0..255 are, how near a bicubic one is, and how near to each other those of 0..1 and
/// 0..255, and those of 0..255 and a larger range are.
fn decide([unit, bytes]: [f64; 2], bicubic: f64, [ends, beyond]: [f64; 2]) -> Range {
    let plausible = |db: f64| db >= bicubic - WORSE;
    if beyond >= SAME {
        return match (ends >= SAME, plausible(unit) && unit > bytes) {
            (true, _) => Range::Either,
            (false, true) => Range::Found { range: 1.0, with: unit, without: bytes },
            (false, false) => Range::Unclear([unit, bytes]),
        };
    }
    let (best, other) = (unit.max(bytes), unit.min(bytes));
    match plausible(best) && best - other >= AHEAD {
        true => Range::Found { range: if unit > bytes { 1.0 } else { 255.0 }, with: best, without: other },
        false => Range::Unclear([unit, bytes]),
    }
}

/// What [`decide`] asks for; nothing where a model cannot be run.
fn compare(models: [&Model; 3]) -> Option<([f64; 2], f64, [f64; 2])> {
    let [unit, ..] = models;
    let (r, channels) = (usize::from(unit.upscale()), unit.in_channels());
    let (width, height) = (WIDTH * r, HEIGHT * r);
    let hr = picture(width, height, channels);
    let lr = resize_bicubic(&hr, WIDTH, HEIGHT).ok()?;
    let run = |model: &Model| {
        let plan = Plan::new(model, WIDTH, &PlanOptions::default()).ok()?;
        let mut out = vec![0; width * height * model.out_channels()];
        plan.run_image(&mut plan.workspace(), lr.data(), HEIGHT, &mut out).ok()?;
        Image::new(width, height, model.out_channels(), out).ok()
    };
    let near = |a: &Image, b: &Image| metrics::psnr_rgb(a, b, BORDER * r).ok().map(|db| db.min(100.0));
    let [unit, bytes, larger] = models.map(run);
    let (unit, bytes, larger) = (unit?, bytes?, larger?);
    let bicubic = near(&resize_bicubic(&lr, width, height).ok()?, &hr)?;
    Some(([near(&unit, &hr)?, near(&bytes, &hr)?], bicubic, [near(&unit, &bytes)?, near(&bytes, &larger)?]))
}

/// Smooth slopes with edges across them, in colours.
fn picture(width: usize, height: usize, channels: usize) -> Image {
    let value = |y: usize, x: usize, c: usize| {
        let (fy, fx) = ((y as f64 + 0.5) / height as f64, (x as f64 + 0.5) / width as f64);
        let slope = [0.2 + 0.5 * fx, 0.7 - 0.4 * fy, 0.3 + 0.2 * (fx + fy)][c % 3];
        let inside = (fy - 0.5).powi(2) + (fx - 0.35).powi(2) < 0.06;
        let stripe = fx > 0.62 && (((fx + 0.4 * fy) * 20.0) as usize).is_multiple_of(2);
        let edges = [(inside, 0.25), (stripe, -0.3), (fy > 0.85, -0.15)];
        let value = slope + edges.iter().filter(|(there, _)| *there).map(|(_, by)| by).sum::<f64>();
        (value.clamp(0.0, 1.0) * 255.0) as u8
    };
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    let data = places.flat_map(|(y, x)| (0..channels).map(move |c| value(y, x, c))).collect();
    Image::new(width, height, channels, data).expect("one or three channels")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_winner_is_taken_and_no_other() {
        let found = |range, with, without| Range::Found { range, with, without };
        // RLFN's published weights; a network of 0..1; random weights around an image; a network without biases; noise; a draw.
        assert_eq!(decide([28.9, 38.1], 30.2, [32.0, 12.5]), found(255.0, 38.1, 28.9));
        assert_eq!(decide([33.0, 11.0], 30.2, [11.0, 20.0]), found(1.0, 33.0, 11.0));
        assert_eq!(decide([18.0, 28.0], 30.2, [19.0, 60.0]), Range::Unclear([18.0, 28.0]));
        assert_eq!(decide([33.0, 28.0], 30.2, [29.0, 60.0]), found(1.0, 33.0, 28.0));
        assert_eq!(decide([33.0, 33.0], 30.2, [70.0, 70.0]), Range::Either);
        assert_eq!(decide([9.0, 12.0], 30.2, [10.0, 20.0]), Range::Unclear([9.0, 12.0]));
        assert_eq!(decide([30.0, 30.5], 30.2, [35.0, 38.0]), Range::Unclear([30.0, 30.5]));
        assert_eq!(Range::Unclear([30.0, 30.5]).largest(), 1.0);
    }

    #[test]
    fn the_picture_has_edges_that_shrinking_loses() {
        for channels in [1, 3] {
            let hr = picture(96, 80, channels);
            let lr = resize_bicubic(&hr, 48, 40).expect("smaller");
            let again = resize_bicubic(&lr, 96, 80).expect("larger");
            let db = metrics::psnr_rgb(&again, &hr, 4).expect("sizes");
            assert!((20.0..35.0).contains(&db), "{db}");
        }
    }
}
