//! `mcir-board` on bad input: it says what, with which value, and what to do next; it never panics and never
//! leaves half a file or touches an existing one.

mod support;

use support::{Folder, arg, board, picture};

/// Runs `upscale` with an existing output, which must not change, and checks that no other file appears.
#[track_caller]
fn refuses(folder: &Folder, input: &str, model: &str, more: &[&str], code: i32, parts: &[&str]) {
    let output = folder.file("out.png", b"what was here before");
    let before = folder.names();
    let (input, model) = (folder.path(input), folder.path(model));
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)];
    board(args.iter().chain(more)).fails(code, parts);
    assert_eq!(std::fs::read(&output).unwrap(), b"what was here before");
    assert_eq!(folder.names(), before);
}

#[test]
fn images() {
    let folder = Folder::new();
    folder.model("m", 2);
    refuses(&folder, "missing.png", "m", &[], 1, &["missing.png does not exist"]);
    folder.file("empty.png", b"");
    refuses(&folder, "empty.png", "m", &[], 1, &["empty.png is empty: it has 0 bytes"]);
    folder.file("text.png", b"this is not a picture at all, but it is called one");
    refuses(&folder, "text.png", "m", &[], 1, &["text.png cannot be read as an image"]);

    let whole = folder.image("whole.png", 64, 64);
    let bytes = std::fs::read(whole).unwrap();
    for length in [1, 7, 20, 33, 60, bytes.len() / 2, bytes.len() - 20] {
        folder.file("cut.png", &bytes[..length]);
        refuses(&folder, "cut.png", "m", &[], 1, &["cut.png"]);
    }
    let jpeg = std::fs::read(folder.image("whole.jpg", 64, 64)).unwrap();
    for length in [100, jpeg.len() / 2, jpeg.len() - 20] {
        folder.file("cut.jpg", &jpeg[..length]);
        refuses(&folder, "cut.jpg", "m", &[], 1, &["cut.jpg cannot be read as an image"]);
    }
}

#[test]
fn images_that_are_too_large() {
    let folder = Folder::new();
    folder.model("m", 4);
    // A header that promises far more pixels than there are bytes.
    let mut bytes = std::fs::read(folder.image("huge.png", 8, 8)).unwrap();
    bytes[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    folder.file("huge.png", &bytes);
    refuses(
        &folder,
        "huge.png",
        "m",
        &[],
        1,
        &["65536x65536", "in total 4294967296; the limit is 268435456"],
    );
    // Wider than the engine takes.
    picture(40_000, 1).save(folder.path("wide.png")).unwrap();
    refuses(&folder, "wide.png", "m", &[], 1, &["width 40000", "32768"]);
    // Wider than the output format takes.
    picture(20_000, 1).save(folder.path("long.png")).unwrap();
    let (input, model, output) = (folder.path("long.png"), folder.path("m"), folder.path("out.jpg"));
    board(["upscale", "-i", arg(&input), "-o", arg(&output), "-m", arg(&model)])
        .fails(1, &["80000x4", "jpg has at most 65535", "-s 2"]);
    assert!(!output.exists());
}

#[test]
fn model_files() {
    let folder = Folder::new();
    folder.image("in.png", 8, 8);
    refuses(&folder, "in.png", "missing.mcir", &[], 2, &["missing.mcir"]);
    let bytes = std::fs::read(folder.model("m", 2)).unwrap();
    folder.file("empty.mcir", b"");
    refuses(&folder, "in.png", "empty.mcir", &[], 1, &["empty.mcir is empty"]);
    folder.file("other.mcir", &std::fs::read(folder.path("in.png")).unwrap());
    refuses(&folder, "in.png", "other.mcir", &[], 1, &["other.mcir: not a model file"]);
    for length in [3, 4, 63, 64, 200, bytes.len() / 2, bytes.len() - 1] {
        folder.file("cut.mcir", &bytes[..length]);
        refuses(&folder, "in.png", "cut.mcir", &[], 1, &["cut.mcir: model is truncated"]);
    }
    for at in (0..bytes.len()).step_by(bytes.len() / 40) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x10;
        folder.file("flipped.mcir", &flipped);
        refuses(&folder, "in.png", "flipped.mcir", &[], 1, &["flipped.mcir: "]);
    }
    let mut newer = bytes.clone();
    newer[4] = 200;
    folder.file("newer.mcir", &newer);
    refuses(&folder, "in.png", "newer.mcir", &[], 1, &["version 200 is not supported"]);
    refuses(&folder, "in.png", "m", &["-s", "4"], 2, &["upscales by 2, but -s asks for 4"]);
}

