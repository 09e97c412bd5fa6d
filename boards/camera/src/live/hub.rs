//! Where the pipeline leaves its newest frame and viewers take it, and where viewers leave what they want.

use crate::stats::Latency;
use mcir_upscale::models::CAMERA_STRENGTH;
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How much a family cleans up unless a viewer says, in percent.
const DEFAULT_STRENGTH: u8 = (100.0 * CAMERA_STRENGTH) as u8;

/// After the last request, somebody is still taken to watch for this long.
const INTEREST: Duration = Duration::from_secs(5);
/// A frame that was encoded longer ago than this is not shown when the pipeline has a newer one.
const FRESH: Duration = Duration::from_millis(200);

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
    /// Latency of each stage since the program began.
    pub latency: Vec<Latency>,
    /// What viewers may choose; none where they may not.
    pub control: Option<Control>,
}

/// The models that viewers may choose from, and the one that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Control {
    /// All of them.
    pub choices: Vec<Choice>,
    /// What was chosen.
    #[serde(flatten)]
    pub wish: Wish,
    /// Whether only viewers on this machine may choose, and none that come through a proxy on it.
    #[serde(skip)]
    pub is_local: bool,
}

/// A model, or a family of models that clean up more and more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its name.
    pub name: String,
    /// Its factor.
    pub upscale: usize,
    /// Steps of strength in percent; none where it has no strengths.
    pub strengths: Vec<u8>,
}

/// What is to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Wish {
    /// The name of a [`Choice`].
    pub model: String,
    /// Strength in percent; none for a model that has no strengths.
    pub strength: Option<u8>,
}

/// What runs, as the status tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The model's name.
    pub model: String,
    /// `f32` or `int8`.
    pub precision: &'static str,
    /// The model's factor.
    pub upscale: usize,
    /// `rgb` or `y`.
    pub mode: &'static str,
}

/// Why nothing was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Viewers may not.
    #[error("viewers may not change anything here; --http-control lets them")]
    Forbidden,
    /// There is no such model or strength.
    #[error("there is no such model, or it has no such strength; /status.json lists all")]
    Unknown,
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
    /// When it was published, and whether no viewer has it yet.
    published: Option<Instant>,
    untaken: bool,
    /// Number of the newest frame that the pipeline has made.
    made: u64,
    /// Viewers that wait for a frame.
    waiting: usize,
    /// No more frames are encoded.
    retired: bool,
    status: Status,
    asked: Option<Instant>,
    control: Option<Control>,
    /// What was chosen since the pipeline has last looked.
    wish: Option<Wish>,
    /// What it looks at now, and what runs.
    taken: Option<Wish>,
    settled: Option<Wish>,
    running: Option<Running>,
}

impl Hub {
    /// The pipeline has made a frame. Whether anybody may want to see it: has asked for frames lately.
    pub fn made(&self, id: u64) -> bool {
        let mut state = self.lock();
        state.made = id;
        state.is_watched()
    }

