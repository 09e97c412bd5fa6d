//! Reading HTTP requests from strangers.

use super::hosts::Hosts;
use super::proxy;
use mcir_files::name::escaped;
use std::io::{self, Read};
use std::time::Instant;

/// Longest head of a request, in bytes.
pub const MAX_HEAD: usize = 8192;
/// The one place where something can be changed.
pub const CONTROL: &str = "/control";
/// Most header lines.
const MAX_HEADERS: usize = 64;

/// What a viewer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The path, without what follows a question mark.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// Only the head of the answer is wanted.
    pub head_only: bool,
    /// Whether another request may follow.
    pub keep_alive: bool,
    /// Something is to be changed: POST, by a page of this server and of no other.
    pub change: bool,
    /// It came through a proxy, as that says or as it asks for another machine.
    pub proxied: bool,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The viewer has gone.
    #[error("the connection was closed")]
    Closed,
    /// It took too long.
    #[error("the request took too long")]
    Slow,
    /// Longer than [`MAX_HEAD`], or too many lines.
    #[error("the request is too long")]
    Long,
    /// Not HTTP.
    #[error("the request is malformed")]
    Malformed,
    /// Something else than reading.
    #[error("only GET and HEAD are answered, and POST to /control")]
    Method,
    /// A change that a page of another site may have asked for.
    #[error("a change needs the header X-Mcir: control, which pages of other sites cannot send")]
    Foreign,
    /// A body, which no request here has.
    #[error("a request here has no body")]
    Body,
    /// A name that this server does not go by: another site may be behind it.
    #[error(
        "this server is not called {name}; where that is its name, --http-allow-host {name} lets it be used"
    )]
    Host {
        /// The beginning of what was asked for, without its port.
        name: String,
    },
    /// Reading failed.
    #[error("{0}")]
    Io(io::Error),
}

impl RequestError {
    /// Status code and reason of the answer; none when nobody is there to read it.
    pub fn answer(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::Closed | Self::Io(_) => None,
            Self::Slow => Some((408, "Request Timeout")),
            Self::Long => Some((431, "Request Header Fields Too Large")),
            Self::Malformed => Some((400, "Bad Request")),
            Self::Method => Some((405, "Method Not Allowed")),
            Self::Foreign => Some((403, "Forbidden")),
            Self::Body => Some((413, "Content Too Large")),
            Self::Host { .. } => Some((421, "Misdirected Request")),
        }
    }
}

