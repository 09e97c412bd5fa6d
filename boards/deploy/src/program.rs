//! Which processor a program file is for.

use super::DeployError;
use super::manifest::PROGRAM;
use std::io::Read;
use std::path::{Path, PathBuf};

/// `e_machine` of the ELF header and the names that `uname -m` has for it.
const MACHINES: [(u16, &str); 4] = [(183, "aarch64"), (62, "x86_64"), (40, "armv7l"), (243, "riscv64")];

/// Architecture of an ELF executable, as `uname -m` names it.
///
/// # Errors
/// [`DeployError::Program`] when it is none, [`DeployError::Io`].
pub fn architecture(path: &Path) -> Result<&'static str, DeployError> {
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(DeployError::io("read", path))?;
    file.take(64).read_to_end(&mut head).map_err(DeployError::io("read", path))?;
    machine(&head).map_err(|reason| DeployError::Program { path: path.into(), reason })
}

/// Whether a file is this program, as built for some machine: of any other, a board would only find out when it runs it.
///
/// # Errors
/// [`DeployError::Program`] where it is something else, [`DeployError::Io`].
pub fn is_ours(path: &Path) -> Result<(), DeployError> {
    let bytes = std::fs::read(path).map_err(DeployError::io("read", path))?;
    // What every version prints in its help.
    let ours = bytes.windows(PROGRAM.len()).any(|found| found == PROGRAM.as_bytes());
    let reason = || format!("it is another program than {PROGRAM}");
    ours.then_some(()).ok_or_else(|| DeployError::Program { path: path.into(), reason: reason() })
}

/// From the first bytes of a file.
fn machine(head: &[u8]) -> Result<&'static str, String> {
    if head.len() < 20 || &head[..4] != b"\x7fELF" {
        return Err("it is not an ELF file".into());
    }
    // Byte 5 says that the numbers are little endian, which all machines of the table are.
    let read = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
    // Executable, or position-independent executable.
    if head[5] != 1 || ![2, 3].contains(&read(16)) {
        return Err("it is not a little-endian executable".into());
    }
    let found = MACHINES.iter().find(|(number, _)| *number == read(18));
    found.map(|&(_, name)| name).ok_or_else(|| format!("its machine is number {}", read(18)))
}

/// This program's file.
///
/// # Errors
/// [`DeployError::Io`] when the system does not tell.
pub fn this() -> Result<PathBuf, DeployError> {
    std::env::current_exe().map_err(DeployError::io("read", Path::new("this program")))
}

/// Where a program for a board was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// The user named it.
    Given,
    /// It belongs to the same release as this program, and lies beside it.
    Release,
    /// It is this program itself.
    Own,
    /// Cargo has built it beside this program.
    Built,
}

impl Found {
    /// For a sentence: "the program is …".
    pub fn text(self) -> &'static str {
        match self {
            Self::Given => "the one that was named",
            Self::Release => "that of the release, beside this program",
            Self::Own => "this program itself",
            Self::Built => "the one that cargo has built beside this program",
        }
    }
}

/// The targets whose programs run on an architecture, the static one first.
pub fn triples(architecture: &str) -> [String; 2] {
    match architecture {
        "armv7l" => ["armv7-unknown-linux-musleabihf".into(), "armv7-unknown-linux-gnueabihf".into()],
        "riscv64" => ["riscv64gc-unknown-linux-musl".into(), "riscv64gc-unknown-linux-gnu".into()],
        "arm64" => triples("aarch64"),
        other => ["musl", "gnu"].map(|c| format!("{other}-unknown-linux-{c}")),
    }
}

/// The program for an architecture that can be found from that at `here`: of the release that lies beside it, as its files are
/// called there, before itself, before what cargo has built beside it.
pub fn find(here: &Path, architecture: &str) -> Option<(PathBuf, Found)> {
    let released = || {
        let folder = here.parent()?;
        let mut names = triples(architecture).into_iter().map(|triple| format!("{PROGRAM}-{triple}"));
        names.find_map(|name| Some(folder.join(name)).filter(|path| path.is_file() && path != here))
    };
    let own = || self::architecture(here).is_ok_and(|own| fits(own, architecture)).then(|| here.to_owned());
    let found = released().map(|path| (path, Found::Release));
    let found = found.or_else(|| own().map(|path| (path, Found::Own)));
    found.or_else(|| built_beside(here, architecture).map(|path| (path, Found::Built)))
}

