//! Reading HTTP requests from strangers.

use crate::hosts::Hosts;
use crate::proxy;
use mcir_files::name::escaped;
use std::io::{self, Read};
use std::time::Instant;

/// Longest head of a request, in bytes.
pub const MAX_HEAD: usize = 8192;
/// What the header `X-Mcir` of a POST must say. Pages of other sites cannot send it: a browser asks first whether it may, and is told no.
pub const MARK: &str = "control";
/// Most header lines.
const MAX_HEADERS: usize = 64;

/// A path that can be posted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Post {
    /// The path.
    pub path: &'static str,
    /// Longest body, in bytes.
    pub max_body: u64,
}

/// Which requests are let in.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// The names that the server goes by.
    pub hosts: Hosts,
    /// What can be posted; everything else is only read.
    pub posts: &'static [Post],
}

/// What a client wants.
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
    /// Bytes of the body, at most what the path takes.
    pub body: u64,
    /// Whether the client waits for a sign before it sends the body (`Expect: 100-continue`).
    pub waits: bool,
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The client has gone.
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
    /// Something else than reading, or a POST to where nothing can be posted.
    #[error("only GET and HEAD are answered{}", and_post(posts))]
    Method {
        /// What can be posted to.
        posts: &'static [Post],
    },
    /// A change that a page of another site may have asked for.
    #[error("a change needs the header X-Mcir: control, which pages of other sites cannot send")]
    Foreign,
    /// A change that came from the page of another site.
    #[error("the change was asked for by a page of {origin}, which is not this one")]
    Origin {
        /// The beginning of what the browser says.
        origin: String,
    },
    /// A body where there is none.
    #[error("a request of this kind has no body")]
    Body,
    /// A body of more bytes than are taken.
    #[error("the body has {found} bytes; the limit is {limit}")]
    Large {
        /// Bytes announced.
        found: u64,
        /// Most that the path takes.
        limit: u64,
    },
    /// A body whose length nobody knows.
    #[error("a body needs its length before it, as Content-Length")]
    Unmeasured,
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
            Self::Method { .. } => Some((405, "Method Not Allowed")),
            Self::Foreign | Self::Origin { .. } => Some((403, "Forbidden")),
            Self::Body | Self::Large { .. } => Some((413, "Content Too Large")),
            Self::Unmeasured => Some((411, "Length Required")),
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
        rules: &Rules,
    ) -> Result<Self, RequestError> {
        let mut chunk = [0; 1024];
        loop {
            if let Some((request, length)) = Self::parse(buffer, rules)? {
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
    pub fn parse(bytes: &[u8], rules: &Rules) -> Result<Option<(Self, usize)>, RequestError> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut head = httparse::Request::new(&mut headers);
        let end = match head.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => return Err(RequestError::Long),
            Err(_) => return Err(RequestError::Malformed),
        };
        let target = head.path.unwrap_or("/");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let post = rules.posts.iter().find(|post| post.path == path);
        let (head_only, change, max_body) = match (head.method, post) {
            (Some("GET"), _) => (false, false, None),
            (Some("HEAD"), _) => (true, false, None),
            (Some("POST"), Some(post)) => (false, true, Some(post.max_body)),
            _ => return Err(RequestError::Method { posts: rules.posts }),
        };
        let (mut ours, mut proxied, mut told) = (false, false, false);
        let (mut waits, mut other_site) = (false, false);
        let mut keep_alive = head.version == Some(1);
        let (mut host, mut origin, mut length) = (None, None, None);
        for header in &*head.headers {
            let value = || std::str::from_utf8(header.value).map_err(|_| RequestError::Malformed);
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            let handed_on = proxy::tells(header.name, header.value);
            proxied |= handed_on;
            told |= handed_on && !is("host") && !is("origin");
            if is("connection") {
                let value = value()?;
                keep_alive = (keep_alive && !value.eq_ignore_ascii_case("close"))
                    || value.eq_ignore_ascii_case("keep-alive");
            } else if is("host") && host.replace(value()?).is_some()
                || is("origin") && origin.replace(value()?.trim()).is_some()
            {
                return Err(RequestError::Malformed);
            } else if is("x-mcir") {
                ours = value()?.trim() == MARK;
            } else if is("sec-fetch-site") {
                other_site = value()?.trim().eq_ignore_ascii_case("cross-site");
            } else if is("expect") {
                waits = value()?.trim().eq_ignore_ascii_case("100-continue");
            } else if is("transfer-encoding") {
                // Two ways to tell where a body ends are one too many.
                return Err(if change { RequestError::Unmeasured } else { RequestError::Body });
            } else if is("content-length") && length.replace(digits(value()?.trim())?).is_some() {
                return Err(RequestError::Malformed);
            }
        }
        // HTTP/1.0 may leave it out; nobody can be led here by a name then.
        if let Some(host) = host.filter(|host| !rules.hosts.is_ours(host)) {
            let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
            return Err(RequestError::Host { name: escaped(&name.chars().take(80).collect::<String>()) });
        }
        if change && !ours {
            return Err(RequestError::Foreign);
        }
        // The mark is enough by itself; a browser that says more is believed. A proxy may have another name than this server: one that
        // says that it is one, or that hands on requests to this machine from pages elsewhere. Sites may ask for neither.
        let silent = |origin: &str| {
            let is_here = host.is_none_or(|host| !proxy::tells("host", host.as_bytes()));
            is_here && origin != "null" && proxy::tells("origin", origin.as_bytes())
        };
        let foreign = origin.filter(|origin| !told && !is_same(origin, host) && !silent(origin));
        if let (true, Some(origin)) = (change, foreign.or(other_site.then_some("another site"))) {
            return Err(RequestError::Origin {
                origin: escaped(&origin.chars().take(80).collect::<String>()),
            });
        }
        let body = length.unwrap_or(0);
        match max_body {
            Some(limit) if body > limit => return Err(RequestError::Large { found: body, limit }),
            Some(limit) if limit > 0 && length.is_none() => return Err(RequestError::Unmeasured),
            None if body > 0 => return Err(RequestError::Body),
            _ => {}
        }
        let (path, query) = (path.to_owned(), query.to_owned());
        Ok(Some((Self { path, query, head_only, keep_alive, change, proxied, body, waits }, end)))
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

/// A number that is nothing but digits: a sign or a space could be read in two ways.
fn digits(text: &str) -> Result<u64, RequestError> {
    let number = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    number.ok_or(RequestError::Malformed)
}

/// Whether a page of this origin came from the server that the request calls so. Whoever leaves the port out there means any.
fn is_same(origin: &str, host: Option<&str>) -> bool {
    let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let (Some(name), Some(host)) = (name, host.map(str::trim)) else { return false };
    let (start, rest) = name.split_at_checked(host.len()).unwrap_or((name, ""));
    start.eq_ignore_ascii_case(host)
        && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| digits(port).is_ok()))
}

