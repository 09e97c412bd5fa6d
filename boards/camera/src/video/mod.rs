//! `mcir-board video`: a video file in, a larger one with the same sound out.
//!
//! ffmpeg reads and writes the files, `mcir-board camera` enlarges what lies between, and frames go from one to the next through
//! pipes: the recipe of [boards/VIDEO.md](../../VIDEO.md), with the options that the file in hand needs.

mod error;
mod probe;

pub use error::VideoError;
pub use probe::{Probe, Video};

use crate::raw::Matrix;
use mcir_files::{self as files, name, terminal};
use mcir_upscale::args::{EngineArgs, Mode, OutputArgs};
use mcir_upscale::device::{Device, DeviceArgs};
use mcir_upscale::embedded::Kind;
use mcir_upscale::error::{Error, Result};
use mcir_upscale::models::{ModelArgs, NamedModel};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// Version of the JSON output.
const SCHEMA: u32 = 1;
/// Longest text of a program that is shown.
const MAX_SAID: usize = 600;

/// Enlarge a video file and keep its sound
///
/// ffmpeg, which has to be installed, reads and writes the files. Frame rate, shape of the pixels and tags of colour stay as they
/// are; sound, chapters and titles are copied. As `camera` does, it cleans up unless --strength 0 or -m says otherwise.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Video file, of any format that ffmpeg reads
    #[arg(short = 'i', long, value_name = "FILE")]
    input: PathBuf,

    /// Video file to write; its extension is the format. It appears when it is complete
    #[arg(short = 'o', long, value_name = "FILE")]
    output: PathBuf,

    #[command(flatten)]
    model: ModelArgs,

    /// What the network sees: rgb, or y for brightness only with interpolated colour, which is faster
    #[arg(long, value_name = "MODE", default_value = "rgb")]
    mode: Mode,

    /// Options for ffmpeg's encoder, such as '-c:v libx265 -crf 20' [default: what ffmpeg takes for the format]
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    encode: Option<String>,

    /// Make whole frames of interlaced video first, one for two fields
    #[arg(long)]
    deinterlace: bool,

    /// Stop after this many frames; the sound ends with them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// [`VideoError`], and what keeps a model from being read.
pub fn run(cmd: &Cmd) -> Result<()> {
    let (input, output) = (name::text(&cmd.input), name::text(&cmd.output));
    if !cmd.input.exists() {
        return Err(Error::missing(&cmd.input));
    }
    if matches!((cmd.input.canonicalize(), cmd.output.canonicalize()), (Ok(a), Ok(b)) if a == b) {
        return Err(VideoError::OutputIsInput { name: output }.into());
    }
    let encode = cmd.encode.as_deref().unwrap_or_default();
    let encode = shlex::split(encode).ok_or_else(|| VideoError::Words { text: encode.into() })?;
    // A link stays one.
    let target = files::behind_links(&cmd.output).map_err(Error::io("write", &cmd.output))?;
    let part = part(&target).ok_or(VideoError::NoFormat { name: output.clone() })?;
    // Refused before anything is started.
    let model = NamedModel::choose(&cmd.model, Kind::Camera)?;
    cmd.engine.plan_options(0)?;
    let video = probe(&cmd.input, false)?.video(&input)?;
    if video.interlaced && !cmd.deinterlace {
        return Err(VideoError::Interlaced { name: input }.into());
    }
    if !cmd.print.quiet {
        video.notes.iter().for_each(|note| terminal::tell(format_args!("note: {note}")));
        terminal::tell(format_args!("{} {} x{}", model.name, model.precision(), model.upscale()));
    }
    let part = Part(part);
    cmd.pass(&video, &encode, &part.0)?;
    let made = probe(&part.0, true)?.video(&output)?;
    std::fs::rename(&part.0, target).map_err(Error::io("write", &cmd.output))?;
    let (width, height) = made.size;
    if cmd.print.json {
        let report = serde_json::json!({
            "schema": SCHEMA, "command": "video", "input": input, "output": output, "model": model.name,
            "precision": model.precision(), "upscale": model.upscale(), "width": width, "height": height, "frames": made.frames,
            "sounds": made.sounds, "notes": video.notes,
        });
        cmd.print.result(serde_json::to_string_pretty(&report).expect("a report is plain data"))?;
    } else if !cmd.print.quiet {
        let frames = made.frames.map_or_else(String::new, |n| format!("{n} frames of "));
        let sound = match (video.sounds, made.sounds) {
            (0, _) => "without sound, as there is none",
            (a, b) if a == b => "with its sound",
            _ => "without part of its sound, which the format does not take",
        };
        cmd.print.result(format_args!("{output}: {frames}{width}x{height} pixels, {sound}"))?;
    }
    Ok(())
}

