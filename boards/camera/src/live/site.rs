//! What the server answers on the live page.

use super::hub::{Frame, Hub, Refusal, Status};
use super::metrics;
use mcir_web::{Answer, Body, Post, Request, STYLE, Site, Take, VIEWER, Visit};
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// How long a viewer waits for a frame before it is told that there is none.
const PATIENCE: Duration = Duration::from_secs(2);
/// The one place where something can be changed.
const CONTROL: &str = "/control";

static PAGE: LazyLock<String> = LazyLock::new(|| mcir_web::page(include_str!("page.html")));
const SCRIPT: &str = include_str!("page.js");

/// Boundary of the multipart stream.
const BOUNDARY: &str = "mcir-frame";

/// The live page of a hub.
#[derive(Debug)]
pub struct Live(pub Arc<Hub>);

impl Site for Live {
    fn posts(&self) -> &'static [Post] {
        &[Post { path: CONTROL, max_body: 0 }]
    }

    fn answer(&self, request: &Request, _: &mut Visit<'_>) -> Answer {
        if request.path == "/stream.mjpeg" { stream(&self.0) } else { answer(request, &self.0) }
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }
}

/// Super-resolved frames as other programs take them, for as long as the viewer keeps up.
fn stream(hub: &Arc<Hub>) -> Answer {
    let hub = Arc::clone(hub);
    let run = move |take: &mut Take<'_>| -> io::Result<()> {
        let mut last = 0;
        while !hub.is_closed() {
            let Some(frame) = hub.newer_than(last, PATIENCE) else { continue };
            last = frame.id;
            let head = format!(
                "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                frame.large.len()
            );
            for part in [head.as_bytes(), &frame.large, b"\r\n"] {
                take(part)?;
            }
        }
        Ok(())
    };
    let kind = "multipart/x-mixed-replace; boundary=mcir-frame";
    debug_assert!(kind.ends_with(BOUNDARY));
    Answer { body: Body::Stream(Box::new(run)), ..Answer::ok(kind, &b""[..]) }
}

fn answer(request: &Request, hub: &Hub) -> Answer {
    match request.path.as_str() {
        "/" | "/index.html" => Answer::asset("text/html; charset=utf-8", &PAGE),
        "/page.css" => Answer::asset("text/css; charset=utf-8", STYLE),
        "/page.js" => Answer::asset("text/javascript; charset=utf-8", SCRIPT),
        "/viewer.js" => Answer::asset("text/javascript; charset=utf-8", VIEWER),
        "/frame" => {
            let frame = hub.newer_than(request.number("after").unwrap_or(0), PATIENCE);
            Answer::ok("application/octet-stream", package(frame.as_deref(), &status(request, hub)))
        }
        "/status.json" => Answer::ok("application/json", json(&status(request, hub))),
        "/metrics" => Answer::ok(metrics::KIND, metrics::text(&hub.status()).into_bytes()),
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
    use mcir_web::{Options, Server, parse_address};
    use std::io::{Read, Write};
    use std::net::TcpStream;

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
        let site = Arc::new(Live(Arc::clone(&hub)));
        (Server::start(parse_address("0").unwrap(), Options::default(), site).unwrap(), hub)
    }

    #[test]
    fn all_of_the_page_comes_from_here_and_frames_come_whole() {
        let (server, hub) = start();
        let (head, page) = get(&server, "/");
        let page = String::from_utf8(page).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK") && page.contains("</html>"), "{head}");
        assert!(
            !page.contains("<!--") && page.contains("id=\"strength\""),
            "shared parts are in their places"
        );
        assert!(head.contains("script-src 'self'; style-src 'self'"), "{head}");
        // Nothing that the policy refuses, and nothing that is not there.
        for refused in ["<style", "<script>", "style=\"", " onclick", "src=\"http", "href=\"http"] {
            assert!(!page.contains(refused), "{refused}");
        }
        let (_, script) = get(&server, "/page.js");
        let script = String::from_utf8(script).unwrap();
        let parts = page.split(['"', '\'']).chain(script.split('"'));
        let files: Vec<_> =
            parts.filter(|part| part.starts_with('/') && part.ends_with(['s', 'n'])).collect();
        assert_eq!(files, ["/page.css", "/page.js", "/viewer.js"]);
        for file in files {
            let (head, text) = get(&server, file);
            assert!(head.starts_with("HTTP/1.1 200 OK") && text.len() > 1000, "{file}: {head}");
            let text = String::from_utf8(text).unwrap();
            for outside in ["@import", "url(http", "//cdn", "https://"] {
                assert!(!text.contains(outside), "{file}: {outside}");
            }
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
}