impl Request {
    /// Reads a request that has to be complete by `deadline`. Bytes after it stay in `buffer` for the next one.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn read(
        input: &mut impl Read,
        buffer: &mut Vec<u8>,
        deadline: Instant,
        hosts: &Hosts,
    ) -> Result<Self, RequestError> {
        let mut chunk = [0; 1024];
        loop {
            if let Some((request, length)) = Self::parse(buffer, hosts)? {
                buffer.drain(..length);
                return Ok(request);
            }
            if buffer.len() >= MAX_HEAD {
                return Err(RequestError::Long);
            }
            if Instant::now() >= deadline {
                return Err(if buffer.is_empty() { RequestError::Closed } else { RequestError::Slow });
            }
            match input.read(&mut chunk) {
                Ok(0) => return Err(RequestError::Closed),
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
                // The socket's own, shorter limit.
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(RequestError::Io(e)),
            }
        }
    }

    /// The request at the start of `bytes` and its length; `None` when it is not complete.
    ///
    /// # Errors
    /// [`RequestError`] when it can never become one that is answered.
    pub fn parse(bytes: &[u8], hosts: &Hosts) -> Result<Option<(Self, usize)>, RequestError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let length = match head.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::Long),
            Err(_) => return Err(RequestError::Malformed),
        };
        let target = head.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (head_only, change) = match head.method {
            Some("GET") => (false, false),
            Some("HEAD") => (true, false),
            Some("POST") if path == CONTROL => (false, true),
            _ => return Err(RequestError::Method),
        };
        let (mut ours, mut proxied) = (false, false);
        let mut keep_alive = head.version == Some(1);
        let mut host = None;
        for header in &*head.headers {
            let value = || std::str::from_utf8(header.value).map_err(|_| RequestError::Malformed);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            proxied |= proxy::tells(header.name, header.value);
            if is("connection") {
                let value = value()?;
                keep_alive = (keep_alive && !value.eq_ignore_ascii_case("close"))
                    || value.eq_ignore_ascii_case("keep-alive");
            } else if is("host") && host.replace(value()?).is_some() {
                return Err(RequestError::Malformed);
            } else if is("x-mcir") {
                ours = value()?.trim() == "control";
            } else if is("transfer-encoding") || (is("content-length") && value()?.trim() != "0") {
                return Err(RequestError::Body);
            }
        }
        // HTTP/1.0 may leave it out; nobody can be led here by a name then.
        if let Some(host) = host.filter(|host| !hosts.is_ours(host)) {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            return Err(RequestError::Host { name: escaped(&name.chars().take(80).collect::<String>()) });
        }
        if change && !ours {
            return Err(RequestError::Foreign);
        }
        let (path, query) = (path.to_owned(), query.to_owned());
        Ok(Some((Self { path, query, head_only, keep_alive, change, proxied }, length)))
    }

    /// A word in the query, with its escapes (`%20`) resolved; none where they make no text.
    pub fn word(&self, name: &str) -> Option<String> {
        let mut pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let (_, word) = pairs.find(|(n, _)| *n == name)?;
        let (mut bytes, mut rest) = (Vec::with_capacity(word.len()), word.as_bytes());
        while let [first, after @ ..] = rest {
            rest = after;
            bytes.push(match (first, after) {
                (b'%', [a, b, after @ ..]) => {
                    rest = after;
                    let digit = |d: &u8| char::from(*d).to_digit(16);
                    (digit(a)? * 16 + digit(b)?) as u8
                }
                _ => *first,
            });
        }
        String::from_utf8(bytes).ok()
    }

    /// A number in the query.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parse(text: &str) -> Result<Option<(Request, usize)>, RequestError> {
        Request::parse(text.as_bytes(), &Hosts::default())
    }

    #[test]
    fn words_are_unescaped() {
        let word = |query: &str| {
            let text = format!("GET /control?model={query}&x=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
            parse(&text).unwrap().unwrap().0.word("model")
        };
        for (query, expected) in [
            ("my%20model%20(1)", Some("my model (1)")),
            ("%C3%BC+%2b", Some("ü++")),
            ("", Some("")),
            ("%C3", None),
            ("%g0", None),
            ("100%", Some("100%")),
        ] {
            assert_eq!(word(query).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn requests_are_read_one_after_the_other() {
        let text = "GET /frame?after=12&x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
        let (request, length) = parse(text).unwrap().unwrap();
        assert_eq!(
            (request.path.as_str(), request.number("after"), length),
            ("/frame", Some(12), text.len())
        );
        assert!(request.keep_alive && !request.head_only && !request.change);
        let change =
            "POST /control?model=a&strength=50 HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: 0\r\n\r\n";
        let (change, _) = parse(change).unwrap().unwrap();
        assert_eq!(
            (change.change, change.word("model").as_deref(), change.number("strength")),
            (true, Some("a"), Some(50))
        );
        for cut in 0..text.len() {
            assert!(parse(&text[..cut]).unwrap().is_none(), "{cut}");
        }
        let two = format!("{text}HEAD / HTTP/1.0\r\n\r\n");
        let (mut input, mut buffer) = (two.as_bytes(), Vec::new());
        let deadline = Instant::now() + Duration::from_secs(60);
        assert_eq!(
            Request::read(&mut input, &mut buffer, deadline, &Hosts::default()).unwrap().path,
            "/frame"
        );
        let second = Request::read(&mut input, &mut buffer, deadline, &Hosts::default()).unwrap();
        assert!(second.head_only && !second.keep_alive);
        assert!(matches!(
            Request::read(&mut input, &mut buffer, deadline, &Hosts::default()),
            Err(RequestError::Closed)
        ));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let code = |text: &str| parse(text).unwrap_err().answer().unwrap().0;
        assert_eq!(code("POST / HTTP/1.1\r\n\r\n"), 405);
        assert_eq!(code("OPTIONS /control HTTP/1.1\r\n\r\n"), 405);
        assert_eq!(code("POST /control?model=a HTTP/1.1\r\n\r\n"), 403);
        assert_eq!(code("POST /control HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: 5\r\n\r\n"), 413);
        assert_eq!(code("GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n"), 413);
        assert_eq!(code("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 413);
        assert_eq!(code("\x16\x03\x01\x02"), 400);
        assert_eq!(code("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        let many = "A: b\r\n".repeat(100);
        assert_eq!(code(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);

        let endless = "GET /".to_owned() + &"a".repeat(20_000);
        let deadline = Instant::now() + Duration::from_secs(60);
        let error =
            Request::read(&mut endless.as_bytes(), &mut Vec::new(), deadline, &Hosts::default()).unwrap_err();
        assert_eq!(error.answer().unwrap().0, 431);
        let error = Request::read(&mut &b""[..], &mut b"GET /".to_vec(), Instant::now(), &Hosts::default())
            .unwrap_err();
        assert_eq!(error.answer().unwrap().0, 408);
    }

    #[test]
    fn who_is_not_called_so_is_told_the_option() {
        let text = "GET / HTTP/1.1\r\nHost: raspberrypi.fritz.box:8080\r\n\r\n";
        let error = parse(text).unwrap_err();
        assert_eq!(error.answer().unwrap().0, 421);
        let message = error.to_string();
        assert!(message.contains("--http-allow-host raspberrypi.fritz.box lets"), "{message}");
        let hosts = Hosts::new(vec!["raspberrypi.fritz.box".into()]);
        assert!(Request::parse(text.as_bytes(), &hosts).is_ok());
        assert!(parse("GET / HTTP/1.1\r\nHost: pi.local\r\n\r\n").is_ok());
    }
}
