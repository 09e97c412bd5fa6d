//! `mcir-board camera`: every kind of source, every kind of output, and everything that can be wrong.

#![cfg(unix)]

mod support;

#[path = "support/camera.rs"]
mod helpers;

use helpers::{Guard, counts, header_and_frames, piped, run, wait, yuv};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Folder, arg, board, camera, y4m};

#[test]
fn a_y4m_file_becomes_a_larger_one() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 48, 20, 7)));
    let output = folder.path("out.y4m");
    let base = ["--source", &source, "-m", arg(&model)];
    let json = run(&folder, &[&base[..], &["-o", arg(&output), "--json"]].concat()).succeeds();
    counts(&json, [7, 7, 0]);
    assert_eq!(json.json()["size"], serde_json::json!([48, 20]));
    let stages: Vec<_> =
        json.json()["latency"].as_array().unwrap().iter().map(|l| l["stage"].clone()).collect();
    assert_eq!(stages, ["capture", "queue", "convert", "infer", "encode", "total"]);
    let written = std::fs::read(&output).unwrap();
    let (header, frames) = header_and_frames(&written);
    assert!(header.contains("W96 H40 F50:1"), "{header}");
    assert_eq!(frames, 7);

    let stdout = run(&folder, &[&base[..], &["-o", "-"]].concat()).succeeds();
    assert_eq!(stdout.bytes(), written, "the standard output gets the same");
    assert!(stdout.stderr().contains("7 frames came, 7 left, 0 were dropped"), "{}", stdout.stderr());
    let threads = run(&folder, &[&base[..], &["-o", "-", "-j", "3", "--isa", "scalar"]].concat()).succeeds();
    assert_eq!(threads.bytes(), written, "threads and instruction sets change nothing");
    let three = run(&folder, &[&base[..], &["-o", "-", "--frames", "3"]].concat()).succeeds();
    assert_eq!(header_and_frames(three.bytes()).1, 3);
    let looped = run(&folder, &[&base[..], &["-o", "-", "--frames", "16", "--loop"]].concat()).succeeds();
    assert_eq!(header_and_frames(looped.bytes()).1, 16);
    let luma = run(&folder, &[&base[..], &["-o", "-", "--mode", "y"]].concat()).succeeds();
    assert_eq!(luma.bytes().len(), written.len());
    assert_ne!(luma.bytes(), written);
}

#[test]
fn a_folder_gives_the_pixels_of_upscale() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    std::fs::create_dir(folder.path("in")).unwrap();
    for (name, width) in [("in/a.png", 31), ("in/b.png", 40)] {
        folder.image(name, width, 24);
    }
    let source = format!("dir:{}", arg(&folder.path("in")));
    run(&folder, &["--source", &source, "-m", arg(&model), "-o", arg(&folder.path("out"))]).succeeds();
    let upscaled = folder.path("upscaled");
    board(["upscale", "-i", arg(&folder.path("in")), "-o", arg(&upscaled), "-m", arg(&model)]).succeeds();
    for (frame, name) in [("frame-000001.png", "a.png"), ("frame-000002.png", "b.png")] {
        let open = |path| image::open(path).unwrap().into_rgb8();
        assert!(open(folder.path("out").join(frame)) == open(upscaled.join(name)), "{frame}");
    }
}

#[test]
fn the_standard_input_takes_y4m_and_jpeg() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let args = ["--source", "-", "-m", arg(&model), "--json"];
    counts(&piped(&folder, &args, y4m(16, 16, 5)).succeeds(), [5, 5, 0]);

    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
    support::picture(24, 16).write_with_encoder(encoder).unwrap();
    counts(&piped(&folder, &args, jpeg.repeat(4)).succeeds(), [4, 4, 0]);

    // One damaged image among good ones is counted and left out.
    let mut damaged = jpeg.clone();
    let scan = damaged.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    damaged[scan + 4] = 77;
    let run = piped(&folder, &args, [&jpeg[..], &damaged, &jpeg].concat()).succeeds();
    counts(&run, [3, 2, 0]);
    assert_eq!(run.json()["frames"]["broken"], 1);
    assert!(run.stderr().contains("a frame is left out"), "{}", run.stderr());
    piped(&folder, &args, damaged).fails(1, &["the standard input cannot be read as JPEG"]);
}

