//! The server: its threads, its connections, and the limits on everything a stranger can send or hold.

use crate::answer::{Answer, Body};
use crate::error::WebError;
use crate::hosts::Hosts;
use crate::places::{Full, PER_ADDRESS, Place, Places};
use crate::request::{Post, Request, RequestError, Rules};
use crate::visit::{Visit, due};
use rustix::net::sockopt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// A request must be complete after this, and the next one must come.
const REQUEST_TIME: Duration = Duration::from_secs(15);
/// An answer in memory, or a piece of a stream, must be taken after this; a client that has not is cut off, and what waited for it
/// is thrown away.
const ANSWER_TIME: Duration = Duration::from_secs(20);
/// How long a client that has its answer may take to go.
const LEAVE_TIME: Duration = Duration::from_secs(5);
/// Bytes that the kernel keeps for a client, each way. It may take twice as much, and would by itself take megabytes for one
/// that does not read.
const SEND_BUFFER: usize = 1 << 16;
const RECEIVE_BUFFER: usize = 1 << 14;
/// How often waiting threads look at their deadlines.
const TICK: Duration = Duration::from_millis(500);
/// Bytes written between two looks at the deadline.
const PIECE: usize = 1 << 16;

/// What a server answers with.
pub trait Site: Send + Sync + 'static {
    /// What can be posted.
    fn posts(&self) -> &'static [Post];

    /// Answers a request that was let in.
    fn answer(&self, request: &Request, visit: &mut Visit<'_>) -> Answer;

    /// Says why a request is not let in, or the client has no place.
    fn refuse(&self, code: u16, reason: &'static str, why: &str) -> Answer {
        Answer::text(code, reason, &format!("{why}\n"))
    }

    /// Whether the site ends: connections are closed after their answer.
    fn is_closed(&self) -> bool {
        false
    }
}

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
    /// [`WebError`].
    pub fn start(address: SocketAddr, options: Options, site: Arc<dyn Site>) -> Result<Self, WebError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => WebError::PortInUse { address: address.to_string() },
            _ => WebError::Listen { address: address.to_string(), source },
        };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let rules = Arc::new(Rules { hosts: options.hosts, posts: site.posts() });
        let places = Places::new(options.per_address);
        let accept = move || {
            for stream in listener.incoming() {
                match stream {
                    Ok(stream) => admit(stream, &site, &rules, &places),
                    // Out of file handles, or the client has gone already: that passes.
                    Err(_) => thread::sleep(Duration::from_millis(50)),
                }
            }
        };
        thread::Builder::new().name("http".into()).spawn(accept).map_err(WebError::Thread)?;
        Ok(Self { address })
    }

    /// Where it listens; the port is the system's choice when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn admit(stream: TcpStream, site: &Arc<dyn Site>, rules: &Arc<Rules>, places: &Arc<Places>) {
    // Without its limits a connection could be held for ever, or a client that does not read hold the kernel's memory.
    let Ok(peer) = stream.peer_addr() else { return };
    if limit(&stream).is_err() {
        return;
    }
    // Answers go out at once.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection { stream, site: Arc::clone(site), rules: Arc::clone(rules) };
    let place = match places.enter(peer.ip()) {
        Ok(place) => place,
        Err(full) => {
            let why = match full {
                Full::All => "too many viewers",
                Full::Address => "too many connections from your address; --http-per-address allows more",
            };
            let answer = site.refuse(503, "Service Unavailable", why);
            let _ = connection.send(answer, false, false);
            return;
        }
    };
    let serve = move || connection.serve_and_leave(place);
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

struct Connection {
    stream: TcpStream,
    site: Arc<dyn Site>,
    rules: Arc<Rules>,
}

impl Connection {
    /// Answers, and gives the place back when nothing is left of the connection.
    fn serve_and_leave(mut self, place: Place) {
        let taken = self.serve().is_ok();
        if !taken || !self.is_left() {
            // Reset: what the client has not taken is not kept for it.
            let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
        }
        drop(self.stream);
        drop(place);
    }

    /// Ends the sending half and waits for the client to end the other. What it still sends, as of a body that was refused, is
    /// thrown away: an end in the middle of it could cost it the answer.
    fn is_left(&mut self) -> bool {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return false;
        }
        let (deadline, mut rest) = (Instant::now() + LEAVE_TIME, [0; 1 << 13]);
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

    /// Answers until the client wants no more; fails where it does not take an answer.
    fn serve(&mut self) -> io::Result<()> {
        let mut buffer = Vec::new();
        loop {
            let deadline = Instant::now() + REQUEST_TIME;
            let request = match Request::read(&mut self.stream, &mut buffer, deadline, &self.rules) {
                Ok(request) => request,
                Err(error) => return self.refuse(&error),
            };
            let mut visit = Visit::new(&mut self.stream, &mut buffer, request.body, request.waits);
            let answer = self.site.answer(&request, &mut visit);
            // What is left of a body is no request.
            let whole = visit.left() == 0;
            let keep = request.keep_alive && whole && !self.site.is_closed();
            if !self.send(answer, request.head_only, keep)? {
                return Ok(());
            }
        }
    }

    fn refuse(&mut self, error: &RequestError) -> io::Result<()> {
        let Some((code, reason)) = error.answer() else { return Ok(()) };
        let answer = self.site.refuse(code, reason, &error.to_string());
        self.send(answer, false, false).map(|_| ())
    }

    /// Sends an answer; whether another may follow.
    fn send(&mut self, answer: Answer, head_only: bool, keep_alive: bool) -> io::Result<bool> {
        let head = answer.head(keep_alive);
        let start = Instant::now();
        let deadline = start + ANSWER_TIME;
        self.write(head.as_bytes(), deadline)?;
        if head_only {
            return Ok(keep_alive && !matches!(answer.body, Body::Stream(_)));
        }
        match answer.body {
            Body::Bytes(bytes) => self.write(&bytes, deadline)?,
            Body::Reader(reader, length) => self.pass(reader, length, start)?,
            Body::Stream(run) => {
                run(&mut |piece| self.write(piece, Instant::now() + ANSWER_TIME))?;
                return Ok(false);
            }
        }
        Ok(keep_alive)
    }

    /// Sends what a reader gives, at the rate that the client takes it, if that is not too low.
    fn pass(&mut self, mut reader: Box<dyn Read + Send>, length: u64, start: Instant) -> io::Result<()> {
        let (mut piece, mut done) = (vec![0; PIECE], 0);
        while done < length {
            let wanted = piece.len().min(usize::try_from(length - done).unwrap_or(usize::MAX));
            reader.read_exact(&mut piece[..wanted])?;
            self.write(&piece[..wanted], due(start, done))?;
            done += wanted as u64;
        }
        Ok(())
    }

    /// Writes everything, or fails at the deadline however eagerly the client takes single bytes.
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

#[cfg(test)]
mod tests;
