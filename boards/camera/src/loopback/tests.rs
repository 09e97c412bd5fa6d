//! Against a device that behaves as the kernel's: v4l2loopback answers with the format that it has, gives no error for one that it
//! lacks, and keeps its size for as long as somebody looks.

use super::*;
use crate::raw::{Layout, Packing, Siting, Subsampling, to_image};
use crate::rows::Rows;
use mcir_runtime::image::Image;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What all open files of a device share.
#[derive(Default)]
struct State {
    driver: &'static str,
    takes_frames: bool,
    formats: Vec<[u8; 4]>,
    /// A format of its own, which it answers with whatever it is asked for: somebody looks.
    fixed: Option<Given>,
    /// The only format that is set, where it refuses others.
    refuses_others: Option<[u8; 4]>,
    /// Added to every row.
    padding: usize,
    /// What the next calls of `write` do; afterwards everything is taken.
    writes: VecDeque<Result<usize, Errno>>,
    /// What `open` fails with.
    fails: Option<Errno>,
    format: Option<Given>,
    asked: Vec<[u8; 4]>,
    rate: Option<(u32, u32)>,
    opened: usize,
    frames: Vec<Vec<u8>>,
    said: Vec<String>,
}

#[derive(Clone)]
struct Fake(Arc<Mutex<State>>);

