//! Running a program where the system gives it less than it wants: a full disk, one that cannot be written to, little
//! memory.
//!
//! Test programs of several crates include this file, beside `skip.rs`. It needs Linux and util-linux' `unshare`, which mounts file
//! systems that only the program sees, without rights of an administrator where the system permits that.

use super::skip::skip;
use std::path::Path;
use std::process::{Command, Output};

/// What the program gets less of.
#[derive(Debug, Clone, Copy)]
pub enum Limit<'a> {
    /// The folder is on a disk with room for this many more KiB. What is in it goes there before, and comes back
    /// afterwards.
    Disk(&'a Path, u32),
    /// The folder cannot be written to, not even by an administrator.
    ReadOnly(&'a Path),
    /// Files cannot become larger than this many KiB.
    FileSize(u32),
    /// KiB of address space.
    Memory(u32),
}

/// The folder is `$1`, the room `$2`, the rest the program.
const DISK: &str = r#"
folder=$1 room=$2; shift 2
mkdir "$folder.aside" && mount --bind "$folder" "$folder.aside" && mount -t tmpfs none "$folder" || exit 99
cp -a "$folder.aside/." "$folder" || exit 99
used=$(df -k --output=used "$folder" | tail -n 1)
mount -o "remount,size=$((used + room))k" "$folder" || exit 99
"$@"
code=$?
find "$folder.aside" -mindepth 1 -delete
cp -a "$folder/." "$folder.aside" || exit 99
umount -l "$folder.aside"
rmdir "$folder.aside"
exit $code
"#;

const READ_ONLY: &str = r#"
folder=$1; shift 2
mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder" || exit 99
exec "$@"
"#;

/// `prlimit` knows the units; the signal would end the program before it sees the error.
const FILE_SIZE: &str = r#"room=$2; shift 2; trap '' XFSZ; exec prlimit --fsize=$((room * 1024)) -- "$@""#;
const MEMORY: &str = r#"room=$2; shift 2; exec prlimit --as=$((room * 1024)) --core=0 -- "$@""#;

/// Whether this system lets tests mount file systems; says so if not.
pub fn can_mount() -> bool {
    let tried = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/tmp"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        skip("this system does not let tests mount file systems");
    }
    can
}

/// Runs a program with arguments under a limit.
pub fn run(limit: Limit<'_>, program: &Path, args: &[&str]) -> Output {
    let (script, folder, number) = match limit {
        Limit::Disk(folder, room) => (DISK, Some(folder), room),
        Limit::ReadOnly(folder) => (READ_ONLY, Some(folder), 0),
        Limit::FileSize(room) => (FILE_SIZE, None, room),
        Limit::Memory(room) => (MEMORY, None, room),
    };
    let mut command = match folder {
        Some(_) => {
            let mut command = Command::new("unshare");
            command.args(["-rm", "sh"]);
            command
        }
        None => Command::new("sh"),
    };
    // Where an allocation has failed, printing where it was takes memory, too, and the standard library then waits for itself.
    command.env_remove("RUST_BACKTRACE");
    command.args(["-c", script, "sh"]).arg(folder.unwrap_or(Path::new("")).as_os_str());
    let output = command.arg(number.to_string()).arg(program).args(args).output().unwrap();
    assert_ne!(output.status.code(), Some(99), "{limit:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}
