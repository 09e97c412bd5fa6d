//! Encoding for viewers.
//!
//! It happens in a thread of its own that takes the newest frame when it is done with the one before, and that gives way to the
//! engine: on a board with few processors a viewer then sees fewer frames, and what leaves for files and other programs comes at
//! the same rate as without.

use super::hub::{Frame, Hub};
use crate::error::CameraError;
use crate::jpeg;
use crate::output::{Sink, Taken};
use crate::work::Job;
use mcir_upscale::error::Result;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Quality of the super-resolved picture, of 100.
const LARGE_QUALITY: u8 = 88;
/// Quality of the camera's picture: it is enlarged, which would show its errors.
const SMALL_QUALITY: u8 = 96;
/// Longest side of a picture that all browsers show.
const MAX_SHOWN: usize = 16_383;
/// How far the encoder stands back behind the engine: this many steps of niceness are a tenth of the engine's weight.
const NICENESS: i32 = 10;

/// Hands frames to a [`Hub`], while anybody watches.
pub struct LiveSink {
    hub: Arc<Hub>,
    desk: Arc<Desk>,
    encoder: Option<JoinHandle<()>>,
}

/// What lies before the encoder.
#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The newest frame that it has not begun.
    next: Option<Job>,
    /// No more will come.
    closed: bool,
}

impl LiveSink {
    /// For the viewers of this hub.
    ///
    /// # Errors
    /// [`CameraError::Thread`].
    pub fn new(hub: Arc<Hub>) -> Result<Self, CameraError> {
        let desk = Arc::<Desk>::default();
        let (theirs, viewers) = (Arc::clone(&desk), Arc::clone(&hub));
        let encode = move || {
            give_way();
            while let Some(job) = theirs.take() {
                encode(&job, &viewers);
            }
        };
        let encoder = thread::Builder::new().name("encode".into()).spawn(encode);
        Ok(Self { hub, desk, encoder: Some(encoder.map_err(CameraError::Thread)?) })
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest frame, once there is one; `None` when there will be none.
    fn take(&self) -> Option<Job> {
        let waits = |state: &mut State| state.next.is_none() && !state.closed;
        let state = self.changed.wait_while(self.lock(), waits);
        state.unwrap_or_else(PoisonError::into_inner).next.take()
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Sink for LiveSink {
    fn put(&mut self, job: &Job, _waited: &mut Duration) -> Result<Taken> {
        if self.hub.is_watched() {
            self.desk.lock().next = Some(job.clone());
            self.desk.changed.notify_all();
        }
        Ok(Taken::Whole)
    }

    /// The last frame is still shown.
    fn finish(&mut self) -> Result<()> {
        self.desk.close();
        // A panic of the encoder is printed already, and costs nobody but the viewers anything.
        let _ = self.encoder.take().map(JoinHandle::join);
        Ok(())
    }
}

impl Drop for LiveSink {
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// Encodes a frame, which may still be in the making, and shows it.
fn encode(job: &Job, hub: &Hub) {
    let start = Instant::now();
    let mut waited = Duration::ZERO;
    let Some(small) = jpeg::encode_image(&job.small, job.space, SMALL_QUALITY) else { return };
    let large = match reduced_by(job.rows.size()) {
        1 => jpeg::encode_rows(&job.rows, LARGE_QUALITY, &mut waited),
        factor => jpeg::encode_reduced(&job.rows, factor, LARGE_QUALITY, &mut waited),
    };
    let Some(large) = large else { return };
    let encode = start.elapsed().saturating_sub(waited);
    let [capture, queue, convert] = job.before;
    let infer = job.rows.spent().unwrap_or_default();
    let total = job.began.elapsed();
    let times = [
        ("capture", capture),
        ("queue", queue),
        ("convert", convert),
        ("infer", infer),
        ("encode", encode),
        ("total", total),
    ];
    let times = times.map(|(name, time)| (name, time.as_secs_f64() * 1e3)).into();
    let size = (job.small.width(), job.small.height());
    hub.publish(Frame { id: job.id, size, times, small, large });
}

/// How many times smaller viewers see a picture: browsers do not show longer sides than [`MAX_SHOWN`].
fn reduced_by((width, height): (usize, usize)) -> usize {
    let factor = width.max(height).div_ceil(MAX_SHOWN);
    // A long and thin one cannot be made thinner than a pixel.
    factor.min(width).min(height).max(1)
}

/// Lets the engine's threads go first. Where that is not possible the encoder competes with them, as any program does.
fn give_way() {
    #[cfg(target_os = "linux")]
    {
        // Of a thread, although the call is named after processes: Linux counts them as such.
        let thread = rustix::thread::gettid();
        let _ = rustix::process::setpriority_process(Some(thread), NICENESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_that_browsers_do_not_show_are_reduced() {
        for (size, factor) in [
            ((1280, 720), 1),
            ((16_383, 16_383), 1),
            ((16_384, 8), 2),
            ((40, 65_536), 5),
            ((65_536, 2), 2),
            ((65_536, 1), 1),
        ] {
            assert_eq!(reduced_by(size), factor, "{size:?}");
        }
    }
}