#[test]
fn a_raspberry_pi_camera_is_a_pipe() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    folder.script("rpicam-vid", &yuv(9, "exec sleep 60"));
    let base = ["-m", arg(&model), "--size", "64x4", "--drop", "never", "--json"];
    let source = ["--source", "rpicam:--camera 1 --roi '0,0,1,1'", "--frames", "3", "--fps", "25"];
    let run_ = run(&folder, &[&base[..], &source].concat()).succeeds();
    assert_eq!(run_.json()["frames"]["output"], 3);
    let args = std::fs::read_to_string(folder.path("args")).unwrap();
    for part in [
        "--codec yuv420",
        "--width 64 --height 4",
        "--framerate 25",
        "--output -",
        "--camera 1 --roi 0,0,1,1",
    ] {
        assert!(args.contains(part), "`{part}` is not in {args}");
    }

    // Older systems call it by another name.
    std::fs::rename(folder.path("rpicam-vid"), folder.path("libcamera-vid")).unwrap();
    run(&folder, &[&base[..], &["--source", "rpicam:", "--frames", "2"]].concat()).succeeds();
    std::fs::remove_file(folder.path("libcamera-vid")).unwrap();
    run(&folder, &[&base[..], &["--source", "rpicam:"]].concat())
        .fails(1, &["rpicam-vid or libcamera-vid is not installed", "apt install rpicam-apps"]);

    for (message, help) in [
        ("ERROR: *** no cameras available ***", "check the ribbon cable"),
        ("failed to acquire camera: Device or resource busy", "another program uses the camera"),
    ] {
        folder.script("rpicam-vid", &format!("echo '{message}' >&2; exit 255"));
        run(&folder, &[&base[..], &["--source", "rpicam:"]].concat())
            .fails(1, &["rpicam-vid ended after 0 frames", "255", message, help]);
    }
    for (size, why) in [("100x4", "multiple of 64"), ("64x5", "height must be even")] {
        run(&folder, &["--source", "rpicam:", "--size", size]).fails(2, &[why, "--size 640x360"]);
    }
}

#[test]
fn a_camera_that_goes_away_is_looked_for() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    // It ends after two frames, with half a third one.
    folder.script("rpicam-vid", &yuv(2, "head -c 100 /dev/zero; echo 'cable?' >&2; sleep 0.2; exit 3"));
    let run = run(
        &folder,
        &[
            "--source",
            "rpicam:",
            "-m",
            arg(&model),
            "--size",
            "64x4",
            "--frames",
            "5",
            "--json",
            "--drop",
            "never",
        ],
    )
    .succeeds();
    let json = run.json();
    assert_eq!(json["frames"]["output"], 5);
    assert_eq!(json["reconnects"], 2, "{json:#}");
    let messages = run.stderr();
    for part in ["ended after 2 frames", "cable?", "looking for the camera again", "rpicam-vid is back"] {
        assert!(messages.contains(part), "`{part}` is not in {messages}");
    }
}

#[test]
fn gstreamer_s_chatter_does_not_get_between_the_frames() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    folder.y4m("frames", 16, 8, 4);
    let script = "echo \"$@\" > \"$(dirname \"$0\")/args\"; echo 'GST_ARGUS: Creating output stream'; \
                  cat \"$(dirname \"$0\")/frames\" >&3; exec sleep 60";
    folder.script("gst-launch-1.0", script);
    let base = ["-m", arg(&model), "--frames", "4", "--drop", "never", "--json"];
    let pipeline = "gst:nvarguscamerasrc ! 'video/x-raw(memory:NVMM), width=1280' ! nvvidconv";
    let run_ = run(&folder, &[&["--source", pipeline], &base[..]].concat()).succeeds();
    counts(&run_, [4, 4, 0]);
    let args = std::fs::read_to_string(folder.path("args")).unwrap();
    let end = "nvvidconv ! videoconvert ! video/x-raw,format=I420 ! y4menc ! fdsink fd=3";
    assert!(args.starts_with("-q nvarguscamerasrc ! video/x-raw(memory:NVMM), width=1280 !"), "{args}");
    assert!(args.trim().ends_with(end), "{args}");
    run(&folder, &[&["--source", "gst:v4l2src ! nvjpegenc"], &base[..]].concat()).succeeds();
    let args = std::fs::read_to_string(folder.path("args")).unwrap();
    assert_eq!(args.trim(), "-q v4l2src ! nvjpegenc ! fdsink fd=3");

    folder.script("gst-launch-1.0", "echo 'WARNING: erroneous pipeline: no element \"nosuch\"' >&2; exit 1");
    run(&folder, &[&["--source", "gst:nosuch"], &base[..]].concat())
        .fails(1, &["gst-launch-1.0 ended after 0 frames", "no element \"nosuch\"", "gst-inspect-1.0"]);
    run(&folder, &["--source", "gst:a ! 'b"]).fails(2, &["there is no source `gst:a ! 'b`"]);
}

