//! The pipeline: three threads that overlap, and one that watches them.
//!
//! ```text
//! source ─ capture ─► queue ─ convert, infer ─► rows ─ encode ─► outputs
//! ```
//!
//! Encoding of a frame begins while the engine still works on its lower rows.

use super::capture::Capture;
use super::choice::running;
use super::error::CameraError;
use super::health::{self, Thermometer};
use super::notify::Notifier;
use super::output::{Sink, Taken};
use super::raw::Space;
use super::rows::RowsWriter;
use super::shared::{Phase, Shared};
use super::source::{Request, Spec};
use super::stats::{Counts, STAGES};
use super::work::{Job, Worker};
use crate::live::{Hub, Running, Status};
use mcir_runtime::image::Image;
use mcir_upscale::error::{Error, Result};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Frames between the engine and the outputs: one is being encoded while the next one is being made.
const AHEAD: usize = 1;
/// A camera program that delivers nothing for this long is started again.
const STALL: Duration = Duration::from_secs(15);
/// Frames in work without any leaving for this long: the watchdog is not told any more that all is well.
const STUCK: Duration = Duration::from_secs(60);
/// Frames after which memory should not grow any more.
const WARM: u64 = 30;
/// Time over which the frame rate of the live page is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(3);

/// Messages for the user, from any thread.
pub type Tell = Arc<dyn Fn(String) + Send + Sync>;

/// All that a pipeline is made of.
pub struct Pipeline {
    /// Where frames come from.
    pub spec: Spec,
    /// What is asked of a camera.
    pub request: Request,
    /// Begin again at the end of a recording.
    pub repeat: bool,
    /// Play a recording at its own rate.
    pub paced: bool,
    /// Stop after this many frames.
    pub limit: Option<u64>,
    /// The model.
    pub worker: Worker,
    /// Where pictures go.
    pub sinks: Vec<Box<dyn Sink>>,
    /// Viewers and what they are told besides pictures.
    pub hub: Option<(Arc<Hub>, Status)>,
    /// Time between two lines of statistics; none are printed without.
    pub interval: Option<Duration>,
    /// Messages.
    pub tell: Tell,
    /// Set from outside to stop.
    pub interrupted: Arc<AtomicBool>,
}

/// What is known at the end.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Width and height of the camera's frames.
    pub size: Option<(usize, usize)>,
    /// The engine's instruction set.
    pub isa: Option<&'static str>,
    /// Threads of the engine.
    pub threads: usize,
    /// The model that ran last: viewers may have chosen another than the first.
    pub ran: Option<Running>,
    /// The GPU that the last frame was made on; none for the processor.
    pub gpu: Option<String>,
    /// Memory of the program when it was warm, and at the end, in bytes.
    pub memory: [Option<u64>; 2],
}

