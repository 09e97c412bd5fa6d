//! The verb: options, putting the pipeline together, and the report at the end.

mod report;

use self::report::About;
use super::choice::{Chooser, Remake};
use super::error::CameraError;
use super::health;
use super::loopback::Loopback;
use super::output::{Folder, Sink, Stills, Y4m};
use super::pins::PinArgs;
use super::pipeline::{Pipeline, Tell};
use super::queue::{self, Queue};
use super::raw::Matrix;
use super::shared::Shared;
use super::source::{Request, Spec};
use super::work::Worker;
use crate::live::{Hub, Live, LiveSink, Status};
use mcir_files::{Format, terminal};
use mcir_upscale::args::{self, EngineArgs, Mode, OutputArgs};
use mcir_upscale::device::DeviceArgs;
use mcir_upscale::embedded::Kind;
use mcir_upscale::error::Result;
use mcir_upscale::models::{ModelArgs, NamedModel};
use mcir_upscale::upscaler::Upscaler;
use mcir_web::{self as web, Hosts, Server, parse_address, parse_host};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

/// Version of the JSON output.
const SCHEMA: u32 = 1;

/// Super-resolve what a camera sees, and show it on a web page
///
/// Capture, super-resolution and output overlap. When the board is too slow for the camera, the oldest waiting
/// frame makes room and is counted; when the camera goes away, it is looked for until it is back.
///
/// Frames are cleaned up while they are enlarged, with strength 0.75, unless -m names a model or --strength another one; --strength
/// 0 enlarges them as they are.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// file:x.y4m, - (y4m or JPEG frames on the standard input), dir:frames/, rpicam:[OPTIONS], gst:PIPELINE or
    /// v4l2:/dev/video0. Passwords in it are shown as *** everywhere, but every user of this machine can read a
    /// command line; nobody else reads the environment
    #[arg(long, value_name = "SOURCE", env = "MCIR_SOURCE", hide_env_values = true)]
    source: String,

    #[command(flatten)]
    model: ModelArgs,

    /// Serve the live page: a port on this machine, or ADDRESS:PORT; 0.0.0.0:8080 lets the whole network look
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = parse_address)]
    http: Option<SocketAddr>,

    /// Answer the live page under this name too, such as raspberrypi.fritz.box; may be repeated. Addresses, single words
    /// and names below local, lan, home, internal and home.arpa are always answered, because nobody outside can own them
    #[arg(long, value_name = "NAME", requires = "http", value_parser = parse_host)]
    http_allow_host: Vec<String>,

    /// Connections to the live page that one address may have, of 32 in all; of IPv6 the first 64 bits are an address
    #[arg(long, value_name = "N", requires = "http", default_value_t = web::PER_ADDRESS as u8,
          value_parser = clap::value_parser!(u8).range(1..=web::MAX_CONNECTIONS as i64))]
    http_per_address: u8,

    /// Let viewers choose the model and how much it cleans up also where the page is served to other machines; on a loopback
    /// address they always may
    #[arg(long, requires = "http")]
    http_control: bool,

    /// Write frames: - or x.y4m for a y4m stream, v4l2:/dev/video10 for a camera that other programs open (v4l2loopback), or a
    /// folder for numbered images
    #[arg(short = 'o', long, value_name = "PATH")]
    output: Option<PathBuf>,

    /// Format of images in a folder
    #[arg(short = 'f', long, value_name = "FORMAT", default_value = "png", value_parser = args::format())]
    format: Format,

    /// Folder for still pairs, which the shutter button takes
    #[arg(long, value_name = "FOLDER")]
    stills: Option<PathBuf>,

    /// Size asked of a camera
    #[arg(long, value_name = "WxH", default_value = "320x180", value_parser = parse_size)]
    size: (usize, usize),

    /// Frames per second asked of a camera, or at which a folder is played
    #[arg(long, value_name = "RATE", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
    fps: u32,

    /// What the network sees: rgb, or y for brightness only with interpolated colour, which is faster. A grey camera, and a
    /// model for Y, are brightness only anyway
    #[arg(long, value_name = "MODE", default_value = "rgb")]
    mode: Mode,

    /// Colours of video: 601 or 709
    #[arg(long, value_name = "BT", default_value = "601")]
    matrix: Matrix,

    /// Stop after this many frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,

    /// Begin a file or folder again when it ends
    #[arg(long = "loop")]
    repeat: bool,

    /// How a file or folder is played [default: realtime with --http and -o v4l2:, otherwise fast]
    #[arg(long, value_name = "PACE")]
    pace: Option<Pace>,

    /// Which frames may be dropped when the board is too slow [default: oldest for cameras and in realtime,
    /// otherwise never]
    #[arg(long, value_name = "WHICH")]
    drop: Option<queue::Drop>,

    /// Frames that may wait for the engine
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    queue: u16,

    /// Seconds between two lines of statistics, 0 for none
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    interval: u32,

    #[command(flatten)]
    pins: PinArgs,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// How a recording is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pace {
    /// At its own rate.
    Realtime,
    /// As fast as the engine takes it.
    Fast,
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let parse = || {
        let (width, height) = text.split_once(['x', 'X'])?;
        Some((width.parse().ok()?, height.parse().ok()?))
    };
    let fits = |(w, h): &(usize, usize)| [w, h].iter().all(|side| (1..=super::raw::MAX_SIDE).contains(*side));
    parse().filter(fits).ok_or_else(|| "write width and height in pixels, such as 320x180".into())
}

