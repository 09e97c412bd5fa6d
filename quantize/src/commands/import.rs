//! `mcir-quantize import`.

use super::{check_output, print, print_json, write_whole};
use anyhow::{Context, Result, bail};
use mcir_files::terminal;
use mcir_import::dict::{self, Fault};
use mcir_import::{ImportError, Options, Range, import_by_range, ncnn, onnx};
use mcir_runtime::model::Model;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Largest file that is read: networks for boards have a few megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// Make a model file of a network in ONNX or ncnn form, or of PyTorch's weights
///
/// Any graph of convolutions (grouped and transposed ones, too), ReLUs of all kinds, sums, concatenations, pixel shuffles and
/// interpolation by a whole factor or to a whole fraction: Real-ESRGAN's compact networks, EDSR, ESRGAN, CARN, ECBSR, FSRCNN,
/// ABPN and their like. What cannot be done is named. Then `run` quantizes the model, and `mcir-board` takes it.
///
/// A .pth, .pt or .safetensors file has weights and no graph. What network they are is found by their names and shapes: EDSR,
/// SwinIR, Compact (SRVGGNetCompact), ESRGAN (RRDB), SPAN, RLFN, CARN and CARN-M, PlainUSR, ECBSR, SESR, QuickSRNet, ABPN, XLSR,
/// FSRCNN, ESPCN, SRResNet, MSRResNet, waifu2x's upconv_7; convolutions that are trained as several become one.
///
/// Whether a network works on 0..1 or 0..255 is found out with a test picture where neither its file nor its kind says so.
#[derive(clap::Args)]
pub struct Args {
    /// ONNX file, the .param file of ncnn with its .bin beside it, or weights of PyTorch (.pth, .pt, .safetensors)
    #[arg(short, long)]
    input: PathBuf,
    /// Model file to write
    #[arg(short, long)]
    output: PathBuf,
    /// The largest pixel value that the network works with, 1 or 255 for most [default: found out]
    #[arg(long, value_parser = positive)]
    range: Option<f32>,
    /// What the network wants to be taken from the image, in 0..1, such as 0.4488,0.4371,0.4040; added again behind it [default:
    /// what the kind of network has]
    #[arg(long, value_name = "R,G,B", value_parser = mean)]
    mean: Option<[f32; 3]>,
    /// Weights: by how much the network enlarges, where the file holds several networks or cannot tell [default: an x2, x3 or x4 in
    /// the name of the file]
    #[arg(long)]
    scale: Option<usize>,
    /// Weights: factor on the residuals [default: that of the publication]
    #[arg(long, value_parser = positive)]
    res_scale: Option<f32>,
    /// Weights: slope of the leaky ReLUs [default: that of the publication]
    #[arg(long, value_parser = positive)]
    slope: Option<f32>,
    /// Name of the model [default: that of the file]
    #[arg(long)]
    name: Option<String>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

/// A positive number.
fn positive(text: &str) -> Result<f32, String> {
    let number = text.parse::<f32>().ok().filter(|n| *n > 0.0 && n.is_finite());
    number.ok_or_else(|| "it is no number above 0".into())
}

/// Three numbers.
fn mean(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> =
        text.split(',').map(|n| n.trim().parse::<f32>().ok().filter(|n| (0.0..=1.0).contains(n))).collect();
    let numbers = numbers.and_then(|numbers| <[f32; 3]>::try_from(numbers).ok());
    numbers.ok_or_else(|| "it is not three numbers in 0..1, such as 0.4488,0.4371,0.4040".into())
}

/// What was written.
#[derive(serde::Serialize)]
struct Written {
    schema: u32,
    file: String,
    name: String,
    /// Found by its weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    family: Option<&'static str>,
    upscale: u8,
    margin: u16,
    /// What the image's sides are extended to a multiple of, windows among it.
    multiple: usize,
    channels: usize,
    /// Largest pixel value that it works with, and whether that was given, is known, was found out or is unclear.
    range: f32,
    range_is: &'static str,
    nodes: usize,
    parameters: u64,
    macs_per_pixel: u64,
    bytes: usize,
}

/// A network as a model.
struct Imported {
    model: Model,
    family: Option<&'static str>,
    range: Range,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    check_output(&args.output, &[&args.input])?;
    let stem = args.input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(stem);
    let imported = match is_weights(&args.input) {
        true => from_weights(args, &name)?,
        false => read(&args.input)?.and_then(|net| {
            let options = Options { name: name.clone(), range: args.range, mean: args.mean };
            let (model, range) = import_by_range(&net, &options)?;
            Ok(Imported { model, family: None, range })
        }),
    };
    let imported = imported.with_context(|| format!("{} cannot be imported", args.input.display()))?;
    let bytes = imported.model.to_bytes();
    write_whole(&args.output, &bytes)?;
    report(args, name, &imported, bytes.len())?;
    Ok(ExitCode::SUCCESS)
}

fn is_weights(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    matches!(extension.as_str(), "pth" | "pt" | "ckpt" | "safetensors")
}

/// The network whose weights are in a file.
fn from_weights(args: &Args, name: &str) -> Result<Result<Imported, ImportError>> {
    length(&args.input)?;
    let tensors = mcir_checkpoint::read(&args.input, &|_| true)?;
    let mut options = dict::Options {
        scale: args.scale,
        range: args.range,
        mean: args.mean,
        res_scale: args.res_scale,
        slope: args.slope,
    };
    let mut found = dict::import(&tensors, &options, name);
    if let Err(ImportError::Weights { why: Fault::Scale { of, given: None }, .. }) = &found
        && let Some(scale) = dict::scale_in(&args.input.file_stem().unwrap_or_default().to_string_lossy(), of)
    {
        terminal::tell(format_args!("x{scale} is taken from the name of the file; --scale says otherwise"));
        options.scale = Some(scale);
        found = dict::import(&tensors, &options, name);
    }
    Ok(found.map(|dict::Found { family, model, range }| Imported { model, family: Some(family), range }))
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
    Ok(onnx::read(&bytes, &beside))
}

fn bounded(path: &Path) -> Result<Vec<u8>> {
    length(path)?;
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Refuses what is no file, or too large a one.
fn length(path: &Path) -> Result<()> {
    let length = std::fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if length > MAX_BYTES {
        bail!(
            "{} has {} MB; networks of up to {} MB are read",
            path.display(),
            length >> 20,
            MAX_BYTES >> 20
        );
    }
    Ok(())
}

fn report(args: &Args, name: String, imported: &Imported, bytes: usize) -> Result<()> {
    let Imported { model, family, range } = imported;
    let written = Written {
        schema: 1,
        file: args.output.display().to_string(),
        name,
        family: *family,
        upscale: model.upscale(),
        margin: model.graph().margin,
        multiple: model.graph().pad_multiple(),
        channels: model.in_channels(),
        range: range.largest(),
        range_is: match range {
            Range::Given(_) => "given",
            Range::Known(_) | Range::Either => "known",
            Range::Found { .. } => "found",
            Range::Unclear(_) => "unclear",
        },
        nodes: model.graph().nodes.len(),
        parameters: model.num_params(),
        macs_per_pixel: model.macs_per_pixel(),
        bytes,
    };
    if let Range::Unclear([unit, bytes]) = range {
        terminal::tell(format_args!(
            "warning: whether it works on 0..1 or 0..255 cannot be told: an image that was made smaller comes back to \
             {unit:.1} dB with the one and to {bytes:.1} dB with the other. 0..1 is taken; --range 255 says otherwise"
        ));
    }
    if args.json {
        return print_json(&written);
    }
    let Written {
        file,
        name,
        family,
        upscale,
        margin,
        multiple,
        nodes,
        parameters,
        macs_per_pixel,
        bytes,
        ..
    } = written;
    let kilo = |n: u64| if n < 10_000 { n.to_string() } else { format!("{} thousand", n / 1000) };
    let around = match margin {
        0 => String::new(),
        margin => format!("sees {margin} pixels around the image, "),
    };
    let around = match multiple {
        1 => around,
        multiple => {
            format!("{around}works on multiples of {multiple} pixels, to which images are extended, ")
        }
    };
    let family = family.map_or(String::new(), |family| format!("{family}, "));
    let found = match range {
        Range::Found { range, with, without } => format!(
            "it works on 0..{range}: an image that was made smaller comes back to {with:.1} dB, and to {without:.1} dB with the other range\n"
        ),
        _ => String::new(),
    };
    print(&format!(
        "{file}: {name}, {family}x{upscale}, {around}{nodes} nodes, {} parameters, {} multiplications for a pixel, {bytes} bytes\n{found}",
        kilo(parameters),
        kilo(macs_per_pixel),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_checked() {
        assert_eq!(mean("0.4, 0.5,0.25"), Ok([0.4, 0.5, 0.25]));
        assert!(mean("0.4,0.5").is_err() && mean("104,117,123").is_err());
        assert!(positive("255").is_ok() && positive("-1").is_err() && positive("nan").is_err());
    }
}
