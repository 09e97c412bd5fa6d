//! Telling systemd how it goes, for units with `Type=notify` and a watchdog.

use std::time::{Duration, Instant};

/// A service's line to its manager. Without a manager nothing is sent.
#[derive(Debug)]
pub struct Notifier {
    ready: bool,
    every: Option<Duration>,
    last: Option<Instant>,
}

impl Notifier {
    /// Finds out whether there is a manager with a watchdog.
    pub fn new() -> Self {
        Self { ready: false, every: watchdog(), last: None }
    }

    /// The first frame left: the service is started.
    pub fn ready(&mut self) {
        if !self.ready {
            self.ready = true;
            send(&[State::Ready]);
        }
    }

    /// The pipeline lives. To be called often; the manager is told twice in the time it grants.
    pub fn alive(&mut self) {
        let Some(every) = self.every else { return };
        if self.last.is_none_or(|last| last.elapsed() >= every / 2) {
            self.last = Some(Instant::now());
            send(&[State::Alive]);
        }
    }

    /// One line for `systemctl status`.
    pub fn status(&self, text: &str) {
        send(&[State::Status(text)]);
    }

    /// The service ends.
    pub fn stopping(&self) {
        send(&[State::Stopping]);
    }
}

impl Default for Notifier {
    fn default() -> Self {
        Self::new()
    }
}

enum State<'a> {
    Ready,
    Alive,
    Status(&'a str),
    Stopping,
}

#[cfg(target_os = "linux")]
fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

#[cfg(target_os = "linux")]
fn send(states: &[State]) {
    use sd_notify::NotifyState;
    let states: Vec<_> = states
        .iter()
        .map(|state| match state {
            State::Ready => NotifyState::Ready,
            State::Alive => NotifyState::Watchdog,
            State::Status(text) => NotifyState::Status(text),
            State::Stopping => NotifyState::Stopping,
        })
        .collect();
    // A manager that cannot be reached will notice by itself.
    let _ = sd_notify::notify(&states);
}

#[cfg(not(target_os = "linux"))]
fn watchdog() -> Option<Duration> {
    None
}

#[cfg(not(target_os = "linux"))]
fn send(_states: &[State]) {}
