//! The studio: what it makes has the bytes of `mcir-board upscale`, and what strangers send is refused in words.

#![cfg(unix)]

mod support;

use image::ImageEncoder;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, arg, board};

/// A running program and where it listens.
struct Studio(Child, String);

impl Studio {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-board"));
        command.args(["studio", "--http", "0"]).args(args).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let page =
            lines.by_ref().map_while(Result::ok).find_map(|l| Some(l.strip_prefix("studio: ")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let page = page.expect("the program tells where its page is");
        Self(child, page.trim_start_matches("http://").trim_end_matches('/').to_owned())
    }

    /// What it says to these bytes, head and body.
    fn say(&self, head: &str, body: &[u8]) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(&self.1).unwrap();
        // It may answer before it has everything.
        let _ = write!(stream, "{head}\r\nConnection: close\r\n\r\n").and_then(|()| stream.write_all(body));
        heard(&mut stream)
    }

    fn get(&self, path: &str) -> (String, Vec<u8>) {
        self.say(&format!("GET {path} HTTP/1.1\r\nHost: {}", self.1), &[])
    }

    fn post(&self, path: &str, body: &[u8]) -> (String, Vec<u8>) {
        self.say(&self.head(path, body.len()), body)
    }

    fn head(&self, path: &str, length: usize) -> String {
        let host = &self.1;
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nX-Mcir: control\r\nContent-Length: {length}")
    }

