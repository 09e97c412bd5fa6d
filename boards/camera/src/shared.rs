//! What all stages of the pipeline know.

use super::queue::Queue;
use super::source::{Children, Shot};
use super::stats::Stats;
use super::y4m::Facts;
use mcir_upscale::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The state of the pipeline as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Phase {
    /// No frame has come yet.
    #[default]
    Waiting,
    /// Frames come.
    Running,
    /// The camera went away, and is looked for.
    Searching {
        /// Why it went.
        problem: String,
    },
    /// No more frames will come.
    Ended,
}

/// Shared by the threads of a pipeline.
pub struct Shared {
    /// Captured frames that wait for the engine, and when each began to wait.
    pub queue: Queue<(Shot, Instant)>,
    /// Counters.
    pub stats: Stats,
    /// Camera programs.
    pub children: Children,
    stop: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    facts: Facts,
    error: Option<Error>,
    /// Since when a frame has been waited for.
    waiting: Option<Instant>,
    /// The camera program was ended because nothing came.
    stalled: Option<Duration>,
    /// The GPU that frames are made on.
    gpu: Option<String>,
}

impl Shared {
    /// For a pipeline with this queue.
    pub fn new(queue: Queue<(Shot, Instant)>) -> Self {
        Self {
            queue,
            stats: Stats::default(),
            children: Children::default(),
            stop: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    /// Name of the GPU that frames are made on; none for the processor.
    pub fn gpu(&self) -> Option<String> {
        self.lock().gpu.clone()
    }

    /// Frames are made on this GPU, or on the processor.
    pub fn set_gpu(&self, gpu: Option<String>) {
        self.lock().gpu = gpu;
    }

    /// Ends all stages soon. Frames that are not with the engine yet are given up.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.queue.abandon();
        self.children.stop();
    }

    /// Whether the pipeline is to end.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps, unless the pipeline is to end.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_stopped() && Instant::now() < end {
            std::thread::sleep(end.saturating_duration_since(Instant::now()).min(Duration::from_millis(50)));
        }
    }

    /// Ends the pipeline with an error; the first one counts.
    pub fn fail(&self, error: Error) {
        self.lock().error.get_or_insert(error);
    }

    /// The error that the pipeline ended with.
    pub fn take_error(&self) -> Option<Error> {
        self.lock().error.take()
    }

    /// The state of the pipeline.
    pub fn phase(&self) -> Phase {
        self.lock().phase.clone()
    }

    /// Changes the state of the pipeline.
    pub fn set_phase(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Frames per second that the source promises.
    pub fn rate(&self) -> Option<(u32, u32)> {
        self.facts().rate
    }

    /// What the source says besides its pixels.
    pub fn facts(&self) -> Facts {
        self.lock().facts
    }

    /// Changes it.
    pub fn set_facts(&self, facts: Facts) {
        self.lock().facts = facts;
    }

    /// A frame is waited for from now on, or not any more.
    pub fn set_waiting(&self, waits: bool) {
        self.lock().waiting = waits.then(Instant::now);
    }

    /// Ends the camera program when a frame has been waited for longer than `limit`: its reader then wakes up.
    pub fn end_stall(&self, limit: Duration) {
        let mut state = self.lock();
        if let Some(since) = state.waiting
            && since.elapsed() > limit
        {
            state.waiting = None;
            state.stalled = Some(limit);
            drop(state);
            self.children.stop();
        }
    }

    /// How long nothing came before the camera program was ended; only once for every time.
    pub fn take_stall(&self) -> Option<Duration> {
        self.lock().stalled.take()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
