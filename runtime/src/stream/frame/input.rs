//! Rows of an image into the input's ring: as the network wants them, and extended on all sides.

use super::Frame;
use crate::cpu::codec::Codec;
use crate::model::PadMode;

impl Frame<'_> {
    pub(super) fn take_u8(&mut self, pixels: &[u8]) {
        let (codec, to) = self.image_row();
        match codec {
            // `x ^ 0x80` turns a pixel into i8, and once more into the instruction set's own form.
            Codec::I8 { xor, .. } => {
                for (to, from) in to.iter_mut().zip(pixels) {
                    *to = from ^ 0x80 ^ xor;
                }
            }
            Codec::F32 | Codec::I16 => {
                for (to, &from) in bytemuck::cast_slice_mut::<u8, f32>(to).iter_mut().zip(pixels) {
                    *to = f32::from(from) / 255.0;
                }
            }
        }
        self.extend_columns();
    }

    pub(super) fn take_f32(&mut self, pixels: &[f32]) {
        bytemuck::cast_slice_mut(self.image_row().1).copy_from_slice(pixels);
        self.extend_columns();
    }

    /// The image's part of the slot of the next input row.
    fn image_row(&mut self) -> (Codec, &mut [u8]) {
        let (width, px) = (self.plan.layout.width, self.workspace.rings[0].px_bytes);
        let start = self.margin() * px;
        let (codec, row) = self.input_row();
        (codec, &mut row[start..start + width * px])
    }

    /// Fills the columns left and right of the image.
    fn extend_columns(&mut self) {
        let (width, px) = (self.plan.layout.width, self.workspace.rings[0].px_bytes);
        let (margin, extended) = (self.margin(), width + 2 * self.margin());
        let mode = self.plan.model().graph().pad_mode;
        let (codec, row) = self.input_row();
        for x in (0..margin).chain(margin + width..row.len() / px) {
            let from = match mode {
                PadMode::Zero if x >= extended => {
                    row[x * px..(x + 1) * px].fill(codec.padding_byte());
                    continue;
                }
                PadMode::Reflect if x >= extended => reflect(x, extended),
                _ => x.clamp(margin, margin + width - 1),
            };
            row.copy_within(from * px..(from + 1) * px, x * px);
        }
    }

    /// Puts row `y`, below the `extended` rows of the image with its margin, into the slot of the next.
    pub(super) fn extend_row(&mut self, y: usize, extended: usize) {
        match self.plan.model().graph().pad_mode {
            PadMode::Reflect => self.repeat_row(reflect(y, extended)),
            PadMode::Edge => self.repeat_row(y - 1),
            PadMode::Zero => {
                let (codec, row) = self.input_row();
                row.fill(codec.padding_byte());
            }
        }
    }

    /// Copies an earlier row to the slot of the next.
    fn repeat_row(&mut self, from: usize) {
        let ring = &self.workspace.rings[0];
        let at = |y: usize| ring.offset + y % ring.rows * ring.row_bytes;
        let (from, to) = (at(from), at(self.workspace.done[0]));
        let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut self.workspace.arena);
        arena.copy_within(from..from + ring.row_bytes, to);
    }

    /// The slot of the next input row.
    fn input_row(&mut self) -> (Codec, &mut [u8]) {
        let ws = &mut *self.workspace;
        let node = &self.plan.packed.nodes()[0];
        let arena: &mut [u8] = bytemuck::cast_slice_mut(&mut ws.arena);
        let ring = &ws.rings[0];
        let start = ring.offset + ws.done[0] % ring.rows * ring.row_bytes + ring.pad * ring.px_bytes;
        (node.codec, &mut arena[start..start + ring.width * ring.px_bytes])
    }
}

/// The place inside `0..size` that mirrors `at`; the border itself is not repeated.
fn reflect(at: usize, size: usize) -> usize {
    if size == 1 {
        return 0;
    }
    let period = 2 * (size - 1);
    let at = at % period;
    at.min(period - at)
}
