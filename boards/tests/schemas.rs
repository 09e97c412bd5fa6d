//! Every JSON that `mcir-board` prints is as its schema in `tests/schemas/` says, with no field more.

#![cfg(target_os = "linux")]

mod support;

#[path = "../../tests/src/schema.rs"]
mod schema;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use support::{Folder, Run, arg, board, camera};

/// What it printed, whatever its exit code.
fn printed(run: &Run) -> Value {
    serde_json::from_str(&run.stdout()).unwrap_or_else(|e| panic!("{e}: {}{}", run.stdout(), run.stderr()))
}

#[track_caller]
fn is(name: &str, args: &[&str]) -> Value {
    let value = printed(&board([args, &["--json"]].concat()));
    schema::check(name, &value);
    value
}

#[test]
fn schemas_are_closed_and_listed() {
    let text = std::fs::read_to_string(schema::folder().join("README.md")).unwrap();
    let mut names: Vec<String> = std::fs::read_dir(schema::folder())
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".json")?.to_owned()))
        .collect();
    names.sort();
    for name in &names {
        let schema = schema::schema(name);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
        assert!(schema["properties"]["schema"]["const"].is_u64(), "{name} has a version");
        schema::check_closed(&schema, name);
        assert!(text.contains(&format!("| [{name}]({name}.json) |")), "{name} is not in the README");
    }
    assert_eq!(text.matches(".json) |").count(), names.len());
}

#[test]
fn a_field_more_or_less_is_found() {
    let error = json!({ "schema": 1, "error": { "message": "a", "help": null, "exit_code": 1 } });
    schema::check("error", &error);
    let caught = |change: &dyn Fn(&mut Value)| {
        let mut value = error.clone();
        change(&mut value);
        std::panic::catch_unwind(|| schema::check("error", &value)).is_err()
    };
    assert!(!caught(&|_| {}));
    assert!(caught(&|v| v["more"] = json!(1)));
    assert!(caught(&|v| v["error"]["more"] = Value::Null));
    assert!(caught(&|v| v["error"]["message"] = json!(1)));
    assert!(caught(&|v| v["error"]["exit_code"] = json!(4)));
    assert!(caught(&|v| v["schema"] = json!(2)));
    assert!(caught(&|v| drop(v["error"].as_object_mut().unwrap().remove("help"))));
    let progress = |stage: Value| json!({ "schema": 1, "progress": stage });
    schema::check("studio-progress", &progress(json!({ "stage": "waiting", "ahead": 2 })));
    let wrong = progress(json!({ "stage": "waiting", "done": 2 }));
    assert!(std::panic::catch_unwind(|| schema::check("studio-progress", &wrong)).is_err());
}

#[test]
fn pictures_and_reports() {
    let folder = Folder::new();
    let (input, output) = (folder.path("in"), folder.path("out"));
    std::fs::create_dir(&input).unwrap();
    folder.image("in/a.png", 40, 32);
    folder.file("in/b.png", b"no picture");
    let path = |name: &str| arg(&folder.path(name)).to_owned();
    let many = is("board-upscale", &["upscale", "-i", arg(&input), "-o", arg(&output), "-s", "2"]);
    assert!(many["failed"].as_array().unwrap().len() == 1 && many["images"].as_array().unwrap().len() == 1);
    is(
        "board-upscale",
        &["upscale", "-i", &path("in/a.png"), "-o", &path("a.png"), "-s", "2", "--mode", "y"],
    );
    is("error", &["upscale", "-i", &path("nothing.png"), "-o", &path("a.png")]);
    is("error", &["upscale", "--no-such-option"]);
    std::fs::remove_file(folder.path("in/b.png")).unwrap();

    is("board-models", &["models"]);
    let boards = is("board-list", &["list"]);
    // A minute of measuring is too long here: what `profile` prints is a profile, as `list` prints them.
    let profile =
        json!({ "schema": 1, "command": "profile", "output": "p.toml", "profile": boards["boards"][0] });
    schema::check("board-profile", &profile);
    is("board-info", &["info"]);
    for known in ["raspberry-pi-5", "jetson-orin-nano"] {
        is("board-estimate", &["estimate", "-m", "edsr-edge-x2", "--board", known, "--size", "64x36"]);
    }
    for moment in [&["--samples", "3", "--seconds", "0.1"][..], &["--sustained", "0.5"]] {
        let bench = ["bench", "-m", "edsr-edge-x2", "--size", "32x18"];
        is("board-bench", &[&bench[..], moment].concat());
    }
    is(
        "board-compare",
        &["compare", "-s", "2", "-m", "edsr-edge-x2", "--data", arg(&input), "--seconds=0.05"],
    );
    let evidence = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/evidence");
    let [scores, notes] = ["scores.json", "NOTES.md"].map(|name| evidence.join(name));
    is("board-results", &["results", "--scores", arg(&scores), "--notes", arg(&notes), "-o", &path("R.md")]);
    // Without a GPU, or without the feature, that is an error.
    let check = printed(&board(["gpu-check", "--json", "--size", "16x12", "--seconds", "0.01"]));
    schema::check(if check["error"].is_null() { "board-gpu-check" } else { "error" }, &check);
}