#[test]
fn a_slow_board_drops_frames_and_counts_them() {
    let folder = Folder::new();
    // 200 frames at 50 a second; the model has far more to do than that.
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 160, 120, 40)));
    let args = ["--source", &source, "-j", "1", "--isa", "scalar", "-m", "edsr-edge-x4.f32", "--queue", "1"];
    let run = run(&folder, &[&args[..], &["--pace", "realtime", "--json"]].concat()).succeeds();
    let json = run.json();
    let count = |name: &str| json["frames"][name].as_u64().unwrap();
    assert_eq!(count("captured"), 40);
    assert!(count("dropped") > 0 && count("output") > 0, "{json:#}");
    assert_eq!(count("output") + count("dropped"), 40, "{json:#}");
}

#[test]
fn a_service_is_announced_watched_and_stopped() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    folder.script("rpicam-vid", &yuv(3, "exec sleep 600"));
    let socket = std::os::unix::net::UnixDatagram::bind(folder.path("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let output = folder.path("out.y4m");
    let mut command = camera(
        &folder,
        &["--source", "rpicam:", "-m", arg(&model), "--size", "64x4", "-o", arg(&output), "--drop", "never"],
    );
    command
        .env("NOTIFY_SOCKET", folder.path("notify"))
        .env("WATCHDOG_USEC", "400000")
        .env_remove("WATCHDOG_PID");
    let mut child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut heard = String::new();
    let mut listen_for = |part: &str| {
        while !heard.contains(part) {
            let mut buffer = [0; 500];
            let n = socket.recv(&mut buffer).expect("the service speaks");
            heard += std::str::from_utf8(&buffer[..n]).unwrap();
        }
        heard.clear();
    };
    listen_for("READY=1");
    listen_for("WATCHDOG=1");
    assert!(!output.exists(), "half a file has no name");
    // The camera waits for ever; the signal ends it all the same.
    Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    listen_for("STOPPING=1");
    assert_eq!(wait(&mut child.0), Some(0));
    let mut report = String::new();
    child.0.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(report.contains("3 frames came"), "{report}");
    assert_eq!(header_and_frames(&std::fs::read(&output).unwrap()).1, 3);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 64, 48, 3)));
    let mut command = camera(&folder, &["--source", &source, "-m", arg(&model), "-o", "-", "--loop"]);
    let mut child = Guard(command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let mut start = [0; 10_000];
    child.0.stdout.take().unwrap().read_exact(&mut start).unwrap();
    assert_eq!(wait(&mut child.0), Some(0));
}

