//! What the server answers.

use crate::desk::{Desk, Progress, Seat};
use crate::menu::{Menu, Order};
use mcir_files::{self as files, Format, Header, Input, MAX_PIXELS, Output, READABLE};
use mcir_upscale::error::Error;
use mcir_upscale::upscale::{Models, Step, Why};
use mcir_web::{Answer, Body, BodyError, Post, Request, RequestError, STYLE, Site, VIEWER, Visit};
use serde::Serialize;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// Version of the JSON.
const SCHEMA: u32 = 1;
/// Longest file that can be posted, in bytes.
pub const MAX_BODY: u64 = 1 << 28;
/// Longest name of a job.
const MAX_JOB: usize = 64;
/// Longest name of a picture that is shown, in characters.
const MAX_NAME: usize = 120;

static PAGE: LazyLock<String> = LazyLock::new(|| mcir_web::page(include_str!("page.html")));
const UPSCALE: &str = "/upscale";
const ORIGINAL: &str = "/original";
/// The header that tells what was done, as JSON.
const RESULT: &str = "X-Mcir-Result";

/// The page, and the pictures that are posted to it.
pub struct Studio {
    menu: Menu,
    desk: Arc<Desk>,
    /// What the last order was upscaled with: the next is often the same.
    last: Mutex<Option<(Order, Models)>>,
    /// Whether it is served on this machine alone, and so not to those who come through a proxy on it.
    is_local: bool,
}

impl Studio {
    /// A page with these models.
    pub fn new(menu: Menu, is_local: bool) -> Self {
        Self { menu, desk: Arc::default(), last: Mutex::new(None), is_local }
    }

    fn status(&self) -> Vec<u8> {
        let choices = self.menu.choices();
        let first = choices.iter().find(|choice| choice.own).map(|choice| choice.name.clone());
        let status = serde_json::json!({
            "schema": SCHEMA,
            "version": env!("CARGO_PKG_VERSION"),
            "automatic": Menu::automatic(),
            "choices": choices,
            "model": first,
            "limits": { "bytes": MAX_BODY, "pixels": MAX_PIXELS, "pictures": crate::SEATS },
            "formats": READABLE,
        });
        status.to_string().into_bytes()
    }

    /// Takes a picture in and gives back what is made of it.
    fn work(&self, request: &Request, visit: &mut Visit<'_>) -> Result<Answer, Refusal> {
        let job = request.word("job").map(job).transpose()?;
        let order = Order::of(request).map_err(|why| Refusal::bad(&why))?;
        let called = called(request.word("name"));
        let seat = self.desk.sit(job, request.body).map_err(|_| Refusal {
            status: (503, "Service Unavailable"),
            message: "too many pictures are here already".into(),
            help: "try again when some of them are done".into(),
        })?;
        let mut body = temporary()?;
        let of = request.body;
        visit.take_body(&mut body, &mut |done| seat.tell(Progress::Receiving { done, of }))?;
        body.flush().map_err(kept)?;
        let input = Input::open_file(body, &called);
        let result = temporary()?;
        let output = Output::open_file(result.try_clone().map_err(kept)?, "the result");
        let Some(turn) = seat.turn(&mut || visit.is_gone()) else { return Err(Refusal::gone()) };
        let told = match request.path.as_str() {
            UPSCALE => self.upscale(order, &input, &output, &seat, visit)?,
            _ => original(&input, &output, &seat)?,
        };
        // The next picture does not wait until this one's client has taken it.
        drop(turn);
        sent(result, seat, &told)
    }

    fn upscale(
        &self,
        order: Order,
        input: &Input,
        output: &Output,
        seat: &Seat,
        visit: &Visit<'_>,
    ) -> Result<String, Refusal> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out while it works: what a panic leaves is not used again.
        let mut models = match last.take() {
            Some((known, models)) if known == order => models,
            _ => self.menu.models(&order)?,
        };
        let mut watch = |step| {
            seat.tell(match step {
                Step::Reading => Progress::Reading,
                Step::Rows { done, of } => Progress::Enlarging { done, of },
            });
            !visit.is_gone()
        };
        let done = models.upscale(input, output, Format::Png, &mut watch);
        let told = done.map(|done| {
            let model = models.last().model();
            // The page has words of its own for why.
            let why = done.why.as_ref().map(Why::to_string);
            let told = Told {
                schema: SCHEMA,
                model: &done.model,
                precision: model.precision(),
                upscale: model.upscale(),
                width: done.width,
                height: done.height,
                engine_ms: done.engine_ms,
                notes: done.notes.iter().filter(|note| Some(*note) != why.as_ref()).collect(),
                why: done.why.as_ref(),
            };
            serde_json::to_string(&told).expect("what is told is plain data")
        });
        *last = Some((order, models));
        Ok(told?)
    }
}