/// A file in the making, which goes when it does not become one.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Gone already when it has its name.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where the output is written until it is complete: beside it, with the same extension, which tells ffmpeg the format.
fn part(output: &Path) -> Option<PathBuf> {
    let (stem, extension) = (output.file_stem()?, output.extension()?);
    let mut name = OsString::from(".");
    name.push(stem);
    name.push(format!(".{}.part.", std::process::id()));
    name.push(extension);
    Some(output.with_file_name(name))
}

/// What is in a file.
fn probe(path: &Path, count: bool) -> Result<Probe> {
    let mut command = Command::new("ffprobe");
    command.args(["-v", "error", "-show_streams", "-show_format", "-of", "json"]);
    if count {
        command.arg("-count_packets");
    }
    let Output { status, stdout, stderr } =
        command.arg(plain(path)).stdin(Stdio::null()).output().map_err(start_error("ffprobe"))?;
    let name = name::text(path);
    if !status.success() {
        return Err(VideoError::Probe { name, why: said(&stderr) }.into());
    }
    Ok(Probe::parse(&name, &stdout)?)
}

/// A path as ffmpeg takes it for a file, whatever it looks like: an address, a pipe or an option.
fn plain(path: &Path) -> OsString {
    let mut text = OsString::from("file:");
    text.push(path);
    text
}

fn start_error(program: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => VideoError::NoProgram { program }.into(),
        _ => VideoError::Start { program: program.into(), source }.into(),
    }
}

/// The end of what a program said, in one line.
fn said(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = files::without_passwords(&name::escaped(&lines.join("; ")));
    let skip = text.chars().count().saturating_sub(MAX_SAID);
    text.chars().skip(skip).collect()
}

impl Cmd {
    /// Runs the three programs, one behind the other.
    fn pass(&self, video: &Video, encode: &[String], part: &Path) -> Result<()> {
        let program = std::env::current_exe().map_err(start_error("mcir-board"))?;
        let mut steps = Steps::default();
        let mut decoder = Command::new("ffmpeg");
        decoder.args(["-nostdin", "-v", "error"]).args(self.decoding(video)).stdin(Stdio::null());
        let frames = steps.start("reading the video", decoder, "ffmpeg", Stdio::piped())?;
        let mut camera = Command::new(program);
        camera.args(self.enlarging(video.matrix)).stdin(frames.unwrap_or_else(Stdio::null));
        let frames = steps.start("enlarging", camera, "mcir-board", Stdio::piped())?;
        let mut encoder = Command::new("ffmpeg");
        encoder.args(["-nostdin", "-v", "error", "-y"]).args(self.encoding(video, encode));
        encoder.arg(plain(part)).stdin(frames.unwrap_or_else(Stdio::null));
        steps.start("writing the video", encoder, "ffmpeg", Stdio::null())?;
        steps.wait(self.print.verbose)
    }

    /// ffmpeg's options to give frames as y4m.
    fn decoding(&self, video: &Video) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["-i".into(), plain(&self.input)];
        let map = format!("0:{}", video.stream);
        let format = format!("yuv{}p", video.subsampling);
        // From the first frame on; what the file has before it, the sound gets back.
        let filter = if video.interlaced { "yadif,setpts=PTS-STARTPTS" } else { "setpts=PTS-STARTPTS" };
        let fixed = ["-map", &map, "-vf", filter, "-pix_fmt", &format, "-f", "yuv4mpegpipe", "-"];
        args.extend(fixed.map(OsString::from));
        args
    }

    /// The options of `mcir-board camera`.
    fn enlarging(&self, matrix: Matrix) -> Vec<OsString> {
        let mut args: Vec<OsString> =
            ["camera", "--source", "-", "-o", "-", "--matrix"].map(OsString::from).into();
        args.push(if matrix == Matrix::Bt709 { "709" } else { "601" }.into());
        let mut option = |name: &str, value: Option<String>| {
            args.extend(value.into_iter().flat_map(|value| [name.into(), value.into()]));
        };
        option("--model", self.model.model.clone());
        option("--upscale", self.model.upscale.clone());
        option("--strength", self.model.strength.map(|s| s.to_string()));
        option("--mode", (self.mode == Mode::Y).then(|| "y".into()));
        option("--frames", self.frames.map(|n| n.to_string()));
        option("--threads", self.engine.threads.map(|n| n.to_string()));
        option("--isa", self.engine.isa.clone());
        let device = match self.device.device {
            Device::Cpu => "cpu".into(),
            Device::Auto => "auto".into(),
            Device::Gpu(None) => "gpu".into(),
            Device::Gpu(Some(index)) => format!("gpu:{index}"),
        };
        option("--device", Some(device));
        option("--interval", (self.print.no_progress || self.print.json).then(|| "0".into()));
        if self.engine.pin {
            args.push("--pin".into());
        }
        if self.print.quiet {
            args.push("--quiet".into());
        }
        args
    }

    /// ffmpeg's options to join frames and sound.
    fn encoding(&self, video: &Video, encode: &[String]) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut all = |more: &[&str]| args.extend(more.iter().map(OsString::from));
        all(&["-f", "yuv4mpegpipe", "-i", "-"]);
        // Frames begin at 0; where they begin later than the file, as behind the lead-in of an encoder of sound, that begins earlier.
        if video.delay_s != 0.0 {
            all(&["-itsoffset", &format!("{:.6}", -video.delay_s)]);
        }
        all(&["-i"]);
        args.push(plain(&self.input));
        let mut all = |more: &[&str]| args.extend(more.iter().map(OsString::from));
        all(&["-map", "0:v:0", "-map", "1:a?", "-map_metadata", "1", "-map_chapters", "1", "-c:a", "copy"]);
        let extension = |path: &Path| path.extension().map(|e| e.to_ascii_lowercase());
        // Another format may not take them as they are.
        if extension(&self.input) == extension(&self.output) {
            all(&["-map", "1:s?", "-c:s", "copy"]);
        }
        let space = if video.matrix == Matrix::Bt709 { "bt709" } else { "smpte170m" };
        let mut tags = format!("setparams=range=tv:colorspace={space}");
        video.tags.iter().for_each(|(name, value)| tags += &format!(":{name}={value}"));
        // Frames have a quarter of the colours; that is what players take.
        all(&["-vf", &tags, "-pix_fmt", "yuv420p"]);
        if self.frames.is_some() {
            all(&["-shortest"]);
        }
        args.extend(encode.iter().map(OsString::from));
        args
    }
}

