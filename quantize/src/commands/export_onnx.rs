//! `mcir-quantize export-onnx`.

use super::{check_output, load_model, print, print_json, write_whole};
use anyhow::Result;
use clap::builder::TypedValueParser as _;
use mcir_quantize::onnx::{self, Options, Sums};
use std::path::PathBuf;
use std::process::ExitCode;

/// Write a model as an ONNX file, for other engines
///
/// A float model becomes a float graph: input `image`, [1, 3, height, width] in 0..1, output `upscaled`. A quantized
/// model becomes the same graph with QuantizeLinear and DequantizeLinear pairs; its input and output are pixels of
/// 8 bits. Height and width are free unless `--size` is given, which networks need that extend the
/// image to a multiple: those with windows, or with strides that divide it. For TensorRT, input and output stay floats, and so do the
/// convolutions that read the image; the others are quantized as it takes them: signed, symmetric, biases in floats.
#[derive(clap::Args)]
pub struct Args {
    /// Model file, f32 or int8
    model: PathBuf,
    /// ONNX file to write
    #[arg(short, long)]
    output: PathBuf,
    /// Fix the size of the input image, as WIDTHxHEIGHT; networks with window attention need it
    #[arg(long, value_parser = clap::builder::StringValueParser::new().try_map(|s| parse_size(&s)))]
    size: Option<(usize, usize)>,
    /// What becomes of the 16-bit residual sums of a quantized model: `float` for any engine; `int8` for engines that
    /// only fuse those, which costs accuracy; `int16` as here, which needs opset 21
    #[arg(long, value_enum, default_value_t = SumsArg::Float)]
    sums: SumsArg,
    /// The engine that the file is for: any that reads ONNX, or TensorRT, for int8 models of `run --for tensorrt`
    #[arg(long = "for", value_enum, value_name = "ENGINE")]
    engine: Option<Dialect>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum SumsArg {
    Float,
    Int8,
    Int16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Dialect {
    Tensorrt,
}

impl From<SumsArg> for Sums {
    fn from(arg: SumsArg) -> Self {
        match arg {
            SumsArg::Float => Self::Float,
            SumsArg::Int8 => Self::Int8,
            SumsArg::Int16 => Self::Int16,
        }
    }
}

/// What was written.
#[derive(serde::Serialize)]
struct Written {
    schema: u32,
    file: String,
    opset: i64,
    nodes: usize,
    bytes: usize,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    check_output(&args.output, &[&args.model])?;
    let model = load_model(&args.model)?;
    let options =
        Options { size: args.size, sums: args.sums.into(), tensorrt: args.engine == Some(Dialect::Tensorrt) };
    let proto = onnx::model(&model, &options)?;
    let bytes = onnx::encode(&proto);
    write_whole(&args.output, &bytes)?;
    let opset = proto.opset_import.first().map_or(onnx::OPSET, |o| o.version);
    let nodes = proto.graph.map_or(0, |g| g.node.len());
    let file = args.output.display().to_string();
    let written = Written { schema: 1, file, opset, nodes, bytes: bytes.len() };
    if args.json {
        print_json(&written)?;
    } else {
        let Written { file, opset, nodes, bytes, .. } = written;
        print(&format!("{file}: ONNX opset {opset}, {nodes} nodes, {bytes} bytes\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_size(text: &str) -> Result<(usize, usize), String> {
    let parsed = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    match parsed {
        Some((w, h)) if (1..=32768).contains(&w) && (1..=32768).contains(&h) => Ok((w, h)),
        _ => {
            Err(format!("`{text}` is not WIDTHxHEIGHT with sides from 1 to 32768; give for example 320x180"))
        }
    }
}
