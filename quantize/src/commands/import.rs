//! `mcir-quantize import`.

use super::{check_output, print, print_json, write_whole};
use anyhow::{Context, Result, bail};
use mcir_import::{ImportError, Options, import, ncnn, onnx};
use mcir_runtime::model::Model;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest file that is read: networks for boards have a few megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// Make a model file of a network in ONNX or ncnn form
///
/// Any graph of convolutions (grouped and transposed ones, too), ReLUs of all kinds, sums, concatenations, pixel shuffles and
/// interpolation that enlarges an image by a whole factor: Real-ESRGAN's compact networks, EDSR, ESRGAN, CARN, ECBSR, FSRCNN,
/// ABPN and their like. What cannot be done is named. Then `run` quantizes the model, and `mcir-board` takes it.
#[derive(clap::Args)]
pub struct Args {
    /// ONNX file, or the .param file of ncnn with its .bin beside it
    #[arg(short, long)]
    input: PathBuf,
    /// Model file to write
    #[arg(short, long)]
    output: PathBuf,
    /// The largest pixel value that the network works with [default: 255 if its input is made of bytes, otherwise 1]
    #[arg(long, value_name = "1|255", value_parser = ["1", "255"])]
    range: Option<String>,
    /// Name of the model [default: that of the file]
    #[arg(long)]
    name: Option<String>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

/// What was written.
#[derive(serde::Serialize)]
struct Written {
    schema: u32,
    file: String,
    name: String,
    upscale: u8,
    margin: u16,
    channels: usize,
    nodes: usize,
    parameters: u64,
    macs_per_pixel: u64,
    bytes: usize,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    check_output(&args.output, &[&args.input])?;
    let stem = args.input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    let range = args.range.as_ref().map(|range| if range == "255" { 255.0 } else { 1.0 });
    let options = Options { name: name.clone(), range };
    let read = read(&args.input)?;
    let model = read.and_then(|net| import(&net, &options));
    let model = model.with_context(|| format!("{} cannot be imported", args.input.display()))?;
    let bytes = model.to_bytes();
    write_whole(&args.output, &bytes)?;
    report(args, name, &model, bytes.len())?;
    Ok(ExitCode::SUCCESS)
}

/// The network in a file.
fn read(path: &Path) -> Result<Result<mcir_import::net::Net, ImportError>> {
    let bytes = bounded(path)?;
    if ncnn::is_param(&bytes) {
        let text = String::from_utf8_lossy(&bytes);
        let bin = path.with_extension("bin");
        let weights = bounded(&bin)
            .context("an ncnn network is two files; the weights are read from the .bin beside it")?;
        return Ok(ncnn::read(&text, &weights));
    }
    // Only a file of the same folder: a name with a path in it could be any file.
    let beside = |name: &str| {
        let plain = Path::new(name).file_name().is_some_and(|file| file == name);
        let folder = path.parent().filter(|_| plain).ok_or(std::io::ErrorKind::InvalidInput)?;
        let file = folder.join(name);
        let long = std::fs::metadata(&file)?.len() > MAX_BYTES;
        if long { Err(std::io::ErrorKind::FileTooLarge.into()) } else { std::fs::read(file) }
    };
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if matches!(extension.as_str(), "pth" | "pt" | "ckpt" | "safetensors") {
        bail!(
            "{} is a PyTorch file, which holds weights and no network; `mcir-train import` reads those of EDSR, SwinIR and \
             NAFNet, and any network can be exported to ONNX first (torch.onnx.export)",
            path.display()
        );
    }
    Ok(onnx::read(&bytes, &beside))
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    let failed = || format!("cannot read {}", path.display());
    let length = std::fs::metadata(path).with_context(failed)?.len();
    if length > MAX_BYTES {
        bail!(
            "{} has {} MB; networks of up to {} MB are read",
            path.display(),
            length >> 20,
            MAX_BYTES >> 20
        );
    }
    std::fs::read(path).with_context(failed)
}

fn report(args: &Args, name: String, model: &Model, bytes: usize) -> Result<()> {
    let written = Written {
        schema: 1,
        file: args.output.display().to_string(),
        name,
        upscale: model.upscale(),
        margin: model.graph().margin,
        channels: model.in_channels(),
        nodes: model.graph().nodes.len(),
        parameters: model.num_params(),
        macs_per_pixel: model.macs_per_pixel(),
        bytes,
    };
    if args.json {
        return print_json(&written);
    }
    let Written { file, name, upscale, margin, nodes, parameters, macs_per_pixel, bytes, .. } = written;
    let kilo = |n: u64| if n < 10_000 { n.to_string() } else { format!("{} thousand", n / 1000) };
    let around = match margin {
        0 => String::new(),
        margin => format!("sees {margin} pixels around the image, "),
    };
    print(&format!(
        "{file}: {name}, x{upscale}, {around}{nodes} nodes, {} parameters, {} multiplications for a pixel, {bytes} bytes\n",
        kilo(parameters),
        kilo(macs_per_pixel),
    ))
}
