//! A recording: a file that ends at its last whole frame, whatever happens while it is written.
//!
//! Frames go to `NAME.part` beside the file, which becomes NAME when the recording ends: by itself, by a signal, by a disk
//! that is full, by an error anywhere else. A part that a killed program has left is a recording too, cut in its last frame
//! perhaps; whoever records to the same name next cuts it there and keeps it as `NAME-1`.

use super::y4m;
use mcir_files::{self as files, Error};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// End of the name of what is being written.
const PART: &str = ".part";
/// Longest name of a file, in bytes.
const MAX_NAME: usize = 255;
/// Longest header that is looked for in what was left behind.
const MAX_HEADER: u64 = 4096;

/// A y4m file in the making. What is written is kept from one [`Write::flush`] to the next, which ends a frame.
pub struct Recording {
    /// Frames come in one piece, so that nothing is gained by a buffer, which would have to be thrown away after an error.
    file: File,
    part: PathBuf,
    target: PathBuf,
    /// As the user wrote it, for messages.
    asked: PathBuf,
    written: u64,
    /// Bytes up to the end of the last whole frame.
    whole: u64,
    ended: bool,
}

/// What an earlier program has left, and where it is now.
pub struct Found {
    /// Its new name.
    pub path: PathBuf,
    /// Whole frames in it.
    pub frames: u64,
}

impl Recording {
    /// Begins a recording; what an earlier one to the same name has left gets a name of its own.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`] when the file cannot be created, or another program records to it.
    pub fn create(path: &Path) -> files::Result<(Self, Option<Found>)> {
        Self::begin(path).map_err(Error::io("write", path))
    }

    fn begin(asked: &Path) -> io::Result<(Self, Option<Found>)> {
        let target = files::behind_links(asked)?;
        if target.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let part = beside(&target, "", PART)?;
        let mut found = None;
        for _ in 0..2 {
            let file = File::options().read(true).write(true).create(true).truncate(false).open(&part)?;
            if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
                let why = "another program is recording to it";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, why));
            }
            if file.metadata()?.len() > 0 {
                found = keep(&file, &part, &target)?;
                continue;
            }
            if let Ok(replaced) = fs::metadata(&target) {
                files::hand_down(&replaced, &file)?;
            }
            let (asked, ended) = (asked.to_owned(), false);
            return Ok((Self { file, part, target, asked, written: 0, whole: 0, ended }, found));
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "another program is recording to it"))
    }

    /// One that goes on where this one ends, because the pictures have another size: under the next name that is free.
    ///
    /// # Errors
    /// As [`Recording::create`].
    pub fn next(&self) -> files::Result<Self> {
        let next = free(&self.target, 2).map_err(Error::io("write", &self.asked))?;
        Ok(Self::create(&next)?.0)
    }

    /// What it will be called.
    pub fn path(&self) -> &Path {
        &self.target
    }

    /// Ends it at its last whole frame and gives it its name. Without any frame there is no file, and one that was there
    /// stays what it was.
    ///
    /// # Errors
    /// [`mcir_files::Error::Io`].
    pub fn finish(mut self) -> files::Result<()> {
        self.end(true).map_err(Error::io("write", &self.asked))
    }

    fn end(&mut self, sync: bool) -> io::Result<()> {
        self.ended = true;
        if self.whole == 0 {
            return fs::remove_file(&self.part);
        }
        self.file.set_len(self.whole)?;
        if sync {
            self.file.sync_all()?;
        }
        fs::rename(&self.part, &self.target)
    }
}

impl Write for Recording {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    /// Ends a frame. The header, which is not flushed, belongs to the first.
    fn flush(&mut self) -> io::Result<()> {
        self.whole = self.written;
        Ok(())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if !self.ended {
            // An error somewhere else, or a panic. What is whole is kept; nobody is there to be told more.
            let _ = self.end(false);
        }
    }
}

/// Cuts what was left behind to its whole frames and gives it a name; without any it is emptied.
fn keep(file: &File, part: &Path, target: &Path) -> io::Result<Option<Found>> {
    let (frames, bytes) = whole_frames(file)?;
    if frames == 0 {
        file.set_len(0)?;
        return Ok(None);
    }
    file.set_len(bytes)?;
    let path = free(target, 1)?;
    fs::rename(part, &path)?;
    Ok(Some(Found { path, frames }))
}

/// Whole frames at the beginning of a file that [`y4m::Writer`] wrote, and the bytes up to the end of the last.
fn whole_frames(file: &File) -> io::Result<(u64, u64)> {
    const MARK: &[u8; 6] = b"FRAME\n";
    let mut file = BufReader::with_capacity(64, file);
    file.rewind()?;
    let mut header = Vec::new();
    io::BufRead::read_until(&mut file.by_ref().take(MAX_HEADER), b'\n', &mut header)?;
    let Some(frame) = y4m::written_frame_bytes(&header) else { return Ok((0, 0)) };
    let length = file.get_ref().metadata()?.len();
    let (mut frames, mut at) = (0, header.len() as u64);
    let mut mark = [0; MARK.len()];
    while let Some(end) = at.checked_add(MARK.len() as u64 + frame).filter(|&end| end <= length) {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut mark)?;
        // After a loss of power there may be zeros.
        if mark != *MARK {
            break;
        }
        (frames, at) = (frames + 1, end);
    }
    Ok((frames, at))
}