#[test]
fn wrong_sources_and_streams() {
    let folder = Folder::new();
    let fails = |source: &str, code: i32, parts: &[&str]| {
        run(&folder, &["--source", source]).fails(code, parts);
    };
    for source in ["webcam", "file:", "dir:", "gst:", "http://camera"] {
        fails(source, 2, &[&format!("there is no source `{source}`"), "v4l2:/dev/video0"]);
    }
    fails("file:/no/such.y4m", 1, &["/no/such.y4m does not exist"]);
    fails("dir:/no/such", 1, &["/no/such does not exist"]);
    let file = |name: &str, bytes: &[u8]| format!("file:{}", arg(&folder.file(name, bytes)));
    fails(&file("empty.y4m", b""), 1, &["empty.y4m is empty"]);
    fails(
        &file("text.y4m", b"hello there"),
        1,
        &["neither y4m nor JPEG", "`hello there`", "ffmpeg -i VIDEO"],
    );
    fails(
        &file("deep.y4m", b"YUV4MPEG2 W8 H8 C440p10\n"),
        1,
        &["colour format is `440p10`", "-pix_fmt yuv420p"],
    );
    fails(&file("none.y4m", b"YUV4MPEG2 W8 H8\n"), 1, &["none.y4m is empty"]);
    fails(&file("huge.y4m", b"YUV4MPEG2 W16000 H16000\nFRAME\n"), 1, &["16000x16000"]);
    let cut = &y4m(16, 16, 3)[..900];
    fails(&file("cut.y4m", cut), 1, &["cut.y4m", "it ends within frame 2", "of 384 bytes"]);
    piped(&folder, &["--source", "-"], Vec::new()).fails(1, &["the standard input is empty"]);
    // What was recorded before is not replaced by a recording of nothing.
    let out = folder.file("out.y4m", b"earlier");
    for source in [file("text.y4m", b"hello there"), file("short.y4m", &y4m(16, 16, 1)[..99])] {
        run(&folder, &["--source", &source, "-o", arg(&out)]).fails(1, &["y4m"]);
        assert_eq!(std::fs::read(&out).unwrap(), b"earlier");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn wrong_cameras_and_pins() {
    let folder = Folder::new();
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 16, 16, 2)));
    run(&folder, &["--source", "v4l2:/dev/video987"])
        .fails(1, &["there is no camera /dev/video987", "v4l2-ctl --list-devices", "--source rpicam:"]);
    run(&folder, &["--source", "v4l2:/dev/null"]).fails(1, &["/dev/null is not a camera"]);
    run(&folder, &["--source", "v4l2:/tmp"]).fails(1, &["/tmp is not a camera"]);
    run(&folder, &["--source", &source, "--led", "gpiochip987:4"])
        .fails(1, &["there is no GPIO chip /dev/gpiochip987", "gpiodetect"]);
    run(&folder, &["--source", &source, "--led", "/dev/null:4"]).fails(1, &["/dev/null is not a GPIO chip"]);
    run(&folder, &["--source", &source, "--led", "27"]).fails(2, &["`27` is not a GPIO line", "gpioinfo"]);
    let limits = ["--source", &source, "--fan", "gpiochip987:4", "--fan-on", "50", "--fan-off", "60"];
    run(&folder, &limits).fails(2, &["off must be lower", "--fan-on 65 --fan-off 55"]);
}

#[test]
fn wrong_outputs() {
    let folder = Folder::new();
    let source = format!("file:{}", arg(&folder.y4m("in.y4m", 16, 16, 2)));
    let fails = |args: &[&str], code: i32, parts: &[&str]| {
        run(&folder, &[&["--source", &source], args].concat()).fails(code, parts);
    };
    fails(&["-o", "-", "--json"], 2, &["both need the standard output"]);
    fails(&["-o", "x.mp4"], 2, &["x.mp4 is neither a y4m file nor a folder", ".y4m"]);
    fails(&["-o", "/no/such/out.y4m"], 1, &["/no/such/out.y4m"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    fails(&["--http", &port], 1, &[&format!("127.0.0.1:{port} is in use"), &format!("sport = :{port}")]);
    fails(&["--http", "203.0.113.7:8080"], 1, &["cannot listen on 203.0.113.7:8080", "ip addr"]);

    // Frames of another size cannot follow in a y4m stream.
    std::fs::create_dir(folder.path("in")).unwrap();
    folder.image("in/a.png", 16, 16);
    folder.image("in/b.png", 20, 16);
    let source = format!("dir:{}", arg(&folder.path("in")));
    run(&folder, &["--source", &source, "-o", arg(&folder.path("out.y4m"))])
        .fails(1, &["changed from 64x64 to 80x64"]);
    assert_eq!(header_and_frames(&std::fs::read(folder.path("out.y4m")).unwrap()).1, 1);
}

#[test]
fn multipart_streams_and_damaged_frames_in_them() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let args = ["--source", "-", "-m", arg(&model), "--json"];
    let mut jpeg = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut jpeg);
    support::picture(64, 48).write_with_encoder(encoder).unwrap();
    let part = [b"--b\r\nContent-Type: image/jpeg\r\n\r\n", &jpeg[..], b"\r\n"].concat();
    counts(&piped(&folder, &args, part.repeat(3)).succeeds(), [3, 3, 0]);
    let cut = &jpeg[..jpeg.len() * 2 / 3];
    let ended = [cut, &[0xff, 0xd9]].concat();
    let run = piped(&folder, &args, [&jpeg[..], cut, &jpeg, &ended, &jpeg].concat()).succeeds();
    counts(&run, [5, 3, 0]);
    assert_eq!(run.json()["frames"]["broken"], 2);
}

