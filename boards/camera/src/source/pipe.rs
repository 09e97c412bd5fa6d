//! Cameras that belong to another program, which writes frames to a pipe: `rpicam-vid` and GStreamer.

use super::stream::Stream;
use super::{Pixels, Request, Shot, Source};
use crate::error::CameraError;
use crate::raw::{Layout, Packing, Siting, Subsampling};
use crate::y4m;
use mcir_upscale::error::{Error, Result};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Lines of a program's standard error that are kept for its error message.
const KEPT_LINES: usize = 6;
/// Longest of these lines.
const MAX_LINE: usize = 300;

/// The running camera programs, so that a reader that waits for one of them can be woken by ending it.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<Option<Child>>>);

impl Children {
    fn put(&self, child: Child) {
        let before = self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(child);
        end(before);
    }

    /// Ends the program, if there is one, and gives its exit status.
    pub fn stop(&self) -> Option<String> {
        end(self.0.lock().unwrap_or_else(PoisonError::into_inner).take())
    }

    /// The exit status of a program that has closed its output, which it may do a little before it ends.
    fn wait(&self) -> String {
        for _ in 0..40 {
            let mut child = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match child.as_mut().map(Child::try_wait) {
                Some(Ok(None)) => {}
                Some(Ok(Some(status))) => {
                    *child = None;
                    return status.to_string();
                }
                _ => break,
            }
            drop(child);
            std::thread::sleep(Duration::from_millis(25));
        }
        self.stop().unwrap_or_else(|| "it was stopped".into())
    }
}

/// Asks the program to end, so that it can give the camera back; kills it when it does not listen.
fn end(child: Option<Child>) -> Option<String> {
    let mut child = child?;
    ask_to_end(&child);
    for _ in 0..40 {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.to_string());
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    // It may have ended just now; then there is only its status to take.
    let _ = child.kill();
    child.wait().ok().map(|status| status.to_string())
}

#[cfg(target_os = "linux")]
fn ask_to_end(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};
    // A program that is gone already cannot be asked.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

#[cfg(not(target_os = "linux"))]
fn ask_to_end(_child: &Child) {}

/// A camera program.
pub(super) struct Pipe {
    program: String,
    frames: u64,
    output: Output,
    children: Children,
    stderr: Arc<Mutex<VecDeque<String>>>,
    listener: Option<JoinHandle<()>>,
}

enum Output {
    /// y4m or JPEG, which must begin before it can be read.
    Waiting(Option<ChildStdout>, Request),
    Stream(Stream),
    /// Frames of one layout without anything between.
    Frames(BufReader<ChildStdout>, Layout),
}

/// `rpicam-vid`, or `libcamera-vid` as it was called before.
pub(super) fn rpicam(options: &str, request: &Request, children: &Children) -> Result<Pipe> {
    let (width, height) = request.size;
    let size = |why| CameraError::Size { name: "rpicam-vid".into(), width, height, why };
    // Otherwise rows are padded by an amount that only the program knows.
    if !width.is_multiple_of(64) || width == 0 {
        return Err(size("the width must be a multiple of 64").into());
    }
    if !height.is_multiple_of(2) || height == 0 {
        return Err(size("the height must be even").into());
    }
    let packing = Packing::Planar { subsampling: Subsampling::Quarter, siting: Siting::Left };
    let layout = Layout::new(packing, width, height, false, request.matrix)
        .map_err(|source| CameraError::Raw { name: "rpicam-vid".into(), source })?;
    let more = words(options, "rpicam")?;
    let (width, height, rate) = (width.to_string(), height.to_string(), request.rate.to_string());
    let fixed = [
        "--timeout",
        "0",
        "--nopreview",
        "--codec",
        "yuv420",
        "--flush",
        "--width",
        &width,
        "--height",
        &height,
        "--framerate",
        &rate,
        "--output",
        "-",
    ];
    let mut missing = Vec::new();
    for program in ["rpicam-vid", "libcamera-vid"] {
        let mut command = Command::new(program);
        command.args(fixed).args(&more);
        match start(command, program, request, children)? {
            Some(pipe) => return Ok(pipe.frames_of(layout)),
            None => missing.push(program.to_owned()),
        }
    }
    Err(CameraError::NoProgram { programs: missing, install: "`sudo apt install rpicam-apps` installs it" }
        .into())
}

