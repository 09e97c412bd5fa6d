//! A browser without a window, spoken to through Chrome's DevTools protocol.

use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// One page in a browser of its own.
pub struct Browser {
    process: Child,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    next: u64,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens a page in a window of this size; `None`, with the reason printed, where there is no browser.
    pub fn open(url: &str, width: u32, height: u32) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let profile = tempfile::tempdir().unwrap();
        let start = |name: &&str| {
            Command::new(name)
                .args(["--headless", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0"])
                .args(["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars"])
                .arg(format!("--window-size={width},{height}"))
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg("about:blank")
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .ok()
        };
        let Some(mut process) = names.iter().find_map(start) else {
            crate::support::skip::skip(format_args!("none of {} is installed", names.join(", ")));
            return None;
        };
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("DevTools listening on ws://")?.to_owned()));
        let Some(address) = address else {
            let _ = process.kill();
            panic!("the browser ended without saying where it listens");
        };
        std::thread::spawn(move || lines.for_each(drop));
        let stream = TcpStream::connect(address.split('/').next().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://{address}"), stream).unwrap();
        let mut browser = Self { process, socket, session: None, next: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        browser.call("Page.navigate", json!({ "url": url }));
        Some(browser)
    }

    /// Sends a command and waits for its result.
    pub fn call(&mut self, method: &str, params: Value) -> Value {
        self.next += 1;
        let mut message = json!({ "id": self.next, "method": method, "params": params });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else { continue };
            let answer: Value = serde_json::from_str(text.as_str()).unwrap();
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// The value of an expression.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        self.evaluate(expression).unwrap_or_else(|exception| panic!("{expression}: {exception}"))
    }

    /// Waits until an expression is true. An exception, such as from a page that is not there yet, is not true.
    #[track_caller]
    pub fn wait_for(&mut self, expression: &str) {
        let start = Instant::now();
        loop {
            let found = self.evaluate(expression);
            if found == Ok(json!(true)) {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(120),
                "it never became true: {expression}: {found:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of an expression, or its exception.
    fn evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut result = self.call("Runtime.evaluate", params);
        match result["exceptionDetails"].take() {
            Value::Null => Ok(result["result"]["value"].take()),
            exception => Err(exception),
        }
    }

    /// Presses, moves and releases the mouse.
    pub fn drag(&mut self, from: (f64, f64), to: (f64, f64)) {
        for (kind, (x, y)) in [("mousePressed", from), ("mouseMoved", to), ("mouseReleased", to)] {
            let buttons = u8::from(kind != "mouseReleased");
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Lets the page save files to this folder, under the names that it gives them.
    #[allow(dead_code, reason = "not every test program saves")]
    pub fn saves_to(&mut self, folder: &std::path::Path) {
        // A matter of the browser and not of the page.
        let session = self.session.take();
        let params = json!({ "behavior": "allow", "downloadPath": folder });
        self.call("Browser.setDownloadBehavior", params);
        self.session = session;
    }

    /// What the page looks like, as a PNG file.
    pub fn screenshot(&mut self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" }));
        base64::engine::general_purpose::STANDARD.decode(answer["data"].as_str().unwrap()).unwrap()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