    /// Waits until a frame is worth encoding, or until there will be none. As many are encoded as are taken, and one ahead, so
    /// that a viewer far away need not wait for it: more would take time from the engine that nobody gains.
    pub fn wait_until_wanted(&self) {
        let waits = |state: &mut State| !state.retired && !state.wants_frame();
        let mut state = self.lock();
        while waits(&mut state) {
            // Nobody says when interest is lost, but who takes it up again does.
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Replaces the newest frame.
    pub fn publish(&self, frame: Frame) {
        let mut state = self.lock();
        state.frame = Some(Arc::new(frame));
        state.published = Some(Instant::now());
        state.untaken = true;
        drop(state);
        self.changed.notify_all();
    }

    /// No more frames will be encoded: lets the encoder go, and viewers have the newest of those that were.
    pub fn retire(&self) {
        let mut state = self.lock();
        state.retired = true;
        state.made = state.frame.as_ref().map_or(0, |frame| frame.id);
        drop(state);
        self.changed.notify_all();
    }

    /// Changes what the page shows besides pictures.
    pub fn set_status(&self, status: Status) {
        self.lock().status = status;
    }

    /// What the page shows besides pictures.
    pub fn status(&self) -> Status {
        let state = self.lock();
        let mut status = state.status.clone();
        status.control.clone_from(&state.control);
        if let Some(running) = &state.running {
            status.model.clone_from(&running.model);
            (status.precision, status.upscale) = (running.precision, running.upscale);
            status.mode = running.mode;
        }
        status
    }

    /// Lets viewers choose from now on.
    pub fn offer(&self, control: Control) {
        let mut state = self.lock();
        state.settled = Some(control.wish.clone());
        state.control = Some(control);
    }

    /// A viewer chooses a model and, where it has them, a strength in percent, of which the nearest step is taken.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn choose(&self, model: &str, strength: Option<u8>) -> Result<(), Refusal> {
        let mut state = self.lock();
        let control = state.control.as_mut().ok_or(Refusal::Forbidden)?;
        let choice = control.choices.iter().find(|choice| choice.name == model).ok_or(Refusal::Unknown)?;
        let strength = match (strength, choice.strengths.is_empty()) {
            (Some(asked), false) => choice.strengths.iter().copied().min_by_key(|step| step.abs_diff(asked)),
            (None, true) => None,
            // A family at its default, as the program starts with it.
            (None, false) => {
                choice.strengths.iter().copied().min_by_key(|step| step.abs_diff(DEFAULT_STRENGTH))
            }
            (Some(_), true) => return Err(Refusal::Unknown),
        };
        let wish = Wish { model: choice.name.clone(), strength };
        if control.wish != wish {
            control.wish = wish.clone();
            state.wish = Some(wish);
        }
        Ok(())
    }

    /// Whether something was chosen since the last call of [`Hub::take_wish`].
    pub fn has_wish(&self) -> bool {
        self.lock().wish.is_some()
    }

    /// What was chosen since the last call.
    pub fn take_wish(&self) -> Option<Wish> {
        let mut state = self.lock();
        state.taken = state.wish.take();
        state.taken.clone()
    }

    /// The pipeline has changed the model.
    pub fn runs(&self, running: Running) {
        let mut state = self.lock();
        state.running = Some(running);
        state.settled = state.taken.take();
    }

    /// What was chosen last cannot be run: the page shows again what was there before, unless something else was chosen since.
    pub fn keeps(&self) {
        let State { control, wish: None, taken, settled, .. } = &mut *self.lock() else { return };
        *taken = None;
        if let (Some(control), Some(settled)) = (control, settled) {
            control.wish = settled.clone();
        }
    }

    /// The newest frame other than the one of number `after`; waits for it, up to `patience`.
    pub fn newer_than(&self, after: u64, patience: Duration) -> Option<Arc<Frame>> {
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        state.waiting += 1;
        self.changed.notify_all();
        let waits = |state: &mut State| !state.has_newer_than(after) && !self.closed.load(Ordering::Relaxed);
        let (mut state, _) =
            self.changed.wait_timeout_while(state, patience, waits).unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state.asked = Some(Instant::now());
        let frame = state.frame.clone().filter(|frame| frame.id != after);
        if frame.is_some() && state.untaken {
            state.untaken = false;
            self.changed.notify_all();
        }
        frame
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

impl State {
    /// Whether anybody has asked for frames lately.
    fn is_watched(&self) -> bool {
        self.asked.is_some_and(|at| at.elapsed() < INTEREST)
    }

    fn wants_frame(&self) -> bool {
        self.waiting > 0 || !self.untaken && self.is_watched()
    }

    /// Numbers start again with the program, so any other one is newer; but not an old one where the pipeline is further.
    fn has_newer_than(&self, after: u64) -> bool {
        let is_fresh = || self.published.is_some_and(|at| at.elapsed() < FRESH);
        self.frame.as_ref().is_some_and(|frame| frame.id != after && (frame.id >= self.made || is_fresh()))
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
        assert!(!hub.made(1));
        assert!(hub.newer_than(0, Duration::ZERO).is_none());
        assert!(hub.made(1));
        (1..4).for_each(|id| hub.publish(frame(id)));
        assert_eq!(hub.newer_than(0, Duration::ZERO).unwrap().id, 3);
        assert!(hub.newer_than(3, Duration::ZERO).is_none());
        // A page that was open when the program started again.
        assert_eq!(hub.newer_than(9000, Duration::ZERO).unwrap().id, 3);
    }

    #[test]
    fn as_many_frames_are_wanted_as_are_taken() {
        let hub = Hub::default();
        let wanted = || hub.lock().wants_frame();
        hub.made(1);
        assert!(!wanted(), "nobody watches");
        assert!(hub.newer_than(0, Duration::ZERO).is_none());
        assert!(wanted(), "somebody has asked in vain");
        hub.publish(frame(1));
        assert!(!wanted(), "one is ahead");
        assert_eq!(hub.newer_than(0, Duration::ZERO).unwrap().id, 1);
        assert!(wanted(), "it was taken");
        hub.publish(frame(2));
        // The second viewer to take a frame wants no other than the first.
        assert_eq!(hub.newer_than(1, Duration::ZERO).unwrap().id, 2);
        hub.publish(frame(3));
        assert!(!wanted());
        hub.retire();
        hub.wait_until_wanted();
    }

    #[test]
    fn old_frames_are_not_shown_where_there_are_newer_ones() {
        let hub = Hub::default();
        hub.publish(frame(1));
        let has = || hub.lock().has_newer_than(0);
        hub.made(1);
        hub.lock().published = None;
        assert!(has(), "nothing is newer");
        hub.made(40);
        assert!(!has(), "its time is over");
        hub.lock().published = Some(Instant::now());
        assert!(has(), "it was encoded just now");
        hub.lock().published = None;
        // Better than none when nothing comes; and at the end it is the newest.
        assert_eq!(hub.newer_than(0, Duration::ZERO).unwrap().id, 1);
        hub.retire();
        assert!(has());
    }

    #[test]
    fn viewers_choose_only_what_is_offered() {
        let hub = Hub::default();
        assert_eq!(hub.choose("a", None), Err(Refusal::Forbidden));
        let choice = |name: &str, strengths: &[u8]| Choice {
            name: name.into(),
            upscale: 2,
            strengths: strengths.into(),
        };
        let wish = Wish { model: "own".into(), strength: None };
        hub.offer(Control {
            choices: vec![choice("own", &[]), choice("a", &[0, 50, 100])],
            wish,
            is_local: false,
        });
        assert_eq!(hub.choose("b", None), Err(Refusal::Unknown));
        assert_eq!(hub.choose("own", Some(50)), Err(Refusal::Unknown));
        assert_eq!(hub.choose("own", None), Ok(()));
        assert_eq!(hub.take_wish(), None, "it runs already");
        assert_eq!(hub.choose("a", Some(60)), Ok(()));
        let chosen = Wish { model: "a".into(), strength: Some(50) };
        assert_eq!(hub.status().control.unwrap().wish, chosen);
        assert_eq!((hub.take_wish(), hub.take_wish()), (Some(chosen), None));
        hub.runs(Running { model: "a-50".into(), precision: "int8", upscale: 2, mode: "y" });
        assert_eq!((hub.status().model.as_str(), hub.status().mode), ("a-50", "y"));
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
