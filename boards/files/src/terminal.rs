//! Talking to the user, whose terminal may be gone, and progress bars. Whatever a text quotes, a terminal only prints it.

pub use indicatif::ProgressBar;

use crate::name::escaped_lines;
use crate::{Error, Result, without_passwords};
use indicatif::ProgressStyle;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a result was printed.
static PRINTED: AtomicBool = AtomicBool::new(false);

/// Prints a line to the standard error, without passwords: it may become a log. Where nobody reads it, as after
/// `2>&1 | head`, the work goes on.
pub fn tell(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped_lines(&without_passwords(&line.to_string())));
}

/// Prints a result to the standard output. A reader that has gone away, as `head` does, is no error.
///
/// # Errors
/// [`Error::Io`] when it cannot be written to.
pub fn print(text: impl Display) -> Result<()> {
    PRINTED.store(true, Ordering::Relaxed);
    let mut out = io::stdout().lock();
    match writeln!(out, "{}", escaped_lines(&text.to_string())).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "the standard output")(error))
        }
        _ => Ok(()),
    }
}

/// Says why the program ends, and what to try next: to the standard error, and with `--json` to the standard output, too, as
/// [`error_json`] has it. After a result, which is JSON already, nothing is added.
pub fn fail(message: &str, help: Option<&str>, exit_code: u8) {
    let next = help.map_or(String::new(), |help| format!("\n  help: {help}"));
    tell(format_args!("error: {message}{next}"));
    fail_json(message, help, exit_code);
}

/// The second half of [`fail`], for a message that is printed by others.
pub fn fail_json(message: &str, help: Option<&str>, exit_code: u8) {
    // Options that were not understood are asked for, too.
    let asked = std::env::args_os().any(|argument| argument == "--json");
    if asked && !PRINTED.load(Ordering::Relaxed) {
        let _ = print(error_json(message, help, exit_code));
    }
}

/// `{"schema": 1, "error": {"message": …, "help": …, "exit_code": …}}`, without passwords.
pub fn error_json(message: &str, help: Option<&str>, exit_code: u8) -> String {
    let message = without_passwords(message);
    let error = serde_json::json!({ "message": message, "help": help, "exit_code": exit_code });
    serde_json::json!({ "schema": 1, "error": error }).to_string()
}

/// The same above a bar that is being drawn.
pub fn tell_above(bar: &ProgressBar, line: impl Display) {
    bar.suspend(|| tell(line));
}

/// A bar over `steps` steps on the standard error; hidden when it is not `wanted` or nobody sees it.
pub fn bar(steps: u64, wanted: bool) -> ProgressBar {
    styled(steps, wanted, "{bar:32} {percent:>3} %  {eta:>4} left  {wide_msg}")
}

/// A bar over bytes that are sent.
pub fn bar_of_bytes(bytes: u64, wanted: bool) -> ProgressBar {
    let style = "{bar:32} {bytes} of {total_bytes}  {binary_bytes_per_sec}  {eta:>4} left  {wide_msg}";
    styled(bytes, wanted, style)
}

fn styled(steps: u64, wanted: bool, template: &str) -> ProgressBar {
    if !wanted {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).expect("the template is valid");
    ProgressBar::new(steps).with_style(style)
}
