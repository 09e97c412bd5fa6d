#![cfg_attr(not(test), no_std)]
//! A model on a partition or a NOR flash chip without a file system: two slots, and two records of which one says
//! what runs.
//!
//! ```text
//! | record 0 | record 1 | slot 0 ........ | slot 1 ........ |     records: one erase block each
//! ```
//!
//! A record holds a sequence number, its slot, the length and CRC-32 of what is in the slot, and a CRC-32 over
//! itself. [`Slots::boot`] takes the record with the highest number whose own CRC and whose slot's CRC are good.
//! [`Slots::install`] writes the slot that does not run, reads it back, and only then writes the record that does
//! not count; so power may go at any write or erase, and half of it done, and what ran before still runs.
//!
//! No allocation and no `std`: a boot loader or firmware can use it over any [`NorFlash`]. What is in a slot does
//! not matter here; `mcir-board raw` puts a model file there, which the engine reads in place.

#[cfg(test)]
mod tests;

use core::fmt;
use crc32fast::Hasher;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// Bytes of a record that mean something.
const RECORD_BYTES: usize = 32;
/// Bytes that are read and written at once; a multiple of the flash's own sizes.
const CHUNK: usize = 256;
const MAGIC: [u8; 4] = *b"mcRS";
const VERSION: u32 = 1;

/// What can go wrong, with the flash's own error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error<E> {
    /// The flash's.
    Flash(E),
    /// The part of the flash is not aligned to erase blocks, or too small for two records and two slots.
    Layout {
        /// Bytes given.
        size: u32,
        /// Bytes of an erase block.
        erase_size: u32,
    },
    /// The flash reads or writes in units that this crate does not take.
    Unit {
        /// Bytes of a unit.
        found: usize,
        /// Most that is taken; it must be a divisor of this.
        limit: usize,
    },
    /// More bytes than a slot has.
    TooLong {
        /// Bytes given.
        length: u32,
        /// Bytes of a slot.
        limit: u32,
    },
    /// What was written does not read back as it should.
    Verify {
        /// CRC-32 expected.
        expected: u32,
        /// CRC-32 found.
        found: u32,
    },
    /// There is no good slot to go back to.
    NoPrevious,
}

impl<E: fmt::Debug> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(e) => write!(f, "the flash failed: {e:?}"),
            Self::Layout { size, erase_size } => write!(
                f,
                "{size} bytes are no place for two slots: at least 4 blocks of {erase_size} bytes are needed, from \
                 the start of a block"
            ),
            Self::Unit { found, limit } => {
                write!(f, "the flash works in units of {found} bytes; the limit is {limit}")
            }
            Self::TooLong { length, limit } => write!(f, "{length} bytes do not fit into a slot of {limit}"),
            Self::Verify { expected, found } => {
                write!(f, "what was written reads back with the CRC {found:08x} and not {expected:08x}")
            }
            Self::NoPrevious => f.write_str("there is no good slot to go back to"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for Error<E> {}

/// What runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// 0 or 1.
    pub slot: u8,
    /// Where its bytes begin on the flash.
    pub offset: u32,
    /// How many there are.
    pub length: u32,
    /// Their CRC-32.
    pub crc32: u32,
    /// Number of the record: grows by one with each change.
    pub sequence: u32,
}

/// Two slots on a part of a flash.
#[derive(Debug)]
pub struct Slots<F> {
    flash: F,
    offset: u32,
    slot_size: u32,
}

/// A record as it lies on the flash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    sequence: u32,
    slot: u8,
    length: u32,
    crc32: u32,
}

