//! What a board says, and how long and how much of it is listened to: whoever answers there may be anybody.

use super::last_words;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest line that is read, in bytes: a report of many images is one.
const LONGEST_LINE: u64 = 1 << 24;
/// Lines that wait to be heard.
const WAITING_LINES: usize = 4;
/// Last bytes of the standard error that are kept.
const KEPT_STDERR: usize = 1 << 14;
/// How long a program that is left alone may take to end.
const GRACE: Duration = Duration::from_secs(3);

/// A line of the other end, or why there is none.
#[derive(Debug)]
pub(super) enum Heard {
    /// With its end.
    Line(String),
    /// It has ended.
    End,
    /// Nothing came in time.
    Nothing,
    /// A line without an end.
    TooLong,
}

/// A program at the other end of a connection, with threads that read what it says.
#[derive(Debug)]
pub(super) struct Ears {
    child: Child,
    pub input: Option<ChildStdin>,
    lines: Receiver<Heard>,
    stderr: Arc<Mutex<Vec<u8>>>,
    /// Ends when the standard error does.
    stderr_ends: Receiver<()>,
}

impl Ears {
    /// Listens to a program whose three streams are pipes.
    pub fn new(mut child: Child) -> io::Result<Self> {
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().expect("it was asked for"));
        let mut errors = child.stderr.take().expect("it was asked for");
        let (said, lines) = sync_channel(WAITING_LINES);
        let (open, stderr_ends) = sync_channel::<()>(0);
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&stderr);
        std::thread::Builder::new().spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = errors.read(&mut buffer) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&buffer[..n]);
                let surplus = kept.len().saturating_sub(KEPT_STDERR);
                kept.drain(..surplus);
            }
            drop(open);
        })?;
        std::thread::Builder::new().spawn(move || {
            loop {
                let mut line = Vec::new();
                let heard = match output.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line) {
                    Ok(0) | Err(_) => Heard::End,
                    Ok(_) if line.len() as u64 == LONGEST_LINE => Heard::TooLong,
                    Ok(_) => Heard::Line(String::from_utf8_lossy(&line).into_owned()),
                };
                let last = !matches!(heard, Heard::Line(_));
                // Nobody listens any more: the pipe is closed, so that the other end notices.
                if said.send(heard).is_err() || last {
                    return;
                }
            }
        })?;
        Ok(Self { child, input, lines, stderr, stderr_ends })
    }

    /// The next line.
    pub fn line(&mut self, idle: Duration) -> Heard {
        match self.lines.recv_timeout(idle) {
            Ok(heard) => heard,
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => Heard::End,
        }
    }

    /// Nothing more will be said to it: that is how the program there knows that it can end.
    pub fn stop_talking(&mut self) {
        self.input = None;
    }

    /// Ends the conversation, with force where the other end does not; how its program ended.
    pub fn end(&mut self) -> Option<ExitStatus> {
        self.stop_talking();
        // What it still says must not fill its pipe and keep it waiting.
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if matches!(
                self.lines.recv_timeout(Duration::from_millis(10)),
                Err(RecvTimeoutError::Disconnected)
            ) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        None
    }

    /// The last lines of its standard error, or how it ended.
    pub fn last_words(&self, status: Option<ExitStatus>) -> String {
        // It may be some moments behind.
        let _ = self.stderr_ends.recv_timeout(Duration::from_secs(1));
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let status = status.map_or_else(|| "it did not end".into(), |status| status.to_string());
        last_words(&String::from_utf8_lossy(&kept), &status)
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.end();
        }
    }
}
