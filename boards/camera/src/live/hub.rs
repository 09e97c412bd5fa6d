//! Where the pipeline leaves its newest frame and viewers take it.

use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// After the last request, frames are encoded for this long.
const INTEREST: Duration = Duration::from_secs(5);

/// What the page shows besides pictures.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Version of this object.
    pub schema: u32,
    /// `waiting` for the first frame, `running`, `searching` for the camera, or `ended`.
    pub state: &'static str,
    /// Why the camera is searched for.
    pub problem: Option<String>,
    /// The source as the user wrote it.
    pub source: String,
    /// The model's name.
    pub model: String,
    /// `f32` or `int8`.
    pub precision: &'static str,
    /// The model's factor.
    pub upscale: usize,
    /// `rgb` or `y`.
    pub mode: &'static str,
    /// Name of the GPU that frames are made on; none for the processor.
    pub gpu: Option<String>,
    /// Frames per second that leave.
    pub fps: f64,
    /// Frames that the camera delivered.
    pub captured: u64,
    /// Frames that were super-resolved.
    pub output: u64,
    /// Frames that had to make room for newer ones.
    pub dropped: u64,
    /// Frames that were damaged.
    pub broken: u64,
    /// How often the camera came back.
    pub reconnects: u64,
    /// Temperature of the processor in °C.
    pub temperature_c: Option<f32>,
}

/// A frame for viewers.
#[derive(Debug)]
pub struct Frame {
    /// Its number, rising.
    pub id: u64,
    /// Width and height of the camera's picture.
    pub size: (usize, usize),
    /// Latency of each stage in ms, by name.
    pub times: Vec<(&'static str, f64)>,
    /// The camera's picture as JPEG.
    pub small: Vec<u8>,
    /// The super-resolved picture as JPEG.
    pub large: Vec<u8>,
}

/// The meeting point.
#[derive(Debug, Default)]
pub struct Hub {
    state: Mutex<State>,
    changed: Condvar,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    frame: Option<Arc<Frame>>,
    status: Status,
    asked: Option<Instant>,
}

impl Hub {
    /// Whether anybody has asked for frames lately.
    pub fn is_watched(&self) -> bool {
        self.lock().asked.is_some_and(|at| at.elapsed() < INTEREST)
    }

    /// Replaces the newest frame.
    pub fn publish(&self, frame: Frame) {
        self.lock().frame = Some(Arc::new(frame));
        self.changed.notify_all();
    }

    /// Changes what the page shows besides pictures.
    pub fn set_status(&self, status: Status) {
        self.lock().status = status;
    }

    /// What the page shows besides pictures.
    pub fn status(&self) -> Status {
        self.lock().status.clone()
    }

    /// The newest frame other than the one of number `after`; waits for it, up to `patience`.
    pub fn newer_than(&self, after: u64, patience: Duration) -> Option<Arc<Frame>> {
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        let waits = |s: &mut State| {
            // Numbers start again with the program, so any other one is newer.
            s.frame.as_ref().is_none_or(|f| f.id == after) && !self.closed.load(Ordering::Relaxed)
        };
        let (mut state, _) =
            self.changed.wait_timeout_while(state, patience, waits).unwrap_or_else(PoisonError::into_inner);
        state.asked = Some(Instant::now());
        state.frame.clone().filter(|f| f.id != after)
    }

    /// Lets everybody go who waits for a frame.
    pub fn close(&self) {
        let state = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Whether no more frames will come.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(id: u64) -> Frame {
        Frame { id, size: (1, 1), times: vec![], small: vec![], large: vec![] }
    }

    #[test]
    fn viewers_get_the_newest_frame_once() {
        let hub = Hub::default();
        assert!(!hub.is_watched());
        assert!(hub.newer_than(0, Duration::ZERO).is_none());
        assert!(hub.is_watched());
        (1..4).for_each(|id| hub.publish(frame(id)));
        assert_eq!(hub.newer_than(0, Duration::ZERO).unwrap().id, 3);
        assert!(hub.newer_than(3, Duration::ZERO).is_none());
        // A page that was open when the program started again.
        assert_eq!(hub.newer_than(9000, Duration::ZERO).unwrap().id, 3);
    }

    #[test]
    fn closing_lets_waiting_viewers_go() {
        let hub = Arc::new(Hub::default());
        let waiting = Arc::clone(&hub);
        let thread = std::thread::spawn(move || waiting.newer_than(0, Duration::from_secs(600)).is_none());
        hub.close();
        assert!(thread.join().unwrap());
    }
}