/// The program for another architecture, where cargo has built one beside that at `here`.
fn built_beside(here: &Path, architecture: &str) -> Option<PathBuf> {
    let folders = here.ancestors().skip(2).take(2);
    let triples = triples(architecture);
    let mut found =
        folders.flat_map(|f| triples.iter().map(move |t| f.join(t).join("release").join(PROGRAM)));
    found.find(|path| path.is_file())
}

/// The architecture that an emulator stands for, by its name: `qemu-aarch64 -cpu cortex-a76`.
pub fn emulated(run_with: &str) -> Option<&'static str> {
    let name = Path::new(run_with.split_whitespace().next()?).file_name()?.to_str()?;
    match name.strip_prefix("qemu-")?.trim_end_matches("-static") {
        "aarch64" => Some("aarch64"),
        "arm" => Some("armv7l"),
        "x86_64" => Some("x86_64"),
        "riscv64" => Some("riscv64"),
        _ => None,
    }
}

/// Whether a program of one architecture runs on a machine of another.
pub fn fits(program: &str, machine: &str) -> bool {
    program == machine || (program == "aarch64" && machine == "arm64")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_of_a_release_comes_before_all_others() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, machine: u8| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\0\0";
            head[18] = machine;
            std::fs::write(&path, head).unwrap();
            path
        };
        let here = file("release/mcir-board", 62);
        assert_eq!(find(&here, "x86_64"), Some((here.clone(), Found::Own)));
        assert_eq!(find(&here, "aarch64"), None);
        let built = file("aarch64-unknown-linux-gnu/release/mcir-board", 183);
        assert_eq!(find(&here, "arm64"), Some((built, Found::Built)));
        let released = file("release/mcir-board-aarch64-unknown-linux-musl", 183);
        assert_eq!(find(&here, "aarch64"), Some((released.clone(), Found::Release)));
        // The program of the release itself.
        assert_eq!(find(&released, "aarch64"), Some((released.clone(), Found::Own)));
        let seven = file("release/mcir-board-armv7-unknown-linux-musleabihf", 40);
        assert_eq!(find(&released, "armv7l"), Some((seven, Found::Release)));
    }

    #[test]
    fn other_programs_are_told_from_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &[u8]| {
            let path = folder.path().join("program");
            std::fs::write(&path, text).unwrap();
            path
        };
        assert!(is_ours(&file(b"\x7fELF... usage: mcir-board <COMMAND>")).is_ok());
        for other in [&b"\x7fELF usage: ls [FILE]"[..], b"", b"mcir-boar"] {
            let error = is_ours(&file(other)).unwrap_err().to_string();
            assert!(error.contains("is another program than mcir-board"), "{error}");
        }
    }

    #[test]
    fn emulators_are_known_by_their_names() {
        assert_eq!(emulated("qemu-aarch64 -cpu cortex-a76"), Some("aarch64"));
        assert_eq!(emulated("/usr/bin/qemu-arm-static"), Some("armv7l"));
        assert_eq!((emulated(""), emulated("nice -n 5")), (None, None));
    }

    #[test]
    fn this_program_is_for_this_machine_and_a_text_for_none() {
        let here = std::env::current_exe().unwrap();
        assert_eq!(architecture(&here).unwrap(), std::env::consts::ARCH);
        for head in [&b""[..], b"#!/bin/sh\necho hello world", b"\x7fELF", &[0x7f; 64]] {
            assert!(machine(head).is_err());
        }
        let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\xb7\0";
        assert_eq!(machine(&head), Ok("aarch64"));
        head[18] = 8;
        assert_eq!(machine(&head).unwrap_err(), "its machine is number 8");
        head[16] = 1;
        assert!(machine(&head).is_err(), "an object file");
    }
}
