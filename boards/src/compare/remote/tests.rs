use super::protocol::{Event, ImagePart, ModelPart, Order, VERSION};
use super::*;
use mcir_report::report::HERE;
use mcir_runtime::image::Image;
use mcir_upscale::embedded;
use mcir_upscale::upscaler::Upscaler;

/// What the board's end answers to these bytes.
fn answers(dir: &std::path::Path, input: &[u8]) -> Vec<Event> {
    let mut output = Vec::new();
    board::serve(dir, input, &mut output).unwrap();
    String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn order() -> Order {
    Order {
        models: Vec::new(),
        images: Vec::new(),
        data: "photos".into(),
        sets: Vec::new(),
        size: (24, 16),
        seconds: 0.01,
        threads: Some(1),
        pin: false,
        isa: None,
    }
}

fn words(order: &Order, files: &[&[u8]]) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(order).unwrap();
    bytes.push(b'\n');
    bytes.extend(files.concat());
    bytes
}

#[test]
fn a_board_measures_what_it_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let model = NamedModel::from_embedded(
        embedded::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
        false,
    )
    .unwrap();
    let pixels: Vec<u8> = (0..48 * 40 * 3).map(|i| (i * 7 % 251) as u8).collect();
    let hr = Image::new(48, 40, 3, pixels).unwrap();
    let (file, bytes) = (mcir_files::encode_png(&hr), model.model.to_bytes());
    let mut order = order();
    order.models =
        vec![ModelPart { name: "mine".into(), bytes: bytes.len() as u64, file_bytes: model.file_bytes }];
    order.images = vec![ImagePart { path: "HR/a.png".into(), bytes: file.len() as u64 }];
    let events = answers(folder.path(), &words(&order, &[&bytes, &file]));
    assert!(matches!(events[0], Event::Ready { protocol: VERSION }), "{:?}", events[0]);
    let Some(Event::Report(report)) = events.last() else { panic!("{events:?}") };
    assert_eq!((report.data.as_str(), report.targets[0].target.as_str()), ("photos", HERE));
    let rows = &report.sections[0].rows;
    assert_eq!(rows.iter().map(|r| r.label()).collect::<Vec<_>>(), ["bicubic", "mine int8"]);
    assert_eq!(
        (rows[1].file_bytes, rows[1].latency.samples),
        (Some(model.file_bytes), rows[1].samples_ms.len())
    );
    // The bits are those of this program.
    let lr = mcir_runtime::image::resize_bicubic(&hr, 24, 20).unwrap();
    let sr = Upscaler::new(model, Default::default()).run(&lr, &mut |_| {}).unwrap();
    assert_eq!(rows[1].crc32, [mcir_report::measure::crc32(&sr)]);
}

#[test]
fn a_board_refuses_what_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let part = |path: &str, bytes| ImagePart { path: path.into(), bytes };
    let image = |path, bytes| Order { images: vec![part(path, bytes)], ..order() };
    let model = |bytes| ModelPart { name: "m".into(), bytes, file_bytes: 1 };
    for (input, reason) in [
        (b"nonsense\n".to_vec(), "expected"),
        (Vec::new(), "EOF"),
        (words(&image("../a.png", 1), &[b"x"]), "`../a.png` is no path"),
        (words(&image("/etc/a.png", 1), &[b"x"]), "`/etc/a.png` is no path"),
        (words(&image("", 1), &[b"x"]), "`` is no path"),
        (words(&image("HR/a.png", 9), &[b"x"]), "in the middle of a file"),
        (words(&image("HR/a.png", 1 << 40), &[b"x"]), "the limit is"),
        (words(&Order { models: vec![model(5)], ..order() }, &[b"12345"]), "m: "),
        (words(&Order { models: vec![model(5)], ..order() }, &[b"12"]), "in the middle of a file"),
        (words(&Order { isa: Some("mmx".into()), ..order() }, &[]), "no instruction set `mmx`"),
        (words(&Order { size: (0, 5), ..order() }, &[]), "WIDTHxHEIGHT"),
        (words(&Order { size: (30000, 30000), ..order() }, &[]), "pixels at most"),
        (words(&Order { size: (4096, 4096), ..order() }, &[]), "the limit is"),
        (words(&Order { seconds: -1.0, ..order() }, &[]), "negative"),
    ] {
        let events = answers(folder.path(), &input);
        let Some(Event::Failed { message, help }) = events.last() else { panic!("{events:?}") };
        assert!(message.contains(reason) && !help.is_empty(), "{reason}: {message}");
    }
    assert!(!folder.path().parent().unwrap().join("a.png").exists());
}
