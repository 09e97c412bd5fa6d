//! What a site can do with the connection that a request came by, besides answering: take the body, and see whether the client is
//! still there.

use crate::request::RequestError;
use rustix::net::{RecvFlags, recv};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Slowest mean rate, in bytes a second, at which a client may send a body or take an answer, after a grace of 20 s.
pub const MIN_RATE: u64 = 1 << 16;
/// How far a client may stay behind that rate.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// When the next byte must have come or gone, if `done` of them have since `start`.
pub(crate) fn due(start: Instant, done: u64) -> Instant {
    start + GRACE + Duration::from_millis(done.saturating_mul(1000) / MIN_RATE)
}

/// A request's connection.
pub struct Visit<'a> {
    stream: &'a mut TcpStream,
    /// Bytes that came with the head.
    early: &'a mut Vec<u8>,
    /// Bytes of the body that were not taken yet.
    left: u64,
    /// Whether the client waits for a sign before it sends the body.
    waits: bool,
}

/// Why a body is not there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The client has gone, or is too slow.
    #[error("{0}")]
    Client(#[from] RequestError),
    /// It cannot be kept.
    #[error("{0}")]
    Kept(io::Error),
}

impl<'a> Visit<'a> {
    pub(crate) fn new(stream: &'a mut TcpStream, early: &'a mut Vec<u8>, length: u64, waits: bool) -> Self {
        Self { stream, early, left: length, waits }
    }

    /// Bytes of the body that were not taken: what comes next is no request then.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    /// Takes the body to `out`; `progress` is told how many bytes of it have come, and returns whether more are wanted.
    ///
    /// # Errors
    /// [`BodyError`].
    pub fn take_body(&mut self, out: &mut dyn Write, progress: &mut dyn FnMut(u64)) -> Result<(), BodyError> {
        if std::mem::take(&mut self.waits) {
            self.stream
                .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                .map_err(|error| BodyError::Client(RequestError::Io(error)))?;
        }
        let start = Instant::now();
        let early = self.early.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        out.write_all(&self.early[..early]).map_err(BodyError::Kept)?;
        self.early.drain(..early);
        self.left -= early as u64;
        copy(&mut *self.stream, &mut self.left, out, early as u64, start, progress)
    }

    /// Whether the client has closed the connection: nobody is there to take an answer.
    pub fn is_gone(&self) -> bool {
        let mut byte = [0];
        match recv(&*self.stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((received, _)) => received == 0,
            Err(error) => !matches!(error, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR),
        }
    }
}

/// Copies what is left of a body whose first `done` bytes are there.
fn copy(
    input: &mut dyn Read,
    left: &mut u64,
    out: &mut dyn Write,
    mut done: u64,
    start: Instant,
    progress: &mut dyn FnMut(u64),
) -> Result<(), BodyError> {
    let mut piece = vec![0; 1 << 16];
    progress(done);
    while *left > 0 {
        if Instant::now() >= due(start, done) {
            return Err(RequestError::Slow.into());
        }
        let wanted = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        match input.read(&mut piece[..wanted]) {
            Ok(0) => return Err(RequestError::Closed.into()),
            Ok(n) => {
                out.write_all(&piece[..n]).map_err(BodyError::Kept)?;
                *left -= n as u64;
                done += n as u64;
                progress(done);
            }
            // The socket's own, shorter limit.
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(RequestError::Io(e).into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_come_whole_or_not_at_all() {
        let now = Instant::now();
        let take = |bytes: &[u8], mut left: u64, start: Instant| {
            let (mut out, mut told) = (Vec::new(), Vec::new());
            let result = copy(&mut &bytes[..], &mut left, &mut out, 0, start, &mut |done| told.push(done));
            (result.map(|()| out), left, told)
        };
        let (whole, left, told) = take(&[7; 100_000], 90_000, now);
        assert!(whole.unwrap() == [7; 90_000] && left == 0);
        assert_eq!(told, [0, 65_536, 90_000]);
        let (cut, left, _) = take(&[7; 10], 20, now);
        assert!(matches!(cut, Err(BodyError::Client(RequestError::Closed))) && left == 10);
        if let Some(long_ago) = now.checked_sub(GRACE + Duration::from_secs(1)) {
            let (slow, ..) = take(&[7; 10], 20, long_ago);
            assert!(matches!(slow, Err(BodyError::Client(RequestError::Slow))));
        }
        // Whoever has sent more has more time.
        assert_eq!(due(now, 10 * MIN_RATE), now + GRACE + Duration::from_secs(10));
        assert!(due(now, u64::MAX) > now);
    }

    #[test]
    fn a_disk_that_is_full_is_told_apart_from_a_client_that_has_gone() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let result = copy(&mut &[1_u8; 9][..], &mut 9, &mut Full, 0, Instant::now(), &mut |_| {});
        assert!(matches!(result, Err(BodyError::Kept(e)) if e.kind() == io::ErrorKind::StorageFull));
    }
}