/// What was done, for the page.
#[derive(Serialize)]
struct Told<'a> {
    schema: u32,
    model: &'a str,
    precision: &'static str,
    upscale: usize,
    width: usize,
    height: usize,
    engine_ms: f64,
    notes: Vec<&'a String>,
    /// Why a camera model was taken, where the picture decided.
    why: Option<&'a Why>,
}

/// The picture as it was decoded, for browsers that do not know its format.
fn original(input: &Input, output: &Output, seat: &Seat) -> Result<String, Refusal> {
    seat.tell(Progress::Reading);
    let picture = input.read(MAX_PIXELS).map_err(Error::from)?;
    let (width, height, channels) = (picture.width(), picture.height(), picture.channels());
    let icc_profile = picture.icc_profile.as_deref();
    let header = Header { width, height, channels, icc_profile, about: picture.about };
    let mut row = Vec::new();
    files::write(output, Format::Png, &header, |sink| {
        let _ = (0..height).all(|y| {
            row.clear();
            picture.rows(y..y + 1, &mut row);
            sink(&row)
        });
        Ok::<_, files::Error>(())
    })
    .map_err(Error::from)?;
    let told =
        serde_json::json!({ "schema": SCHEMA, "width": width, "height": height, "notes": picture.notes });
    Ok(told.to_string())
}

/// An answer with all of a file.
fn sent(mut result: File, seat: Seat, told: &str) -> Result<Answer, Refusal> {
    seat.tell(Progress::Sending);
    let length = result.seek(io::SeekFrom::End(0)).and_then(|length| result.rewind().map(|()| length));
    let reader = Held { file: result, _seat: seat };
    let body = Body::Reader(Box::new(reader), length.map_err(kept)?);
    Ok(Answer { body, ..Answer::ok("image/png", &b""[..]) }.header(RESULT, ascii(told)))
}

/// A result, and the seat that it takes until it is sent.
struct Held {
    file: File,
    _seat: Seat,
}

impl Read for Held {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.file.read(to)
    }
}

/// A file without a name, which is gone when it is closed, however the program ends.
fn temporary() -> Result<File, Refusal> {
    tempfile::tempfile().map_err(kept)
}

/// JSON in letters that a header can have.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            ' '..='~' => out.push(c),
            // Outside of texts JSON has no such letters, and inside they may be written so.
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}")),
        }
    }
    out
}

/// The name of a job, which its client has made up.
fn job(text: String) -> Result<String, Refusal> {
    let fits =
        (1..=MAX_JOB).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        Ok(text)
    } else {
        Err(Refusal::bad("a job is named with up to 64 letters, digits and hyphens"))
    }
}

/// What a picture is called in messages. Its extension tells the format where the content does not.
fn called(name: Option<String>) -> String {
    let name = name.unwrap_or_default();
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let long = last.chars().count().saturating_sub(MAX_NAME);
    let short: String = last.chars().skip(long).collect();
    if short.is_empty() { "the picture".into() } else { short }
}

/// Why there is no result.
#[derive(Debug)]
struct Refusal {
    status: (u16, &'static str),
    message: String,
    help: String,
}

impl Refusal {
    fn bad(message: &str) -> Self {
        let help = "/status.json lists what there is".into();
        Self { status: (400, "Bad Request"), message: message.into(), help }
    }

    /// For nobody.
    fn gone() -> Self {
        let (message, help) = ("the client has gone".into(), "ask for it again".into());
        Self { status: (400, "Bad Request"), message, help }
    }

    fn answer(self) -> Answer {
        let error = serde_json::json!({ "message": self.message, "help": self.help });
        let json = serde_json::json!({ "schema": SCHEMA, "error": error }).to_string();
        let answer = Answer::json(self.status.0, self.status.1, json);
        if self.status.0 == 503 { answer.header("Retry-After", "2") } else { answer }
    }
}

/// What the system says about a temporary file.
fn kept(error: io::Error) -> Refusal {
    Error::from(files::Error::io("write", &std::env::temp_dir())(error)).into()
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Stopped { .. } => return Self::gone(),
            Error::Files(files::Error::Io { source, .. })
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                (507, "Insufficient Storage")
            }
            Error::Files(files::Error::Io { .. } | files::Error::Memory { .. }) => {
                (500, "Internal Server Error")
            }
            Error::Files(files::Error::TooLarge { .. }) => (413, "Content Too Large"),
            Error::NoModel { .. } | Error::Strength { .. } | Error::Upscale { .. } => (400, "Bad Request"),
            _ => (422, "Unprocessable Content"),
        };
        let mut help = error.help();
        if matches!(error, Error::NoModel { .. }) {
            help = "/status.json lists what there is".into();
        }
        Self { status, message: error.to_string(), help }
    }
}

