//! A conversation with the program on a board.

use super::ears::{Ears, Heard};
use super::{Reach, Target, shell, silence};
use crate::DeployError;
use crate::bundle::Bundle;
use crate::manifest::PROGRAM;
use crate::program;
use crate::slots::protocol::{Event, Request, VERSION};
use mcir_files::name::escaped;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

/// Most bytes that a board's login scripts may say before ours does.
const MAX_NOISE: usize = 1 << 16;
/// Most words of progress in one answer, and the longest that it may take: a health check has an hour.
const MAX_DOING: u32 = 100_000;
const MAX_ANSWER: Duration = Duration::from_secs(3 * 3600);

/// Called with the bytes sent so far of what is being sent.
pub type Progress<'a> = dyn FnMut(u64) + 'a;

/// A program on a board that answers.
#[derive(Debug)]
pub struct Connection {
    target: String,
    ears: Ears,
    /// How long it may say nothing.
    idle: Duration,
    /// Architecture of the board.
    pub architecture: String,
    /// Version of the program there.
    pub version: String,
    /// Whether the program there has undone an interrupted switch.
    pub recovered: bool,
}

/// What [`Connection::look`] sees.
#[derive(Debug, Clone)]
pub struct Sight {
    /// As `uname -m` prints it.
    pub architecture: String,
    /// Whether the bundle's program is there.
    pub has_program: bool,
    /// Slot that runs.
    pub current: Option<String>,
    /// Bytes free.
    pub free_bytes: Option<u64>,
    /// Whether the folder, or the one that it would be made in, can be written to.
    pub writable: bool,
    /// Counter of what runs; 0 where it has none.
    pub counter: u64,
}

/// A counter as a script says it.
fn counter(word: Option<&String>) -> u64 {
    word.and_then(|w| w.parse().ok()).unwrap_or(0)
}

impl Connection {
    /// Connects, brings the bundle's program there if it has to, and runs it. That a bundle is not older than what runs is
    /// checked before: the program of an old one may not check it.
    ///
    /// # Errors
    /// [`DeployError::Connect`], [`DeployError::Architecture`], [`DeployError::Downgrade`], [`DeployError::Lost`],
    /// [`DeployError::Protocol`].
    pub fn with_program(
        target: &Target,
        reach: &Reach,
        bundle: &Bundle,
        allow_downgrade: bool,
        progress: &mut Progress<'_>,
    ) -> Result<Self, DeployError> {
        // What may run there: all bundles, or those from the current counter on.
        let check = |current| match allow_downgrade {
            true => Ok(()),
            false => bundle.manifest.follows(current, &target.to_string()),
        };
        match Self::try_program(target, reach, bundle, false, &check, progress) {
            // A program that is there but does not run: sent again, once.
            Err((DeployError::Lost { .. } | DeployError::Protocol { .. }, true)) => {
                Self::try_program(target, reach, bundle, true, &check, progress).map_err(|(error, _)| error)
            }
            other => other.map_err(|(error, _)| error),
        }
    }

    /// The flag beside an error says that a program that was there already was run.
    fn try_program(
        target: &Target,
        reach: &Reach,
        bundle: &Bundle,
        renew: bool,
        check: &dyn Fn(u64) -> Result<(), DeployError>,
        progress: &mut Progress<'_>,
    ) -> Result<Self, (DeployError, bool)> {
        let part = bundle.manifest.part(PROGRAM);
        let script = shell::bootstrap(&target.root_word(), &part.sha256, part.size, &reach.run_with, renew);
        let (mut connection, words) = Self::open(target, reach, &script).map_err(|e| (e, false))?;
        let have = words.first().is_some_and(|w| w == "have");
        check(counter(words.get(1))).map_err(|e| (e, false))?;
        let fresh = |error| (error, have);
        // An emulator runs what the board itself would not.
        if reach.run_with.is_empty()
            && !program::fits(&bundle.manifest.architecture, &connection.architecture)
        {
            return Err((
                DeployError::Architecture {
                    program: bundle.manifest.architecture.clone(),
                    board: target.to_string(),
                    found: connection.architecture.clone(),
                },
                false,
            ));
        }
        if !have {
            let mut reader = bundle.part(PROGRAM);
            connection.send_bytes(&mut reader, "send the program", progress).map_err(fresh)?;
        }
        connection.greet().map_err(fresh)?;
        Ok(connection)
    }