    /// That a picture is refused with this code and a message with these parts.
    #[track_caller]
    fn refuses(&self, (head, body): (String, Vec<u8>), code: u16, parts: &[&str]) {
        assert!(head.starts_with(&format!("HTTP/1.1 {code} ")), "{head}{}", String::from_utf8_lossy(&body));
        assert!(head.contains("application/json"), "{head}");
        let json: Value = serde_json::from_slice(&body).unwrap();
        let message = json["error"]["message"].as_str().unwrap();
        assert!(json["schema"] == 1 && !json["error"]["help"].as_str().unwrap().is_empty(), "{json}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn heard(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
}

/// What the answer tells about the result.
fn told(head: &str) -> Value {
    let line = head.lines().find_map(|line| line.strip_prefix("X-Mcir-Result: ")).unwrap();
    serde_json::from_str(line).unwrap()
}

fn jpeg(folder: &Folder, name: &str, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    support::picture(48, 40).write_with_encoder(encoder).unwrap();
    folder.file(name, &bytes);
    bytes
}

#[test]
fn results_are_the_bytes_of_upscale() {
    let folder = Folder::new();
    let model = folder.named_model("mine", 2);
    let studio = Studio::start(&["-m", arg(&model)]);
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/picture");
    jpeg(&folder, "coarse.jpg", 30);
    jpeg(&folder, "fine.jpg", 95);
    let seed = |name: &str| {
        folder.file(name, &std::fs::read(seeds.join(name)).unwrap());
    };
    // Opacity, colour profile with orientation, 16 bits, grey, a palette, and a format that only the name tells.
    let names = [
        "alpha.webp",
        "icc-exif.png",
        "rgb16.png",
        "grey-alpha.png",
        "palette.png",
        "rgb.tga",
        "deflate.tiff",
    ];
    names.iter().for_each(|name| seed(name));
    let check = |name: &str, query: &str, args: &[&str]| {
        let input = folder.path(name);
        let output = folder.path("out.png");
        board([&["upscale", "-q", "-i", arg(&input), "-o", arg(&output)], args].concat()).succeeds();
        let (head, bytes) =
            studio.post(&format!("/upscale?{query}&name={name}"), &std::fs::read(&input).unwrap());
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("image/png"), "{name}: {head}");
        assert!(bytes == std::fs::read(&output).unwrap(), "{name}, {query}");
        told(&head)
    };
    for name in names {
        let told = check(name, "s=2", &["-s", "2"]);
        assert_eq!((told["model"].as_str(), &told["why"]), (Some("edsr-edge-x2"), &Value::Null), "{name}");
    }
    // The picture decides, and it is told why.
    let told = check("coarse.jpg", "", &[]);
    assert_eq!((&told["why"]["jpeg_quality"], &told["upscale"]), (&Value::from(30), &Value::from(4)));
    assert_eq!(told["why"]["camera"], told["model"]);
    assert_eq!(told["model"], "edsr-edge-x4-camera-75");
    assert_eq!(check("fine.jpg", "s=2", &["-s", "2"])["model"], "edsr-edge-x2");
    let told =
        check("coarse.jpg", "model=edsr-edge-x2&strength=25", &["-m", "edsr-edge-x2", "--strength", "0.25"]);
    assert_eq!(told["model"], "edsr-edge-x2-camera-25");
    assert_eq!(check("coarse.jpg", "model=mine", &["-m", arg(&model)])["model"], "mine");
    assert_eq!(check("rgb16.png", "s=2", &["-s", "2"])["notes"].as_array().unwrap().len(), 1);

    // What the page offers is what the program has.
    let status: Value = serde_json::from_slice(&studio.get("/status.json").1).unwrap();
    assert_eq!(
        (&status["model"], &status["automatic"]),
        (&Value::from("mine"), &serde_json::json!([2, 3, 4]))
    );
    let choices = status["choices"].as_array().unwrap();
    assert!(choices[0]["own"] == true && choices.len() > 4, "{choices:?}");
    // The original, upright, for browsers that do not know the format.
    let (head, bytes) =
        studio.post("/original?name=rgb.tga", &std::fs::read(folder.path("rgb.tga")).unwrap());
    let (decoded, known) =
        (image::load_from_memory(&bytes).unwrap(), image::open(folder.path("rgb.tga")).unwrap());
    assert!(head.starts_with("HTTP/1.1 200 ") && decoded.to_rgba8() == known.to_rgba8());
}

/// A PNG file that promises so many pixels.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::png::PngEncoder::new(&mut bytes)
        .write_image(&[0; 3], 1, 1, image::ExtendedColorType::Rgb8)
        .unwrap();
    bytes[16..20].copy_from_slice(&width.to_be_bytes());
    bytes[20..24].copy_from_slice(&height.to_be_bytes());
    let crc = crc32fast::hash(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn what_strangers_send_is_refused_in_words() {
    let folder = Folder::new();
    let studio = Studio::start(&[]);
    let picture = std::fs::read(folder.image("a.png", 24, 16)).unwrap();
    let refuses = |answer, code, parts: &[&str]| studio.refuses(answer, code, parts);
    let host = &studio.1;

    refuses(
        studio.post("/upscale?name=a.txt", b"no picture at all"),
        422,
        &["a.txt cannot be read as an image"],
    );
    refuses(studio.post("/upscale?name=a.png", b""), 422, &["a.png is empty"]);
    refuses(studio.post("/upscale", &picture[..picture.len() / 2]), 422, &["the picture cannot be read"]);
    let escape = studio.post("/upscale?name=%1b%5b2Ja.png", b"x");
    refuses(escape, 422, &["\\x1b[2Ja.png"]);
    for (width, height) in [(60_000, 60_000), (2_000_000, 1), (u32::MAX >> 1, u32::MAX >> 1)] {
        let answer = studio.post("/upscale?name=bomb.png", &bomb(width, height));
        assert!(answer.0.starts_with("HTTP/1.1 4"), "{}", answer.0);
        refuses(answer.clone(), answer.0[9..12].parse().unwrap(), &["bomb.png"]);
    }
    refuses(
        studio.post("/upscale", &bomb(60_000, 60_000)),
        413,
        &["60000x60000 pixels", "the limit is 268435456"],
    );
    // Refused before it is sent.
    let large = mcir_boards::studio::MAX_BODY as usize + 1;
    refuses(studio.say(&studio.head("/upscale", large), &[0; 5000]), 413, &["the limit is 268435456"]);
    let chunked =
        format!("POST /upscale HTTP/1.1\r\nHost: {host}\r\nX-Mcir: control\r\nTransfer-Encoding: chunked");
    refuses(studio.say(&chunked, b"5\r\nhello\r\n0\r\n\r\n"), 411, &["needs its length"]);

    // What is not on the menu, paths among it.
    refuses(studio.post("/upscale?model=/etc/passwd", &picture), 400, &["/etc/passwd"]);
    refuses(studio.post("/upscale?model=edsr-edge-x2&s=4", &picture), 400, &["upscales by 2"]);
    refuses(studio.post("/upscale?s=7", &picture), 400, &["no model for the factor 7"]);
    refuses(studio.post("/upscale?strength=101", &picture), 400, &["from 0 to 100"]);
    refuses(studio.post("/upscale?job=a%20b", &picture), 400, &["a job is named"]);
    refuses(studio.get("/upscale"), 405, &["posted"]);
    refuses(studio.get("/../etc/passwd"), 404, &["there are /"]);

    // Other sites: by their name, without the mark, with it and their own origin; and through a proxy on this machine.
    let length = picture.len();
    let post = |lines: &str| {
        studio.say(&format!("POST /upscale HTTP/1.1\r\nContent-Length: {length}\r\n{lines}"), &picture)
    };
    refuses(post("Host: evil.example\r\nX-Mcir: control"), 421, &["not called evil.example"]);
    refuses(post(&format!("Host: {host}")), 403, &["X-Mcir"]);
    refuses(
        post(&format!("Host: {host}\r\nX-Mcir: control\r\nOrigin: http://evil.example")),
        403,
        &["this machine alone"],
    );
    refuses(
        post(&format!("Host: {host}\r\nX-Mcir: control\r\nOrigin: http://127.0.0.1:1")),
        403,
        &["a page of http://127.0.0.1:1, which is not this one"],
    );
    refuses(
        post(&format!("Host: {host}\r\nX-Mcir: control\r\nSec-Fetch-Site: cross-site")),
        403,
        &["another site"],
    );
    let proxied = format!("Host: {host}\r\nX-Mcir: control\r\nX-Forwarded-For: 203.0.113.7");
    refuses(post(&proxied), 403, &["this machine alone"]);
    let (head, _) =
        studio.say(&format!("OPTIONS /upscale HTTP/1.1\r\nHost: {host}\r\nOrigin: http://evil.example"), &[]);
    assert!(head.starts_with("HTTP/1.1 405") && !head.contains("Access-Control"), "{head}");

    // A body that ends too soon costs nobody else anything.
    for _ in 0..2 * mcir_boards::studio::SEATS {
        let mut stream = TcpStream::connect(host).unwrap();
        write!(stream, "{}\r\n\r\nabc", studio.head("/upscale?job=cut", 10)).unwrap();
        drop(stream);
    }
    let own =
        format!("Host: {host}\r\nX-Mcir: control\r\nOrigin: http://{host}\r\nSec-Fetch-Site: same-origin");
    // Places and seats come free as their ends are noticed; who has no place may find the connection closed.
    let start = Instant::now();
    while std::thread::scope(|scope| scope.spawn(|| post(&own)).join())
        .map_or(true, |(head, _)| head.starts_with("HTTP/1.1 503"))
    {
        assert!(start.elapsed() < Duration::from_secs(60), "no place comes free");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (head, bytes) = post(&own);
    assert!(head.starts_with("HTTP/1.1 200") && bytes.starts_with(b"\x89PNG"), "{head}");
}

#[test]
fn pictures_wait_for_each_other_and_not_for_those_whose_client_has_gone() {
    let folder = Folder::new();
    let studio = Studio::start(&["--http-per-address", "32"]);
    let small = std::fs::read(folder.image("small.png", 16, 12)).unwrap();
    let progress = |job: &str| {
        let (_, body) = studio.get(&format!("/progress?job={job}"));
        serde_json::from_slice::<Value>(&body).unwrap()["progress"].take()
    };
    let until = |job: &str, wanted: &dyn Fn(&Value) -> bool| {
        let start = Instant::now();
        loop {
            let found = progress(job);
            if wanted(&found) {
                return;
            }
            assert!(start.elapsed() < Duration::from_secs(120), "{job}: {found}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // All seats, by clients that send half of their picture.
    let mut waiting: Vec<_> = (0..mcir_boards::studio::SEATS)
        .map(|n| {
            let mut stream = TcpStream::connect(&studio.1).unwrap();
            let head = studio.head(&format!("/upscale?s=2&job=n{n}"), small.len());
            write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
            stream.write_all(&small[..small.len() / 2]).unwrap();
            let half = (small.len() / 2) as u64;
            until(&format!("n{n}"), &|p| {
                p["stage"] == "receiving" && p["done"] == half && p["of"] == small.len()
            });
            stream
        })
        .collect();
    let (head, body) = studio.post("/upscale", &small);
    assert!(head.contains("Retry-After: "), "{head}");
    studio.refuses((head, body), 503, &["too many pictures"]);
    // Those that go give their seats back; those that go on get their picture.
    for gone in waiting.split_off(3) {
        drop(gone);
    }
    until(&format!("n{}", mcir_boards::studio::SEATS - 1), &Value::is_null);
    for stream in &mut waiting {
        stream.write_all(&small[small.len() / 2..]).unwrap();
    }
    for mut stream in waiting {
        let (head, bytes) = heard(&mut stream);
        assert!(head.starts_with("HTTP/1.1 200") && bytes.starts_with(b"\x89PNG"), "{head}");
    }
    // One in work whose client goes: the next one has its turn.
    let large = std::fs::read(folder.image("large.png", 900, 700)).unwrap();
    let mut stream = TcpStream::connect(&studio.1).unwrap();
    write!(stream, "{}\r\n\r\n", studio.head("/upscale?model=edsr-edge-m-x4&job=large", large.len()))
        .unwrap();
    stream.write_all(&large).unwrap();
    until("large", &|p| p["stage"] == "enlarging" && p["of"] == 700);
    drop(stream);
    let (head, _) = studio.post("/upscale?s=2", &small);
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    until("large", &Value::is_null);
}

#[test]
fn it_ends_by_a_signal_leaves_nothing_and_tells_where_it_is() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-board"));
    command.args(["studio", "--http", "0", "--json", "-q"]).env("TMPDIR", folder.path(""));
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let json: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&json["schema"], &json["command"]), (&Value::from(1), &Value::from("studio")));
    let address =
        json["address"].as_str().unwrap().trim_start_matches("http://").trim_end_matches('/').to_owned();
    let mut studio = Studio(child, address);
    let picture = std::fs::read(folder.image("a.png", 24, 16)).unwrap();
    assert!(studio.post("/upscale?s=2", &picture).0.starts_with("HTTP/1.1 200"));
    assert_eq!(folder.names(), ["a.png"], "temporary files have no names");
    let id = rustix::process::Pid::from_child(&studio.0);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    assert_eq!(studio.0.wait().unwrap().code(), Some(0));
    // Where the usual port is taken, or not, there is a page; a model that is not there is an error before that.
    board(["studio", "-m", "no-such-model"]).fails(2, &["no-such-model"]);
    board(["studio", "--http", "1.2.3.4"]).fails_plainly(2, &["write a port"]);
}
