//! A picture on its way: rows in, rows of the larger picture out, in the same colour space.

use super::network::Network;
use crate::colour::{Space, from_rgb, grey, ycbcr_to_rgb};
use crate::error::{Error, Result};
use mcir_runtime::exec::Frame;
use std::collections::VecDeque;

/// Takes the rows of a picture one by one, and hands out those of the larger one as they are complete.
pub struct Lines<'a> {
    pub(super) name: &'a str,
    pub(super) space: Space,
    /// The network, on all colours or on brightness.
    pub(super) network: Network<'a>,
    /// Whether the network has only a form for RGB and sees brightness as that.
    pub(super) replicated: bool,
    /// Cb and Cr, if they go another way than brightness.
    pub(super) chroma: Option<[Frame<'a>; 2]>,
    pub(super) buffers: Buffers,
}

/// Rows that are converted, or wait for each other.
#[derive(Default)]
pub(super) struct Buffers {
    rgb: Vec<u8>,
    planes: [Vec<u8>; 3],
    row: Vec<u8>,
    /// Rows that are made, of Y, Cb and Cr; the three come at different times.
    made: [VecDeque<Vec<u8>>; 3],
    /// Rows to be filled again.
    spare: Vec<Vec<u8>>,
    rows_out: usize,
}

impl Lines<'_> {
    /// Takes the next row and gives `sink` the number and the pixels of every row that is complete. With the last row all
    /// that remain are given.
    ///
    /// # Shapes
    /// A row is `[width, channels of the space]`, one of the larger picture `[width · upscale, channels]`.
    ///
    /// # Errors
    /// [`Error::Run`] for rows of another length, or more than were announced.
    pub fn push(&mut self, row: &[u8], sink: &mut dyn FnMut(usize, &[u8])) -> Result<()> {
        let Self { name, space, network, replicated, chroma, buffers } = self;
        match chroma {
            None if *space == Space::Grey => {
                push_luma((name, network), *replicated, row, &mut buffers.rgb, sink)
            }
            None => network.push(name, row, sink),
            Some(chroma) => {
                let Buffers { rgb, planes, row: whole, made, spare, rows_out } = buffers;
                split(row, *space, planes);
                let mut keep = |made: &mut VecDeque<Vec<u8>>, row: &[u8]| {
                    let mut copy = spare.pop().unwrap_or_default();
                    copy.clear();
                    copy.extend_from_slice(row);
                    made.push_back(copy);
                };
                let failed = |source| Error::Run { name: (*name).into(), source };
                let [luma, cb, cr] = &*planes;
                let mut luma_row = |_: usize, row: &[u8]| keep(&mut made[0], row);
                push_luma((name, network), *replicated, luma, rgb, &mut luma_row)?;
                chroma[0].push(cb, &mut |_, row| keep(&mut made[1], row)).map_err(failed)?;
                chroma[1].push(cr, &mut |_, row| keep(&mut made[2], row)).map_err(failed)?;
                while let [Some(luma), Some(cb), Some(cr)] = made.each_ref().map(VecDeque::front) {
                    join([luma, cb, cr], *space, whole);
                    sink(*rows_out, whole);
                    *rows_out += 1;
                    spare.extend(made.iter_mut().filter_map(VecDeque::pop_front));
                }
                Ok(())
            }
        }
    }
}

/// A row of pixels as rows of Y, Cb and Cr.
fn split(row: &[u8], space: Space, planes: &mut [Vec<u8>; 3]) {
    let (pixels, rest) = row.as_chunks::<3>();
    debug_assert!(rest.is_empty(), "a row is whole pixels");
    planes.iter_mut().for_each(|plane| plane.resize(pixels.len(), 0));
    let [y, cb, cr] = planes;
    let samples = y.iter_mut().zip(cb).zip(cr);
    // Loops of their own, so that the one that only moves is a few vectors.
    if space == Space::Rgb {
        for (pixel, ((y, cb), cr)) in pixels.iter().zip(samples) {
            [*y, *cb, *cr] = from_rgb(*pixel);
        }
    } else {
        for (pixel, ((y, cb), cr)) in pixels.iter().zip(samples) {
            [*y, *cb, *cr] = *pixel;
        }
    }
}

/// The reverse.
fn join([y, cb, cr]: [&[u8]; 3], space: Space, row: &mut Vec<u8>) {
    row.resize(3 * y.len(), 0);
    let (pixels, _) = row.as_chunks_mut::<3>();
    let samples = y.iter().zip(cb).zip(cr);
    if space == Space::Rgb {
        for (pixel, ((&y, &cb), &cr)) in pixels.iter_mut().zip(samples) {
            *pixel = ycbcr_to_rgb([y, cb, cr]);
        }
    } else {
        for (pixel, ((&y, &cb), &cr)) in pixels.iter_mut().zip(samples) {
            *pixel = [y, cb, cr];
        }
    }
}

/// A row of brightness through the network.
fn push_luma(
    (name, network): (&str, &mut Network<'_>),
    replicated: bool,
    row: &[u8],
    rgb: &mut Vec<u8>,
    sink: &mut dyn FnMut(usize, &[u8]),
) -> Result<()> {
    if !replicated {
        return network.push(name, row, sink);
    }
    rgb.clear();
    rgb.extend(row.iter().flat_map(|&v| [v; 3]));
    let mut luma = Vec::new();
    network.push(name, rgb, &mut |y, row| {
        luma.clear();
        luma.extend(row.chunks_exact(3).map(grey));
        sink(y, &luma);
    })
}
