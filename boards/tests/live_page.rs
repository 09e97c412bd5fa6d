//! The live page in a real browser: frames arrive, the slider moves, both halves are there.
//!
//! Needs Chromium; without it the test says that it is skipped. `MCIR_SCREENSHOTS=FOLDER` keeps what it saw.

#![cfg(unix)]

mod support;

#[path = "support/browser.rs"]
mod browser;

use browser::Browser;
use mcir_boards::camera::raw::{Matrix, Space};
use mcir_boards::camera::y4m::{Facts, Writer};
use mcir_boards::cards;
use mcir_runtime::image::{Image, resize_bicubic};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use support::{Folder, camera};

/// A running program and the address of its page.
struct Live(Child, String);

impl Live {
    fn start(folder: &Folder, args: &[&str]) -> Self {
        let args = [args, &["--http", "0", "--loop"]].concat();
        let mut child = camera(folder, &args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|l| Some(l.strip_prefix("live page: ")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        Self(child, address.expect("the program tells where its page is"))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder with one drawn picture, half its size; the picture and its bicubic enlargement.
fn still_source(folder: &Folder) -> (String, Image) {
    let card = cards::draw().remove(0).image;
    let side = cards::SIDE / 2;
    let small = resize_bicubic(&card, side, side).unwrap();
    std::fs::create_dir(folder.path("in")).unwrap();
    let pixels = image::RgbImage::from_raw(side as u32, side as u32, small.data().to_vec()).unwrap();
    pixels.save(folder.path("in/card.png")).unwrap();
    (
        format!("dir:{}", folder.path("in").display()),
        resize_bicubic(&small, cards::SIDE, cards::SIDE).unwrap(),
    )
}

/// The same picture as a video of a few frames.
fn video_source(folder: &Folder) -> String {
    let card = cards::draw().remove(0).image;
    let side = cards::SIDE / 2;
    let small = resize_bicubic(&card, side, side).unwrap();
    let mut writer = Writer::new(
        Vec::new(),
        (side, side),
        Space::Rgb,
        Matrix::Bt601,
        Facts { rate: Some((10, 1)), aspect: None },
    )
    .unwrap();
    for _ in 0..5 {
        (0..side).for_each(|y| writer.row(small.row(y)).unwrap());
    }
    format!("file:{}", folder.file("card.y4m", &writer.into_inner()).display())
}

fn keep(name: &str, png: &[u8]) {
    if let Some(folder) = std::env::var_os("MCIR_SCREENSHOTS") {
        std::fs::write(std::path::Path::new(&folder).join(name), png).unwrap();
    }
}

/// Mean difference between the page's pixels and an image, over a grid.
fn differs(browser: &mut Browser, image: &Image) -> f64 {
    let script = "(() => { const out = []; const [w, h] = mcir.size(); for (let y = 4; y < h; y += 23) \
                  for (let x = 4; x < w; x += 23) out.push(x, y, ...mcir.pixel(x, y)); return out; })()";
    let values = browser.value(script);
    let values: Vec<usize> =
        values.as_array().unwrap().iter().map(|v| usize::try_from(v.as_u64().unwrap()).unwrap()).collect();
    let off = values.chunks_exact(5).map(|v| {
        let expected = &image.row(v[1])[3 * v[0]..][..3];
        (0..3).map(|c| v[2 + c].abs_diff(expected[c].into())).sum::<usize>()
    });
    off.sum::<usize>() as f64 / (values.len() / 5 * 3) as f64
}

#[test]
fn frames_arrive_and_the_slider_divides_them() {
    let folder = Folder::new();
    let (source, bicubic) = still_source(&folder);
    let live = Live::start(&folder, &["--source", &source, "-s", "2", "--fps", "10"]);
    let Some(mut browser) = Browser::open(&live.1, 1280, 800) else { return };
    browser.wait_for("Number(document.body.dataset.frames) >= 3");
    browser.wait_for("document.body.dataset.state === 'running'");
    assert_eq!(browser.value("mcir.size()"), serde_json::json!([cards::SIDE, cards::SIDE]));

    // With the border at the right everything is bicubic, and by our own kernel, up to JPEG's losses.
    let centre = |browser: &mut Browser, part: f64| {
        let script = format!(
            "(() => {{ const b = document.getElementById('stage').getBoundingClientRect(); \
             return [b.left + b.width * {part}, b.top + b.height / 2]; }})()"
        );
        let at = browser.value(&script);
        (at[0].as_f64().unwrap(), at[1].as_f64().unwrap())
    };
    let (middle, right, left) =
        (centre(&mut browser, 0.5), centre(&mut browser, 0.999), centre(&mut browser, 0.001));
    assert_eq!(browser.value("mcir.view.split"), 0.5);
    browser.drag(middle, right);
    assert!(browser.value("mcir.view.split").as_f64().unwrap() > 0.99);
    let interpolated = differs(&mut browser, &bicubic);
    browser.drag(right, left);
    assert!(browser.value("mcir.view.split").as_f64().unwrap() < 0.01);
    let super_resolved = differs(&mut browser, &bicubic);
    println!("mean difference from bicubic: left {interpolated:.2}, right {super_resolved:.2}");
    assert!(interpolated < 2.5, "{interpolated}");
    assert!(super_resolved > 1.5 * interpolated, "{super_resolved} against {interpolated}");

    // The keyboard moves it too.
    browser.drag(left, middle);
    browser.value("document.getElementById('split').focus()");
    let key = |kind: &str| serde_json::json!({ "type": kind, "key": "ArrowRight", "code": "ArrowRight" });
    browser.call("Input.dispatchKeyEvent", key("keyDown"));
    browser.call("Input.dispatchKeyEvent", key("keyUp"));
    assert!(browser.value("mcir.view.split").as_f64().unwrap() > 0.51);

    // Numbers are numbers, and nothing failed on the way.
    for id in ["total", "fps", "dropped"] {
        let text = browser.value(&format!("document.getElementById('{id}').textContent"));
        assert!(text.as_str().unwrap().replace(',', "").parse::<f64>().is_ok(), "{id}: {text}");
    }
    let loaded = "performance.getEntriesByType('resource').every(r => r.name.startsWith(location.origin))";
    assert_eq!(browser.value(loaded), true);

    // Zoomed four times at 45 % of the border, the screenshot shows both halves: they differ in detail.
    let png = browser.screenshot();
    keep("desktop.png", &png);
    let shot = image::load_from_memory(&png).unwrap().into_rgb8();
    assert_eq!((shot.width(), shot.height()), (1280, 800));
    let stage = browser.value("(() => { const b = document.getElementById('stage').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()");
    let edge = |i: usize| stage[i].as_f64().unwrap();
    let lit = |from: f64, to: f64| {
        let xs = (edge(0) + edge(2) * from) as u32..(edge(0) + edge(2) * to) as u32;
        let ys = (edge(1) + 4.0) as u32..(edge(1) + edge(3) - 4.0) as u32;
        let (mut low, mut high) = (255, 0);
        for y in ys.step_by(7) {
            for x in xs.clone().step_by(7) {
                let v = shot.get_pixel(x, y).0[1];
                (low, high) = (low.min(v), high.max(v));
            }
        }
        high - low
    };
    assert!(lit(0.02, 0.4) > 60 && lit(0.6, 0.98) > 60, "both halves show a picture");
}

#[test]
fn it_fits_a_phone_and_survives_a_restart_of_the_program() {
    let folder = Folder::new();
    let source = video_source(&folder);
    let live = Live::start(&folder, &["--source", &source, "-s", "2", "--mode", "y"]);
    let Some(mut browser) = Browser::open(&live.1, 390, 844) else { return };
    browser.wait_for("Number(document.body.dataset.frames) >= 2");
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    assert_eq!(browser.value(fits), true, "nothing is wider than the screen");
    // A finger moves the border.
    let touch =
        |kind: &str, points: serde_json::Value| serde_json::json!({ "type": kind, "touchPoints": points });
    let y = browser.value("(() => { const b = document.getElementById('stage').getBoundingClientRect(); return b.top + b.height / 2; })()");
    browser.call("Emulation.setTouchEmulationEnabled", serde_json::json!({ "enabled": true }));
    browser.call("Input.dispatchTouchEvent", touch("touchStart", serde_json::json!([{ "x": 195, "y": y }])));
    browser.call("Input.dispatchTouchEvent", touch("touchMove", serde_json::json!([{ "x": 117, "y": y }])));
    browser.call("Input.dispatchTouchEvent", touch("touchEnd", serde_json::json!([])));
    browser.wait_for("Math.abs(mcir.view.split - 0.3) < 0.02");
    keep("phone.png", &browser.screenshot());

    let port = live.1.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    drop(live);
    browser.wait_for("document.body.dataset.state === 'offline'");
    keep("phone-offline.png", &browser.screenshot());
    let _again = {
        let args = ["--source", &source, "-s", "2", "--http", &port, "--loop"];
        let child = camera(&folder, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        Live(child, String::new())
    };
    browser.wait_for("document.body.dataset.state === 'running'");
}

/// What the server says to a request without headers of its own.
fn http(address: &str, line: &str) -> String {
    raw(address, &format!("{line} HTTP/1.1"))
}

#[test]
fn viewers_choose_zoom_one_to_one_and_record() {
    let folder = Folder::new();
    let source = video_source(&folder);
    let live = Live::start(&folder, &["--source", &source, "-s", "2"]);
    let Some(mut browser) = Browser::open(&live.1, 1280, 800) else { return };
    browser.wait_for("Number(document.body.dataset.frames) >= 2");
    assert_eq!(browser.value("document.getElementById('choice').hidden"), false);
    // As the program was started: the model for cameras, which cleans up three quarters of what it can.
    assert_eq!(browser.value("document.getElementById('model').value"), "edsr-edge-x2");
    assert_eq!(browser.value("document.getElementById('percent').textContent"), "75 %");

    // The slider, as a hand moves it.
    let slide = "(() => { const s = document.getElementById('strength'); s.value = 0; s.dispatchEvent(new Event('input')); })()";
    browser.value(slide);
    browser.wait_for("document.getElementById('about').textContent.startsWith('edsr-edge-x2 int8')");
    let status = http(&live.1, "GET /status.json");
    let status: serde_json::Value = serde_json::from_str(status.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    assert_eq!(
        (status["model"].as_str(), status["control"]["strength"].as_u64()),
        (Some("edsr-edge-x2"), Some(0))
    );
    let stages: Vec<_> =
        status["latency"].as_array().unwrap().iter().map(|l| l["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["capture", "queue", "convert", "infer", "encode", "total"]);
    assert!(status["latency"][3]["p50_ms"].as_f64().unwrap() > 0.0);
    assert!(status["latency"][3]["p99_ms"].as_f64() >= status["latency"][3]["p50_ms"].as_f64());

    // Another factor: the picture becomes larger.
    let pick = "(() => { const m = document.getElementById('model'); m.value = 'edsr-edge-x4'; m.dispatchEvent(new Event('change')); })()";
    browser.value(pick);
    let side = 2 * cards::SIDE;
    browser.wait_for(&format!("mcir.size()[0] === {side}"));
    assert_eq!(browser.value("document.getElementById('right').textContent"), "super-resolved ×4");

    // One to one: a pixel of the canvas is one of the screen.
    browser.value("document.getElementById('exact').click()");
    let exact = "(() => { const b = document.getElementById('view').getBoundingClientRect(); const [w, h] = mcir.size(); \
                 return Math.abs(b.width - w) < 1 && Math.abs(b.height - h) < 1; })()";
    browser.wait_for(exact);
    keep("exact.png", &browser.screenshot());
    browser.value("document.getElementById('exact').click()");
    browser.wait_for(&format!("mcir.size()[0] === {side}"));

    // A recording is a file of WebM with something in it.
    browser.value("document.getElementById('record').click()");
    // A browser on a busy machine takes its time before it has encoded anything.
    browser.wait_for("mcir.recording() > 5000");
    browser.value("document.getElementById('record').click()");
    browser.wait_for("mcir.recorded() !== null");
    let head = browser.value("mcir.recorded().slice(0, 4).arrayBuffer().then(b => [...new Uint8Array(b)])");
    assert_eq!(head, serde_json::json!([0x1a, 0x45, 0xdf, 0xa3]), "the head of a WebM file");
    assert!(browser.value("mcir.recorded().size").as_u64().unwrap() > 5000);

    // For machines.
    let metrics = http(&live.1, "GET /metrics");
    assert!(metrics.contains("text/plain; version=0.0.4"), "{metrics}");
    for part in
        ["mcir_frames_total{result=\"output\"} ", "mcir_latency_seconds{stage=\"infer\",quantile=\"0.99\"} "]
    {
        assert!(metrics.contains(part), "{part} is not in {metrics}");
    }

    // Pages of other sites, and other methods, change nothing; nor does what is not offered.
    assert!(http(&live.1, "POST /control?model=edsr-edge-x2&strength=0").starts_with("HTTP/1.1 403"));
    assert!(http(&live.1, "GET /control?model=edsr-edge-x2&strength=0").starts_with("HTTP/1.1 404"));
    let refused = "fetch('/control?model=nonsense', { method: 'POST', headers: { 'X-Mcir': 'control' } }).then(r => r.status)";
    assert_eq!(browser.value(refused), 400);
    assert_eq!(browser.value("document.getElementById('model').value"), "edsr-edge-x4");
}

/// On the network nobody changes anything unless the user lets them.
#[test]
fn viewers_elsewhere_only_watch() {
    let folder = Folder::new();
    let source = video_source(&folder);
    let start_at = |address: &str, more: &[&str]| {
        let args = [&["--source", &source, "-s", "2", "--loop", "--http", address], more].concat();
        let mut child = camera(&folder, &args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|l| Some(l.strip_prefix("live page: ")?.to_owned()));
        std::thread::spawn(move || lines.for_each(drop));
        let port = address.unwrap().trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
        Live(child, format!("http://127.0.0.1:{port}/"))
    };
    let start = |more: &[&str]| start_at("0.0.0.0:0", more);
    let change = "POST /control?model=edsr-edge-x2&strength=0 HTTP/1.1\r\nX-Mcir: control\r\nAccept: a";
    let live = start(&[]);
    assert!(http(&live.1, "GET /status.json").contains("\"control\":null"));
    let answer = raw(&live.1, change);
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("--http-control"), "{answer}");
    let live = start(&["--http-control"]);
    let answer = raw(&live.1, change);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"strength\":0"), "{answer}");
    // Who comes through a proxy comes from this machine, whoever it is.
    let live = start_at("127.0.0.1:0", &[]);
    for header in [
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-Host: cam.example",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Server: gate",
        "CF-Connecting-IP: 203.0.113.7",
        "True-Client-IP: 203.0.113.7",
        "Forwarded: for=203.0.113.7",
        "Via: 1.1 gate",
    ] {
        let answer = raw(&live.1, &format!("{change}\r\n{header}"));
        assert!(answer.starts_with("HTTP/1.1 403"), "{header}: {answer}");
        assert!(raw(&live.1, &format!("GET /status.json HTTP/1.1\r\n{header}")).contains("\"control\":null"));
    }
    // One that says nothing: the page is asked for under another name, or was.
    let port = live.1.trim_end_matches('/').rsplit(':').next().unwrap();
    for (host, header, code) in [
        ("pi.local", "Accept: b", 403),
        ("localhost", "Origin: https://cam.example", 403),
        ("localhost", &format!("Origin: http://localhost:{port}"), 200),
    ] {
        let answer = raw_for(&live.1, host, &format!("{change}\r\n{header}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {code}")), "{host}, {header}: {answer}");
    }
    assert!(raw(&live.1, change).starts_with("HTTP/1.1 200"));
}

/// The same with a head of one's own.
fn raw(address: &str, head: &str) -> String {
    raw_for(address, address.trim_start_matches("http://").trim_end_matches('/'), head)
}

/// The same, asked of a host by another name.
fn raw_for(address: &str, host: &str, head: &str) -> String {
    use std::io::{Read, Write};
    let socket = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = std::net::TcpStream::connect(socket).unwrap();
    write!(stream, "{head}\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_phone_on_its_side_shows_all_of_the_picture() {
    let folder = Folder::new();
    let source = video_source(&folder);
    let live = Live::start(&folder, &["--source", &source, "-s", "2"]);
    for (width, height) in [(844, 390), (667, 375)] {
        let Some(mut browser) = Browser::open(&live.1, width, height) else { return };
        browser.wait_for("Number(document.body.dataset.frames) >= 2");
        keep(&format!("landscape-{width}.png"), &browser.screenshot());
        let fits = "(() => { const b = document.getElementById('stage').getBoundingClientRect(); \
                    return [b.top >= 0 && b.bottom <= innerHeight, b.height / innerHeight, \
                    document.documentElement.scrollWidth <= innerWidth]; })()";
        let found = browser.value(fits);
        assert!(
            found[0] == true && found[1].as_f64().unwrap() > 0.75 && found[2] == true,
            "{width}: {found}"
        );
        // What can be pressed lies beside the picture and not over it.
        let beside = "(() => { const s = document.getElementById('stage').getBoundingClientRect(); \
                      return [...document.querySelectorAll('button, select')].filter(b => b.offsetParent) \
                      .every(b => b.getBoundingClientRect().left >= s.right - 1); })()";
        assert_eq!(browser.value(beside), true, "{width}");
    }
}
