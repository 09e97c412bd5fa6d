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

/// The program for another architecture, where cargo has built one beside that at `here`.
pub fn built_beside(here: &Path, architecture: &str) -> Option<PathBuf> {
    let folders = here.ancestors().skip(2).take(2);
    let triples = [format!("{architecture}-unknown-linux-musl"), format!("{architecture}-unknown-linux-gnu")];
    let mut found =
        folders.flat_map(|f| triples.iter().map(move |t| f.join(t).join("release").join(PROGRAM)));
    found.find(|path| path.is_file())
}

/// Whether a program of one architecture runs on a machine of another.
pub fn fits(program: &str, machine: &str) -> bool {
    program == machine || (program == "aarch64" && machine == "arm64")
}

#[cfg(test)]
mod tests {
    use super::*;

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
