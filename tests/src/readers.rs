//! Everything that reads bytes from elsewhere: a function for each reader, which feeds it, checks what must hold for
//! whatever it accepts, and takes it where the program would.
//!
//! The fuzz targets include this file, and the test of large inputs does.

use mcir_boards::camera::mjpeg;
use mcir_boards::camera::raw::{Layout, Matrix, Packing, Siting, Space, Subsampling, to_image};
use mcir_boards::camera::source::Spec;
use mcir_boards::camera::y4m;
use mcir_boards::deploy::bundle::Bundle;
use mcir_boards::deploy::manifest::Manifest;
use mcir_boards::deploy::sign;
use mcir_boards::deploy::target::Target;
use mcir_boards::gpio::LineSpec;
use mcir_boards::studio::{MAX_BODY, Order};
use mcir_boards::web::{Hosts, Post, Request, Rules, parse_host};
use mcir_files::{self as files, Error, Format, Header, Input, Output};
use mcir_runtime::Isa;
use mcir_runtime::error::RunError;
use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::Path;

/// Images of 9x7 cost at most this many multiply-accumulates; more would test patience.
const MAX_MACS: u64 = 20_000_000;
/// Most memory of a plan that is run.
const MAX_MEMORY: usize = 64 << 20;
/// Pictures of up to so many pixels are decoded, which takes a moment and not seconds.
const MAX_PIXELS: u64 = 1 << 20;

/// Runs a reader that wants a file on bytes: in memory, where there is such a folder.
pub fn as_file<T>(data: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let path = folder.join(format!("mcir-reader-{}-{:?}", std::process::id(), std::thread::current().id()));
    std::fs::write(&path, data).expect("room for the input");
    let result = read(&path);
    std::fs::remove_file(&path).expect("the input was there");
    result
}

/// The bytes of a model file with the checksum that they need; `None` if they are too few.
pub fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytes.get(..20)?);
    hasher.update(bytes.get(24..)?);
    bytes[20..24].copy_from_slice(&hasher.finalize().to_le_bytes());
    Some(bytes)
}

/// Every way in which a camera's frames may lie in memory.
pub fn packings() -> Vec<Packing> {
    let mut all = vec![Packing::Grey];
    for subsampling in [Subsampling::None, Subsampling::Half, Subsampling::Quarter, Subsampling::FourInARow] {
        all.extend(
            [Siting::Centre, Siting::Left, Siting::TopLeft]
                .map(|siting| Packing::Planar { subsampling, siting }),
        );
    }
    for flag in [false, true] {
        all.extend([
            Packing::SemiPlanar { red_first: flag },
            Packing::Packed422 { luma_first: flag },
            Packing::Rgb { blue_first: flag },
        ]);
    }
    all
}

/// Model files: as they are, and with a checksum that fits, so that damage gets past it.
pub fn model_load(data: &[u8]) {
    let _ = Model::from_bytes(data.to_vec());
    let Some(sealed) = sealed(data) else { return };
    if let Ok(model) = Model::from_bytes(sealed) {
        // What was accepted is written and accepted again, and is the same.
        let bytes = model.to_bytes();
        let again = Model::from_bytes(bytes.clone()).expect("its own output");
        assert_eq!(again.to_bytes(), bytes);
        let _ = (model.num_params(), model.weight_bytes(), model.macs_per_pixel());
        // Its form for brightness, if it has one, is a model too.
        if let Some(luma) = model.luma() {
            assert_eq!((luma.in_channels(), luma.out_channels(), luma.upscale()), (1, 1, model.upscale()));
        }
    }
}

/// Model files that load are planned and run on small images, with all instruction sets, which have to agree.
pub fn model_run(data: &[u8]) {
    let Some(model) = sealed(data).and_then(|bytes| Model::from_bytes(bytes).ok()) else { return };
    let (width, height) = (9, 7);
    if model.macs_per_pixel().saturating_mul((width * height) as u64) > MAX_MACS {
        return;
    }
    let pixels: Vec<u8> = (0..width * height * model.in_channels()).map(|i| (i * 37 % 256) as u8).collect();
    let mut first = None;
    for isa in Isa::available() {
        let options = PlanOptions::default().isa(isa).band(3);
        let Ok(plan) = Plan::new(&model, width, &options) else { continue };
        // Nothing, or too small to pool.
        if plan.memory_bytes(height).is_ok_and(|bytes| bytes > MAX_MEMORY) {
            return;
        }
        let mut workspace = plan.workspace();
        let mut out = vec![0; plan.out_row_bytes() * height * usize::from(model.upscale())];
        match plan.run_image(&mut workspace, &pixels, height, &mut out) {
            Ok(()) => {}
            Err(RunError::Plan(_)) if plan.keeps_image() => return,
            Err(error) => panic!("lengths fit: {error}"),
        }
        match &first {
            None => first = Some(out),
            Some(first) => assert!(*first == out, "{} differs from {}", isa.name(), Isa::Scalar.name()),
        }
    }
}

/// Bundles: the manifest alone, and the archive with all its parts.
pub fn bundle(data: &[u8]) {
    if let Ok(manifest) = Manifest::parse(data) {
        let again = Manifest::parse(&manifest.to_bytes()).expect("its own output");
        assert_eq!(again.to_bytes(), manifest.to_bytes());
    }
    as_file(data, |path| {
        if let Ok(bundle) = Bundle::open(path) {
            let _ = (bundle.slot_id(), bundle.manifest.size());
        }
    });
}