impl Fake {
    fn new(formats: &[&[u8; 4]]) -> Self {
        let formats = formats.iter().map(|code| **code).collect();
        let state = State { driver: "v4l2 loopback", takes_frames: true, formats, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    fn set(self, f: impl FnOnce(&mut State)) -> Self {
        f(&mut self.0.lock().unwrap());
        self
    }

    fn sink(&self) -> Result<Loopback, CameraError> {
        let (state, told) = (self.clone(), self.clone());
        let open: Open = Box::new(move || {
            let mut shared = state.0.lock().unwrap();
            shared.opened += 1;
            match shared.fails {
                Some(errno) => Err(errno.into()),
                None => Ok(Box::new(state.clone()) as _),
            }
        });
        let facts = Box::new(|| Facts { rate: Some((30_000, 1001)), aspect: None });
        let tell = Box::new(move |text| told.0.lock().unwrap().said.push(text));
        Loopback::with(Path::new("/dev/video10"), open, Matrix::Bt601, facts, tell)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl Device for Fake {
    fn about(&mut self) -> io::Result<About> {
        let state = self.state();
        let (card, driver) = ("mcir".into(), state.driver.into());
        Ok(About { card, driver, takes_frames: state.takes_frames })
    }

    fn formats(&mut self) -> io::Result<Vec<[u8; 4]>> {
        Ok(self.state().formats.clone())
    }

    fn set_format(&mut self, wanted: &Wanted) -> io::Result<Given> {
        let mut state = self.state();
        state.asked.push(wanted.code);
        if let Some(fixed) = state.fixed {
            return Ok(fixed);
        }
        if state.refuses_others.is_some_and(|only| only != wanted.code) {
            return Err(Errno::INVAL.into());
        }
        // What it does not have becomes the first that it has.
        let code = if state.formats.contains(&wanted.code) { wanted.code } else { state.formats[0] };
        let packing = Given { code, size: wanted.size, stride: 0, bytes: 0 }.packing();
        let stride = packing.map_or(3 * wanted.size.0, |p| p.min_stride(wanted.size.0)) + state.padding;
        let bytes = packing.map_or(stride * wanted.size.1, |p| Packer::bytes(p, wanted.size, stride));
        let given = Given { code, size: wanted.size, stride, bytes };
        state.format = Some(given);
        Ok(given)
    }

    fn set_rate(&mut self, rate: (u32, u32)) -> io::Result<()> {
        self.state().rate = Some(rate);
        Err(Errno::INVAL.into())
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        match state.writes.pop_front() {
            Some(Err(errno)) => return Err(errno.into()),
            Some(Ok(taken)) => return Ok(taken.min(frame.len())),
            None => {}
        }
        let room = state.format.or(state.fixed).expect("a format is set before a frame is written").bytes;
        state.frames.push(frame[..frame.len().min(room)].to_vec());
        Ok(frame.len().min(room))
    }

    fn wait(&mut self, _: Duration) -> io::Result<bool> {
        Ok(false)
    }
}

fn picture(width: usize, height: usize) -> Image {
    let data = (0..width * height).flat_map(|i| {
        let (x, y) = (i % width, i / width);
        [40 + 3 * x as u8, 200 - 3 * y as u8, 60 + (x + y) as u8]
    });
    Image::new(width, height, 3, data.collect()).unwrap()
}

fn job(image: &Image) -> Job {
    let (rows, mut writer) = Rows::new((image.width(), image.height()), Space::Rgb);
    (0..image.height()).for_each(|y| writer.push(image.row(y)));
    writer.finish(Duration::ZERO);
    let small = Arc::new(image.clone());
    Job { id: 1, small, space: Space::Rgb, rows, began: Instant::now(), before: [Duration::ZERO; 3] }
}

fn put(sink: &mut Loopback, image: &Image) -> Result<Taken> {
    sink.put(&job(image), &mut Duration::default())
}

fn message(error: &mcir_upscale::error::Error) -> String {
    let error: &CameraError = error.room().expect("an error of this crate");
    format!("{error} / {}", error.help())
}

const ALL: [&[u8; 4]; 4] = [b"RGB3", b"YUYV", b"YU12", b"NV12"];

#[test]
fn frames_arrive_in_every_format_and_with_padded_rows() {
    let image = picture(24, 16);
    let planar = Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Centre };
    for (formats, code, packing) in [
        (&ALL[..], b"YU12", planar),
        (&[b"RGB3", b"YUYV"], b"YUYV", Packing::Packed422 { luma_first: true }),
        (&[b"H264", b"NV12"], b"NV12", Packing::SemiPlanar { red_first: false }),
        (&[b"UYVY"], b"UYVY", Packing::Packed422 { luma_first: false }),
    ] {
        for padding in [0, 8] {
            let fake = Fake::new(formats).set(|s| s.padding = padding);
            let mut sink = fake.sink().unwrap();
            for _ in 0..2 {
                assert_eq!(put(&mut sink, &image).unwrap(), Taken::Whole);
            }
            let state = fake.state();
            assert_eq!((state.frames.len(), state.opened), (2, 1));
            assert_eq!(state.rate, Some((30_000, 1001)), "a rate that is refused changes nothing");
            let given = state.format.unwrap();
            assert_eq!(given.code, *code);
            let mut layout = Layout::new(packing, 24, 16, false, Matrix::Bt601).unwrap();
            layout.stride = given.stride;
            let (read, _) = to_image(&layout, &state.frames[1], Space::Rgb).unwrap();
            let inside = |image: &Image| image.crop(2, 2, 18, 12).unwrap();
            let (read, wanted) = (inside(&read), inside(&image));
            let worst = read.data().iter().zip(wanted.data()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(worst <= Some(5), "{}: {worst:?}", code.escape_ascii());
            assert!(state.said[0].contains("24x16"), "{:?}", state.said);
        }
    }
}

#[test]
fn formats_that_are_refused_are_followed_by_others() {
    let fake = Fake::new(&ALL).set(|s| s.refuses_others = Some(*b"YUYV"));
    put(&mut fake.sink().unwrap(), &picture(8, 8)).unwrap();
    assert_eq!(fake.state().asked, [*b"YU12", *b"YUYV"]);
    // A driver that lists nothing is asked for all.
    let fake = Fake::new(&[b"NV12"]).set(|s| s.refuses_others = Some(*b"NV12"));
    fake.state().formats.clear();
    let shared = fake.clone();
    let mut sink = fake.sink().unwrap();
    // It has one format nevertheless.
    struct Unlisted(Fake);
    impl Device for Unlisted {
        fn about(&mut self) -> io::Result<About> {
            self.0.about()
        }
        fn formats(&mut self) -> io::Result<Vec<[u8; 4]>> {
            Err(Errno::INVAL.into())
        }
        fn set_format(&mut self, wanted: &Wanted) -> io::Result<Given> {
            self.0.state().formats = vec![wanted.code];
            self.0.set_format(wanted)
        }
        fn set_rate(&mut self, rate: (u32, u32)) -> io::Result<()> {
            self.0.set_rate(rate)
        }
        fn write(&mut self, frame: &[u8]) -> io::Result<usize> {
            self.0.write(frame)
        }
        fn wait(&mut self, time: Duration) -> io::Result<bool> {
            self.0.wait(time)
        }
    }
    sink.waiting = Some(Box::new(Unlisted(shared)));
    put(&mut sink, &picture(8, 8)).unwrap();
    assert_eq!(fake.state().asked, [*b"YU12", *b"YUYV", *b"NV12"]);
}

#[test]
fn a_device_that_only_has_others_is_named_with_what_it_has() {
    let fake = Fake::new(&[b"RGB3", b"H264"]);
    let text = message(&put(&mut fake.sink().unwrap(), &picture(8, 8)).unwrap_err());
    assert!(text.contains("takes RGB3, H264; this program writes YU12, YUYV, NV12, UYVY"), "{text}");
    assert!(text.contains("ffmpeg -i - -f v4l2 /dev/video10"), "{text}");
    // It lists what it then does not set.
    let fake = Fake::new(&ALL).set(|s| {
        s.fixed = Some(Given { code: *b"RGB3", size: (8, 8), stride: 24, bytes: 192 });
    });
    let text = message(&put(&mut fake.sink().unwrap(), &picture(8, 8)).unwrap_err());
    assert!(text.contains("this program writes"), "{text}");
    assert_eq!(fake.state().frames.len(), 0);
}

#[test]
fn a_device_that_keeps_its_size_says_which() {
    let kept = Given { code: *b"YUYV", size: (640, 360), stride: 1280, bytes: 460_800 };
    let fake = Fake::new(&ALL).set(|s| s.fixed = Some(kept));
    let text = message(&put(&mut fake.sink().unwrap(), &picture(32, 18)).unwrap_err());
    assert!(text.contains("keeps its 640x360 pixels, and the frames have 32x18"), "{text}");
    assert!(text.contains("close that"), "{text}");
    // The same size in another format than the one asked for first is as good.
    let kept = Given { code: *b"YUYV", size: (32, 18), stride: 64, bytes: 1152 };
    let fake = Fake::new(&ALL).set(|s| s.fixed = Some(kept));
    put(&mut fake.sink().unwrap(), &picture(32, 18)).unwrap();
    let state = fake.state();
    assert_eq!((state.asked.len(), state.frames[0].len()), (1, 1152));
}

#[test]
fn rows_without_room_are_refused() {
    for (stride, bytes) in [(20, 4096), (65, 65 * 18), (64, 1000), (1 << 22, 1 << 30)] {
        let kept = Given { code: *b"YUYV", size: (32, 18), stride, bytes };
        let fake = Fake::new(&ALL).set(|s| s.fixed = Some(kept));
        let text = message(&put(&mut fake.sink().unwrap(), &picture(32, 18)).unwrap_err());
        assert!(text.contains(&format!("rows of {stride} and frames of {bytes} bytes")), "{text}");
    }
    // Nothing said is as tight as can be.
    let kept = Given { code: *b"YU12", size: (32, 18), stride: 0, bytes: 0 };
    let given = negotiate(
        &mut Fake::new(&ALL).set(|s| s.fixed = Some(kept)),
        Path::new("x"),
        (32, 18),
        Matrix::Bt709,
    );
    assert_eq!(given.unwrap().stride, 32);
}

#[test]
fn odd_sides_lose_a_pixel_and_that_is_said() {
    let fake = Fake::new(&[b"YUYV"]);
    let mut sink = fake.sink().unwrap();
    put(&mut sink, &picture(25, 17)).unwrap();
    assert_eq!(fake.state().frames[0].len(), 2 * 24 * 16);
    assert!(
        fake.state().said[0].contains("24x16 pixels, a pixel less than 25x17"),
        "{:?}",
        fake.state().said
    );
    let text = message(&put(&mut fake.sink().unwrap(), &picture(1, 8)).unwrap_err());
    assert!(text.contains("at least 2x2") && text.contains("1x8"), "{text}");
}

#[test]
fn another_size_is_asked_for_anew() {
    let fake = Fake::new(&[b"YUYV"]);
    let mut sink = fake.sink().unwrap();
    for side in [8, 16, 16] {
        put(&mut sink, &picture(side, side)).unwrap();
    }
    let state = fake.state();
    assert_eq!((state.opened, state.asked.len()), (2, 2));
    assert_eq!(state.frames.iter().map(Vec::len).collect::<Vec<_>>(), [128, 512, 512]);
}

#[test]
fn interrupted_calls_and_busy_moments_are_waited_out() {
    let fake = Fake::new(&[b"YUYV"])
        .set(|s| s.writes = [Err(Errno::INTR), Err(Errno::AGAIN), Err(Errno::AGAIN)].into());
    let mut sink = fake.sink().unwrap();
    put(&mut sink, &picture(8, 8)).unwrap();
    assert_eq!(fake.state().frames.len(), 1);
    // For ever: the frame is left out, which is said once, and the next one comes.
    let again = std::iter::repeat_n(Err(Errno::AGAIN), 2 * 21);
    fake.state().writes = again.collect();
    for _ in 0..3 {
        assert_eq!(put(&mut sink, &picture(8, 8)).unwrap(), Taken::Whole);
    }
    sink.finish().unwrap();
    let state = fake.state();
    assert_eq!(state.frames.len(), 2);
    assert_eq!(state.said.iter().filter(|s| s.contains("took no frame for 2 s")).count(), 1);
    assert!(state.said.last().unwrap().contains("2 frames too late"), "{:?}", state.said);
}

#[test]
fn a_frame_taken_in_part_is_not_continued() {
    // Once: somebody has changed the format, and it is asked for again.
    let fake = Fake::new(&[b"YUYV"]).set(|s| s.writes = [Ok(100)].into());
    let mut sink = fake.sink().unwrap();
    for _ in 0..3 {
        put(&mut sink, &picture(8, 8)).unwrap();
    }
    let counts = |state: &State| (state.frames.len(), state.opened);
    assert_eq!(counts(&fake.state()), (2, 2));
    // Twice in a row: it is how it is.
    fake.state().writes = [Ok(100), Ok(0)].into();
    put(&mut sink, &picture(8, 8)).unwrap();
    let text = message(&put(&mut sink, &picture(8, 8)).unwrap_err());
    assert!(text.contains("took 0 of the 128 bytes of a frame, twice"), "{text}");
}

#[test]
fn what_is_wrong_with_a_device_is_said_before_the_first_frame() {
    let text = |error: CameraError| format!("{error} / {}", error.help());
    let sink = |errno| Fake::new(&ALL).set(|s| s.fails = Some(errno)).sink().err().unwrap();
    let missing = text(sink(Errno::NOENT));
    assert!(missing.contains("there is no device /dev/video10"), "{missing}");
    assert!(missing.contains("modprobe v4l2loopback exclusive_caps=1"), "{missing}");
    let forbidden = text(sink(Errno::ACCESS));
    assert!(forbidden.contains("no permission") && forbidden.contains("usermod -aG video"), "{forbidden}");
    let taken = text(sink(Errno::BUSY));
    assert!(taken.contains("another program writes") && taken.contains("fuser -v /dev/video10"), "{taken}");
    let file = text(sink(Errno::NOTTY));
    assert!(file.contains("not a loopback device: it is not a video device"), "{file}");
    // A webcam, and a loopback device that somebody writes to already.
    let camera = Fake::new(&ALL).set(|s| (s.driver, s.takes_frames) = ("uvcvideo", false));
    let camera = text(camera.sink().err().unwrap());
    assert!(camera.contains("`mcir` (uvcvideo) takes no frames") && camera.contains("modprobe"), "{camera}");
    let used = text(Fake::new(&ALL).set(|s| s.takes_frames = false).sink().err().unwrap());
    assert!(used.contains("another program writes"), "{used}");
}

#[test]
fn a_device_that_goes_ends_the_run() {
    for errno in [Errno::NODEV, Errno::NXIO] {
        let fake = Fake::new(&[b"YUYV"]);
        let mut sink = fake.sink().unwrap();
        put(&mut sink, &picture(8, 8)).unwrap();
        fake.state().writes = [Err(errno)].into();
        let text = message(&put(&mut sink, &picture(8, 8)).unwrap_err());
        assert!(text.contains("the device /dev/video10 has gone"), "{text}");
    }
    let fake = Fake::new(&[b"YUYV"]).set(|s| s.writes = [Err(Errno::IO)].into());
    let text = message(&put(&mut fake.sink().unwrap(), &picture(8, 8)).unwrap_err());
    assert!(text.contains("cannot write to it"), "{text}");
}

#[test]
fn files_of_this_machine_that_are_no_devices() {
    let sink = |path: &Path| {
        let facts = Box::new(Facts::default);
        Loopback::create(path, Matrix::Bt601, facts, Box::new(|_| ())).err().map(|e| message(&e))
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"x").unwrap();
    if cfg!(target_os = "linux") {
        assert!(sink(&file).unwrap().contains("is not a video device"), "{:?}", sink(&file));
        assert!(sink(folder.path()).unwrap().contains("it is a folder"), "{:?}", sink(folder.path()));
        let missing = sink(&folder.path().join("video10")).unwrap();
        assert!(missing.contains("there is no device"), "{missing}");
        assert!(sink(Path::new("/dev/null")).unwrap().contains("is not a video device"));
    }
}
