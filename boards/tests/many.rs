//! A folder that is upscaled in parts, by GNU parallel as `MANY.md` has it.

mod support;

use std::path::Path;
use std::process::Command;
use support::{Folder, arg, board, skip};

/// Six pictures in three folders, and one that is none.
fn photos(folder: &Folder) {
    for (n, name) in ["a", "b", "one/c", "one/d", "one/two/e", "two/f"].into_iter().enumerate() {
        let name = format!("photos/{name}.png");
        std::fs::create_dir_all(folder.path(&name).parent().unwrap()).unwrap();
        folder.image(&name, 20 + n as u32, 12);
    }
    folder.file("photos/two/g.png", b"none");
}

/// Paths of all files in a folder and those in it, and when they were written.
fn files(folder: &Path) -> Vec<(String, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                    found.push((name, entry.metadata().unwrap().modified().unwrap()));
                }
            }
        }
    }
    found.sort();
    found
}

const LARGE: [&str; 6] = ["a.png", "b.png", "one/c.png", "one/d.png", "one/two/e.png", "two/f.png"];

#[test]
fn parts_of_a_folder_are_all_of_it_and_go_on_where_they_ended() {
    let folder = Folder::new();
    photos(&folder);
    let (photos, large) = (folder.path("photos"), folder.path("large"));
    let upscale = |options: &[&str]| {
        let args =
            ["upscale", "-i", arg(&photos), "-o", arg(&large), "-s", "2", "-r", "--json", "--skip-existing"];
        board(args.iter().chain(options))
    };
    let run = upscale(&["--shard", "2/2"]).succeeds().json();
    assert_eq!((run["images"].as_array().unwrap().len(), &run["skipped"]), (3, &0.into()));
    let before = files(&large);
    // The other half, with what is no picture; what is there is not made again.
    let run = upscale(&[]).fails(1, &["g.png"]).json();
    assert_eq!((run["images"].as_array().unwrap().len(), &run["skipped"]), (3, &3.into()));
    let after = files(&large);
    assert_eq!(after.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), LARGE);
    assert!(before.iter().all(|file| after.contains(file)));
    // A single picture may be left out, too, but has no parts.
    let (small, big) = (photos.join("a.png"), large.join("a.png"));
    let one = ["upscale", "-i", arg(&small), "-o", arg(&big), "--skip-existing"];
    assert!(board(one).succeeds().stderr().contains("1 skipped"));
    board(one.iter().chain(&["--shard", "1/2"])).fails(2, &["--shard", "for folders"]);
    assert_eq!(files(&large), after);
}

/// Through a link in the output folder, or where it lies above the input, an output may be a picture that is yet to be read.
#[test]
fn no_original_is_replaced() {
    let folder = Folder::new();
    photos(&folder);
    let (photos, large) = (folder.path("photos"), folder.path("large"));
    let before = files(&photos);
    let upscale = |input: &Path, output: &Path| {
        board(["upscale", "-i", arg(input), "-o", arg(output), "-s", "2", "-r"])
            .fails(2, &["is the input itself"])
    };
    std::fs::create_dir(&large).unwrap();
    std::os::unix::fs::symlink(photos.join("one"), large.join("one")).unwrap();
    upscale(&photos, &large);
    std::fs::remove_file(large.join("one")).unwrap();
    std::os::unix::fs::symlink(photos.join("a.png"), large.join("a.png")).unwrap();
    upscale(&photos, &large);
    // photos/one/c.png would be made of photos/one/one/c.png.
    std::fs::create_dir(folder.path("photos/one/one")).unwrap();
    std::fs::copy(folder.path("photos/one/c.png"), folder.path("photos/one/one/c.png")).unwrap();
    upscale(&photos.join("one"), &photos);
    std::fs::remove_dir_all(folder.path("photos/one/one")).unwrap();
    assert_eq!(files(&photos), before);
}

#[test]
fn gnu_parallel_shares_a_folder_out() {
    if Command::new("parallel").arg("--version").output().is_err() {
        return skip::skip("there is no parallel");
    }
    let folder = Folder::new();
    photos(&folder);
    std::fs::remove_file(folder.path("photos/two/g.png")).unwrap();
    let command = "-i photos -o large -s 2 -r --skip-existing -q -j 1 --shard {}/3";
    let words = ["-j", "2", env!("CARGO_BIN_EXE_mcir-board"), "upscale"]
        .into_iter()
        .chain(command.split(' '))
        .chain([":::", "1", "2", "3"]);
    let run = Command::new("parallel").args(words).current_dir(folder.path("")).output().unwrap();
    assert!(run.status.success(), "{run:?}");
    assert_eq!(files(&folder.path("large")).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), LARGE);
}