/// `NAME-1.y4m` and so on: the first from `number` on that is not there.
fn free(target: &Path, number: u32) -> io::Result<PathBuf> {
    let extension = target.extension().map(|e| format!(".{}", e.to_string_lossy())).unwrap_or_default();
    for number in number.. {
        let path = beside(&target.with_extension(""), &format!("-{number}"), &extension)?;
        if fs::symlink_metadata(&path).is_err() && fs::symlink_metadata(beside(&path, "", PART)?).is_err() {
            return Ok(path);
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// A path with more at the end of its name, which is shortened where it would become too long.
fn beside(path: &Path, more: &str, end: &str) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let room = MAX_NAME.saturating_sub(more.len() + end.len());
    let mut new = if name.len() <= room {
        name.to_owned()
    } else {
        let text = name.to_string_lossy();
        text[..text.floor_char_boundary(room.min(text.len()))].into()
    };
    new.push(more);
    new.push(end);
    Ok(path.with_file_name(new))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Matrix, Space};
    use crate::y4m::{Facts, Writer};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn begin(path: &Path) -> (Writer<Recording>, Option<Found>) {
        let (recording, found) = Recording::create(path).unwrap();
        (Writer::new(recording, (6, 4), Space::Grey, Matrix::Bt601, Facts::default()).unwrap(), found)
    }

    fn frames(writer: &mut Writer<Recording>, count: usize) {
        (0..4 * count).for_each(|n| writer.row(&[n as u8; 6]).unwrap());
    }

    fn count(path: &Path) -> usize {
        let bytes = fs::read(path).unwrap();
        let header = bytes.iter().position(|&b| b == b'\n').unwrap() + 1;
        assert_eq!((bytes.len() - header) % 30, 0, "{}", path.display());
        (bytes.len() - header) / 30
    }

    #[test]
    fn it_ends_at_its_last_whole_frame() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.y4m");
        let (mut writer, _) = begin(&path);
        frames(&mut writer, 3);
        assert_eq!(names(folder.path()), ["o.y4m.part"]);
        // Half a frame, also where it has reached the disk.
        let mut recording = writer.into_inner();
        recording.write_all(b"FRAME\nabc").unwrap();
        recording.finish().unwrap();
        assert_eq!((names(folder.path()), count(&path)), (vec!["o.y4m".to_owned()], 3));
        // Given up, by an error or a panic.
        let (mut writer, _) = begin(&path);
        frames(&mut writer, 2);
        drop(writer);
        assert_eq!((names(folder.path()), count(&path)), (vec!["o.y4m".to_owned()], 2));
        // Without a frame everything stays.
        let (writer, _) = begin(&path);
        drop(writer);
        assert_eq!((names(folder.path()), count(&path)), (vec!["o.y4m".to_owned()], 2));
    }

    #[test]
    fn what_a_killed_one_has_left_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.y4m");
        for (round, tail) in [&b""[..], b"F", b"FRAME\nabc", &[0; 100]].into_iter().enumerate() {
            let (mut writer, found) = begin(&path);
            assert!(found.is_none());
            frames(&mut writer, 2 + round);
            let mut recording = writer.into_inner();
            recording.write_all(tail).unwrap();
            // As if it had been killed.
            let left = fs::read(folder.path().join("o.y4m.part")).unwrap();
            drop(recording);
            fs::write(folder.path().join("o.y4m.part"), left).unwrap();
            let (mut writer, found) = begin(&path);
            let found = found.unwrap();
            assert_eq!(found.path, folder.path().join(format!("o-{}.y4m", round + 1)));
            assert_eq!((found.frames, count(&found.path)), (2 + round as u64, 2 + round));
            frames(&mut writer, 1);
            writer.into_inner().finish().unwrap();
            assert_eq!(count(&path), 1);
        }
        // What holds no frame is no recording.
        for left in [&b"YUV4MPEG2 W6 H4 F30:1 Ip A1:1 Cmono\nFRAME\nabc"[..], b"something else"] {
            fs::write(folder.path().join("o.y4m.part"), left).unwrap();
            let (writer, found) = begin(&path);
            assert!(found.is_none());
            drop(writer);
        }
    }

    #[test]
    fn two_at_once_and_long_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.y4m");
        let (_first, _) = begin(&path);
        let error = Recording::create(&path).err().unwrap();
        assert!(error.to_string().contains("another program is recording"), "{error}");
        for length in [245, 250, 255] {
            let path = folder.path().join(format!("{}.y4m", "n".repeat(length - 4)));
            let (mut writer, _) = begin(&path);
            frames(&mut writer, 1);
            writer.into_inner().finish().unwrap();
            assert_eq!(count(&path), 1);
        }
    }

    #[test]
    fn another_size_goes_on_under_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.y4m");
        fs::write(folder.path().join("o-2.y4m"), b"taken").unwrap();
        let (mut writer, _) = begin(&path);
        frames(&mut writer, 1);
        let first = writer.into_inner();
        let next = first.next().unwrap();
        assert_eq!(next.path(), folder.path().join("o-3.y4m"));
        first.finish().unwrap();
    }
}