/// Runs it until the source ends, enough frames are done, or a signal asks to stop.
///
/// # Errors
/// Whatever keeps frames from being taken, super-resolved or written.
pub fn run(cmd: &Cmd) -> Result<()> {
    let spec: Spec = cmd.source.parse()?;
    let to_stdout = cmd.output.as_deref() == Some(Path::new("-"));
    if to_stdout && cmd.print.json {
        return Err(CameraError::StdoutTwice.into());
    }
    let model = NamedModel::choose(&cmd.model, Kind::Camera)?;
    let options = cmd.engine.plan_options(0)?;
    let gpu = cmd.device.open()?;
    let about = About {
        source: spec.to_string(),
        model: model.name.clone(),
        precision: model.precision(),
        upscale: model.upscale(),
        mode: if cmd.mode == Mode::Y || model.model.in_channels() == 1 { "y" } else { "rgb" },
    };
    let recorded = spec.can_loop();
    let watched = cmd.http.is_some() || cmd.loopback().is_some();
    let paced = recorded && cmd.pace.map_or(watched, |pace| pace == Pace::Realtime);
    let fresh = spec.is_camera() || paced;
    let policy = cmd.drop.unwrap_or(if fresh { queue::Drop::Oldest } else { queue::Drop::Never });
    let shared = Arc::new(Shared::new(Queue::new(cmd.queue.into(), policy)));
    let quiet = cmd.print.quiet;
    let tell: Tell = Arc::new(move |line| {
        if !quiet {
            terminal::tell(line);
        }
    });
    tell(enlarging_with(&model));
    let interrupted = Arc::new(AtomicBool::new(false));
    watch_signals(&interrupted);

    let pressed = Arc::new(AtomicU64::new(0));
    let mut sinks = cmd.sinks(&shared, &pressed, spec.is_camera(), &tell)?;
    let upscaler = Upscaler::new(model.clone(), options).mode(cmd.mode).on(gpu.as_ref());
    let hub = cmd.http.map(|_| Arc::<Hub>::default());
    // What can be chosen is known before anybody can ask.
    let chooser = hub.as_ref().filter(|_| cmd.may_choose()).map(|hub| {
        let remake = Remake { options, mode: cmd.mode, gpu };
        Chooser::new(Arc::clone(hub), model, remake, cmd.output.is_some(), !cmd.http_control)
    });
    let hub = match hub {
        Some(hub) => {
            sinks.push(Box::new(LiveSink::new(Arc::clone(&hub))?));
            let status = cmd.serve(&hub, &about, &tell)?;
            Some((hub, status))
        }
        None => None,
    };
    let told = Arc::clone(&tell);
    let pins = cmd.pins.start(&shared, pressed, move |text| told(text))?;

    let request = Request { size: cmd.size, rate: cmd.fps, matrix: cmd.matrix, verbose: cmd.print.verbose };
    let pipeline = Pipeline {
        spec,
        request,
        repeat: cmd.repeat && recorded,
        paced,
        limit: cmd.frames,
        worker: Worker::new(upscaler).chosen_by(chooser),
        sinks,
        hub,
        interval: (cmd.interval > 0 && !quiet).then(|| Duration::from_secs(cmd.interval.into())),
        tell,
        interrupted,
    };
    let result = pipeline.run(&shared);
    if let Some(pins) = pins {
        // It only fails with a panic, whose message is out already.
        let _ = pins.join();
    }
    let report = about.report(&shared, result.as_ref().ok());
    match &result {
        Ok(_) if cmd.print.json => {
            cmd.print.result(serde_json::to_string_pretty(&report).expect("a report is plain data"))?;
        }
        // What was done before the error is worth knowing too.
        _ if report.frames.captured == 0 || quiet => {}
        Ok(_) if !to_stdout => cmd.print.result(report.text())?,
        _ => terminal::tell(report.text()),
    }
    result.map(|_| ())
}

