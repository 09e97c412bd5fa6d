//! What is sent back.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read};

/// An answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// Code and reason.
    pub status: (u16, &'static str),
    /// Type of the content.
    pub kind: &'static str,
    /// More headers. Line ends in a value would end it and are left out.
    pub headers: Vec<(&'static str, String)>,
    /// The content.
    pub body: Body,
}

/// Takes a piece of a stream to the client; fails when that has gone or takes nothing.
pub type Take<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Sends a stream, piece by piece.
pub type Run = dyn FnOnce(&mut Take<'_>) -> io::Result<()> + Send;

/// The content of an answer.
pub enum Body {
    /// All of it.
    Bytes(Cow<'static, [u8]>),
    /// So many bytes of this, which is dropped when they are sent, or cannot be.
    Reader(Box<dyn Read + Send>, u64),
    /// Pieces without a length before them; the connection ends with the last one.
    Stream(Box<Run>),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Reader(_, length) => write!(f, "{length} bytes of a reader"),
            Self::Stream(_) => f.write_str("a stream"),
        }
    }
}

impl Answer {
    /// What was asked for.
    pub fn ok(kind: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status: (200, "OK"), kind, headers: Vec::new(), body: Body::Bytes(body.into()) }
    }

    /// A page, style or script that is in the program.
    pub fn asset(kind: &'static str, text: &'static str) -> Self {
        Self::ok(kind, text.as_bytes())
    }

    /// A line of text.
    pub fn text(code: u16, reason: &'static str, text: &str) -> Self {
        Self { status: (code, reason), ..Self::ok("text/plain; charset=utf-8", text.as_bytes().to_vec()) }
    }

    /// JSON.
    pub fn json(code: u16, reason: &'static str, json: impl Into<Vec<u8>>) -> Self {
        Self { status: (code, reason), ..Self::ok("application/json", json.into()) }
    }

    /// The same with one more header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let mut value: String = value.into();
        value.retain(|c| !c.is_control());
        self.headers.push((name, value));
        self
    }

    /// The lines before the content, with the empty one.
    pub(crate) fn head(&self, keep_alive: bool) -> String {
        use fmt::Write as _;
        let ((code, reason), kind) = (self.status, self.kind);
        let mut head = format!("HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\n");
        let length = match &self.body {
            Body::Bytes(bytes) => Some(bytes.len() as u64),
            Body::Reader(_, length) => Some(*length),
            Body::Stream(_) => None,
        };
        if let Some(length) = length {
            let _ = write!(head, "Content-Length: {length}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let connection = if keep_alive && length.is_some() { "keep-alive" } else { "close" };
        let _ = write!(head, "Connection: {connection}\r\n{GUARDS}\r\n");
        head
    }
}

/// Headers of every answer: nothing is stored, nothing is loaded from elsewhere and nothing run that does not come as a file of
/// this server, no other site embeds this one.
const GUARDS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
     Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\nX-Frame-Options: SAMEORIGIN\r\n\
     Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; \
     require-trusted-types-for 'script'\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_have_lengths_and_no_lines_of_others() {
        let head = Answer::text(404, "Not Found", "no\n").header("X-A", "b\r\nX-C: d").head(true);
        assert!(head.starts_with("HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\n"));
        assert!(
            head.contains("\r\nContent-Length: 3\r\nX-A: bX-C: d\r\nConnection: keep-alive\r\n"),
            "{head}"
        );
        assert!(head.ends_with("\r\n\r\n") && head.matches("\r\n\r\n").count() == 1);
        let stream = Answer { body: Body::Stream(Box::new(|_| Ok(()))), ..Answer::ok("a/b", &b""[..]) };
        let head = stream.head(true);
        assert!(!head.contains("Content-Length") && head.contains("Connection: close"), "{head}");
    }
}
