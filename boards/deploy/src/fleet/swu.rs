//! The archive of SWUpdate: cpio in the "new ASCII with check sums" format, where the order of files matters.

use std::io::{self, Write};

/// Every part begins at a multiple of this.
const ALIGN: usize = 4;

/// Writes an archive of regular files.
///
/// # Errors
/// The writer's; `InvalidInput` for a file that the format's 32 bits cannot count.
pub fn write(out: &mut dyn Write, files: &[(&str, &[u8])]) -> io::Result<()> {
    for (inode, (name, bytes)) in (1..).zip(files) {
        entry(out, inode, 0o100_644, name, bytes)?;
    }
    entry(out, 0, 0, "TRAILER!!!", b"")
}

fn entry(out: &mut dyn Write, inode: u32, mode: u32, name: &str, bytes: &[u8]) -> io::Result<()> {
    let size = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let sum = bytes.iter().fold(0_u32, |sum, &b| sum.wrapping_add(u32::from(b)));
    // Inode, mode, owner, group, links, time, size, four device numbers, length of the name, sum of all bytes.
    let fields = [inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name.len() as u32 + 1, sum];
    let mut head = fields.iter().fold(String::from("070702"), |head, field| format!("{head}{field:08X}"));
    head.push_str(name);
    head.push('\0');
    out.write_all(head.as_bytes())?;
    pad(out, head.len())?;
    out.write_all(bytes)?;
    pad(out, bytes.len())
}

fn pad(out: &mut dyn Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; ALIGN][..written.next_multiple_of(ALIGN) - written])
}
