use super::*;
use std::sync::Mutex;

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

/// Answers with what it was sent, as far as it wants it.
#[derive(Default)]
struct Echo {
    /// Clients that were seen to go while they waited.
    gone: Mutex<usize>,
}

impl Site for Echo {
    fn posts(&self) -> &'static [Post] {
        &[Post { path: "/echo", max_body: 1 << 20 }, Post { path: "/ignore", max_body: 1 << 20 }]
    }

    fn answer(&self, request: &Request, visit: &mut Visit<'_>) -> Answer {
        match request.path.as_str() {
            "/echo" => {
                let mut body = Vec::new();
                match visit.take_body(&mut body, &mut |_| {}) {
                    Ok(()) => {
                        let length = body.len() as u64;
                        let body = Body::Reader(Box::new(io::Cursor::new(body)), length);
                        Answer { body, ..Answer::ok("a/b", &b""[..]) }
                    }
                    Err(error) => Answer::text(400, "Bad Request", &error.to_string()),
                }
            }
            "/wait" => {
                let end = Instant::now() + Duration::from_secs(60);
                while Instant::now() < end {
                    if visit.is_gone() {
                        *self.gone.lock().unwrap() += 1;
                        break;
                    }
                    thread::sleep(Duration::from_millis(5));
                }
                Answer::text(200, "OK", "")
            }
            "/stream" => {
                let run = |take: &mut crate::answer::Take<'_>| (0..3).try_for_each(|_| take(b"abc"));
                Answer { body: Body::Stream(Box::new(run)), ..Answer::ok("a/b", &b""[..]) }
            }
            _ => Answer::text(404, "Not Found", &request.path),
        }
    }

    fn refuse(&self, code: u16, reason: &'static str, why: &str) -> Answer {
        Answer::json(code, reason, format!("[\"{why}\"]"))
    }
}

fn start(options: Options) -> (Server, Arc<Echo>) {
    let site = Arc::<Echo>::default();
    let shared: Arc<dyn Site> = site.clone();
    (Server::start(parse_address("0").unwrap(), options, shared).unwrap(), site)
}

/// Everything that the server says to these bytes until it closes the connection.
fn say(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

#[test]
fn bodies_are_taken_and_requests_follow_them() {
    let (server, _) = start(Options::default());
    let post = |path: &str, body: &str| {
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    let last = "GET /last HTTP/1.1\r\nConnection: close\r\n\r\n";
    let text = say(&server, (post("/echo", "one") + &post("/echo", &"two".repeat(50_000)) + last).as_bytes());
    let bodies: Vec<_> = text.split("\r\n\r\n").skip(1).collect();
    assert!(bodies[0].starts_with("oneHTTP/1.1 200"), "{}", bodies[0]);
    assert!(bodies[1].starts_with(&"two".repeat(50_000)) && bodies[1].contains("HTTP/1.1 404"));
    assert_eq!(bodies[2], "/last");

    // A body that nobody takes is not read as requests.
    let inside = "GET /inside HTTP/1.1\r\n\r\n";
    let text = say(&server, (post("/ignore", inside) + last).as_bytes());
    assert!(text.ends_with("/ignore") && text.contains("Connection: close"), "{text}");

    // curl asks before it sends more than a little.
    let mut stream = TcpStream::connect(server.address()).unwrap();
    let head = "POST /echo HTTP/1.0\r\nX-Mcir: control\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut sign = [0; 25];
    stream.read_exact(&mut sign).unwrap();
    assert_eq!(&sign, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n\r\nabc"), "{text}");
    let cut = "POST /echo HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: 9\r\n\r\nabc";
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(cut.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("the connection was closed"), "{text}");
}

#[test]
fn sites_say_in_their_words_why_a_request_is_refused() {
    let (server, _) = start(Options::default());
    let large = "POST /echo HTTP/1.1\r\nX-Mcir: control\r\nContent-Length: 1048577\r\n\r\n";
    let text = say(&server, (large.to_owned() + &"x".repeat(1 << 20)).as_bytes());
    assert!(text.starts_with("HTTP/1.1 413") && text.contains("application/json"), "{text}");
    assert!(text.ends_with("[\"the body has 1048577 bytes; the limit is 1048576\"]"), "{text}");
    let text = say(&server, b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 421") && text.contains("[\""), "{text}");
    let text = say(&server, b"GET /stream HTTP/1.1\r\n\r\n");
    assert!(text.ends_with("\r\n\r\nabcabcabc") && !text.contains("Content-Length"), "{text}");
    let text = say(&server, b"HEAD /x HTTP/1.1\r\nConnection: close\r\n\r\n");
    assert!(text.ends_with("\r\n\r\n") && text.contains("Content-Length: 2"), "{text}");
}

#[test]
fn a_client_that_goes_is_noticed() {
    let (server, site) = start(Options::default());
    let mut stream = TcpStream::connect(server.address()).unwrap();
    stream.write_all(b"GET /wait HTTP/1.1\r\n\r\n").unwrap();
    thread::sleep(Duration::from_millis(50));
    assert_eq!(*site.gone.lock().unwrap(), 0);
    drop(stream);
    let end = Instant::now() + Duration::from_secs(30);
    while *site.gone.lock().unwrap() == 0 {
        assert!(Instant::now() < end, "nobody noticed");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_taken_port_is_named() {
    use mcir_upscale::error::Advice;
    let (server, site) = start(Options::default());
    let error = Server::start(server.address(), Options::default(), site).unwrap_err();
    assert!(matches!(error, WebError::PortInUse { .. }), "{error}");
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
    let (server, _) = start(Options::default());
    let silent = TcpStream::connect(server.address()).unwrap();
    assert!(say(&server, b"GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 404"));
    let (held, text) = until_refused(&server);
    assert!(held < PER_ADDRESS, "{held}");
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("--http-per-address"), "{text}");
    drop(silent);

    let (server, _) = start(Options { per_address: 100, ..Options::default() });
    let (held, text) = until_refused(&server);
    assert_eq!(held, crate::places::MAX_CONNECTIONS);
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("too many viewers"), "{text}");
}