/// A GStreamer pipeline. Unless it encodes frames itself, it is completed to y4m.
pub(super) fn gst(pipeline: &str, request: &Request, children: &Children) -> Result<Pipe> {
    let mut elements = words(pipeline, "gst")?;
    let encodes = |word: &String| word.contains("y4menc") || word.contains("jpegenc");
    if !elements.iter().any(encodes) {
        elements
            .extend(["!", "videoconvert", "!", "video/x-raw,format=I420", "!", "y4menc"].map(String::from));
    }
    elements.extend(["!", "fdsink", "fd=3"].map(String::from));
    // Elements such as nvarguscamerasrc print to the standard output, so frames take another way.
    let mut command = Command::new("sh");
    command.args(["-c", "exec gst-launch-1.0 -q \"$@\" 3>&1 1>&2", "gst-launch-1.0"]).args(elements);
    if !on_path("gst-launch-1.0") {
        return Err(CameraError::NoProgram {
            programs: vec!["gst-launch-1.0".into()],
            install: "`sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-good` installs it",
        }
        .into());
    }
    let pipe = start(command, "gst-launch-1.0", request, children)?;
    pipe.ok_or_else(|| {
        CameraError::NoProgram { programs: vec!["sh".into()], install: "it is part of every system" }.into()
    })
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Words as a shell would split them.
fn words(text: &str, kind: &str) -> Result<Vec<String>> {
    shlex::split(text).ok_or_else(|| CameraError::Source { text: format!("{kind}:{text}") }.into())
}

/// Starts a program; `None` when there is none of this name.
fn start(
    mut command: Command,
    program: &str,
    request: &Request,
    children: &Children,
) -> Result<Option<Pipe>> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CameraError::Start { program: program.into(), source }.into()),
    };
    let stdout = child.stdout.take();
    let stderr = Arc::new(Mutex::new(VecDeque::new()));
    let listener = child.stderr.take().map(|source| {
        let (kept, verbose, program) = (Arc::clone(&stderr), request.verbose, program.to_owned());
        let listen = move || listen(source, &kept, verbose.then_some(program.as_str()));
        std::thread::Builder::new().spawn(listen)
    });
    children.put(child);
    let listener = listener.transpose().map_err(|error| {
        children.stop();
        CameraError::Thread(error)
    })?;
    Ok(Some(Pipe {
        program: program.into(),
        frames: 0,
        output: Output::Waiting(stdout, request.clone()),
        children: children.clone(),
        stderr,
        listener,
    }))
}

/// Keeps the last lines that a program writes, and passes them on.
fn listen(source: impl Read, kept: &Mutex<VecDeque<String>>, pass_on: Option<&str>) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        // A program that never ends its line must not fill the memory.
        match source.by_ref().take(1 << 16).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(&line);
        // The last of the states that a progress line went through.
        let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
        if text.is_empty() {
            continue;
        }
        if let Some(program) = pass_on {
            mcir_files::terminal::tell(format_args!("{program}: {}", mcir_files::name::escaped(text)));
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        // Programs quote the addresses that they were given.
        let shown = mcir_files::without_passwords(text);
        kept.push_back(shown.chars().filter(|c| !c.is_control()).take(MAX_LINE).collect());
    }
}

impl Pipe {
    fn frames_of(mut self, layout: Layout) -> Self {
        if let Output::Waiting(stdout, _) = &mut self.output
            && let Some(stdout) = stdout.take()
        {
            self.output = Output::Frames(BufReader::with_capacity(1 << 16, stdout), layout);
        }
        self
    }

    /// The program has ended its output: that is an error of a camera, and its last words say why.
    fn ended(&mut self) -> Error {
        let status = self.children.wait();
        if let Some(listener) = self.listener.take() {
            // Its grandchildren may hold the pipe open, so this does not wait for long.
            for _ in 0..20 {
                if listener.is_finished() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        let kept = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let stderr = kept.iter().map(String::as_str).collect::<Vec<_>>().join("; ");
        CameraError::Ended { program: self.program.clone(), frames: self.frames, status, stderr }.into()
    }

    fn read(&mut self) -> Result<Option<Shot>> {
        match &mut self.output {
            Output::Waiting(stdout, request) => {
                let Some(stdout) = stdout.take() else { return Ok(None) };
                match Stream::new(stdout, self.program.clone(), request) {
                    Ok(stream) => self.output = Output::Stream(stream),
                    Err(e) if matches!(e.room(), Some(CameraError::NoFrames { .. })) => return Ok(None),
                    Err(error) => return Err(error),
                }
                self.read()
            }
            Output::Stream(stream) => stream.next(),
            Output::Frames(input, layout) => {
                let failed = |e| {
                    let source = y4m::Y4mError::Io(e);
                    Error::from(CameraError::Y4m { name: self.program.clone(), source })
                };
                if input.fill_buf().map_err(failed)?.is_empty() {
                    return Ok(None);
                }
                let began = Instant::now();
                let data = y4m::take(input, layout.bytes()).map_err(failed)?;
                // The program was stopped while it wrote.
                if data.len() < layout.bytes() {
                    return Ok(None);
                }
                Ok(Some(Shot { pixels: Pixels::Raw(*layout, data), began, capture: began.elapsed() }))
            }
        }
    }
}

impl Source for Pipe {
    fn next(&mut self) -> Result<Option<Shot>> {
        match self.read() {
            Ok(Some(shot)) => {
                self.frames += 1;
                Ok(Some(shot))
            }
            // A stream that breaks off is a program that ended, which its own words explain better.
            Ok(None) => Err(self.ended()),
            Err(error)
                if error.room().is_some_and(|e: &CameraError| {
                    matches!(e, CameraError::Y4m { .. } | CameraError::Jpeg { .. }) && !e.is_misread()
                }) =>
            {
                Err(self.ended())
            }
            Err(error) => Err(error),
        }
    }

    fn rate(&self) -> Option<(u32, u32)> {
        match &self.output {
            Output::Stream(stream) => stream.rate(),
            _ => None,
        }
    }

    fn aspect(&self) -> Option<(u32, u32)> {
        match &self.output {
            Output::Stream(stream) => stream.aspect(),
            _ => None,
        }
    }

    fn note(&self) -> Option<String> {
        match &self.output {
            Output::Stream(stream) => stream.note(),
            _ => None,
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.children.stop();
    }
}