#[test]
fn outputs() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 8, 8), folder.model("m", 2));
    let before = std::fs::read(&input).unwrap();
    let upscale = |output: &std::path::Path| {
        board(["upscale", "-i", arg(&input), "-o", arg(output), "-m", arg(&model)])
    };
    upscale(&input).fails(2, &["is the input itself"]);
    assert_eq!(std::fs::read(&input).unwrap(), before);
    upscale(&folder.path("out")).fails(2, &["does not end in the extension", "png"]);
    upscale(&folder.path("out.gif")).fails(2, &["does not end in the extension"]);
    upscale(&folder.path("nowhere/out.png")).fails(1, &["cannot write", "nowhere"]);
    std::fs::create_dir(folder.path("folder")).unwrap();
    upscale(&folder.path("folder")).fails(2, &["is a folder"]);
    // Folders.
    let empty = folder.path("folder");
    let out = folder.path("results");
    board(["upscale", "-i", arg(&empty), "-o", arg(&out), "-m", arg(&model)])
        .fails(1, &["no image in the folder"]);
    assert!(!out.exists());
    board(["upscale", "-i", arg(&empty), "-o", arg(&empty), "-m", arg(&model)])
        .fails(2, &["is the input itself"]);
    board(["upscale", "-i", arg(&empty), "-o", arg(&input), "-m", arg(&model)]).fails(2, &["is a file"]);
    assert_eq!(folder.names(), ["folder", "in.png", "m"]);
}

#[test]
fn options() {
    let folder = Folder::new();
    let (input, model) = (folder.image("in.png", 8, 8), folder.model("m", 2));
    let output = folder.path("out.png");
    let args = ["upscale", "-i", arg(&input), "-o", arg(&output)];
    let other_factor = board(args.iter().chain(&["-m", "edsr-edge-x2", "-s", "3"]));
    other_factor.fails(2, &["edsr-edge-x2 upscales by 2, but -s asks for 3", "say -s 2"]);
    board(args.iter().chain(&["-m", "no-such-model"])).fails(2, &["embedded model `no-such-model`"]);
    let with_model = ["-m", arg(&model)];
    board(args.iter().chain(&with_model).chain(&["--isa", "mmx"])).fails(2, &["`mmx`", "scalar"]);
    // These are clap's messages.
    for wrong in [["-s", "5"], ["-j", "0"], ["-f", "exe"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcir-board"))
            .args(args.iter().chain(&wrong))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn compare() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    board(["compare", "--data", arg(&folder.path("nowhere"))]).fails(1, &["nowhere does not exist"]);
    board(["compare", "-m", arg(&model), "--data", arg(&folder.path("."))])
        .fails(1, &["no image in the folder"]);
    board(["compare", "-m", "nothing"]).fails(2, &["`nothing`"]);
    // An image that is too small is left out; the others are measured.
    folder.image("a.png", 48, 40);
    folder.image("dot.png", 3, 3);
    folder.file("broken.png", b"?");
    let run =
        board(["compare", "-m", arg(&model), "--data", arg(&folder.path(".")), "--seconds=0.05", "--json"]);
    let json = run.fails(1, &["dot cannot be compared", "broken.png", "2 of 3 images failed"]).json();
    assert_eq!(json["sections"][0]["images"], serde_json::json!(["a"]));
    assert_eq!(json["skipped"].as_array().unwrap().len(), 2);
    // A report that cannot be written.
    let report = folder.path("nowhere/report.html");
    board(["compare", "-m", arg(&model), "--data", arg(&folder.path(".")), "--report", arg(&report)])
        .fails(1, &["cannot write", "nowhere"]);
}

/// Who asked for JSON gets it, whatever happens; results that name failures themselves are not followed by a second value.
#[test]
fn errors_are_json_where_results_would_be() {
    let folder = Folder::new();
    let output = folder.path("out.png");
    let missing = ["upscale", "-i", "nowhere.png", "-o", arg(&output), "--json"];
    let error = board(missing).fails(1, &["nowhere.png"]).json();
    let [message, help] = ["message", "help"].map(|key| error["error"][key].as_str().unwrap().to_owned());
    assert!(message.contains("nowhere.png") && !help.is_empty(), "{error}");
    assert_eq!((&error["schema"], &error["error"]["exit_code"]), (&1.into(), &1.into()));
    let usage = board(["bench", "--no-such-option", "--json"]).fails_plainly(2, &["--no-such-option"]).json();
    assert_eq!(usage["error"]["exit_code"], 2);
    assert!(usage["error"]["message"].as_str().unwrap().contains("--no-such-option"), "{usage}");
    assert!(board(["bench", "--no-such-option"]).fails_plainly(2, &[]).stdout().is_empty());

    std::fs::create_dir(folder.path("in")).unwrap();
    folder.image("in/a.png", 20, 12);
    folder.file("in/b.png", b"none");
    let (input, output) = (folder.path("in"), folder.path("out"));
    let partly =
        board(["upscale", "-i", arg(&input), "-o", arg(&output), "-s", "2", "--json"]).fails(1, &["b.png"]);
    assert_eq!(partly.json()["failed"].as_array().unwrap().len(), 1);
}