#[test]
fn bundles_and_boards() {
    let folder = Folder::new();
    folder.named_model("one", 2);
    folder.named_model("two", 3);
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.image("data/a.png", 48, 48);
    let path = |name: &str| arg(&folder.path(name)).to_owned();
    let keys = Command::new(env!("CARGO_BIN_EXE_mcir-board"))
        .args(["keygen", "--json", "-o", &path("key")])
        .env("MCIR_KEY_PASSWORD", "a password")
        .output()
        .unwrap();
    schema::check("board-keygen", &printed(&Run::of(keys)));
    let bundle = |name: &str| {
        let (model, output) = (path(&format!("{name}.mcir")), path(&format!("{name}.bundle")));
        let made = is("board-bundle", &["bundle", "-m", &model, "-o", &output, "--data", &path("data")]);
        schema::check("manifest", &made["manifest"]);
        output
    };
    let (one, two) = (bundle("one"), bundle("two"));
    let target = format!("local:{}", path("board"));
    let to = ["--target", &target];
    is("board-flash", &[&["flash", &one, "--dry-run"], &to[..]].concat());
    is("board-flash", &[&["flash", &one], &to[..]].concat());
    is("board-flash", &[&["flash", "-m", &path("two.mcir"), "--data", &path("data")], &to[..]].concat());
    let status = is("board-status", &[&["status"], &to[..]].concat());
    assert!(status["status"]["previous"].is_object(), "{status}");
    is("board-prune", &[&["prune", "--dry-run"], &to[..]].concat());
    is("board-prune", &[&["prune"], &to[..]].concat());
    is("board-rollback", &[&["rollback", "--dry-run"], &to[..]].concat());
    is("board-rollback", &[&["rollback"], &to[..]].concat());
    folder.file("flash.img", &vec![0xff; 1 << 21]);
    let on = ["--device", &path("flash.img")];
    for args in
        [&["raw", "flash", &one][..], &["raw", "flash", &two], &["raw", "status"], &["raw", "rollback"]]
    {
        is("board-raw", &[args, &on].concat());
    }
}

/// A program that ends with the test.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The answer to a request, head and body.
fn ask(host: &str, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "{head} HTTP/1.1\r\nHost: {host}\r\nX-Mcir: control\r\nConnection: close\r\n").unwrap();
    write!(stream, "Content-Length: {}\r\n\r\n", body.len()).unwrap();
    stream.write_all(body).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

fn body(answer: (String, Vec<u8>)) -> Value {
    serde_json::from_slice(&answer.1).unwrap()
}

#[test]
fn cameras_and_pages() {
    let folder = Folder::new();
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 32, 24, 4)));
    let report = camera(&folder, &["--source", &source, "--json", "-s", "2"]).output().unwrap();
    schema::check("board-camera", &printed(&Run::of(report)));
    let mut live = camera(&folder, &["--source", &source, "-s", "2", "--loop", "--http", "0"]);
    let mut live = Guard(live.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(live.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let host =
        lines.find_map(|l| Some(l.strip_prefix("live page: http://")?.trim_end_matches('/').to_owned()));
    let host = host.unwrap();
    std::thread::spawn(move || lines.for_each(drop));
    let (head, _) = ask(&host, "GET /latest.jpg", &[]);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // The status is told every now and then.
    let status = loop {
        let status = body(ask(&host, "GET /status.json", &[]));
        if !status["latency"].as_array().unwrap().is_empty() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert!(status["control"].is_object(), "{status}");
    schema::check("live-status", &status);

    let mut studio = Command::new(env!("CARGO_BIN_EXE_mcir-board"));
    studio.args(["studio", "--http", "0", "--json", "-q", "-m", arg(&folder.named_model("mine", 2))]);
    let mut studio = Guard(studio.stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(studio.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let begun: Value = serde_json::from_str(&line).unwrap();
    schema::check("board-studio", &begun);
    let host =
        begun["address"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    schema::check("studio-status", &body(ask(&host, "GET /status.json", &[])));
    schema::check("studio-progress", &body(ask(&host, "GET /progress?job=nobody", &[])));
    schema::check("studio-error", &body(ask(&host, "GET /nothing", &[])));
    schema::check("studio-error", &body(ask(&host, "POST /upscale", b"no picture")));
    let mut picture = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut picture, 30);
    support::picture(32, 24).write_with_encoder(encoder).unwrap();
    for (request, name) in [("POST /upscale?s=2", "studio-result"), ("POST /original", "studio-original")] {
        let (head, _) = ask(&host, request, &picture);
        let line = head.lines().find_map(|line| line.strip_prefix("X-Mcir-Result: ")).unwrap();
        schema::check(name, &serde_json::from_str(line).unwrap());
    }
}
