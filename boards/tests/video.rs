//! `mcir-board video`: files with sound through real ffmpeg, and the recipe of `VIDEO.md` that it stands for.

#![cfg(unix)]

mod support;

#[path = "../../tests/src/schema.rs"]
#[allow(dead_code, reason = "shared by several test programs")]
mod schema;

use std::path::Path;
use std::process::{Command, Stdio};
use support::{Folder, arg, board, skip::skip};

/// Whether ffmpeg is there.
fn has_ffmpeg() -> bool {
    let runs = |program| {
        Command::new(program).arg("-version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    let found = runs("ffmpeg") && runs("ffprobe");
    if !found {
        skip("ffmpeg is not installed");
    }
    found
}

/// Runs ffmpeg and gives what it writes to the standard output.
fn ffmpeg(args: &[&str]) -> Vec<u8> {
    let output = Command::new("ffmpeg").args(["-nostdin", "-v", "error", "-y"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A field of the first video stream.
fn field(path: &Path, name: &str) -> String {
    let entries = format!("stream={name}");
    let args =
        ["-v", "error", "-select_streams", "v:0", "-show_entries", &entries, "-of", "csv=p=0", arg(path)];
    let output = Command::new("ffprobe").args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().trim_end_matches(',').to_owned()
}

const TAGS: &str = "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709";

/// Twelve frames that move, with a tone, in colours of high definition and with pixels that are not square.
fn film(folder: &Folder, name: &str, more: &[&str]) -> std::path::PathBuf {
    let path = folder.path(name);
    let source = "testsrc2=size=48x36:rate=30000/1001,format=yuv420p,setsar=4/3";
    let sources = ["-f", "lavfi", "-i", source, "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"];
    let filter = ["-vf", TAGS, "-frames:v", "12", "-t", "0.4", "-c:a", "aac", "-metadata", "title=A film"];
    ffmpeg(&[&sources[..], &filter, more, &[arg(&path)]].concat());
    path
}

#[test]
fn a_film_is_enlarged_and_keeps_its_sound_its_rate_and_its_colours() {
    if !has_ffmpeg() {
        return;
    }
    let folder = Folder::new();
    let (input, output) = (film(&folder, "in.mkv", &["-c:v", "ffv1"]), folder.path("out.mkv"));
    let enlarge = [
        "video",
        "-i",
        arg(&input),
        "-o",
        arg(&output),
        "-m",
        "edsr-edge-x2",
        "--encode",
        "-c:v ffv1",
        "-j",
        "1",
    ];
    let run = board(enlarge).succeeds();
    assert!(run.stdout().contains("12 frames of 96x72 pixels, with its sound"), "{}", run.stdout());
    for (name, expected) in [
        ("width", "96"),
        ("height", "72"),
        ("r_frame_rate", "30000/1001"),
        ("sample_aspect_ratio", "4:3"),
        ("color_space", "bt709"),
        ("color_transfer", "bt709"),
        ("color_primaries", "bt709"),
        ("color_range", "tv"),
    ] {
        assert_eq!(field(&output, name), expected, "{name}");
    }
    let sound = |path: &Path| ffmpeg(&["-i", arg(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]);
    assert_eq!(sound(&output), sound(&input), "the sound is copied to the bit");
    let title = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format_tags=title", "-of", "csv=p=0", arg(&output)])
        .output();
    assert_eq!(String::from_utf8(title.unwrap().stdout).unwrap().trim(), "A film");

    // What the recipe says by hand gives the same frames.
    let program = env!("CARGO_BIN_EXE_mcir-board");
    let (raw, script) = (
        folder.path("raw.y4m"),
        "\
        ffmpeg -nostdin -v error -i \"$1\" -vf setpts=PTS-STARTPTS -f yuv4mpegpipe -pix_fmt yuv420p - | \
        \"$0\" camera -q --source - --matrix 709 -m edsr-edge-x2 -j 1 -o - >\"$2\"",
    );
    let shell = Command::new("sh").args(["-c", script, program, arg(&input), arg(&raw)]).status().unwrap();
    assert!(shell.success());
    let frames = |path: &Path| {
        ffmpeg(&[
            "-i",
            arg(path),
            "-map",
            "0:v",
            "-vf",
            "setpts=PTS-STARTPTS",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "yuv420p",
            "-",
        ])
    };
    let (by_verb, by_hand) = (frames(&output), frames(&raw));
    assert_eq!(by_verb.len(), 12 * 96 * 72 * 3 / 2);
    assert!(by_verb == by_hand, "the frames differ");
    // Nothing else is left behind.
    assert_eq!(folder.names(), ["in.mkv", "out.mkv", "raw.y4m"]);

    let json = board(enlarge.iter().chain(&["--json", "--frames", "5"])).succeeds().json();
    assert_eq!((&json["frames"], &json["width"], &json["sounds"]), (&5.into(), &96.into(), &1.into()));
    assert_eq!(json["model"], "edsr-edge-x2");
    schema::check("board-video", &json);
}

#[test]
fn what_cannot_be_enlarged_is_refused_with_the_reason() {
    if !has_ffmpeg() {
        return;
    }
    let folder = Folder::new();
    let output = folder.path("out.mkv");
    let enlarge = |input: &Path, more: &[&str]| {
        let encode: &[&str] = if more.contains(&"--encode") { &[] } else { &["--encode", "-c:v ffv1"] };
        let args = ["video", "-i", arg(input), "-o", arg(&output), "-m", "edsr-edge-x2", "-j", "1"];
        board([&args[..], encode, more].concat())
    };
    let hdr = ["-c:v", "ffv1", "-color_trc", "smpte2084"];
    let hdr = film(
        &folder,
        "hdr.mkv",
        &[&hdr[..], &["-vf", "setparams=color_trc=smpte2084:colorspace=bt2020nc"]].concat(),
    );
    enlarge(&hdr, &[]).fails(1, &["is HDR (PQ)", "tonemap"]);
    let fields = film(&folder, "fields.mkv", &["-c:v", "ffv1", "-vf", "setfield=tff", "-field_order", "tt"]);
    enlarge(&fields, &[]).fails(1, &["fields.mkv is interlaced", "--deinterlace"]);
    enlarge(&fields, &["--deinterlace"]).succeeds();
    assert_eq!(field(&output, "height"), "72");
    let deep = film(&folder, "deep.mkv", &["-c:v", "ffv1", "-pix_fmt", "yuv420p10le"]);
    let run = enlarge(&deep, &[]).succeeds();
    assert!(run.stderr().contains("has 10 bits a sample; 8 are left"), "{}", run.stderr());

    let text = folder.file("text.mkv", b"no film at all");
    enlarge(&text, &[]).fails(1, &["text.mkv cannot be read as a video"]);
    enlarge(&folder.path("gone.mkv"), &[]).fails(1, &["gone.mkv does not exist"]);
    let tone = folder.path("tone.mka");
    ffmpeg(&["-f", "lavfi", "-i", "sine=duration=0.1", arg(&tone)]);
    enlarge(&tone, &[]).fails(1, &["tone.mka has no video"]);
    enlarge(&deep, &["--encode", "-c:v nonsense"]).fails(1, &["writing the video failed", "nonsense"]);
    enlarge(&deep, &["--encode", "-c:v 'ffv1"]).fails(2, &["quotation mark"]);
    board(["video", "-i", arg(&deep), "-o", arg(&deep)]).fails(2, &["is the input itself"]);
    board(["video", "-i", arg(&deep), "-o", arg(&folder.path("film"))])
        .fails(2, &["extension of a video format"]);
    // A failure leaves what was there, and nothing else.
    assert_eq!(field(&output, "height"), "72");
    assert!(folder.names().iter().all(|name| !name.contains("part")), "{:?}", folder.names());
}

#[test]
fn without_ffmpeg_it_is_named() {
    let folder = Folder::new();
    let input = folder.file("in.mp4", b"x");
    let run = Command::new(env!("CARGO_BIN_EXE_mcir-board"))
        .args(["video", "-i", arg(&input), "-o", arg(&folder.path("out.mp4"))])
        .env("PATH", arg(&folder.path("")))
        .output();
    support::Run::of(run.unwrap()).fails(1, &["ffprobe is not installed", "apt install ffmpeg"]);
}