#[test]
fn what_a_y4m_stream_says_is_kept_and_what_tools_add_is_skipped() {
    let folder = Folder::new();
    let model = folder.model("m", 2);
    let args = ["--source", "-", "-m", arg(&model), "-o", "-"];
    let frame = [&b"FRAME\n"[..], &[100; 6 * 4]].concat();
    let stream = [&b"YUV4MPEG2 W4 H2 F25:1 Ip A16:15 XYSCSS=444\n"[..], &frame, &frame, b"\n"].concat();
    let run = piped(&folder, &args, stream).succeeds();
    let (header, frames) = header_and_frames(run.bytes());
    assert!(header.contains(" F25:1 ") && header.contains(" A16:15 ") && frames == 2, "{header}");
    assert!(run.stderr().contains("blank bytes"), "{}", run.stderr());
    let stream = [&b"YUV4MPEG2 W4 H2 C420p10\nFRAME\n"[..], &[0, 2].repeat(12)].concat();
    let run = piped(&folder, &args, stream).succeeds();
    assert!(run.stderr().contains("10 bits a sample") && header_and_frames(run.bytes()).1 == 1);
}

/// Reads a page of a running program under a name.
fn get(address: &str, path: &str, host: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn passwords_and_names_of_the_live_page() {
    use std::io::BufRead;
    let folder = Folder::new();
    let model = folder.model("m", 2);
    folder.y4m("frames", 16, 8, 2);
    let script =
        "cat \"$(dirname \"$0\")/frames\" >&3; sleep 1; echo 'cannot open rtsp://u:geheim@cam' >&2; exit 1";
    folder.script("gst-launch-1.0", script);
    let source = "gst:rtspsrc location=rtsp://u:geheim@cam user-pw=geheim ! decodebin";
    let args =
        ["--source", source, "-m", arg(&model), "--http", "0", "--http-allow-host", "pi.fritz.box", "-v"];
    let mut child =
        Guard(camera(&folder, &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut lines = std::io::BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.by_ref().find_map(|l| Some(l.strip_prefix("live page: http://")?.replace('/', "")));
    let address = address.unwrap();
    let status = get(&address, "/status.json", "localhost");
    assert!(status.contains("rtsp://u:***@cam user-pw=***"), "{status}");
    // After it has gone away, for a reason that it tells with its password.
    let log = lines.by_ref().take_while(|l| !l.contains("looking for")).collect::<Vec<_>>().join("\n");
    let problem = get(&address, "/status.json", "pi.fritz.box:80");
    assert!(
        problem.starts_with("HTTP/1.1 200") && !format!("{log}{problem}").contains("geheim"),
        "{log}\n{problem}"
    );
    let refused = get(&address, "/status.json", "other.fritz.box");
    assert!(
        refused.starts_with("HTTP/1.1 421") && refused.contains("--http-allow-host other.fritz.box"),
        "{refused}"
    );
    assert!(get(&address, "/", "x.0.8.e.f.ip6.arpa").starts_with("HTTP/1.1 421"));
    Command::new("kill").args(["-TERM", &child.0.id().to_string()]).status().unwrap();
    wait(&mut child.0);
    let mut report = lines.collect::<Vec<_>>().join("\n");
    child.0.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(!report.contains("geheim"), "{report}");
}