/// Programs that run one behind the other.
#[derive(Default)]
struct Steps(Vec<Step>);

struct Step {
    name: &'static str,
    child: Child,
    said: Option<std::thread::JoinHandle<Vec<u8>>>,
}

impl Steps {
    /// Starts one; what it writes is for the next.
    fn start(
        &mut self,
        name: &'static str,
        mut command: Command,
        program: &'static str,
        stdout: Stdio,
    ) -> Result<Option<Stdio>> {
        // What the program in the middle says is for the user as it is said.
        let is_own = program == "mcir-board";
        let stderr = if is_own { Stdio::inherit() } else { Stdio::piped() };
        let mut child = command.stdout(stdout).stderr(stderr).spawn().map_err(start_error(program))?;
        let next = child.stdout.take().map(Stdio::from);
        let said = child.stderr.take().map(|mut stderr| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                // What was read until it breaks off is all that can be shown.
                let _ = io::Read::read_to_end(&mut stderr, &mut text);
                text
            })
        });
        self.0.push(Step { name, child, said });
        Ok(next)
    }

    /// Waits for all; the first that failed is why the others did.
    fn wait(mut self, verbose: bool) -> Result<()> {
        let mut ended = Vec::new();
        // From the last on: when it has gone, the others find nobody to write to.
        for Step { name, child, said } in self.0.iter_mut().rev() {
            let status = child.wait().map_err(start_error("ffmpeg"))?;
            let text = said.take().and_then(|said| said.join().ok()).unwrap_or_default();
            ended.push((*name, status, text));
        }
        if verbose {
            for (name, _, text) in ended.iter().rev().filter(|(.., text)| !text.is_empty()) {
                terminal::tell(format_args!("{name}: {}", said(text)));
            }
        }
        let failed = |(_, status, _): &&(&str, std::process::ExitStatus, Vec<u8>)| !status.success();
        // The reader writes into a pipe that is closed when the others have enough: what fails behind it is the cause.
        let all_else = ended.iter().rev().filter(|(name, ..)| *name != "reading the video").find(failed);
        let reader = ended
            .last()
            .filter(failed)
            .filter(|(_, _, text)| !said(text).to_lowercase().contains("broken pipe"));
        match all_else.or(reader) {
            Some((step, status, text)) => {
                Err(VideoError::Failed { step, status: status.to_string(), said: said(text) }.into())
            }
            None => Ok(()),
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        for step in &mut self.0 {
            // Those that have ended cannot be killed, and need not be.
            let _ = step.child.kill();
            let _ = step.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_lies_beside_its_output_and_has_its_format() {
        let found = part(Path::new("films/my film.mp4")).unwrap();
        let text = found.to_str().unwrap();
        assert!(text.starts_with("films/.my film.") && text.ends_with(".part.mp4"), "{text}");
        assert_eq!(part(Path::new("film")), None);
        assert_eq!(part(Path::new("..")), None);
    }

    #[test]
    fn what_programs_say_is_one_line_without_control_characters() {
        assert_eq!(said(b"a\n\n  b \x1b[31m\n"), "a; b \\x1b[31m");
        assert_eq!(said(&b"x".repeat(2000)).len(), MAX_SAID);
        assert_eq!(said(b"http://me:secret@cam/"), files::without_passwords("http://me:secret@cam/"));
    }
}