fn and_post(posts: &[Post]) -> String {
    match posts.iter().map(|post| post.path).collect::<Vec<_>>().join(" and ") {
        none if none.is_empty() => none,
        paths => format!(", and POST to {paths}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const POSTS: &[Post] =
        &[Post { path: "/control", max_body: 0 }, Post { path: "/upscale", max_body: 1000 }];

    fn rules() -> Rules {
        Rules { hosts: Hosts::default(), posts: POSTS }
    }

    fn parse(text: &str) -> Result<Option<(Request, usize)>, RequestError> {
        Request::parse(text.as_bytes(), &rules())
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
        assert_eq!(Request::read(&mut input, &mut buffer, deadline, &rules()).unwrap().path, "/frame");
        let second = Request::read(&mut input, &mut buffer, deadline, &rules()).unwrap();
        assert!(second.head_only && !second.keep_alive);
        assert!(matches!(
            Request::read(&mut input, &mut buffer, deadline, &rules()),
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
        let posted = |more: &str| format!("POST /upscale HTTP/1.1\r\nX-Mcir: control\r\n{more}\r\n\r\n");
        assert_eq!(code(&posted("Content-Length: 1001")), 413);
        assert_eq!(code(&posted("Accept: a")), 411);
        assert_eq!(code(&posted("Content-Length: 5\r\nTransfer-Encoding: chunked")), 411);
        for wrong in ["-5", "+5", "5 5", "0x5", "", "99999999999999999999"] {
            assert_eq!(code(&posted(&format!("Content-Length: {wrong}"))), 400, "{wrong}");
        }
        assert_eq!(code(&posted("Content-Length: 5\r\nContent-Length: 5")), 400);
        let error = parse("POST / HTTP/1.1\r\n\r\n").unwrap_err().to_string();
        assert!(error.ends_with("and POST to /control and /upscale"), "{error}");
        assert_eq!(code("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), 400);
        let many = "A: b\r\n".repeat(100);
        assert_eq!(code(&format!("GET / HTTP/1.1\r\n{many}\r\n")), 431);

        let endless = "GET /".to_owned() + &"a".repeat(20_000);
        let deadline = Instant::now() + Duration::from_secs(60);
        let error = Request::read(&mut endless.as_bytes(), &mut Vec::new(), deadline, &rules()).unwrap_err();
        assert_eq!(error.answer().unwrap().0, 431);
        let error =
            Request::read(&mut &b""[..], &mut b"GET /".to_vec(), Instant::now(), &rules()).unwrap_err();
        assert_eq!(error.answer().unwrap().0, 408);
    }

    #[test]
    fn bodies_are_announced() {
        let text = "POST /upscale?s=4 HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\nabc";
        let (request, length) = parse(text).unwrap().unwrap();
        assert_eq!((request.body, request.waits, length), (1000, true, text.len() - 3));
        let (request, _) = parse("GET / HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.body, request.waits), (0, false));
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let post = |headers: &str| {
            parse(&format!(
                "POST /control HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nX-Mcir: control\r\n{headers}\r\n\r\n"
            ))
        };
        for ours in [
            "Accept: a",
            "Origin: http://127.0.0.1:8080",
            "Origin: HTTPS://127.0.0.1:8080".to_lowercase().as_str(),
            "Sec-Fetch-Site: same-origin",
            // A proxy's page has the proxy's name.
            "Origin: https://gate.example\r\nX-Forwarded-For: 203.0.113.7",
        ] {
            assert!(post(ours).is_ok(), "{ours}");
        }
        for other in [
            "Origin: http://127.0.0.1:8081",
            "Origin: null",
            "Origin: http://evil.example\r\nSec-Fetch-Site: cross-site",
            "Sec-Fetch-Site: cross-site",
            "Origin: http://127.0.0.1:8080\r\nSec-Fetch-Site: Cross-Site",
        ] {
            assert_eq!(post(other).unwrap_err().answer().unwrap().0, 403, "{other}");
        }
        // From a page elsewhere to this machine, as a proxy hands it on that says nothing: the site decides.
        for other in ["http://evil.example", "http://127.0.0.1:8080.evil.example", "ftp://127.0.0.1.nip.io"] {
            assert!(post(&format!("Origin: {other}")).unwrap().unwrap().0.proxied, "{other}");
        }
        let named = |origin: &str| {
            parse(&format!(
                "POST /control HTTP/1.1\r\nHost: pi.local:8080\r\nX-Mcir: control\r\nOrigin: {origin}\r\n\r\n"
            ))
        };
        assert!(named("http://pi.local:8080").is_ok() && named("http://PI.local:8080").is_ok());
        for (origin, host, same) in [
            ("http://a:81", "a", true),
            ("http://a", "a:81", false),
            ("http://a.b", "a", false),
            ("http://a:b", "a", false),
            ("a", "a", false),
            ("http://[::1]:81", "[::1]:81", true),
        ] {
            assert_eq!(is_same(origin, Some(host)), same, "{origin}, {host}");
        }
        assert_eq!(named("http://evil.example").unwrap_err().answer().unwrap().0, 403);
        let two = "Origin: http://127.0.0.1:8080\r\nOrigin: http://127.0.0.1:8080";
        assert_eq!(post(two).unwrap_err().answer().unwrap().0, 400);
        let read = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\n\r\n";
        assert!(parse(read).is_ok(), "reading is what the browser keeps from other sites");
    }

    #[test]
    fn who_is_not_called_so_is_told_the_option() {
        let text = "GET / HTTP/1.1\r\nHost: raspberrypi.fritz.box:8080\r\n\r\n";
        let error = parse(text).unwrap_err();
        assert_eq!(error.answer().unwrap().0, 421);
        let message = error.to_string();
        assert!(message.contains("--http-allow-host raspberrypi.fritz.box lets"), "{message}");
        let hosts = Hosts::new(vec!["raspberrypi.fritz.box".into()]);
        assert!(Request::parse(text.as_bytes(), &Rules { hosts, posts: &[] }).is_ok());
        assert!(parse("GET / HTTP/1.1\r\nHost: pi.local\r\n\r\n").is_ok());
    }
}
