//! Encoding for viewers.
//!
//! It happens in a thread of its own that takes the newest frame when viewers have taken the one before, and that gives way to the
//! engine: it has a lower priority, and where it finds the processors taken it rests in between. On a board with few processors a viewer then
//! sees fewer frames, and what leaves for files and other programs comes at nearly the same rate as without.

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

/// Where the processors are taken, the encoder rests for so many times as long as it worked: its priority alone does not keep it from
/// a processor on which a thread of the engine would soon go on, and for which all others then wait.
const REST: u32 = 3;
/// But no longer than this.
const LONGEST_REST: Duration = Duration::from_millis(250);

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
            loop {
                viewers.wait_until_wanted();
                let Some(job) = theirs.take() else { break };
                let before = processor_time();
                let worked = encode(&job, &viewers);
                thread::sleep(rest_after(worked, processor_time().saturating_sub(before)));
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
        // What nobody has wanted to see for a while is not kept for them.
        let next = self.hub.made(job.id).then(|| job.clone());
        let is_new = next.is_some();
        self.desk.lock().next = next;
        if is_new {
            self.desk.changed.notify_all();
        }
        Ok(Taken::Whole)
    }

    /// The last frame is still shown.
    fn finish(&mut self) -> Result<()> {
        self.desk.close();
        self.hub.retire();
        // A panic of the encoder is printed already, and costs nobody but the viewers anything.
        let _ = self.encoder.take().map(JoinHandle::join);
        self.hub.retire();
        Ok(())
    }
}

impl Drop for LiveSink {
    fn drop(&mut self) {
        self.desk.close();
        self.hub.retire();
    }
}

/// Encodes a frame, which may still be in the making, and shows it. The time that it took, without waiting for rows.
fn encode(job: &Job, hub: &Hub) -> Duration {
    let start = Instant::now();
    let mut waited = Duration::ZERO;
    let Some(small) = jpeg::encode_image(&job.small, job.space, SMALL_QUALITY) else { return Duration::ZERO };
    let large = match reduced_by(job.rows.size()) {
        1 => jpeg::encode_rows(&job.rows, LARGE_QUALITY, &mut waited),
        factor => jpeg::encode_reduced(&job.rows, factor, LARGE_QUALITY, &mut waited),
    };
    let Some(large) = large else { return Duration::ZERO };
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
    encode
}

/// How long to rest after work that took so long by the clock, and so long of a processor: not at all unless another program or the
/// engine had it for a good part of the time.
fn rest_after(worked: Duration, processor: Duration) -> Duration {
    let is_taken = worked > processor.mul_f64(1.5) + Duration::from_millis(1);
    if is_taken { (worked * REST).min(LONGEST_REST) } else { Duration::ZERO }
}

/// What this thread has had of the processors; where that is not told, rests are left out.
fn processor_time() -> Duration {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
    }
    #[cfg(not(target_os = "linux"))]
    {
        static BEGIN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
        BEGIN.elapsed()
    }
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
    fn the_encoder_rests_where_the_processors_are_taken() {
        let ms = Duration::from_millis;
        assert_eq!(rest_after(ms(8), ms(8)), ms(0));
        assert_eq!(rest_after(ms(2), ms(1)), ms(0), "too little to tell");
        assert_eq!(rest_after(ms(20), ms(8)), ms(60));
        assert_eq!(rest_after(ms(4000), ms(8)), LONGEST_REST);
    }

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
