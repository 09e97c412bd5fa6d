//! Scripts for a POSIX shell.

/// A word that the shell takes as it is.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// What the scripts say when they can go on; anything before it is the noise of login scripts.
pub const HELLO: &str = "mcir-shell-1";

/// Sets `k` to the counter of what runs in the folder `$r`: empty where it has none.
const COUNTER: &str = r#"k=$(sed -n 's/^ *"counter": *\([0-9]*\),*$/\1/p' "$r"/current/slot/manifest.json 2>/dev/null | head -n 1)"#;

/// Brings a program to the board and runs it there. Says `mcir-shell-1 ARCHITECTURE have|need COUNTER`, and where it
/// says `need` reads as many bytes as the program has; then the program speaks.
///
/// The program gets its name only when it is complete and on the disk. What uploads that were killed have left is cleared
/// away: a file whose number is that of no process that runs such a script. (A number may have gone to another process, and
/// one that nobody waited for still has its own.)
pub fn bootstrap(root: &str, sha256: &str, size: u64, run_with: &str, renew: bool) -> String {
    let renew = if renew { "rm -f \"$p\"; " } else { "" };
    format!(
        "umask 022; r={root}; {COUNTER}; d=\"$r\"/bin/{sha256}; p=\"$d\"/mcir-board; t=\"$d\"/.$$; \
         mkdir -p \"$d\" || exit 73; {renew}\
         for o in \"$r\"/bin/*/.[0-9]*; do \
         grep -q {HELLO} \"/proc/${{o##*/.}}/cmdline\" 2>/dev/null || rm -f \"$o\"; done; \
         if [ -x \"$p\" ]; then echo {HELLO} \"$(uname -m)\" have \"$k\"; else \
         echo {HELLO} \"$(uname -m)\" need \"$k\"; \
         trap 'rm -f \"$t\"' EXIT; \
         head -c {size} >\"$t\" && [ \"$(wc -c <\"$t\")\" -eq {size} ] && chmod 755 \"$t\" && sync && \
         mv -f \"$t\" \"$p\" || exit 74; trap - EXIT; fi; \
         exec {run_with} \"$p\" slot serve --root \"$r\" --run-with {}",
        quote(run_with)
    )
}

/// Whether the file of this name, `.` and the number of a process, is one that [`bootstrap`]'s script writes now.
pub fn is_uploading(name: &str) -> bool {
    let process = name.trim_start_matches('.');
    let is_number = !process.is_empty() && process.bytes().all(|b| b.is_ascii_digit());
    let command = || std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    is_number && command().windows(HELLO.len()).any(|part| part == HELLO.as_bytes())
}

/// Runs the program of what is current, or of what was before when that one is gone.
pub fn resident(root: &str, run_with: &str) -> String {
    format!(
        "umask 022; r={root}; for p in \"$r\"/current/slot/mcir-board \"$r\"/current/previous/slot/mcir-board; do \
         if [ -x \"$p\" ]; then echo {HELLO} \"$(uname -m)\" have; \
         exec {run_with} \"$p\" slot serve --root \"$r\" --run-with {}; fi; done; \
         echo {HELLO} \"$(uname -m)\" none",
        quote(run_with)
    )
}

/// Says what is there and changes nothing: architecture, program, current slot, free KiB, whether it can be written to,
/// counter.
pub fn look(root: &str, sha256: &str) -> String {
    format!(
        "r={root}; {COUNTER}; p=\"$r\"/bin/{sha256}/mcir-board; s=need; [ -x \"$p\" ] && s=have; \
         c=$(readlink \"$r\"/current/slot 2>/dev/null); e=$r; while [ ! -e \"$e\" ]; do e=$(dirname \"$e\"); done; \
         w=no; [ -w \"$e\" ] && w=yes; \
         f=$(df -Pk \"$e\" 2>/dev/null | awk 'NR==2 {{ print $4 }}'); \
         echo {HELLO} \"$(uname -m)\" $s \"${{c##*/}}\" \"${{f:-}}\" $w \"$k\""
    )
}
