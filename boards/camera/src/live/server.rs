//! A small HTTP server: enough for the live page, with limits on everything a stranger can send or hold.

use super::hosts::Hosts;
use super::hub::{Frame, Hub, Refusal, Status};
use super::metrics;
use super::places::{Full, PER_ADDRESS, Place, Places};
use super::request::{CONTROL, Request, RequestError};
use crate::error::CameraError;
use rustix::net::sockopt;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A request must be complete after this, and the next one must come.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// An answer must be taken after this; a viewer that has not is cut off, and what waited for it is thrown away.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How long a viewer that has its answer may take to go.
const LEAVE_TIME: Duration = Duration::from_secs(5);
/// Bytes that the kernel keeps for a viewer, each way. It may take twice as much, and would by itself take megabytes for one
/// that does not read.
const SEND_BUFFER: usize = 1 << 16;
const RECEIVE_BUFFER: usize = 1 << 14;
/// How long a viewer waits for a frame before it is told that there is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often waiting threads look at their deadlines.
const TICK: Duration = Duration::from_millis(500);
/// Bytes written between two looks at the deadline.
const PIECE: usize = 1 << 16;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Boundary of the multipart stream.
const BOUNDARY: &str = "mcir-frame";

/// Whom the server answers.
#[derive(Debug, Clone)]
pub struct Options {
    /// The names that it goes by.
    pub hosts: Hosts,
    /// Connections that one address may have.
    pub per_address: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { hosts: Hosts::default(), per_address: PER_ADDRESS }
    }
}

/// The server, which runs until the program ends.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
}

/// Address and port, or only a port, which then is on loopback.
///
/// # Errors
/// A message for the user.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok((IpAddr::V4(Ipv4Addr::LOCALHOST), port).into());
    }
    let text = text.replace("localhost:", "127.0.0.1:");
    text.parse().map_err(|_| {
        "write a port, such as 8080, or address and port, such as 0.0.0.0:8080 for all networks".into()
    })
}

impl Server {
    /// Listens and answers from its own threads.
    ///
    /// # Errors
    /// [`CameraError::PortInUse`], [`CameraError::Listen`] or [`CameraError::Thread`].
    pub fn start(address: SocketAddr, options: Options, hub: Arc<Hub>) -> Result<Self, CameraError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => CameraError::PortInUse { address: address.to_string() },
            _ => CameraError::Listen { address: address.to_string(), source },
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (hosts, places) = (Arc::new(options.hosts), Places::new(options.per_address));
        let accept = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => admit(stream, &hub, &hosts, &places),
                    // Out of file handles, or the viewer has gone already: that passes.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        thread::Builder::new().name("http".into()).spawn(accept).map_err(CameraError::Thread)?;
        Ok(Self { address })
    }

    /// Where it listens; the port is the system's choice when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn admit(stream: TcpStream, hub: &Arc<Hub>, hosts: &Arc<Hosts>, places: &Arc<Places>) {
    // Without its limits a connection could be held for ever, or a viewer that does not read hold the kernel's memory.
    let Ok(peer) = stream.peer_addr() else { return };
    if limit(&stream).is_err() {
        return;
    }
    // Frames go out at once.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { stream, hosts: Arc::clone(hosts) };
    let place = match places.enter(peer.ip()) {
        Ok(place) => place,
        Err(full) => {
            let why = match full {
                Full::All => "too many viewers\n",
                Full::Address => "too many connections from your address; --http-per-address allows more\n",
            };
            let _ = connection.answer(&Answer::text(503, "Service Unavailable", why), false, false);
            return;
        }
    };
    let hub = Arc::clone(hub);
    let serve = move || connection.serve_and_leave(&hub, place);
    // Without a thread the connection is closed, and the browser tries again.
    let _ = thread::Builder::new().name("viewer".into()).spawn(serve);
}

