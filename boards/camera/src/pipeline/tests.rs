//! A thread that panics ends the pipeline with an error, and never leaves another one waiting.

use super::*;
use crate::choice::{Chooser, Remake};
use crate::queue::{Drop, Queue};
use crate::raw::Matrix;
use mcir_runtime::plan::PlanOptions;
use mcir_upscale::models::NamedModel;
use mcir_upscale::upscaler::Upscaler;
use std::io::Write;

/// Panics at its third picture.
struct Clumsy(u32);

impl Sink for Clumsy {
    fn put(&mut self, job: &Job, waited: &mut Duration) -> Result<Taken> {
        self.0 += 1;
        assert!(self.0 < 3, "on purpose");
        job.rows.row(job.rows.size().1 - 1, waited);
        Ok(Taken::Whole)
    }
}

/// Takes everything.
struct Patient;

impl Sink for Patient {
    fn put(&mut self, job: &Job, _: &mut Duration) -> Result<Taken> {
        Ok(if job.rows.spent().is_some() { Taken::Whole } else { Taken::Broken })
    }
}

/// Runs a recording through the pipeline; it must end by itself.
fn run(recording: &[u8], sink: Box<dyn Sink>, tell: Tell) -> Result<Outcome> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(recording).unwrap();
    let options = PlanOptions::default();
    let pipeline = Pipeline {
        spec: format!("file:{}", file.path().display()).parse().unwrap(),
        request: Request { size: (64, 48), rate: 30, matrix: Matrix::Bt601, verbose: false },
        // Without an end of its own, and with a capture thread that waits for room in the queue.
        repeat: true,
        paced: false,
        limit: None,
        worker: Worker::new(Upscaler::new(
            NamedModel::default_for(2, mcir_upscale::embedded::Kind::Clean).unwrap(),
            options,
        )),
        sinks: vec![sink],
        hub: None,
        interval: None,
        tell,
        interrupted: Arc::default(),
    };
    let (done, ended) = std::sync::mpsc::channel();
    thread::spawn(move || {
        done.send(pipeline.run(&Arc::new(Shared::new(Queue::new(1, Drop::Never))))).is_ok()
    });
    ended.recv_timeout(Duration::from_secs(120)).expect("the pipeline ends")
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new(&mut bytes);
    image::RgbImage::from_pixel(16, 16, image::Rgb([90, 120, 30])).write_with_encoder(encoder).unwrap();
    bytes
}

#[test]
fn an_output_that_panics() {
    let error = run(&jpeg(), Box::new(Clumsy(0)), Arc::new(|_| {})).unwrap_err();
    assert!(matches!(error.room(), Some(CameraError::Died("output"))), "{error}");
}

#[test]
fn an_engine_that_panics() {
    // The engine's thread is the one that tells of damaged frames.
    let mut damaged = jpeg();
    let header = damaged.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    damaged[header + 4] = 77;
    let recording = [jpeg(), jpeg(), damaged].concat();
    let error =
        run(&recording, Box::new(Patient), Arc::new(|text| panic!("on purpose: {text}"))).unwrap_err();
    assert!(matches!(error.room(), Some(CameraError::Died("inference"))), "{error}");
}

/// A report names what made the last frame, and not what the program was started with.
#[test]
fn what_a_viewer_has_chosen_is_what_ran() {
    let hub = Arc::new(Hub::default());
    let model = NamedModel::open("edsr-edge-x2").unwrap();
    let chooser = Chooser::new(Arc::clone(&hub), model.clone(), Remake::default(), false, true);
    let upscaler = Upscaler::new(model, PlanOptions::default());
    let mut worker = Worker::new(upscaler).chosen_by(Some(chooser));
    let shared = Shared::new(Queue::new(1, Drop::Never));
    let (tell, outcome): (Tell, _) = (Arc::new(|_| ()), Mutex::default());
    let small = Image::new(8, 8, 3, vec![0; 192]).unwrap();
    let ran = |worker: &mut Worker| {
        note(worker, &shared, &tell, &outcome, &small);
        let ran = outcome.lock().unwrap().ran.clone().unwrap();
        (ran.model, ran.upscale, ran.mode)
    };
    assert_eq!(ran(&mut worker), ("edsr-edge-x2".into(), 2, "rgb"));
    hub.choose("edsr-edge-x4", Some(50)).unwrap();
    worker.follow().unwrap();
    assert_eq!(ran(&mut worker), ("edsr-edge-x4-camera-50".into(), 4, "rgb"));
}
