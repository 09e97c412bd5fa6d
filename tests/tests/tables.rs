//! The table of what is tried, `tests/README.md`: every command in it finds something to run, and `.ci/run` runs those
//! without a star.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder in the workspace")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A command of the table, and whether its row has a star.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    command: String,
    starred: bool,
}

/// The commands of all tables whose last column is named so; "the same" is the command above.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut above, mut inside) = (Vec::new(), Vec::new(), false);
    for line in text.lines() {
        let Some(line) = line.strip_prefix('|') else {
            inside = false;
            continue;
        };
        let cells: Vec<_> = line.trim_end_matches('|').split('|').map(str::trim).collect();
        let last = *cells.last().expect("a row has cells");
        if last == "command" {
            inside = true;
        } else if inside && !last.starts_with('-') {
            if last != "the same" {
                above = last.split('`').skip(1).step_by(2).map(String::from).collect();
            }
            assert!(!above.is_empty(), "no command: {line}");
            let starred = cells.iter().any(|cell| cell.ends_with('*'));
            rows.extend(above.iter().map(|command| Row { command: command.clone(), starred }));
        }
    }
    rows
}

/// The folder of each package of the workspace.
fn packages() -> Vec<(String, PathBuf)> {
    let manifest = read(&root().join("Cargo.toml"));
    let members =
        manifest.lines().find_map(|l| l.strip_prefix("members = ")).expect("the workspace has members");
    let folders = members.split('"').skip(1).step_by(2).map(|folder| root().join(folder));
    folders
        .map(|folder| {
            let manifest = read(&folder.join("Cargo.toml"));
            let name = manifest.lines().find_map(|l| l.strip_prefix("name = ")).expect("a name");
            (name.trim_matches('"').to_owned(), folder)
        })
        .collect()
}

/// Names of the tests of a library, nearly: the path of the file with, then without a module `tests`, and the function.
fn tests_of(src: &Path, module: &str, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(src).unwrap_or_else(|e| panic!("{}: {e}", src.display())) {
        let path = entry.expect("an entry").path();
        let stem = path.file_stem().and_then(|s| s.to_str()).expect("a name in UTF-8");
        let inner = match stem {
            "lib" | "main" | "mod" => module.to_owned(),
            _ => format!("{module}{stem}::"),
        };
        if path.is_dir() {
            tests_of(&path, &inner, names);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = read(&path);
            let functions =
                text.split("#[test]").skip(1).filter_map(|t| t.split_once("fn ")?.1.split('(').next());
            for function in functions {
                names.insert(format!("{inner}{function}"));
                names.insert(format!("{inner}tests::{function}"));
            }
        }
    }
}

/// Fails unless a command of `cargo test` names a package, a test file and filters that there are.
fn check_cargo(command: &str, words: &[&str]) {
    let [package, rest @ ..] = words else { panic!("{command}: which package?") };
    let packages = packages();
    let (_, folder) = packages
        .iter()
        .find(|(name, _)| name == package)
        .unwrap_or_else(|| panic!("{command}: there is no package {package}"));
    let rest = match rest {
        ["--features", feature, rest @ ..] => {
            let has = read(&folder.join("Cargo.toml"))
                .lines()
                .any(|line| line.starts_with(&format!("{feature} = [")));
            assert!(has, "{command}: {package} has no feature {feature}");
            let ci = read(&root().join(".ci/run"));
            assert!(
                ci.contains(&format!("cargo test --workspace --features {package}/{feature}")),
                "{command}"
            );
            rest
        }
        _ => rest,
    };
    match rest {
        [] => {}
        ["--test", file] | ["--test", file, "--", "--nocapture"] => {
            let path = folder.join("tests").join(format!("{file}.rs"));
            assert!(path.is_file(), "{command}: there is no {}", path.display());
        }
        ["--lib", filters @ ..] => {
            let mut names = BTreeSet::new();
            tests_of(&folder.join("src"), "", &mut names);
            assert!(!names.is_empty(), "{command}: the library has no tests");
            for filter in filters.iter().filter(|&&word| word != "--") {
                assert!(
                    names.iter().any(|name| name.contains(filter)),
                    "{command}: no test has {filter} in its name"
                );
            }
        }
        _ => panic!("{command}: not understood"),
    }
}

#[test]
fn commands_find_what_they_run() {
    let rows = rows(&read(&root().join("tests/README.md")));
    assert!(rows.len() > 20, "the tables are read: {rows:?}");
    let ci = read(&root().join(".ci/run"));
    for Row { command, starred } in &rows {
        let words: Vec<_> = command.split(' ').skip_while(|w| w.contains('=')).collect();
        match words[..] {
            ["cargo", "test", "-p", ref rest @ ..] => {
                check_cargo(command, rest);
                assert!(*starred || ci.contains("cargo test --workspace"), "{command}");
            }
            ["cargo", "test", "--release", "-p", ref rest @ ..] => {
                check_cargo(command, rest);
                assert!(starred, "{command}: no such run in .ci/run, so the row needs a star");
            }
            [program, ..] => {
                if program.contains('/') {
                    let path = root().join(program);
                    let mode =
                        fs::metadata(&path).unwrap_or_else(|e| panic!("{command}: {e}")).permissions().mode();
                    assert!(mode & 0o100 != 0, "{command}: cannot be run");
                }
                let run = ci.lines().any(|line| line.trim() == command);
                assert!(run != *starred, "{command}: a star is for what .ci/run does not run");
            }
            [] => panic!("an empty command"),
        }
    }
}

#[test]
fn tables_are_read() {
    let text = "\
text `cargo test -p nobody`
| a | what | command |
|---|------|---------|
| 1 | x | `one` and `two 2` |
| 2 | y * | the same |

| other | table |
|-------|-------|
| 3 | `three` |
";
    let row = |command: &str, starred| Row { command: command.to_owned(), starred };
    assert_eq!(rows(text), [row("one", false), row("two 2", false), row("one", true), row("two 2", true)]);
}
