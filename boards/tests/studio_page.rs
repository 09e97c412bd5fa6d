//! The studio in a real browser: pictures are dropped, chosen and pasted, compared, and saved.
//!
//! Needs Chromium; without it the test says that it is skipped. `MCIR_SCREENSHOTS=FOLDER` keeps what it saw.

#![cfg(unix)]

mod support;

#[path = "support/browser.rs"]
mod browser;

use base64::Engine;
use browser::Browser;
use mcir_boards::cards;
use mcir_runtime::image::{Image, resize_bicubic};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{Folder, arg, board};

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
        Self(child, page.expect("the program tells where its page is"))
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn keep(name: &str, browser: &mut Browser) {
    if let Some(folder) = std::env::var_os("MCIR_SCREENSHOTS") {
        std::fs::write(Path::new(&folder).join(name), browser.screenshot()).unwrap();
    }
}

/// A drawn picture at half its size.
fn card() -> Image {
    let card = cards::draw().remove(0).image;
    resize_bicubic(&card, cards::SIDE / 2, cards::SIDE / 2).unwrap()
}

fn rgb(image: &Image) -> image::RgbImage {
    image::RgbImage::from_raw(image.width() as u32, image.height() as u32, image.data().to_vec()).unwrap()
}

/// A script that makes `transfer` of files, as a hand or a clipboard brings them.
fn transfer(files: &[&Path]) -> String {
    let file = |path: &&Path| {
        let text = base64::engine::general_purpose::STANDARD.encode(std::fs::read(path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap();
        format!(
            "transfer.items.add(new File([Uint8Array.from(atob('{text}'), c => c.charCodeAt(0))], '{name}'));"
        )
    };
    let add: String = files.iter().map(file).collect();
    format!("const transfer = new DataTransfer(); {add}")
}

fn drop_files(browser: &mut Browser, files: &[&Path]) {
    let drop =
        "dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }))";
    browser.value(&format!("(() => {{ {} {drop}; }})()", transfer(files)));
}

/// Mean and largest difference between the page's pixels and an image, over a grid.
fn differs(browser: &mut Browser, image: &Image) -> (f64, usize) {
    let script = "(() => { const out = []; const [w, h] = mcir.size(); for (let y = 4; y < h; y += 23) \
                  for (let x = 4; x < w; x += 23) out.push(x, y, ...mcir.pixel(x, y)); return out; })()";
    let values = browser.value(script);
    let values: Vec<usize> =
        values.as_array().unwrap().iter().map(|v| usize::try_from(v.as_u64().unwrap()).unwrap()).collect();
    let off: Vec<usize> = values
        .chunks_exact(5)
        .flat_map(|v| {
            let expected = &image.row(v[1])[3 * v[0]..][..3];
            (0..3).map(|c| v[2 + c].abs_diff(expected[c].into())).collect::<Vec<_>>()
        })
        .collect();
    (off.iter().sum::<usize>() as f64 / off.len() as f64, off.into_iter().max().unwrap())
}

fn read(path: &Path) -> Image {
    let picture = image::open(path).unwrap().into_rgb8();
    Image::new(picture.width() as usize, picture.height() as usize, 3, picture.into_raw()).unwrap()
}

fn wait_for_file(path: &Path) -> Vec<u8> {
    let start = Instant::now();
    while !path.exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "{} was not saved", path.display());
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read(path).unwrap()
}

const DONE: &str = "document.body.dataset.state === 'done' && document.body.dataset.result === 'yes'";

fn choose(browser: &mut Browser, value: &str) {
    browser.value(&format!(
        "(() => {{ const m = document.getElementById('model'); m.value = '{value}'; m.dispatchEvent(new Event('change')); }})()"
    ));
}

#[test]
fn a_picture_is_dropped_compared_and_saved() {
    let folder = Folder::new();
    let small = card();
    let input = folder.path("card.png");
    rgb(&small).save(&input).unwrap();
    let upscaled = |args: &[&str]| {
        let output = folder.path("expected.png");
        board([&["upscale", "-q", "-i", arg(&input), "-o", arg(&output)], args].concat()).succeeds();
        (std::fs::read(&output).unwrap(), read(&output))
    };
    let studio = Studio::start(&[]);
    let Some(mut browser) = Browser::open(&studio.1, 1280, 800) else { return };
    browser.wait_for("document.body.dataset.ready === 'yes'");
    assert_eq!(browser.value("document.getElementById('model').value"), "s=4");
    keep("studio-empty.png", &mut browser);
    choose(&mut browser, "s=2");
    drop_files(&mut browser, &[&input]);
    browser.wait_for(DONE);
    assert_eq!(browser.value("mcir.size()"), serde_json::json!([cards::SIDE, cards::SIDE]));
    keep("studio.png", &mut browser);

    // All on the left is bicubic, by the kernel of the program; all on the right is what upscale writes.
    let (bytes, result) = upscaled(&["-s", "2"]);
    let bicubic = resize_bicubic(&small, cards::SIDE, cards::SIDE).unwrap();
    let stage = "(() => { const b = document.getElementById('stage').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()";
    let stage = browser.value(stage);
    let edge = |i: usize| stage[i].as_f64().unwrap();
    let at = |part: f64| (edge(0) + edge(2) * part, edge(1) + edge(3) / 2.0);
    browser.drag(at(0.5), at(0.999));
    let (mean, most) = differs(&mut browser, &bicubic);
    assert!(mean < 0.5 && most <= 2, "bicubic: {mean}, {most}");
    browser.drag(at(0.999), at(0.001));
    let (mean, most) = differs(&mut browser, &result);
    assert!(mean < 0.1 && most <= 1, "result: {mean}, {most}");
    assert!(differs(&mut browser, &bicubic).0 > 1.0, "the two differ");

    // What is saved is the file that upscale writes.
    browser.saves_to(&folder.path("saved"));
    browser.value("document.getElementById('save').click()");
    assert!(wait_for_file(&folder.path("saved/card-x2.png")) == bytes);

    // Another model, and how much it cleans up.
    choose(&mut browser, "model=edsr-edge-x3");
    browser.value("(() => { const s = document.getElementById('strength'); s.value = 50; s.dispatchEvent(new Event('input')); })()");
    let side = cards::SIDE / 2 * 3;
    browser.wait_for(&format!("{DONE} && mcir.size()[0] === {side}"));
    browser.wait_for("document.getElementById('about').textContent.includes('edsr-edge-x3-camera-50 int8')");
    let (_, result) = upscaled(&["-m", "edsr-edge-x3", "--strength", "0.5"]);
    let (mean, most) = differs(&mut browser, &result);
    assert!(mean < 0.1 && most <= 1, "strength: {mean}, {most}");

    // One to one, and the keys.
    browser.value("dispatchEvent(new KeyboardEvent('keydown', { key: '1' }))");
    let exact = "(() => { const b = mcir.canvas.getBoundingClientRect(); const [w, h] = mcir.size(); \
                 return mcir.view.exact && Math.abs(b.width - w) < 1 && Math.abs(b.height - h) < 1; })()";
    browser.wait_for(exact);
    browser.value("dispatchEvent(new KeyboardEvent('keydown', { key: '0' }))");
    browser.value("dispatchEvent(new KeyboardEvent('keydown', { key: '+' }))");
    assert_eq!(browser.value("[mcir.view.exact, mcir.view.zoom]"), serde_json::json!([false, 1.5]));
    let x = browser.value("mcir.view.x").as_f64().unwrap();
    browser.value("dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', shiftKey: true }))");
    assert!(browser.value("mcir.view.x").as_f64().unwrap() > x);
    let loaded = "performance.getEntriesByType('resource').every(r => r.name.startsWith(location.origin) || r.name.startsWith('data:') || r.name.startsWith('blob:'))";
    assert_eq!(browser.value(loaded), true);
}

#[test]
fn several_pictures_are_a_strip_and_what_is_none_is_said_in_words() {
    let folder = Folder::new();
    let small = card();
    let damaged = folder.path("damaged.jpg");
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 30);
    rgb(&small).write_with_encoder(encoder).unwrap();
    folder.file("damaged.jpg", &bytes);
    // A format that browsers do not know, opacity, and no picture.
    let tga = folder.path("known-by-name.tga");
    rgb(&small).save(&tga).unwrap();
    let clear = folder.path("clear.png");
    image::RgbaImage::from_pixel(20, 14, image::Rgba([200, 30, 30, 0])).save(&clear).unwrap();
    let nothing = folder.file("notes.jpg", b"no picture");

    let model = folder.named_model("mine", 2);
    let studio = Studio::start(&["-m", arg(&model)]);
    let Some(mut browser) = Browser::open(&studio.1, 390, 844) else { return };
    browser.wait_for("document.body.dataset.ready === 'yes'");
    assert_eq!(browser.value("document.getElementById('model').value"), "model=mine");
    choose(&mut browser, "s=2");
    drop_files(&mut browser, &[&damaged, &tga, &clear]);
    let paste = "dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }))";
    browser.value(&format!("(() => {{ {} {paste}; }})()", transfer(&[&nothing])));
    browser.wait_for("mcir.items.length === 4 && mcir.items.every(i => i.failed || i.results.size)");
    assert_eq!(browser.value("document.body.dataset.state"), "failed");
    let words = browser.value("document.getElementById('message').textContent");
    assert!(words.as_str().unwrap().starts_with("notes.jpg cannot be read as an image"), "{words}");
    keep("studio-failed.png", &mut browser);
    let states = "[...document.querySelectorAll('.strip li')].map(e => e.dataset.state)";
    assert_eq!(browser.value(states), serde_json::json!(["done", "done", "done", "failed"]));

    // The first was cleaned up, and the page says why.
    browser.value("document.querySelector('.strip .pick').click()");
    browser.wait_for(&format!(
        "{DONE} && document.getElementById('about').textContent.startsWith('damaged.jpg')"
    ));
    let why = browser.value("document.getElementById('why').textContent");
    let why = why.as_str().unwrap();
    assert!(why.contains("quality 30") && why.contains("edsr-edge-x2-camera-75"), "{why}");
    let drawn =
        |browser: &mut Browser| browser.value("Number(document.body.dataset.drawn)").as_u64().unwrap();
    browser.wait_for(&format!("mcir.size()[0] === {}", cards::SIDE));
    keep("studio-phone.png", &mut browser);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true);

    // The format that the browser does not know has its original on the left all the same.
    let before = drawn(&mut browser);
    browser.value("document.querySelectorAll('.strip .pick')[1].click()");
    browser.wait_for(&format!("{DONE} && Number(document.body.dataset.drawn) > {before}"));
    browser.value("(() => { mcir.view.split = 1; })()");
    let bicubic = resize_bicubic(&small, cards::SIDE, cards::SIDE).unwrap();
    let (mean, most) = differs(&mut browser, &bicubic);
    assert!(mean < 0.5 && most <= 2, "{mean}, {most}");
    // What is clear shows the paper.
    let before = drawn(&mut browser);
    browser.value("document.querySelectorAll('.strip .pick')[2].click()");
    browser.wait_for(&format!("{DONE} && Number(document.body.dataset.drawn) > {before}"));
    let pixel = browser.value("mcir.pixel(3, 3)");
    assert!(pixel[0] == pixel[1] && [127, 128, 158].contains(&pixel[0].as_u64().unwrap()), "{pixel}");

    // A finger moves the border; away goes a picture; the program goes, and the page says so.
    browser.value("document.querySelector('.strip .away').click()");
    assert_eq!(browser.value("mcir.items.length"), 3);
    drop(studio);
    choose(&mut browser, "s=4");
    browser.wait_for("document.body.dataset.state === 'failed'");
    let words = browser.value("document.getElementById('message').textContent");
    assert!(words.as_str().unwrap().contains("still running"), "{words}");
}

#[test]
fn a_phone_on_its_side_has_picture_and_buttons_beside_each_other() {
    let folder = Folder::new();
    let input = folder.path("card.png");
    rgb(&card()).save(&input).unwrap();
    let studio = Studio::start(&[]);
    let Some(mut browser) = Browser::open(&studio.1, 844, 390) else { return };
    browser.wait_for("document.body.dataset.ready === 'yes'");
    keep("studio-landscape-empty.png", &mut browser);
    choose(&mut browser, "s=2");
    drop_files(&mut browser, &[&input]);
    browser.wait_for(DONE);
    keep("studio-landscape.png", &mut browser);
    let fits = "(() => { const s = document.getElementById('stage').getBoundingClientRect(); \
                return [s.top >= 0 && s.bottom <= innerHeight, document.documentElement.scrollWidth <= innerWidth, \
                [...document.querySelectorAll('button, select')].filter(b => b.offsetParent) \
                .every(b => b.getBoundingClientRect().left >= s.right - 1)]; })()";
    assert_eq!(browser.value(fits), serde_json::json!([true, true, true]));
}
