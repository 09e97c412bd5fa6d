//! The script for a board's shell.

use super::protocol::VERSION;
use mcir_deploy::target::shell::HELLO;

/// Makes a folder beside the slots, says what is there, runs the program that the workstation chooses, and removes the
/// folder whatever happens. Folders of earlier runs that were cut off are removed, too.
///
/// Says `mcir-shell-1 ARCHITECTURE none|native|emulated`: whether the flashed program knows how to measure, and whether it
/// needs the emulator. Then reads a line, `flashed` or `upload BYTES` with `emulated` after it or not, and the program.
pub fn run(root: &str, run_with: &str) -> String {
    let emulator = if run_with.trim().is_empty() { "false" } else { "true" };
    let probe = "measure --protocol 2>/dev/null </dev/null";
    format!(
        "umask 022; r={root}; m=; [ -d \"$r\" ] || m=1; mkdir -p \"$r\" || exit 73; \
         for o in \"$r\"/compare.*; do [ -d \"$o\" ] && ! kill -0 \"${{o##*.}}\" 2>/dev/null && rm -rf \"$o\"; done; \
         d=\"$r\"/compare.$$; \
         trap 'rm -rf \"$d\"; [ -z \"$m\" ] || rmdir \"$r\" 2>/dev/null' EXIT; trap 'exit 1' HUP INT TERM PIPE; \
         mkdir \"$d\" || exit 73; \
         p=\"$r\"/current/slot/mcir-board; f=none; \
         if [ -x \"$p\" ]; then \
         if [ \"$(\"$p\" {probe})\" = {VERSION} ]; then f=native; \
         elif {emulator} && [ \"$({run_with} \"$p\" {probe})\" = {VERSION} ]; then f=emulated; fi; fi; \
         echo {HELLO} \"$(uname -m)\" $f; \
         read -r how size with || exit 75; \
         case $how in flashed) with=$f ;; \
         upload) p=\"$d\"/mcir-board; head -c \"$size\" >\"$p\" && [ \"$(wc -c <\"$p\")\" -eq \"$size\" ] && \
         chmod 755 \"$p\" || exit 74 ;; *) exit 75 ;; esac; \
         if [ \"$with\" = emulated ]; then {run_with} \"$p\" measure --dir \"$d\"; \
         else \"$p\" measure --dir \"$d\"; fi"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcir_deploy::target::shell::quote;
    use std::io::Write;
    use std::path::Path;
    use std::process::{Command, Output, Stdio};

    /// Runs the script with a text as the workstation's words.
    fn converse(root: &Path, run_with: &str, words: &[u8]) -> Output {
        let mut child = Command::new("sh")
            .args(["-c", &run(&quote(root.to_str().unwrap()), run_with)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A script that has ended does not read.
        let _ = child.stdin.take().unwrap().write_all(words);
        child.wait_with_output().unwrap()
    }

    fn script(path: &Path, text: &str) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    #[test]
    fn an_uploaded_program_runs_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a board's $(folder)");
        let program = "#!/bin/sh\necho ran \"$@\"; ls \"$3\"; cat\n";
        let words = format!("upload {}\n{program}the rest", program.len());
        let output = converse(&root, "", words.as_bytes());
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with(HELLO) && said.lines().next().unwrap().ends_with(" none"), "{said}");
        assert!(said.contains("ran measure --dir") && said.ends_with("mcir-board\nthe rest"), "{said}");
        assert!(!root.exists());
    }

    #[test]
    fn a_cut_connection_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("board");
        // What was cut off before goes, what is there otherwise stays.
        std::fs::create_dir_all(root.join("compare.999999999")).unwrap();
        std::fs::create_dir_all(root.join("slots")).unwrap();
        for words in [&b""[..], b"upload 100\n#!/bin/sh", b"nonsense\n"] {
            let output = converse(&root, "", words);
            assert!(!output.status.success());
            let names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert_eq!(names, ["slots"]);
        }
    }

    #[test]
    fn a_flashed_program_is_used_when_it_knows_how() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("current/slot/mcir-board");
        let answer = |run_with: &str| {
            let output = converse(folder.path(), run_with, b"flashed\n");
            String::from_utf8(output.stdout).unwrap()
        };
        script(&program, &format!("[ \"$2\" = --protocol ] && echo {VERSION} || echo flashed \"$2\""));
        assert!(answer("").contains(" native\nflashed --dir"), "{}", answer(""));
        // An older one does not know the verb.
        script(&program, "echo unknown >&2; exit 2");
        assert!(answer("").contains(" none\n"));
        // One for another processor answers under the emulator only.
        let emulator = folder.path().join("emulator");
        script(
            &emulator,
            "shift; exec sh -c '[ \"$2\" = --protocol ] && echo 1 || echo emulated \"$2\"' x \"$@\"",
        );
        let run_with = emulator.to_str().unwrap();
        assert!(answer(run_with).contains(" emulated\nemulated --dir"), "{}", answer(run_with));
    }
}
