//! The first stage: takes frames from the source, and looks for the camera when it goes away.

use super::error::CameraError;
use super::shared::{Phase, Shared};
use super::source::{self, Request, Shot, Source, Spec};
use super::y4m::Facts;
use mcir_upscale::error::{Error, Result};
use std::time::{Duration, Instant};

/// First and longest pause before the camera is opened again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));
/// A camera that worked this long is looked for at once when it goes.
const STEADY: Duration = Duration::from_secs(5);

/// How frames are taken.
pub struct Capture<'a> {
    /// Where from.
    pub spec: &'a Spec,
    /// What is asked of a camera.
    pub request: &'a Request,
    /// Begin again at the end.
    pub repeat: bool,
    /// Give frames at this rate, the source's where it has one, and not as fast as they can be read.
    pub paced: bool,
    /// Messages for the user.
    pub tell: &'a (dyn Fn(String) + Sync),
}

/// When the frames of a recording are due. It goes on when the recording begins again, or else the first frame
/// of every round would come at once, and a recording of one frame without any pause.
#[derive(Debug, Default)]
struct Clock {
    start: Option<Instant>,
    frames: u64,
}

impl Clock {
    /// When the next frame is due, at a rate of `n` frames in `d` seconds.
    fn next(&mut self, (n, d): (u32, u32)) -> Instant {
        let start = *self.start.get_or_insert_with(Instant::now);
        let due = start + Duration::from_secs_f64(self.frames as f64 * f64::from(d) / f64::from(n));
        self.frames += 1;
        due
    }
}

/// What a source did until it was done.
struct Run {
    frames: u64,
    lasted: Duration,
    end: Result<()>,
}

impl Capture<'_> {
    /// Runs until the end of the source or of the pipeline. A camera that worked once is opened again for ever.
    pub fn run(&self, shared: &Shared) {
        let result = self.all(shared);
        shared.set_waiting(false);
        if let Err(error) = result
            && !shared.is_stopped()
        {
            shared.fail(error);
        }
        shared.queue.close();
    }

    fn all(&self, shared: &Shared) -> Result<()> {
        let mut pause = PAUSES.0;
        let mut worked = false;
        let mut clock = Clock::default();
        while !shared.is_stopped() {
            shared.set_waiting(self.spec.is_camera());
            let run = match source::open(self.spec, self.request, &shared.children) {
                Ok(mut source) => self.frames(source.as_mut(), shared, worked, &mut clock),
                Err(error) => Run { frames: 0, lasted: Duration::ZERO, end: Err(error) },
            };
            shared.set_waiting(false);
            worked |= run.frames > 0;
            let error = match run.end {
                Ok(()) if self.repeat && run.frames > 0 => continue,
                Ok(()) if !self.spec.is_camera() && !worked => {
                    return Err(CameraError::NoFrames { name: self.spec.name() }.into());
                }
                Ok(()) => return Ok(()),
                Err(error) => self.stalled(shared).unwrap_or(error),
            };
            // A camera that comes back with the same stream would only break off again.
            let misread = run.frames < 3 && error.room().is_some_and(CameraError::is_misread);
            if !self.spec.is_camera() || !worked || misread {
                return Err(error);
            }
            if shared.is_stopped() {
                return Ok(());
            }
            if run.lasted >= STEADY {
                pause = PAUSES.0;
            }
            (self.tell)(format!("{error}; looking for the camera again in {:.1} s", pause.as_secs_f64()));
            // Viewers see it, and it quotes what another program says.
            let problem = mcir_files::without_passwords(&mcir_files::name::escaped(&error.to_string()));
            shared.set_phase(Phase::Searching { problem });
            shared.sleep(pause);
            pause = (2 * pause).min(PAUSES.1);
        }
        Ok(())
    }

    fn stalled(&self, shared: &Shared) -> Option<Error> {
        let seconds = shared.take_stall()?.as_secs();
        Some(CameraError::Stalled { name: self.spec.name(), seconds }.into())
    }

    /// Everything that an open source gives.
    fn frames(&self, source: &mut dyn Source, shared: &Shared, again: bool, clock: &mut Clock) -> Run {
        let start = Instant::now();
        let mut frames = 0;
        let end = loop {
            shared.set_waiting(self.spec.is_camera());
            let shot = match source.next() {
                Ok(Some(shot)) => shot,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error),
            };
            shared.set_waiting(false);
            if shared.is_stopped() {
                break Ok(());
            }
            if frames == 0 {
                self.first(source, shared, again);
            }
            frames += 1;
            let shot = if self.paced { self.in_time(shot, clock, shared) } else { shot };
            self.hand_on(shot, shared);
        };
        if let (false, Some(note)) = (again, source.end_note()) {
            (self.tell)(format!("note: {note}"));
        }
        Run { frames, lasted: start.elapsed(), end }
    }

    fn first(&self, source: &dyn Source, shared: &Shared, again: bool) {
        let rate = source.rate().or(self.spec.is_camera().then_some((self.request.rate, 1)));
        shared.set_facts(Facts { rate, aspect: source.aspect() });
        shared.set_phase(Phase::Running);
        if again && self.spec.is_camera() {
            shared.stats.reconnected();
            (self.tell)(format!("{} is back", self.spec.name()));
        } else if !again && let Some(note) = source.note() {
            (self.tell)(format!("note: {note}"));
        }
    }

    /// Waits until a frame of a recording is due, and takes it for captured then.
    fn in_time(&self, shot: Shot, clock: &mut Clock, shared: &Shared) -> Shot {
        let due = clock.next(shared.rate().unwrap_or((self.request.rate, 1)));
        shared.sleep(due.saturating_duration_since(Instant::now()));
        let now = Instant::now();
        Shot { began: now.checked_sub(shot.capture).unwrap_or(now), ..shot }
    }

    fn hand_on(&self, shot: Shot, shared: &Shared) {
        shared.stats.captured();
        if shared.queue.push((shot, Instant::now())).is_some() && !shared.is_stopped() {
            shared.stats.dropped();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_due_one_after_the_other() {
        let mut clock = Clock::default();
        let due: Vec<_> = (0..4).map(|_| clock.next((10, 1))).collect();
        let after: Vec<_> = due.iter().map(|at| (*at - due[0]).as_millis()).collect();
        assert_eq!(after, [0, 100, 200, 300]);
    }
}
