//! Inputs of 4 MiB for every reader of foreign bytes: none panics, none takes more memory than its limit, none takes its
//! time. The fuzz targets feed the same readers with smaller ones.
//!
//! Limits are what a reader may hold besides its input; [`LIMITS`] has them all.

#[path = "../../tests/src/readers.rs"]
mod readers;

use mcir_files::Input;
use mcir_runtime::error::PlanError;
use mcir_runtime::model::{Conv2d, DType, Graph, Model, Op, TensorData};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::Path;
use std::time::{Duration, Instant};

/// Length of an input.
const SIZE: usize = 4 << 20;
/// One MiB.
const MIB: u64 = 1 << 20;
/// An input of this size takes milliseconds; a reader that is still busy after this is lost. Far more than a busy machine
/// or an unoptimized build needs.
const PATIENCE: Duration = Duration::from_secs(60);

type Reader = fn(&[u8]);
/// Each reader with its folder of seeds and the memory that it may take, in MiB.
///
/// Models are copied once to seal them and once to write them again; a stream's frame is there with its two images; of
/// pictures 2²⁰ pixels are let through here, and 64 MiB of what travels beside them.
const LIMITS: [(&str, Reader, u64); 11] = [
    ("model_load", readers::model_load, 24),
    ("model_run", readers::model_run, 80),
    ("bundle", readers::bundle, 1),
    ("signature", readers::signature, 40),
    ("y4m", readers::y4m, 40),
    ("mjpeg", readers::mjpeg, 320),
    ("raw_frame", readers::raw_frame, 2),
    ("picture", readers::picture, 96),
    ("http_request", readers::http_request, 1),
    ("command_line", readers::command_line, 24),
    ("weights", readers::checkpoint, 96),
];

/// Runs a reader under its limit.
#[track_caller]
fn limited(name: &str, limit: u64, what: &str, run: impl FnOnce()) -> u64 {
    let start = Instant::now();
    let memory = allocation_counter::measure(run).bytes_max;
    assert!(memory <= limit * MIB, "{name} takes {memory} bytes for {what}; its limit is {limit} MiB");
    assert!(start.elapsed() < PATIENCE, "{name} takes {:?} for {what}", start.elapsed());
    memory
}

#[track_caller]
fn feed(name: &str, what: &str, input: &[u8]) {
    let (_, reader, limit) = LIMITS.iter().find(|r| r.0 == name).expect("a reader of this name");
    let memory = limited(name, *limit, what, || reader(input));
    println!("{name}: {what}: {:.1} of {limit} MiB", memory as f64 / MIB as f64);
}

/// Bytes that follow a beginning: each value that means something to some format, and noise.
fn fills() -> Vec<(String, Vec<u8>)> {
    let mut state = 1_u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let mut all = vec![("noise".to_owned(), (0..SIZE).map(|_| noise()).collect())];
    all.extend(b"\0\x01\x7f\x80\xff[ \n/a1".iter().map(|b| (format!("bytes {b:#04x}"), vec![*b; SIZE])));
    all
}

#[test]
fn anything_and_a_valid_beginning_before_it() {
    let fills = fills();
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds");
    for (name, reader, limit) in LIMITS {
        let mut most = 0;
        let mut starts = vec![("nothing".to_owned(), Vec::new())];
        for entry in std::fs::read_dir(seeds.join(name)).expect("seeds of every reader") {
            let path = entry.expect("readable").path();
            let bytes = std::fs::read(&path).expect("readable");
            // As it is, and its first half.
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            starts.push((format!("half of {name}"), bytes[..bytes.len() / 2].to_vec()));
            starts.push((name, bytes));
        }
        for (start, bytes) in &starts {
            for (fill, more) in &fills {
                let mut input = bytes.clone();
                input.extend(more);
                input.truncate(SIZE);
                most = most.max(limited(name, limit, &format!("{start} and {fill}"), || reader(&input)));
            }
        }
        println!(
            "{name}: {} inputs, at most {:.1} of {limit} MiB",
            starts.len() * fills.len(),
            most as f64 / MIB as f64
        );
    }
}