    /// Connects to the program of what is current.
    ///
    /// # Errors
    /// [`DeployError::Connect`], [`DeployError::Fresh`], [`DeployError::Lost`], [`DeployError::Protocol`].
    pub fn with_resident(target: &Target, reach: &Reach) -> Result<Self, DeployError> {
        let script = shell::resident(&target.root_word(), &reach.run_with);
        let (mut connection, words) = Self::open(target, reach, &script)?;
        if words.first().is_none_or(|w| w != "have") {
            return Err(DeployError::Fresh { target: target.to_string() });
        }
        connection.greet()?;
        Ok(connection)
    }

    /// Looks at a board and changes nothing.
    ///
    /// # Errors
    /// [`DeployError::Connect`].
    pub fn look(target: &Target, reach: &Reach, bundle: &Bundle) -> Result<Sight, DeployError> {
        let script = shell::look(&target.root_word(), &bundle.manifest.part(PROGRAM).sha256);
        // `open` splits at single spaces, so that words may be empty.
        let (connection, words) = Self::open(target, reach, &script)?;
        let word = |at: usize| words.get(at).filter(|w| !w.is_empty());
        Ok(Sight {
            architecture: connection.architecture.clone(),
            has_program: word(0).is_some_and(|w| w == "have"),
            current: word(1).cloned(),
            free_bytes: word(2).and_then(|w| w.parse::<u64>().ok()).map(|kib| kib.saturating_mul(1024)),
            writable: word(3).is_some_and(|w| w == "yes"),
            counter: counter(word(4)),
        })
    }

    /// Starts a script and reads its greeting: the words after the architecture.
    pub fn open(target: &Target, reach: &Reach, script: &str) -> Result<(Self, Vec<String>), DeployError> {
        let failed = |reason: String| DeployError::Connect { target: target.to_string(), reason };
        let child = target.start(reach, script)?;
        let ears = Ears::new(child).map_err(|error| failed(format!("no thread can be started: {error}")))?;
        let mut connection = Self {
            target: target.to_string(),
            ears,
            idle: reach.idle(),
            architecture: String::new(),
            version: String::new(),
            recovered: false,
        };
        let mut noise = 0;
        while noise <= MAX_NOISE {
            let line = match connection.ears.line(connection.idle) {
                Heard::Line(line) => line,
                Heard::End => return Err(failed(connection.end())),
                Heard::Nothing => return Err(failed(silence(connection.idle))),
                Heard::TooLong => break,
            };
            if let Some(words) = line.trim_end().strip_prefix(shell::HELLO) {
                let mut words = words.split(' ').skip(1).map(str::to_owned);
                let architecture = words.next().unwrap_or_default();
                if architecture.len() > 32
                    || !architecture.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                {
                    return Err(failed(format!("its architecture is `{:.80}`", escaped(&architecture))));
                }
                connection.architecture = architecture;
                return Ok((connection, words.collect()));
            }
            noise += line.len();
        }
        Err(failed(format!("it does not come to the point within {MAX_NOISE} bytes")))
    }

    /// Waits until the program is ready.
    fn greet(&mut self) -> Result<(), DeployError> {
        match self.event("start its program")? {
            Event::Ready { protocol: VERSION, version, recovered } => {
                (self.version, self.recovered) = (escaped(&version), recovered);
                Ok(())
            }
            Event::Ready { protocol, version, .. } => Err(self.odd(format!(
                "it is version {version:.40} with protocol {protocol}, but this one is version {} with protocol {VERSION}",
                env!("CARGO_PKG_VERSION")
            ))),
            Event::Failed { message, help } => {
                Err(DeployError::board(&self.target, message, &help))
            }
            other => Err(self.odd(format!("{other:?} is no greeting"))),
        }
    }

    /// Asks for something and waits for the answer; `doing` hears of what takes time.
    ///
    /// # Errors
    /// [`DeployError::Board`] when it did not work, [`DeployError::Lost`], [`DeployError::Protocol`].
    pub fn ask(&mut self, request: &Request, doing: &mut dyn FnMut(&str)) -> Result<Event, DeployError> {
        self.send(request)?;
        self.answer(doing)
    }

