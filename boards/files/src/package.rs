//! What stands beside a program when it is installed: man pages and completions, made from its own command line.

use crate::{Error, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where Debian's shells look for completions of programs that packages install, and what the file is called there.
const COMPLETIONS: [(Shell, &str, &str); 3] = [
    (Shell::Bash, "usr/share/bash-completion/completions/", ""),
    (Shell::Zsh, "usr/share/zsh/vendor-completions/_", ""),
    (Shell::Fish, "usr/share/fish/vendor_completions.d/", ".fish"),
];

/// A file of a package: its path below the root, and what is in it.
pub type File = (PathBuf, Vec<u8>);

/// The script that completes a program's command lines in a shell.
pub fn completions(shell: Shell, mut program: Command) -> Vec<u8> {
    let (name, mut script) = (program.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut program, name, &mut script);
    script
}

/// Man pages of a program and of all its verbs, and its completions, as files below the root of a file system. Hidden verbs
/// have no page.
pub fn files(program: &Command) -> Vec<File> {
    let mut all: Vec<File> = COMPLETIONS
        .iter()
        .map(|&(shell, before, after)| {
            let path = format!("{before}{}{after}", program.get_name());
            (path.into(), completions(shell, program.clone()))
        })
        .collect();
    let mut program = program.clone().disable_help_subcommand(true);
    // Gives the verbs the names of their pages.
    program.build();
    let source = format!("mcir {}", program.get_version().unwrap_or_default());
    pages(program, &source, &date(), &mut all);
    all
}

fn pages(verb: Command, source: &str, date: &str, all: &mut Vec<File>) {
    for below in verb.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        pages(below.clone(), source, date, all);
    }
    let name = verb.get_display_name().unwrap_or(verb.get_name()).to_owned();
    let page = Man::new(verb).title(name.to_uppercase()).section("1").date(date);
    let mut text = Vec::new();
    page.source(source).manual("User Commands").render(&mut text).expect("memory can be written to");
    let text = tidy(&String::from_utf8_lossy(&text));
    all.push((format!("usr/share/man/man1/{name}.1").into(), text.into_bytes()));
}

/// The page without breaks of lines beside empty ones, which do nothing and which mandoc warns of.
fn tidy(page: &str) -> String {
    let lines: Vec<&str> = page.lines().collect();
    let empty =
        |at: Option<usize>| at.and_then(|at| lines.get(at)).is_some_and(|line| matches!(*line, "" | ".sp"));
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| **line != ".br" || !(empty(at.checked_sub(1)) || empty(Some(at + 1))));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

/// The day of the pages: that of SOURCE_DATE_EPOCH, so that the same source gives the same bytes, or today.
fn date() -> String {
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.parse::<u64>().ok());
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    day(given.unwrap_or_else(now))
}

/// The day of so many seconds since 1970.
fn day(seconds: u64) -> String {
    let days = seconds / 86_400;
    // Years that begin in March have their leap day at the end.
    let era_day = days + 719_468;
    let (era, day) = (era_day / 146_097, era_day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

/// Writes the files below a folder, which is made, and prints their paths.
///
/// # Errors
/// [`Error::Io`] when a file or the standard output cannot be written.
pub fn write(root: &Path, files: &[File]) -> Result<()> {
    for (below, bytes) in files {
        let path = root.join(below);
        let folder = path.parent().expect("a file is in a folder");
        fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        crate::terminal::print(path.display())?;
    }
    Ok(())
}

/// Prints bytes to the standard output as they are. A reader that has gone away is no error.
///
/// # Errors
/// [`Error::Io`] when it cannot be written to.
pub fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().lock().write_all(bytes) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::io("write", "the standard output")(source))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
            (1_796_037_643, "2026-11-30"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(day(seconds), expected);
        }
    }

    #[test]
    fn verbs_that_are_shown_have_pages_and_are_completed() {
        let verb = Command::new("run").about("Run it").after_long_help("One.\n\nTwo.");
        let program = Command::new("tool").version("1.2").subcommand(verb);
        let program = program.subcommand(Command::new("secret").hide(true));
        let files = files(&program);
        let text = |path: &str| {
            let found = files.iter().find(|(below, _)| below == Path::new(path));
            found.map(|(_, bytes)| String::from_utf8(bytes.clone()).unwrap())
        };
        let page = text("usr/share/man/man1/tool-run.1").unwrap();
        assert!(page.contains(".TH TOOL-RUN 1 ") && page.contains("\"mcir 1.2\""), "{page}");
        assert!(text("usr/share/man/man1/tool.1").is_some());
        assert!(text("usr/share/man/man1/tool-secret.1").is_none());
        assert!(text("usr/share/bash-completion/completions/tool").unwrap().contains("complete -F"));
        assert!(text("usr/share/zsh/vendor-completions/_tool").unwrap().starts_with("#compdef tool"));
        assert!(text("usr/share/fish/vendor_completions.d/tool.fish").unwrap().contains("-c tool"));
    }
}