/// Signatures and public keys: the first line is a key, the rest a signature of a fixed text.
pub fn signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, signature) = text.split_once('\n').unwrap_or((&text, ""));
    if let Ok(key) = sign::public_key(key) {
        assert!(sign::verify(b"never signed by anyone", signature, &key).is_err());
    }
}

/// Streams of y4m frames.
pub fn y4m(data: &[u8]) {
    let Ok(mut reader) = y4m::Reader::new(data, Matrix::Bt601) else { return };
    let layout = reader.header().layout;
    // A frame that cannot be there is asked for all the same: it must be refused, not waited for.
    for _ in 0..4 {
        match reader.begin() {
            Ok(true) => {}
            Ok(false) | Err(_) => return,
        }
        let Ok(frame) = reader.read() else { return };
        for space in [Space::Rgb, Space::YCbCr] {
            let (image, _) = to_image(&layout, &frame, space).expect("a whole frame of a checked layout");
            assert_eq!((image.width(), image.height()), (layout.width, layout.height));
        }
    }
}

/// Streams of JPEG images, and one image.
pub fn mjpeg(data: &[u8]) {
    let _ = mjpeg::decode(data, Space::YCbCr);
    let mut reader = mjpeg::Reader::new(data);
    // Every frame, whole or damaged, takes at least its start from the stream.
    for _ in 0..=data.len() {
        match reader.read() {
            Ok(Some(mjpeg::Frame::Whole(frame))) => {
                let _ = mjpeg::decode(&frame, Space::Rgb);
            }
            Ok(Some(mjpeg::Frame::Damaged(_))) => {}
            Ok(None) | Err(_) => return,
        }
    }
    panic!("more frames than bytes");
}

/// Raw camera frames of every packing: the first bytes choose the layout, the rest are the frame.
pub fn raw_frame(data: &[u8]) {
    let [choice, width, height, stride, frame @ ..] = data else { return };
    let all = packings();
    let packing = all[usize::from(*choice) % all.len()];
    let (width, height) = (usize::from(*width), usize::from(*height));
    let Ok(mut layout) = Layout::new(packing, width, height, choice & 0x80 != 0, Matrix::Bt709) else {
        return;
    };
    layout.stride += usize::from(*stride);
    for space in [Space::Rgb, Space::YCbCr] {
        match to_image(&layout, frame, space) {
            Ok((image, _)) => assert_eq!((image.width(), image.height()), (width, height)),
            Err(_) => assert!(frame.len() < layout.bytes() || layout.check().is_err()),
        }
    }
}

/// Pictures of every format that is read.
pub fn picture(data: &[u8]) {
    let Ok(picture) = as_file(data, |path| Input::new(path).read(MAX_PIXELS)) else { return };
    let mut pixels = Vec::new();
    picture.rows(0..picture.height(), &mut pixels);
    let (width, height, channels) = (picture.width(), picture.height(), picture.channels());
    assert_eq!(pixels.len(), width * height * channels);
    // What was read can be written, with the colour profile that came with it.
    let icc_profile = picture.icc_profile.as_deref();
    let header = Header { width, height, channels, icc_profile, about: picture.about };
    let all = |sink: &mut files::Sink<'_>| {
        let _ = pixels.chunks_exact(width * channels).all(sink);
        Ok::<_, Error>(())
    };
    as_file(&[], |path| files::write(&Output::new(path), Format::Png, &header, all))
        .expect("a whole picture");
}

/// Requests to the pages, from whoever reaches their port: to the live page, where nothing has a body, and to the studio.
pub fn http_request(data: &[u8]) {
    const CONTROL: &[Post] = &[Post { path: "/control", max_body: 0 }];
    const UPSCALE: &[Post] = &[Post { path: "/upscale", max_body: MAX_BODY }];
    for posts in [CONTROL, UPSCALE] {
        match Request::parse(data, &Rules { hosts: Hosts::default(), posts }) {
            Ok(Some((request, length))) => {
                assert!(length <= data.len());
                let post = posts.iter().find(|post| request.change && post.path == request.path);
                assert_eq!(request.change, post.is_some(), "only what can be posted is posted");
                assert!(request.body <= post.map_or(0, |post| post.max_body));
                let _ = (request.number("quality"), request.number(""), request.word("name"));
                if let Ok(order) = Order::of(&request) {
                    assert!(order.strength.is_none_or(|percent| percent <= 100));
                }
            }
            Ok(None) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// What users and other programs write on command lines: targets, sources, lines of a GPIO chip, sizes.
pub fn command_line(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = text.parse::<Target>();
    let _ = text.parse::<Spec>();
    let _ = text.parse::<LineSpec>();
    let _ = parse_host(text).map(|name| assert!(Hosts::new(vec![name.clone()]).is_ours(&name)));
    let _ = mcir_files::without_passwords(text);
}

/// Checkpoints of other frameworks, as `mcir-train import` reads them.
pub fn checkpoint(data: &[u8]) {
    let Ok(tensors) = as_file(data, |path| mcir_checkpoint::read(path, &|_| true)) else { return };
    let mut bytes = 0;
    for (name, (shape, values)) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name}");
        bytes += 2 * values.len() as u64;
    }
    let limit = (data.len() as u64 * mcir_checkpoint::MAX_UNFOLDING).max(1 << 16);
    assert!(bytes <= limit, "{bytes} bytes of tensors from {} of the file", data.len());
}