    /// Sends a part and waits for the answer.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn put(
        &mut self,
        bundle: &Bundle,
        part: &str,
        progress: &mut Progress<'_>,
    ) -> Result<Event, DeployError> {
        self.send(&Request::Put { part: part.into() })?;
        let mut reader = bundle.part(part);
        match self.send_bytes(&mut reader, "send a part", progress) {
            // The other end may have said why it stopped listening.
            Err(lost) => match self.answer(&mut |_| {}) {
                Err(said @ DeployError::Board { .. }) => Err(said),
                _ => Err(lost),
            },
            Ok(()) => self.answer(&mut |_| {}),
        }
    }

    fn answer(&mut self, doing: &mut dyn FnMut(&str)) -> Result<Event, DeployError> {
        let (mut what, begin) = ("answer".to_owned(), Instant::now());
        for _ in 0..MAX_DOING {
            if begin.elapsed() > MAX_ANSWER {
                break;
            }
            match self.event(&what)? {
                Event::Doing { what: now } => {
                    what = escaped(&now).chars().take(200).collect();
                    doing(&what);
                }
                Event::Failed { message, help } => {
                    return Err(DeployError::board(&self.target, message, &help));
                }
                event => return Ok(event),
            }
        }
        Err(self.odd("it is busy without end".into()))
    }

    /// The same where the board has something to do that takes `longer` without a word.
    ///
    /// # Errors
    /// As [`Connection::ask`].
    pub fn ask_patiently(
        &mut self,
        request: &Request,
        longer: Duration,
        doing: &mut dyn FnMut(&str),
    ) -> Result<Event, DeployError> {
        self.idle += longer;
        let answer = self.ask(request, doing);
        self.idle -= longer;
        answer
    }

    fn send(&mut self, request: &Request) -> Result<(), DeployError> {
        let mut line = serde_json::to_vec(request).expect("a request is plain data");
        line.push(b'\n');
        self.send_bytes(&mut line.as_slice(), "send a request", &mut |_| {})
    }

    /// Sends everything that `reader` has; `doing` says what this is for, in errors.
    ///
    /// # Errors
    /// [`DeployError::Io`] when it cannot be read, [`DeployError::Lost`] when the other end is gone.
    pub fn send_bytes(
        &mut self,
        reader: &mut dyn Read,
        doing: &str,
        progress: &mut Progress<'_>,
    ) -> Result<(), DeployError> {
        let (mut buffer, mut sent) = (vec![0; 1 << 16], 0);
        loop {
            let read = reader.read(&mut buffer).map_err(|e| self.lost(doing, Some(e.to_string())))?;
            let Some(input) = self.ears.input.as_mut() else { return Err(self.lost(doing, None)) };
            if read == 0 {
                return input.flush().map_err(|_| self.lost(doing, None));
            }
            input.write_all(&buffer[..read]).map_err(|_| self.lost(doing, None))?;
            sent += read as u64;
            progress(sent);
        }
    }

    /// The next line of the program there, while it is `doing` something.
    ///
    /// # Errors
    /// [`DeployError::Lost`], [`DeployError::Protocol`] when it means nothing.
    pub fn event<T: DeserializeOwned>(&mut self, doing: &str) -> Result<T, DeployError> {
        match self.ears.line(self.idle) {
            Heard::Line(line) => serde_json::from_str(&line)
                .map_err(|e| self.odd(format!("{e} in {:.80}", escaped(line.trim_end())))),
            Heard::End => Err(self.lost(doing, None)),
            Heard::Nothing => Err(self.lost(doing, Some(silence(self.idle)))),
            Heard::TooLong => Err(self.odd("a line of it has no end".into())),
        }
    }

    fn lost(&mut self, doing: &str, reason: Option<String>) -> DeployError {
        let reason = reason.unwrap_or_else(|| self.end());
        DeployError::Lost { target: self.target.clone(), doing: doing.into(), reason }
    }

    /// An answer that this program does not understand.
    pub fn odd(&self, reason: String) -> DeployError {
        let reason = escaped(&reason).chars().take(400).collect();
        DeployError::Protocol { target: self.target.clone(), reason }
    }

    /// Ends the conversation; returns the last words of the other end.
    fn end(&mut self) -> String {
        let status = self.ears.end();
        self.ears.last_words(status)
    }
}