/// A model file around a graph section.
fn model_file(graph: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"MCIR\x01\0");
    bytes[8..12].copy_from_slice(&(graph.len() as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&((64 + graph.len()).next_multiple_of(64) as u32).to_le_bytes());
    bytes.extend(graph);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    bytes
}

/// Elements of a list are a byte each in the file, and up to a hundred in memory.
#[test]
fn models_of_many_small_things() {
    // 2²¹ elements, as postcard writes lengths.
    let many: &[u8] = b"\x80\x80\x80\x01";
    for (list, start) in
        [("metadata", &b""[..]), ("nodes", b"\0"), ("tensors", b"\0\0"), ("tensors of a node", b"\0\0\x01")]
    {
        for value in 0..=4 {
            for length in [1 << 22, (1 << 22) + 1] {
                let mut graph = [start, many].concat();
                graph.resize(length, value);
                feed("model_load", &format!("{list} of {value}"), &model_file(&graph));
            }
        }
    }
}

/// As many layers as a model may have, from three channels to so many and back, with the largest kernel. Packed for wide
/// registers, a few channels take as much as many do.
fn many_layers(channels: u16, kernel: u8) -> Vec<u8> {
    let mut graph = Graph::new(3, DType::F32);
    let mut params = vec![Vec::new()];
    let mut last = 0;
    for i in 1..4095 {
        let (in_channels, out_channels) = if i % 2 == 1 { (3, channels) } else { (channels, 3) };
        let conv = Conv2d { in_channels, out_channels, kernel, activation: None };
        last = graph.push(format!("{i:0>128}"), Op::Conv2d(conv), &[last], DType::F32);
        let weights = usize::from(kernel).pow(2) * usize::from(in_channels) * usize::from(out_channels);
        params.push(vec![
            TensorData::F32(vec![0.01; weights]),
            TensorData::F32(vec![0.0; usize::from(out_channels)]),
        ]);
    }
    let metadata = (0..4096).map(|i| (format!("{i:0>128}"), "x".repeat(128))).collect();
    Model::new(graph, &params, metadata).expect("a valid model").to_bytes()
}

#[test]
fn models_of_many_layers() {
    for (channels, kernel) in [(3, 9), (24, 9), (127, 1)] {
        let what = format!("{channels} channels");
        let bytes = many_layers(channels, kernel);
        let copy = bytes.clone();
        limited("loading", 4, &what, || drop(Model::from_bytes(copy)));
        let model = Model::from_bytes(bytes).expect("its own output");
        let mut reported = 0;
        let taken =
            limited("planning", 1024 + 16, &what, || match Plan::new(&model, 48, &PlanOptions::default()) {
                Ok(plan) => {
                    reported = plan.memory_bytes(48).expect("it streams") as u64;
                    drop(plan.workspace());
                }
                Err(PlanError::Memory { bytes }) => reported = bytes,
                Err(error) => panic!("{error}"),
            });
        println!("{what}: {taken} bytes, {reported} reported");
        assert!(taken <= reported + 16 * MIB, "{taken} bytes, of which the plan reports {reported}");
    }
}

/// Streams whose header promises the largest frame.
#[test]
fn frames_that_never_come() {
    for format in ["420jpeg", "422", "444alpha", "mono"] {
        let mut stream = format!("YUV4MPEG2 W8192 H4096 C{format}\nFRAME\n").into_bytes();
        stream.resize(SIZE, b'a');
        feed("y4m", format, &stream);
    }
    let mut header = b"YUV4MPEG2 W16 H16 ".to_vec();
    header.resize(SIZE, b'X');
    feed("y4m", "a header without an end", &header);
    let frames = [&b"YUV4MPEG2 W1 H1 Cmono\n"[..], &b"FRAME\na".repeat(SIZE / 7)].concat();
    feed("y4m", "many small frames", &frames);
}

