//! A network at work on one picture: row by row on the processor, all at once on a GPU.

use super::engine::Engine;
use crate::error::{Error, Result};
use mcir_runtime::error::RunError;
use mcir_runtime::exec::{Frame, RowSink};
use mcir_runtime::plan::PlanOptions;

/// A picture that is given row by row.
pub(super) enum Network<'a> {
    /// On the processor.
    Cpu(Frame<'a>),
    /// On a GPU.
    Gpu(Whole<'a>),
}

impl Network<'_> {
    /// Takes rows, and gives `sink` those of the larger picture that are complete.
    pub fn push(&mut self, name: &str, rows: &[u8], sink: &mut RowSink<'_>) -> Result<()> {
        match self {
            Self::Cpu(frame) => {
                frame.push(rows, sink).map_err(|source| Error::Run { name: name.into(), source })
            }
            Self::Gpu(whole) => whole.push(name, rows, sink),
        }
    }
}

/// A picture that waits until it is whole.
pub(super) struct Whole<'a> {
    pub engine: &'a mut Engine<1>,
    pub options: &'a PlanOptions,
    pub size: [usize; 2],
    pub rows: Vec<u8>,
}

impl Whole<'_> {
    fn push(&mut self, name: &str, rows: &[u8], sink: &mut RowSink<'_>) -> Result<()> {
        let refused = |source| Error::Run { name: name.into(), source };
        let [width, height] = self.size;
        let row = width * self.engine.model().in_channels();
        let (expected, found) = (rows.len().next_multiple_of(row), rows.len());
        if expected != found {
            return Err(refused(RunError::Length { what: "input rows", expected, found }));
        }
        let arrived = (self.rows.len() + found) / row;
        if arrived > height {
            return Err(refused(RunError::Rows { expected: height, found: arrived }));
        }
        self.rows.extend_from_slice(rows);
        if found == 0 || arrived < height {
            return Ok(());
        }
        let upscale = usize::from(self.engine.model().upscale());
        let row_out = width * upscale * self.engine.model().out_channels();
        if let Some(picture) = self.engine.run_on_gpu(&self.rows) {
            picture.chunks_exact(row_out).enumerate().for_each(|(y, row)| sink(y, row));
            return Ok(());
        }
        // Nothing was handed out yet.
        let [mut frame] = self.engine.frames(name, self.options, width, height)?;
        frame.push(&self.rows, sink).map_err(refused)
    }
}