impl From<BodyError> for Refusal {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Kept(error) => kept(error),
            BodyError::Client(RequestError::Slow) => {
                let (message, help) =
                    ("the picture came too slowly".into(), "try a faster connection".into());
                Self { status: (408, "Request Timeout"), message, help }
            }
            _ => {
                let (message, help) = ("the picture did not come whole".into(), "send it again".into());
                Self { status: (400, "Bad Request"), message, help }
            }
        }
    }
}

impl Site for Studio {
    fn posts(&self) -> &'static [Post] {
        &[Post { path: UPSCALE, max_body: MAX_BODY }, Post { path: ORIGINAL, max_body: MAX_BODY }]
    }

    fn answer(&self, request: &Request, visit: &mut Visit<'_>) -> Answer {
        if self.is_local && request.proxied {
            let why = "this page is for this machine alone, and the request came from elsewhere or through a proxy; --http 0.0.0.0:PORT serves others";
            return self.refuse(403, "Forbidden", why);
        }
        match request.path.as_str() {
            "/" | "/index.html" => Answer::asset("text/html; charset=utf-8", &PAGE),
            "/page.css" => Answer::asset("text/css; charset=utf-8", STYLE),
            "/studio.css" => Answer::asset("text/css; charset=utf-8", include_str!("studio.css")),
            "/page.js" => Answer::asset("text/javascript; charset=utf-8", include_str!("page.js")),
            "/viewer.js" => Answer::asset("text/javascript; charset=utf-8", VIEWER),
            "/status.json" => Answer::json(200, "OK", self.status()),
            "/progress" => self.progress(request),
            UPSCALE | ORIGINAL if request.change => self.work(request, visit).unwrap_or_else(Refusal::answer),
            UPSCALE | ORIGINAL => self.refuse(405, "Method Not Allowed", "a picture is posted here"),
            _ => {
                let all = "there are /, /status.json, /progress, and POST to /upscale and /original";
                self.refuse(404, "Not Found", all)
            }
        }
    }

    fn refuse(&self, code: u16, reason: &'static str, why: &str) -> Answer {
        let help = match code {
            413 => "mcir-board upscale takes larger files",
            503 => "close other pages, and try again",
            _ => "the page itself asks as it should; see mcir-board studio --help for other programs",
        };
        Refusal { status: (code, reason), message: why.into(), help: help.into() }.answer()
    }
}

impl Studio {
    fn progress(&self, request: &Request) -> Answer {
        match request.word("job").map(job) {
            Some(Ok(job)) => {
                let progress = self.desk.look(&job);
                let json = serde_json::json!({ "schema": SCHEMA, "progress": progress }).to_string();
                Answer::json(200, "OK", json)
            }
            Some(Err(refusal)) => refusal.answer(),
            None => Refusal::bad("which job?").answer(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_every_text() {
        let json = serde_json::json!({ "a": "größe \u{1f5bc}\u{202e}\"\n" }).to_string();
        let ascii = ascii(&json);
        assert!(ascii.is_ascii() && !ascii.contains('\n'), "{ascii}");
        let again: serde_json::Value = serde_json::from_str(&ascii).unwrap();
        assert_eq!(again["a"], "größe \u{1f5bc}\u{202e}\"\n");
    }

    #[test]
    fn pictures_are_called_by_the_end_of_their_name() {
        let of = |name: &str| called(Some(name.into()));
        assert_eq!(of("C:\\photos\\a b.jpg"), "a b.jpg");
        assert_eq!(of("../../etc/passwd"), "passwd");
        assert_eq!(of(""), "the picture");
        assert_eq!(called(None), "the picture");
        let long = "x".repeat(500) + ".tga";
        assert!(of(&long).len() == MAX_NAME && of(&long).ends_with(".tga"));
    }

    #[test]
    fn jobs_have_plain_names() {
        assert!(job("0b9e-7A".into()).is_ok());
        for wrong in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(job(wrong.into()).is_err(), "{wrong}");
        }
    }
}