impl Cmd {
    fn sinks(
        &self,
        shared: &Arc<Shared>,
        pressed: &Arc<AtomicU64>,
        is_camera: bool,
        tell: &Tell,
    ) -> Result<Vec<Box<dyn Sink>>> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(path) = &self.output {
            let is = |extension: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
            let special = path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
            let facts = || {
                let shared = Arc::clone(shared);
                Box::new(move || shared.facts())
            };
            if let Some(device) = self.loopback() {
                sinks.push(Box::new(Loopback::create(&device, self.matrix, facts(), teller(tell))?));
            } else if path == Path::new("-") || is("y4m") || special {
                sinks.push(Box::new(Y4m::create(path, self.matrix, is_camera, facts(), teller(tell))?));
            } else if path.extension().is_some() && !path.is_dir() {
                return Err(CameraError::Output { path: path.clone() }.into());
            } else {
                sinks.push(Box::new(Folder::create(path, self.format, &teller(tell))?));
            }
        }
        if let Some(path) = &self.stills {
            let tell = Arc::clone(tell);
            let tell = Box::new(move |path: &Path| tell(format!("{}", path.display())));
            sinks.push(Box::new(Stills::create(path, Arc::clone(pressed), tell)?));
        }
        Ok(sinks)
    }

    /// The device of `-o v4l2:/dev/video10`, also where somebody writes its name alone.
    fn loopback(&self) -> Option<PathBuf> {
        let path = self.output.as_deref()?;
        if let Some(device) = path.to_str().and_then(|text| text.strip_prefix("v4l2:")) {
            return Some(if device.is_empty() { "/dev/video10".into() } else { device.into() });
        }
        let name = path.strip_prefix("/dev").ok()?.to_str()?.strip_prefix("video")?;
        (!name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())).then(|| path.into())
    }

    /// Whether viewers may change the model: on this machine, or where the user lets them.
    fn may_choose(&self) -> bool {
        self.http_control || self.http.is_some_and(|address| address.ip().is_loopback())
    }

    /// Starts the server of the live page; the status is what it shows first.
    fn serve(&self, hub: &Arc<Hub>, about: &About, tell: &Tell) -> Result<Status> {
        let status = Status {
            schema: SCHEMA,
            state: "waiting",
            source: about.source.clone(),
            model: about.model.clone(),
            precision: about.precision,
            upscale: about.upscale,
            mode: about.mode,
            ..Status::default()
        };
        hub.set_status(status.clone());
        let options = web::Options {
            hosts: Hosts::new(self.http_allow_host.clone()),
            per_address: self.http_per_address.into(),
        };
        let Some(address) = self.http else { return Ok(status) };
        let address = Server::start(address, options, Arc::new(Live(Arc::clone(hub))))?.address();
        tell(format!("live page: http://{address}/"));
        if !address.ip().is_loopback() {
            tell("note: everybody who reaches this address can see the camera".into());
        }
        Ok(status)
    }
}

/// The model, and whether frames are cleaned up with it: that is what it does unless the user says otherwise.
fn enlarging_with(model: &NamedModel) -> String {
    let (name, precision, upscale) = (&model.name, model.precision(), model.upscale());
    match model.cleans_up() {
        Some(percent) => format!(
            "{name} {precision} x{upscale}: frames are cleaned up while they are enlarged, with strength {}; --strength 0 enlarges \
             them as they are",
            f32::from(percent) / 100.0
        ),
        None => format!("{name} {precision} x{upscale}"),
    }
}

/// What sinks tell the user with.
fn teller(tell: &Tell) -> super::output::Tell {
    let tell = Arc::clone(tell);
    Box::new(move |text| tell(text))
}

/// A signal sets the flag; the second one of the first two ends the program at once. A terminal that is closed may send its own
/// twice, and `nohup` has it ignored.
fn watch_signals(interrupted: &Arc<AtomicBool>) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
    // A file that becomes too large is an error of writing then, and not the end of the program.
    let _ = signal_hook::flag::register(SIGXFSZ, Arc::default());
    if !health::ignores(SIGHUP) {
        let _ = signal_hook::flag::register(SIGHUP, Arc::clone(interrupted));
    }
    for signal in [SIGINT, SIGTERM] {
        // Without a handler the signal ends the program as it always does.
        let _ =
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(interrupted));
        let _ = signal_hook::flag::register(signal, Arc::clone(interrupted));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("320x180"), Ok((320, 180)));
        assert_eq!(parse_size("64X2"), Ok((64, 2)));
        for wrong in ["", "320", "0x10", "10x0", "axb", "10x", "-1x5", "1x2x3", "10x99999999"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_loopback_device_is_known_by_its_prefix_and_by_its_name() {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            cmd: Cmd,
        }
        let device = |output: &str| {
            let line = <Line as clap::Parser>::parse_from(["camera", "--source", "-", "-o", output]);
            line.cmd.loopback().map(|path| path.display().to_string())
        };
        for (output, expected) in [
            ("v4l2:/dev/video3", Some("/dev/video3")),
            ("v4l2:", Some("/dev/video10")),
            ("/dev/video0", Some("/dev/video0")),
            ("/dev/stdout", None),
            ("/dev/video", None),
            ("/dev/videos/1", None),
            ("video0", None),
            ("out.y4m", None),
            ("-", None),
        ] {
            assert_eq!(device(output).as_deref(), expected, "{output}");
        }
    }

    #[test]
    fn what_cleans_up_says_so_and_how_not_to() {
        let line = |name: &str| enlarging_with(&NamedModel::open(name).unwrap());
        let text = line("edsr-edge-x2-camera-75");
        assert!(text.contains("cleaned up") && text.contains("strength 0.75; --strength 0"), "{text}");
        assert_eq!(line("edsr-edge-x2"), "edsr-edge-x2 int8 x2");
    }
}
