//! `mcir-board raw`: a model on a partition without a file system, in the two slots of `mcir-raw-slots`.

use super::DeployError;
use super::bundle::Bundle;
use super::manifest::MODEL;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};
use mcir_files::Pending;
use mcir_raw_slots::{Image, Slots};
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of an erase block of the emulated flash: no file system and no flash chip has larger pages that matter.
const ERASE_SIZE: usize = 1 << 16;

/// Put a model on a raw partition or image file, with a second slot to go back to
///
/// The layout is the one that firmware reads from SPI NOR flash with the crate mcir-raw-slots.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, clap::Subcommand)]
enum Verb {
    /// Write the model of a bundle into the slot that is not in use, and switch to it
    Flash {
        /// The bundle
        #[arg(value_name = "BUNDLE")]
        bundle: PathBuf,
        /// Refuse the bundle unless it is signed with this key: file, or the key itself
        #[arg(long, value_name = "KEY", env = "MCIR_VERIFY_KEY")]
        verify_key: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Say what is there
    Status {
        #[command(flatten)]
        at: At,
    },
    /// Go back to the other slot
    Rollback {
        #[command(flatten)]
        at: At,
    },
    /// Write the model that is in use to a file
    Read {
        /// File to write
        #[arg(short = 'o', long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, Clone, clap::Args)]
struct At {
    /// Partition or image file; its size is fixed
    #[arg(long, value_name = "PATH")]
    device: PathBuf,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// [`DeployError::Raw`], [`DeployError::Io`], or what is wrong with the bundle.
pub fn run(cmd: &Cmd) -> Result<()> {
    match &cmd.verb {
        Verb::Flash { bundle, verify_key, at } => {
            let bundle = Bundle::open(bundle)?;
            verify_key.as_deref().map_or(Ok(()), |key| bundle.verify(key))?;
            let mut bytes = Vec::new();
            bundle.part(MODEL).read_to_end(&mut bytes).map_err(DeployError::io("read", &bundle.path))?;
            let crc32 = crc32fast::hash(&bytes);
            let mut slots = at.open(true)?;
            let length = u32::try_from(bytes.len()).map_err(|_| at.wrong("the model is too long".into()))?;
            let image = slots.install(length, crc32, &mut |from, to| {
                to.copy_from_slice(&bytes[from as usize..from as usize + to.len()]);
            });
            let image = image.map_err(|e| at.wrong(e.to_string()))?;
            at.tell("flash", Some(image), None)
        }
        Verb::Status { at } => {
            let mut slots = at.open(false)?;
            let image = slots.boot().map_err(|e| at.wrong(e.to_string()))?;
            let previous = slots.previous().map_err(|e| at.wrong(e.to_string()))?;
            at.tell("status", image, previous)
        }
        Verb::Rollback { at } => {
            let image = at.open(true)?.rollback().map_err(|e| at.wrong(e.to_string()))?;
            at.tell("rollback", Some(image), None)
        }
        Verb::Read { output, at } => {
            let mut slots = at.open(false)?;
            let image = slots.boot().map_err(|e| at.wrong(e.to_string()))?;
            let image = image.ok_or_else(|| at.wrong("nothing has been flashed there yet".into()))?;
            let mut bytes = vec![0; image.length as usize];
            slots.read(&image, 0, &mut bytes).map_err(|e| at.wrong(e.to_string()))?;
            let mut file = Pending::create(output)?;
            file.write_all(&bytes).map_err(DeployError::io("write", output))?;
            Ok(file.finish()?)
        }
    }
}

impl At {
    fn open(&self, write: bool) -> Result<Slots<Device>, DeployError> {
        let device = Device::open(&self.device, write).map_err(DeployError::io("open", &self.device))?;
        let size = device.size / ERASE_SIZE as u64 * ERASE_SIZE as u64;
        // Offsets are 32 bits; models are far smaller than that.
        let size = u32::try_from(size).unwrap_or(u32::MAX / ERASE_SIZE as u32 * ERASE_SIZE as u32);
        Slots::new(device, 0, size).map_err(|e| self.wrong(e.to_string()))
    }

    fn wrong(&self, reason: String) -> DeployError {
        DeployError::Raw { path: self.device.clone(), reason }
    }

    fn tell(&self, command: &str, image: Option<Image>, previous: Option<Image>) -> Result<()> {
        let object = |i: Image| {
            serde_json::json!({
                "slot": i.slot, "offset": i.offset, "length": i.length, "crc32": format!("{:08x}", i.crc32),
                "sequence": i.sequence,
            })
        };
        if self.print.json {
            let all = serde_json::json!({
                "schema": 1, "command": format!("raw {command}"), "device": self.device,
                "current": image.map(object), "previous": previous.map(object),
            });
            return self.print.result(all);
        }
        let line = |i: Image| {
            format!(
                "slot {}, {} bytes at {}, CRC {:08x}, change {}",
                i.slot, i.length, i.offset, i.crc32, i.sequence
            )
        };
        let mut text = format!("current   {}", image.map_or_else(|| "none".into(), line));
        if let Some(previous) = previous {
            text += &format!("\nprevious  {}", line(previous));
        }
        self.print.result(text)
    }
}

/// A partition or file as NOR flash. What was written is on the disk before anything is read again, so that the
/// record of a slot is never written before the slot.
#[derive(Debug)]
struct Device {
    file: File,
    size: u64,
    unsynced: bool,
}

/// An error of the system.
#[derive(Debug)]
#[allow(dead_code, reason = "shown through Debug by the crate that passes it on")]
struct System(std::io::Error);

impl NorFlashError for System {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl Device {
    fn open(path: &Path, write: bool) -> std::io::Result<Self> {
        let mut file = OpenOptions::new().read(true).write(write).open(path)?;
        // Partitions have no length in their metadata.
        let size = file.seek(SeekFrom::End(0))?;
        Ok(Self { file, size, unsynced: false })
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), System> {
        self.unsynced = true;
        self.file.write_all_at(bytes, at).map_err(System)
    }

    fn sync(&mut self) -> Result<(), System> {
        if self.unsynced {
            self.file.sync_all().map_err(System)?;
            self.unsynced = false;
        }
        Ok(())
    }
}

impl ErrorType for Device {
    type Error = System;
}

impl ReadNorFlash for Device {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), System> {
        self.sync()?;
        self.file.read_exact_at(bytes, u64::from(offset)).map_err(System)
    }

    fn capacity(&self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }
}

impl NorFlash for Device {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), System> {
        for block in (from..to).step_by(ERASE_SIZE) {
            self.write_at(u64::from(block), &[0xff; ERASE_SIZE])?;
        }
        self.sync()
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), System> {
        self.write_at(u64::from(offset), bytes)
    }
}
