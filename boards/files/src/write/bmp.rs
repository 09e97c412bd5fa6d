//! BMP, whose rows lie in the file from the bottom to the top.

use super::{EncodeError, Header, Produce, pass_rows};
use std::io::{self, Seek, SeekFrom, Write};

/// File header and information header.
const HEADERS: usize = 14 + 40;
/// Bytes that are collected before they go to their place.
const TOGETHER: usize = 1 << 18;

pub(super) fn encode(
    out: &mut (impl Write + Seek),
    header: &Header<'_>,
    produce: &mut Produce<'_>,
) -> Result<(), EncodeError> {
    let colours: u32 = if header.channels == 1 { 256 } else { 0 };
    let stride = header.stride().next_multiple_of(4);
    let start = HEADERS as u64 + 4 * u64::from(colours);
    let bytes = stride as u64 * header.height as u64;
    let fits = |n: u64| u32::try_from(n).map_err(|_| EncodeError::Refused("it has more than 4 GiB".into()));
    let mut head = Vec::with_capacity(start as usize);
    head.extend(b"BM");
    head.extend(fits(start + bytes)?.to_le_bytes());
    head.extend([0; 4]);
    head.extend((start as u32).to_le_bytes());
    head.extend(40_u32.to_le_bytes());
    head.extend((header.width as u32).to_le_bytes());
    head.extend((header.height as u32).to_le_bytes());
    head.extend(1_u16.to_le_bytes());
    head.extend((8 * header.channels as u16).to_le_bytes());
    head.extend([0; 4]);
    head.extend(fits(bytes)?.to_le_bytes());
    let (x, y) = header.about.density.filter(|density| density.per_inch).map_or((0, 0), |d| d.per_metre());
    head.extend(x.to_le_bytes());
    head.extend(y.to_le_bytes());
    head.extend(colours.to_le_bytes());
    head.extend([0; 4]);
    head.extend((0..colours).flat_map(|v| [v as u8, v as u8, v as u8, 0]));
    out.write_all(&head)?;

    // Rows that are there, the newest first, and how many rows are below them in the file.
    let (mut block, mut rest) = (Vec::new(), header.height);
    let rows_together = (TOGETHER / stride).max(1);
    let mut place = |block: &mut Vec<Vec<u8>>, rest: usize| -> io::Result<()> {
        out.seek(SeekFrom::Start(start + stride as u64 * rest as u64))?;
        block.drain(..).rev().try_for_each(|row| out.write_all(&row))
    };
    pass_rows(produce, |row| {
        let mut stored = Vec::with_capacity(stride);
        match header.channels {
            1 => stored.extend_from_slice(row),
            _ => stored.extend(row.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]])),
        }
        stored.resize(stride, 0);
        block.push(stored);
        rest = rest.saturating_sub(1);
        if block.len() == rows_together || rest == 0 { place(&mut block, rest) } else { Ok(()) }
    })?;
    Ok(())
}