/// JPEG images that promise as many pixels as are taken, and then contain nothing, or scan after scan.
#[test]
fn large_jpeg_images() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/picture");
    for name in ["420.jpg", "progressive.jpg"] {
        let mut bytes = std::fs::read(seeds.join(name)).expect("a seed");
        let frame =
            bytes.windows(2).position(|w| w == b"\xff\xc0" || w == b"\xff\xc2").expect("a frame header");
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x10, 0, 0x20, 0]);
        let scan = bytes.windows(2).position(|w| w == b"\xff\xda").expect("a scan");
        let header = usize::from(bytes[scan + 3]) + 2;
        let scan = bytes[scan..scan + header].to_vec();
        bytes.truncate(bytes.len() - 2);
        for (what, more) in
            [("zeros", vec![0; SIZE]), ("scans", [&scan[..], b"\0"].concat().repeat(SIZE / (header + 1)))]
        {
            let input = [&bytes[..], &more, b"\xff\xd9"].concat();
            feed("mjpeg", &format!("{name} and {what}"), &input);
        }
    }
}

/// Bits as deflate packs them.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    used: u32,
}

impl Bits {
    fn push(&mut self, value: u32, count: u32) {
        for i in 0..count {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> i & 1) as u8) << (self.used % 8);
            self.used += 1;
        }
    }
}

/// A zlib stream of `length` bytes that unfolds to about 158 times as many zeros.
fn zlib_bomb(length: usize) -> Vec<u8> {
    let mut bits = Bits { bytes: vec![0x78, 0x01], used: 0 };
    // One block with the fixed code: a zero, then copies of 258 bytes at distance 1.
    bits.push(0b011, 3);
    bits.push(0b0000_1100, 8);
    while bits.bytes.len() < length {
        // Code 285 is 11000101, first bit first; distance code 0 is 00000.
        bits.push(0b1010_0011, 8);
        bits.push(0, 5);
    }
    bits.push(0, 7);
    bits.bytes
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(kind);
    hasher.update(data);
    [&(data.len() as u32).to_be_bytes()[..], kind, data, &hasher.finalize().to_be_bytes()].concat()
}

/// A PNG image of 8x8 pixels, with a chunk before its pixels.
fn png(kind: &[u8; 4], data: &[u8], pixels: &[u8]) -> Vec<u8> {
    let header = png_chunk(b"IHDR", b"\0\0\0\x08\0\0\0\x08\x08\x02\0\0\0");
    let chunk = png_chunk(kind, data);
    [b"\x89PNG\r\n\x1a\n", &header[..], &chunk, &png_chunk(b"IDAT", pixels), &png_chunk(b"IEND", b"")]
        .concat()
}

/// Small pictures with large things beside them, or packed into them.
#[test]
fn pictures_that_unfold() {
    let bomb = zlib_bomb(SIZE);
    let pixels = zlib_bomb(64);
    feed("picture", "a colour profile that unfolds", &png(b"iCCP", &[b"p\0\0", &bomb[..]].concat(), &pixels));
    feed("picture", "a text that unfolds", &png(b"zTXt", &[b"p\0\0", &bomb[..]].concat(), &pixels));
    feed("picture", "an international text", &png(b"iTXt", &[b"p\0\x01\0\0\0", &bomb[..]].concat(), &pixels));
    feed("picture", "orientation of 4 MiB", &png(b"eXIf", &vec![0; SIZE], &pixels));
    feed("picture", "pixels that unfold", &png(b"tEXt", b"p\0", &bomb));
    // The same picture without any of that is read.
    let plain = png(b"tEXt", b"p\0", &pixels);
    let picture = readers::as_file(&plain, |path| Input::new(path).read(64)).expect("a picture");
    assert_eq!((picture.width(), picture.height()), (8, 8));
}

/// TIFF files whose tags count more values than there are bytes.
#[test]
fn tiff_tags_that_promise() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/seeds/picture/rgb.tiff");
    let seed = std::fs::read(path).expect("a seed");
    let directory = u32::from_le_bytes(seed[4..8].try_into().expect("four bytes")) as usize;
    let entries =
        usize::from(u16::from_le_bytes(seed[directory..directory + 2].try_into().expect("two bytes")));
    for entry in 0..entries {
        for count in [1 << 20, 1 << 28, u32::MAX] {
            let mut bytes = seed.clone();
            let at = directory + 2 + 12 * entry;
            bytes[at + 4..at + 8].copy_from_slice(&count.to_le_bytes());
            bytes.resize(SIZE, 0);
            feed("picture", &format!("entry {entry} with {count} values"), &bytes);
        }
    }
}