impl Record {
    fn to_bytes(self) -> [u8; RECORD_BYTES] {
        let mut bytes = [0; RECORD_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        let words = [VERSION, self.sequence, u32::from(self.slot), self.length, self.crc32, 0];
        for (to, word) in bytes[4..28].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` for anything that [`Record::to_bytes`] does not make for a slot of `slot_size` bytes.
    fn from_bytes(bytes: &[u8], slot_size: u32) -> Option<Self> {
        let bytes = bytes.get(..RECORD_BYTES)?;
        let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
        let good = bytes[..4] == MAGIC && word(4) == VERSION && word(28) == crc32fast::hash(&bytes[..28]);
        let slot = u8::try_from(word(12)).ok().filter(|&slot| slot < 2)?;
        let record = Self { sequence: word(8), slot, length: word(16), crc32: word(20) };
        (good && record.length <= slot_size).then_some(record)
    }
}

impl<F: NorFlash> Slots<F> {
    /// Bytes of an erase block.
    const ERASE: u32 = F::ERASE_SIZE as u32;

    /// Takes `size` bytes of a flash from `offset` on. Nothing is read or written yet.
    ///
    /// # Errors
    /// [`Error::Layout`], [`Error::Unit`].
    pub fn new(flash: F, offset: u32, size: u32) -> Result<Self, Error<F::Error>> {
        for found in [F::WRITE_SIZE, <F as ReadNorFlash>::READ_SIZE] {
            if found == 0 || !CHUNK.is_multiple_of(found) {
                return Err(Error::Unit { found, limit: CHUNK });
            }
        }
        let layout = Error::Layout { size, erase_size: Self::ERASE };
        let fits = offset.checked_add(size).is_some_and(|end| end as usize <= flash.capacity());
        let blocks = size.checked_div(Self::ERASE).unwrap_or(0);
        let aligned = Self::ERASE as usize >= CHUNK && Self::ERASE.is_multiple_of(CHUNK as u32);
        if !fits || !aligned || !offset.is_multiple_of(Self::ERASE) || blocks < 4 {
            return Err(layout);
        }
        Ok(Self { flash, offset, slot_size: (blocks - 2) / 2 * Self::ERASE })
    }

    /// Most bytes that a slot takes.
    pub fn slot_size(&self) -> u32 {
        self.slot_size
    }

    /// Gives the flash back.
    pub fn into_flash(self) -> F {
        self.flash
    }

    /// What runs: the newest record that is good, of a slot that is good. `None` on a flash that was never written.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub fn boot(&mut self) -> Result<Option<Image>, Error<F::Error>> {
        Ok(self.good()?[0].map(|(_, image)| image))
    }

    /// What [`Slots::rollback`] goes back to.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub fn previous(&mut self) -> Result<Option<Image>, Error<F::Error>> {
        Ok(self.good()?[1].map(|(_, image)| image))
    }

    /// Reads bytes of an image, from `at` on; fewer than asked for at its end.
    ///
    /// # Errors
    /// [`Error::Flash`].
    pub fn read(&mut self, image: &Image, at: u32, bytes: &mut [u8]) -> Result<usize, Error<F::Error>> {
        let mut done = 0;
        let length = (image.length.saturating_sub(at) as usize).min(bytes.len());
        while done < length {
            let position = at + done as u32;
            let start = position / CHUNK as u32 * CHUNK as u32;
            let chunk = self.chunk(image.offset + start)?;
            let skip = (position - start) as usize;
            let n = (CHUNK - skip).min(length - done);
            bytes[done..done + n].copy_from_slice(&chunk[skip..skip + n]);
            done += n;
        }
        Ok(length)
    }

    /// Writes `length` bytes with this CRC-32 into the slot that does not run, and makes it the one that runs.
    /// `fill` is asked for the bytes, in order: where they begin, and where to put them.
    ///
    /// # Errors
    /// [`Error::TooLong`]; [`Error::Verify`] when `fill` gave other bytes or the flash is worn out, and
    /// [`Error::Flash`]: then what ran before still runs.
    pub fn install(
        &mut self,
        length: u32,
        crc32: u32,
        fill: &mut dyn FnMut(u32, &mut [u8]),
    ) -> Result<Image, Error<F::Error>> {
        if length > self.slot_size {
            return Err(Error::TooLong { length, limit: self.slot_size });
        }
        let runs = self.good()?[0];
        let slot = runs.map_or(0, |(_, image)| 1 - image.slot);
        let start = self.slot_offset(slot);
        let end = start + length.next_multiple_of(Self::ERASE).max(Self::ERASE);
        self.flash.erase(start, end).map_err(Error::Flash)?;
        for at in (0..length).step_by(CHUNK) {
            let n = (length - at).min(CHUNK as u32) as usize;
            // What is left of the last chunk stays as erased flash is.
            let mut chunk = [0xff; CHUNK];
            fill(at, &mut chunk[..n]);
            let whole = n.next_multiple_of(F::WRITE_SIZE);
            self.flash.write(start + at, &chunk[..whole]).map_err(Error::Flash)?;
        }
        let found = self.crc32(start, length)?;
        if found != crc32 {
            return Err(Error::Verify { expected: crc32, found });
        }
        self.commit(runs.map(|(index, _)| index), slot, length, crc32)
    }

    /// Makes the other slot the one that runs again. A second call undoes the first.
    ///
    /// # Errors
    /// [`Error::NoPrevious`], [`Error::Verify`], [`Error::Flash`].
    pub fn rollback(&mut self) -> Result<Image, Error<F::Error>> {
        let [Some((index, _)), Some((_, previous))] = self.good()? else { return Err(Error::NoPrevious) };
        self.commit(Some(index), previous.slot, previous.length, previous.crc32)
    }

    /// Writes a record over the one that does not count.
    fn commit(
        &mut self,
        keep: Option<u32>,
        slot: u8,
        length: u32,
        crc32: u32,
    ) -> Result<Image, Error<F::Error>> {
        let mut sequence = 0;
        for index in 0..2 {
            // Also higher than that of a record whose slot is damaged.
            if let Some(record) = self.record(index)? {
                sequence = record.sequence.max(sequence);
            }
        }
        let record = Record { sequence: sequence.saturating_add(1), slot, length, crc32 };
        let at = self.record_offset(keep.map_or(0, |index| 1 - index));
        self.flash.erase(at, at + Self::ERASE).map_err(Error::Flash)?;
        let mut chunk = [0xff; CHUNK];
        chunk[..RECORD_BYTES].copy_from_slice(&record.to_bytes());
        let whole = RECORD_BYTES.next_multiple_of(F::WRITE_SIZE);
        self.flash.write(at, &chunk[..whole]).map_err(Error::Flash)?;
        let found = self.chunk(at)?;
        if Record::from_bytes(&found, self.slot_size) != Some(record) {
            let (expected, found) =
                (crc32fast::hash(&record.to_bytes()), crc32fast::hash(&found[..RECORD_BYTES]));
            return Err(Error::Verify { expected, found });
        }
        Ok(self.image(record))
    }

    /// Records that are good and whose slots are, the newest first, each with its place.
    #[allow(clippy::type_complexity, reason = "two optional pairs; a name would hide them")]
    fn good(&mut self) -> Result<[Option<(u32, Image)>; 2], Error<F::Error>> {
        let mut found = [None; 2];
        for index in 0..2 {
            if let Some(record) = self.record(index)? {
                let image = self.image(record);
                if self.crc32(image.offset, image.length)? == image.crc32 {
                    found[index as usize] = Some((index, image));
                }
            }
        }
        let sequence = |entry: Option<(u32, Image)>| entry.map(|(_, image)| image.sequence);
        if sequence(found[1]) > sequence(found[0]) {
            found.swap(0, 1);
        }
        // Two records of one slot, after a rollback to it and a loss of power, are one image.
        if let [Some((_, a)), Some((_, b))] = found
            && a.slot == b.slot
        {
            found[1] = None;
        }
        Ok(found)
    }

    fn record(&mut self, index: u32) -> Result<Option<Record>, Error<F::Error>> {
        let chunk = self.chunk(self.record_offset(index))?;
        Ok(Record::from_bytes(&chunk, self.slot_size))
    }

    fn image(&self, record: Record) -> Image {
        let Record { sequence, slot, length, crc32 } = record;
        Image { slot, offset: self.slot_offset(slot), length, crc32, sequence }
    }

    fn record_offset(&self, index: u32) -> u32 {
        self.offset + index * Self::ERASE
    }

    fn slot_offset(&self, slot: u8) -> u32 {
        self.offset + 2 * Self::ERASE + u32::from(slot) * self.slot_size
    }

    fn chunk(&mut self, at: u32) -> Result<[u8; CHUNK], Error<F::Error>> {
        let mut chunk = [0; CHUNK];
        self.flash.read(at, &mut chunk).map_err(Error::Flash)?;
        Ok(chunk)
    }

    fn crc32(&mut self, offset: u32, length: u32) -> Result<u32, Error<F::Error>> {
        let mut hasher = Hasher::new();
        for at in (0..length).step_by(CHUNK) {
            let chunk = self.chunk(offset + at)?;
            hasher.update(&chunk[..(length - at).min(CHUNK as u32) as usize]);
        }
        Ok(hasher.finalize())
    }
}