impl Pipeline {
    /// Runs until the source ends, enough frames are done, or it is interrupted.
    ///
    /// # Errors
    /// The first error of any stage.
    pub fn run(self, shared: &Arc<Shared>) -> Result<Outcome> {
        let Self { spec, request, repeat, paced, limit, worker, sinks, hub, interval, tell, interrupted } =
            self;
        let outcome = Arc::new(Mutex::new(Outcome::default()));
        let (jobs, queue) = sync_channel(AHEAD);
        let name = spec.name();

        let state = Arc::clone(shared);
        let output = spawn("output", move || deliver(sinks, &queue, &state, limit))?;
        let (state, told, seen) = (Arc::clone(shared), Arc::clone(&tell), Arc::clone(&outcome));
        // A thread that cannot be started ends the others before the program, so that they clear away what they began.
        let infer = match spawn("infer", move || work(worker, &state, &name, &jobs, &told, &seen)) {
            Ok(infer) => infer,
            Err(error) => {
                let _ = output.join();
                return Err(error.into());
            }
        };
        let (state, told) = (Arc::clone(shared), Arc::clone(&tell));
        let watched_for_stalls = spec.is_camera() && !matches!(spec, Spec::V4l2(_));
        let capture = spawn("capture", move || {
            let (spec, request, tell) = (&spec, &request, &*told);
            Capture { spec, request, repeat, paced, tell: &|text| tell(text) }.run(&state);
        });
        let capture = match capture {
            Ok(capture) => capture,
            Err(error) => {
                shared.stop();
                let _ = (infer.join(), output.join());
                return Err(error.into());
            }
        };

        let mut watch = Watch::new(hub, interval, &tell);
        while !output.is_finished() {
            if interrupted.load(Ordering::Relaxed) && !shared.is_stopped() {
                watch.notifier.stopping();
                shared.stop();
            }
            // A capture thread that panicked closes nothing.
            if capture.is_finished() {
                shared.queue.close();
            }
            if watched_for_stalls {
                shared.end_stall(STALL);
            }
            watch.look(shared);
            thread::sleep(Duration::from_millis(40));
        }
        shared.stop();
        let infer = infer.join().unwrap_or(Err(CameraError::Died("inference").into()));
        let output = output.join().unwrap_or(Err(CameraError::Died("output").into()));
        if capture.is_finished() && capture.join().is_err() {
            shared.fail(CameraError::Died("capture").into());
        }
        shared.set_phase(Phase::Ended);
        watch.end(shared);
        infer?;
        output?;
        if let Some(error) = shared.take_error() {
            return Err(error);
        }
        let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner).clone();
        outcome.memory = [watch.warm_memory, health::resident_bytes()];
        Ok(outcome)
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, CameraError> {
    thread::Builder::new().name(name.into()).spawn(run).map_err(CameraError::Thread)
}

/// A frame that the GPU works on.
struct Begun {
    small: Arc<Image>,
    space: Space,
    writer: RowsWriter,
    start: Instant,
}

/// The second stage. A GPU makes a frame while the next one, if it is there already, becomes an image.
fn work(
    mut worker: Worker,
    shared: &Shared,
    name: &str,
    jobs: &SyncSender<Job>,
    tell: &Tell,
    outcome: &Mutex<Outcome>,
) -> Result<()> {
    let (mut id, mut damaged) = (0, None);
    let mut begun: Option<Begun> = None;
    loop {
        let next = match &begun {
            // A frame that is being made does not wait for one that has not come.
            Some(_) => shared.queue.try_pop(),
            None => shared.queue.pop(),
        };
        let Some((shot, waiting)) = next else {
            let Some(Begun { small, space, writer, start }) = begun.take() else { break };
            if let Err(error) = worker.finish(&small, space, writer, start) {
                return stop_with(error, shared);
            }
            note(&mut worker, shared, tell, outcome, &small);
            continue;
        };
        let queued = waiting.elapsed();
        if worker.is_to_change() {
            // What the GPU has begun belongs to the model that goes.
            if let Some(Begun { small, space, writer, start }) = begun.take()
                && let Err(error) = worker.finish(&small, space, writer, start)
            {
                return stop_with(error, shared);
            }
            if let Err(error) = worker.follow() {
                tell(format!("note: the model stays, because {error}"));
            }
        }
        let start = Instant::now();
        let (small, space) = match worker.convert(&shot, name) {
            Ok(converted) => converted,
            // One damaged frame is no reason to stop.
            Err(error)
                if matches!(error.room(), Some(CameraError::Jpeg { .. } | CameraError::Raw { .. })) =>
            {
                shared.stats.broken();
                if damaged.replace(error).is_none()
                    && let Some(error) = &damaged
                {
                    tell(format!("note: a frame is left out: {error}; others will only be counted"));
                }
                continue;
            }
            Err(error) => return stop_with(error, shared),
        };
        let before = [shot.capture, queued, start.elapsed()];
        id += 1;
        let (rows, writer) = worker.rows_for(&small, space);
        let small = Arc::new(small);
        let job = Job { id, small: Arc::clone(&small), space, rows, began: shot.began, before };
        drop(shot);
        // The outputs have ended, and will say why.
        if jobs.send(job).is_err() {
            return Ok(());
        }
        let start = Instant::now();
        let earlier = begun.take();
        let on_gpu = worker.begin(&small, space);
        let done = match earlier {
            Some(Begun { small, space, writer, start }) => worker.finish(&small, space, writer, start),
            None => Ok(()),
        };
        let frame = Begun { small, space, writer, start };
        let seen = Arc::clone(&frame.small);
        let done = done.and_then(|()| {
            if on_gpu {
                begun = Some(frame);
                return Ok(());
            }
            worker.enlarge(&frame.small, frame.space, frame.writer)
        });
        if let Err(error) = done {
            return stop_with(error, shared);
        }
        note(&mut worker, shared, tell, outcome, &seen);
    }
    match damaged {
        // Nothing but damaged frames is an error.
        Some(error) if id == 0 => Err(error),
        _ => Ok(()),
    }
}

/// What frames are made by, when that is known for the first time or has changed.
fn note(worker: &mut Worker, shared: &Shared, tell: &Tell, outcome: &Mutex<Outcome>, small: &Image) {
    let note = worker.take_note();
    let mut outcome = outcome.lock().unwrap_or_else(PoisonError::into_inner);
    let upscaler = worker.upscaler();
    let model = upscaler.model();
    let is_known =
        outcome.ran.as_ref().is_some_and(|ran| ran.model == model.name && ran.precision == model.precision());
    if outcome.size.is_none() || note.is_some() || !is_known {
        outcome.ran = Some(running(upscaler));
        outcome.size = Some((small.width(), small.height()));
        outcome.gpu = upscaler.gpu().map(str::to_owned);
        shared.set_gpu(outcome.gpu.clone());
        if let Some(plan) = upscaler.plan() {
            (outcome.isa, outcome.threads) = (Some(plan.isa().name()), plan.threads());
        }
    }
    drop(outcome);
    if let Some(note) = note {
        tell(format!("note: the GPU is not used: {note}"));
    }
}

fn stop_with(error: Error, shared: &Shared) -> Result<()> {
    shared.stop();
    Err(error)
}

/// The last stage.
fn deliver(
    mut sinks: Vec<Box<dyn Sink>>,
    jobs: &Receiver<Job>,
    shared: &Shared,
    limit: Option<u64>,
) -> Result<()> {
    let mut done = 0;
    'frames: for job in jobs {
        if limit == Some(done) {
            continue;
        }
        let start = Instant::now();
        let mut waited = Duration::ZERO;
        for sink in &mut sinks {
            match sink.put(&job, &mut waited) {
                Ok(Taken::Whole) => {}
                // The engine has failed, and says why.
                Ok(Taken::Broken) => continue 'frames,
                Ok(Taken::Gone) => {
                    shared.stop();
                    break 'frames;
                }
                Err(error) => return stop_with(error, shared),
            }
        }
        let encode = start.elapsed().saturating_sub(waited);
        let Some(infer) = job.rows.spent() else { continue };
        let [capture, queue, convert] = job.before;
        shared.stats.output(&[capture, queue, convert, infer, encode, job.began.elapsed()]);
        done += 1;
        if limit == Some(done) {
            shared.stop();
        }
    }
    sinks.iter_mut().try_for_each(|sink| sink.finish())
}