/// What one connection may hold, and for how long. The last counts for what still waits when the connection is closed.
fn limit(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(TICK))?;
    stream.set_write_timeout(Some(TICK))?;
    sockopt::set_socket_send_buffer_size(stream, SEND_BUFFER)?;
    sockopt::set_socket_recv_buffer_size(stream, RECEIVE_BUFFER)?;
    #[cfg(target_os = "linux")]
    sockopt::set_tcp_user_timeout(stream, ANSWER_TIME.as_millis() as u32)?;
    Ok(())
}

/// What is sent back.
struct Answer {
    status: (u16, &'static str),
    kind: &'static str,
    body: Vec<u8>,
}

impl Answer {
    fn ok(kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status: (200, "OK"), kind, body: body.into() }
    }

    fn text(code: u16, reason: &'static str, text: &str) -> Self {
        Self { status: (code, reason), kind: "text/plain; charset=utf-8", body: text.into() }
    }
}

struct Connection {
    stream: TcpStream,
    hosts: Arc<Hosts>,
}

impl Connection {
    /// Answers, and gives the place back when nothing is left of the connection.
    fn serve_and_leave(mut self, hub: &Hub, place: Place) {
        let taken = self.serve(hub).is_ok();
        if !taken || !self.is_left() {
            // Reset: what the viewer has not taken is not kept for it.
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
        drop(self.stream);
        drop(place);
    }

    /// Ends the sending half and waits for the viewer to end the other.
    fn is_left(&mut self) -> bool {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        let (deadline, mut rest) = (Instant::now() + LEAVE_TIME, [0; 1024]);
        while Instant::now() < deadline {
            match self.stream.read(&mut rest) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(e)
                    if matches!(
                        e.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
                    ) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Answers until the viewer wants no more; fails where it does not take an answer.
    fn serve(&mut self, hub: &Hub) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let deadline = Instant::now() + REQUEST_TIME;
            let request = match Request::read(&mut self.stream, &mut buffer, deadline, &self.hosts) {
                Ok(request) => request,
                Err(error) => return self.refuse(&error),
            };
            if request.path == "/stream.mjpeg" && !request.head_only {
                return self.stream_frames(hub);
            }
            let answer = answer(&request, hub);
            let keep = request.keep_alive && !hub.is_closed();
            self.answer(&answer, request.head_only, keep)?;
            if !keep {
                return Ok(());
            }
        }
    }

    fn refuse(&mut self, error: &RequestError) -> io::Result<()> {
        match error.answer() {
            Some((code, reason)) => {
                self.answer(&Answer::text(code, reason, &format!("{error}\n")), false, false)
            }
            None => Ok(()),
        }
    }

    fn answer(&mut self, answer: &Answer, head_only: bool, keep_alive: bool) -> io::Result<()> {
        let (code, reason) = answer.status;
        let mut head = String::new();
        let connection = if keep_alive { "keep-alive" } else { "close" };
        let (kind, length) = (answer.kind, answer.body.len());
        let _ = write!(
            head,
            "HTTP/1.1 {code} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: {connection}\r\n{GUARDS}\r\n"
        );
        let deadline = Instant::now() + ANSWER_TIME;
        self.write(head.as_bytes(), deadline)?;
        if !head_only {
            self.write(&answer.body, deadline)?;
        }
        Ok(())
    }

    /// Super-resolved frames as other programs take them, for as long as the viewer keeps up.
    fn stream_frames(&mut self, hub: &Hub) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\n\
             Connection: close\r\n{GUARDS}\r\n"
        );
        self.write(head.as_bytes(), Instant::now() + ANSWER_TIME)?;
        let mut last = 0;
        while !hub.is_closed() {
            let Some(frame) = hub.newer_than(last, PATIENCE) else { continue };
            last = frame.id;
            let head = format!(
                "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                frame.large.len()
            );
            let deadline = Instant::now() + ANSWER_TIME;
            for part in [head.as_bytes(), &frame.large, b"\r\n"] {
                self.write(part, deadline)?;
            }
        }
        Ok(())
    }

    /// Writes everything, or fails at the deadline however eagerly the viewer takes single bytes.
    fn write(&mut self, bytes: &[u8], deadline: Instant) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if Instant::now() >= deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match self.stream.write(&rest[..rest.len().min(PIECE)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => rest = &rest[n..],
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Headers of every answer: nothing is stored, nothing is loaded from elsewhere, no other site embeds this one.
const GUARDS: &str = "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n\
     Cross-Origin-Resource-Policy: same-origin\r\nX-Frame-Options: SAMEORIGIN\r\n\
     Content-Security-Policy: default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
     img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'\r\n";

fn answer(request: &Request, hub: &Hub) -> Answer {
    match request.path.as_str() {
        "/" | "/index.html" => Answer::ok("text/html; charset=utf-8", page()),
        "/frame" => {
            let frame = hub.newer_than(request.number("after").unwrap_or(0), PATIENCE);
            Answer::ok("application/octet-stream", package(frame.as_deref(), &status(request, hub)))
        }
        "/status.json" => Answer::ok("application/json", json(&status(request, hub))),
        "/metrics" => Answer::ok(metrics::KIND, metrics::text(&hub.status())),
        CONTROL if request.change => control(request, hub),
        "/latest.jpg" => match hub.newer_than(0, PATIENCE) {
            Some(frame) => Answer::ok("image/jpeg", frame.large.clone()),
            None => Answer::text(503, "Service Unavailable", "there is no frame yet\n"),
        },
        _ => {
            let all = "there are /, /stream.mjpeg, /latest.jpg, /status.json and /metrics\n";
            Answer::text(404, "Not Found", all)
        }
    }
}

/// A viewer chooses a model; the status says what was chosen.
fn control(request: &Request, hub: &Hub) -> Answer {
    let strength = match request.word("strength").map(|word| word.parse::<u64>()) {
        None => None,
        Some(Ok(percent)) => Some(percent.min(100) as u8),
        Some(Err(_)) => return Answer::text(400, "Bad Request", "a strength is a number from 0 to 100\n"),
    };
    let chosen = match status(request, hub).control {
        Some(_) => hub.choose(&request.word("model").unwrap_or_default(), strength),
        None => Err(Refusal::Forbidden),
    };
    match chosen {
        Ok(()) => Answer::ok("application/json", json(&status(request, hub))),
        Err(refusal) => {
            let (code, reason) = match refusal {
                Refusal::Forbidden => (403, "Forbidden"),
                Refusal::Unknown => (400, "Bad Request"),
            };
            Answer::text(code, reason, &format!("{refusal}\n"))
        }
    }
}

/// The page in one piece.
fn page() -> String {
    PAGE.replace("/*style*/", STYLE).replace("/*script*/", SCRIPT)
}

/// What this viewer gets to know. Through a proxy on this machine everybody comes from this machine: that a choice is offered to
/// viewers here is not meant for them.
fn status(request: &Request, hub: &Hub) -> Status {
    let mut status = hub.status();
    if request.proxied && status.control.as_ref().is_some_and(|control| control.is_local) {
        status.control = None;
    }
    status
}

fn json(status: &Status) -> Vec<u8> {
    serde_json::to_vec(status).expect("a status is plain data")
}

/// What the page takes a frame from: lengths of the three parts as 32-bit little-endian numbers, then a JSON
/// object, the camera's picture and the super-resolved one. Both pictures are empty when there is no new frame.
fn package(frame: Option<&Frame>, status: &Status) -> Vec<u8> {
    let frame_json = frame.map(|f| {
        serde_json::json!({
            "id": f.id,
            "width": f.size.0,
            "height": f.size.1,
            "times_ms": f.times.iter().copied().collect::<std::collections::BTreeMap<_, _>>(),
        })
    });
    let json = serde_json::json!({ "status": status, "frame": frame_json }).to_string();
    let (small, large): (&[u8], &[u8]) = frame.map_or((&[], &[]), |f| (&f.small, &f.large));
    let parts = [json.as_bytes(), small, large];
    let mut bytes = Vec::with_capacity(12 + parts.iter().map(|p| p.len()).sum::<usize>());
    for part in parts {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
    }
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn addresses() {
        let address = |text: &str| parse_address(text).map(|a| a.to_string());
        assert_eq!(address("8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(address(":8080").unwrap(), "127.0.0.1:8080");
        assert_eq!(address("localhost:81").unwrap(), "127.0.0.1:81");
        assert_eq!(address("0.0.0.0:80").unwrap(), "0.0.0.0:80");
        assert_eq!(address("[::1]:80").unwrap(), "[::1]:80");
        for wrong in ["", "http://x", "1.2.3.4", "70000", "pi.local:80"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    fn get(server: &Server, path: &str) -> (String, Vec<u8>) {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        (String::from_utf8(bytes[..end].to_vec()).unwrap(), bytes[end..].to_vec())
    }

    fn start() -> (Server, Arc<Hub>) {
        let hub = Arc::new(Hub::default());
        (Server::start(parse_address("0").unwrap(), Options::default(), Arc::clone(&hub)).unwrap(), hub)
    }

    #[test]
    fn the_page_is_one_file_and_frames_come_whole() {
        let (server, hub) = start();
        let (head, page) = get(&server, "/");
        let page = String::from_utf8(page).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("Content-Security-Policy"), "{head}");
        assert!(page.contains("</html>") && !page.contains("/*s"), "style and script are inside");
        for outside in ["src=\"http", "href=\"http", "@import", "url(http", "//cdn"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let times = vec![("total", 12.5)];
        hub.publish(Frame { id: 7, size: (4, 2), times, small: vec![1, 2], large: vec![3, 4, 5] });
        let (_, body) = get(&server, "/frame?after=3");
        let length = |i: usize| u32::from_le_bytes(body[4 * i..][..4].try_into().unwrap()) as usize;
        assert_eq!((length(1), length(2)), (2, 3));
        assert_eq!(body[12 + length(0)..], [1, 2, 3, 4, 5]);
        let json: serde_json::Value = serde_json::from_slice(&body[12..][..length(0)]).unwrap();
        assert_eq!(json["frame"]["id"], 7);
        assert_eq!(json["frame"]["times_ms"]["total"], 12.5);
        assert!(get(&server, "/latest.jpg").1 == [3, 4, 5]);
        assert!(get(&server, "/nothing").0.starts_with("HTTP/1.1 404"));
        assert!(get(&server, "/status.json").1.starts_with(b"{"));
        hub.close();
    }

    #[test]
    fn a_taken_port_is_named() {
        let (server, hub) = start();
        let error = Server::start(server.address(), Options::default(), hub).unwrap_err();
        assert!(matches!(error, CameraError::PortInUse { .. }), "{error}");
        assert!(error.help().contains(&format!("sport = :{}", server.address().port())), "{}", error.help());
    }

    /// Opens connections until one is refused; how many were not, and the refusal.
    fn until_refused(server: &Server) -> (usize, String) {
        let mut held: Vec<TcpStream> = Vec::new();
        for count in 0..100 {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            let mut text = String::new();
            if stream.read_to_string(&mut text).is_ok() {
                return (count, text);
            }
            held.push(stream);
        }
        panic!("a hundred connections, and none was refused");
    }

    #[test]
    fn too_many_connections_are_turned_away_and_silent_ones_do_not_block_others() {
        let (server, _hub) = start();
        let silent = TcpStream::connect(server.address()).unwrap();
        assert!(get(&server, "/status.json").0.starts_with("HTTP/1.1 200"));
        let (held, text) = until_refused(&server);
        assert!(held < PER_ADDRESS, "{held}");
        assert!(text.starts_with("HTTP/1.1 503") && text.contains("--http-per-address"), "{text}");
        drop(silent);

        let options = Options { per_address: 100, ..Options::default() };
        let server = Server::start(parse_address("0").unwrap(), options, Arc::new(Hub::default())).unwrap();
        let (held, text) = until_refused(&server);
        assert_eq!(held, crate::live::MAX_CONNECTIONS);
        assert!(text.starts_with("HTTP/1.1 503") && text.contains("too many viewers"), "{text}");
    }
}