/// What the watching thread keeps.
struct Watch<'a> {
    hub: Option<(Arc<Hub>, Status)>,
    interval: Option<Duration>,
    tell: &'a Tell,
    notifier: Notifier,
    thermometer: Thermometer,
    told: Instant,
    output: u64,
    progressed: Instant,
    recent: VecDeque<(Instant, u64)>,
    warm_memory: Option<u64>,
}

impl<'a> Watch<'a> {
    fn new(hub: Option<(Arc<Hub>, Status)>, interval: Option<Duration>, tell: &'a Tell) -> Self {
        let now = Instant::now();
        Self {
            hub,
            interval,
            tell,
            notifier: Notifier::new(),
            thermometer: Thermometer::find(),
            told: now,
            output: 0,
            progressed: now,
            recent: VecDeque::new(),
            warm_memory: None,
        }
    }

    fn look(&mut self, shared: &Shared) {
        let counts = shared.stats.counts();
        let now = Instant::now();
        if counts.output > self.output || counts.unfinished == 0 {
            (self.output, self.progressed) = (counts.output, now);
        }
        if counts.output > 0 {
            self.notifier.ready();
        }
        if counts.output >= WARM && self.warm_memory.is_none() {
            self.warm_memory = health::resident_bytes();
        }
        if now - self.progressed < STUCK {
            self.notifier.alive();
        }
        self.recent.push_back((now, counts.output));
        while self.recent.front().is_some_and(|(at, _)| now - *at > RATE_WINDOW) {
            self.recent.pop_front();
        }
        self.tell_viewers(shared, &counts);
        if let Some(interval) = self.interval
            && self.told.elapsed() >= interval
        {
            self.told = now;
            self.tell_user(shared, &counts);
        }
    }

    fn fps(&self) -> f64 {
        let (Some(first), Some(last)) = (self.recent.front(), self.recent.back()) else { return 0.0 };
        let seconds = (last.0 - first.0).as_secs_f64();
        if seconds > 0.0 { (last.1 - first.1) as f64 / seconds } else { 0.0 }
    }

    fn tell_viewers(&mut self, shared: &Shared, counts: &Counts) {
        let fps = self.fps();
        let Some((hub, status)) = &mut self.hub else { return };
        let phase = shared.phase();
        status.state = match phase {
            Phase::Waiting => "waiting",
            Phase::Running => "running",
            Phase::Searching { .. } => "searching",
            Phase::Ended => "ended",
        };
        status.problem = match phase {
            Phase::Searching { problem } => Some(problem),
            _ => None,
        };
        status.gpu = shared.gpu();
        status.fps = fps;
        (status.captured, status.output) = (counts.captured, counts.output);
        (status.dropped, status.broken) = (counts.dropped, counts.broken);
        status.reconnects = shared.stats.reconnects();
        status.latency = shared.stats.latencies();
        status.temperature_c = self.thermometer.read();
        hub.set_status(status.clone());
    }

    fn tell_user(&self, shared: &Shared, counts: &Counts) {
        let (latencies, fps) = shared.stats.recent();
        let mut line = format!("{} frames, {fps:.1} a second, {} dropped", counts.output, counts.dropped);
        if counts.broken > 0 {
            line += &format!(", {} damaged", counts.broken);
        }
        if let Some(total) = latencies.last() {
            line += &format!("; latency {:.1} ms, p99 {:.1} ms (", total.p50_ms, total.p99_ms);
            let stages: Vec<_> = latencies[..STAGES.len() - 1]
                .iter()
                .map(|l| format!("{} {:.1}", l.stage, l.p50_ms))
                .collect();
            line += &(stages.join(", ") + ")");
        }
        if let Some(temperature) = self.thermometer.read() {
            line += &format!("; {temperature:.0} °C");
        }
        self.notifier.status(&line);
        (self.tell)(line);
    }

    /// The last thing that viewers see.
    fn end(&mut self, shared: &Shared) {
        self.tell_viewers(shared, &shared.stats.counts());
        if let Some((hub, _)) = &self.hub {
            hub.close();
        }
        self.notifier.stopping();
    }
}

#[cfg(test)]
mod tests;
