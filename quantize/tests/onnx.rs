//! ONNX files: well formed by their own rules here, and by ONNX's and another engine's where Python has them.

#[path = "../../tests/src/skip.rs"]
mod skip;
mod support;

use mcir_quantize::QuantizeError;
use mcir_quantize::engine::Runner;
use mcir_quantize::onnx::proto::{GraphProto, data_type};
use mcir_quantize::onnx::{INPUT, OUTPUT, Options, Sums, encode, model as export};
use mcir_quantize::pipeline::{Calibrated, Effort, Purpose, Settings};
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::arch::swinir;
use mcir_runtime::image::Image;
use mcir_runtime::model::{Filter, Graph, Model, Op, PadMode};
use mcir_runtime::plan::{Plan, PlanOptions};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;
use support::{attention, fractions, lr_image, pooled, random, reduced, samples};

/// Largest difference of float outputs.
const TOLERANCE: f64 = 1e-4;
/// Mean difference of int8 outputs in grey levels, where the file rounds the same edges as the engine: another
/// order of float additions now and then rounds a value the other way, which the next layers pass on.
const LEVELS: f64 = 0.05;
/// There, the largest difference in grey levels, and the least part of the values that are equal.
const LEVELS_MOST: f64 = 5.0;
const EQUAL: f64 = 0.85;
/// The same where the file keeps residual sums as floats: rounding errors of about this size become others.
const LEVELS_FLOAT: f64 = 1.0;
/// The same where it computes attention in floats, which the engine does in integers.
const LEVELS_ATTENTION: f64 = 2.5;

struct Case {
    name: &'static str,
    model: Model,
    /// Width and height of the picture, and whether they are fixed in the file.
    size: (usize, usize),
    fixed: bool,
    sums: Sums,
    tensorrt: bool,
}

fn cases() -> Vec<Case> {
    let edge = Config::edge(4, 12, 2);
    let paper = Config { num_feat: 12, num_block: 2, ..Config::light(4) };
    let float = |name, config: Config, seed| Case {
        name,
        model: random(edsr::graph(&config), seed),
        size: (23, 17),
        fixed: false,
        sums: Sums::Float,
        tensorrt: false,
    };
    let swinir = |name, config: swinir::Config, size| Case {
        name,
        model: random(swinir::graph(&config), 9),
        size,
        fixed: true,
        sums: Sums::Float,
        tensorrt: false,
    };
    let small = swinir::Config {
        embed_dim: 12,
        depths: vec![2, 2],
        num_heads: vec![2, 3],
        ..swinir::Config::light(2)
    };
    let classical = swinir::Config { tail: swinir::Tail::Classical(8), mean_shift: true, ..small.clone() };
    let mut cases = vec![
        float("edge", edge, 1),
        float("edge-nearest", Config { upscale: 3, image_residual: Some(Filter::Nearest), ..edge }, 2),
        float("edge-bicubic", Config { upscale: 2, image_residual: Some(Filter::Bicubic), ..edge }, 3),
        float("edge-sharp", Config { upscale: 3, image_residual: Some(Filter::SharpBicubic), ..edge }, 3),
        float("paper-x4", Config { res_scale: 0.1, ..paper }, 4),
        float("paper-x3-shifted", Config { upscale: 3, mean_shift: true, ..paper }, 5),
        float("grey", Config { channels: 1, ..edge }, 6),
        swinir("swinir", small, (21, 16)),
        swinir("swinir-classical", classical, (16, 11)),
    ];
    let direct = swinir::Config {
        embed_dim: 12,
        depths: vec![2],
        num_heads: vec![2],
        window_size: 4,
        ..swinir::Config::light(2)
    };
    let margin = |graph| Graph { margin: 5, ..graph };
    let mut more = |name, graph, fixed| {
        let (model, size) = (random(graph, 7), (23, 17));
        cases.push(Case { name, model, size, fixed, sums: Sums::Float, tensorrt: false });
    };
    more("attention", attention(), false);
    more("margin", margin(edsr::graph(&edge)), false);
    more("margin-fixed", margin(edsr::graph(&edge)), true);
    more("pooled", pooled(), false);
    more("pooled-fixed", pooled(), true);
    more("margin-windows", margin(swinir::graph(&direct)), true);
    more("reduced", reduced(Filter::SharpBicubic), false);
    more("reduced-bilinear", reduced(Filter::Bilinear), false);
    more("reduced-nearest", reduced(Filter::Nearest), true);
    more("fractions", fractions(PadMode::Edge), true);
    more("fractions-zero", fractions(PadMode::Zero), true);
    more("fractions-reflect", fractions(PadMode::Reflect), true);
    for (name, at, sums) in [
        ("edge-int8", 0, Some(Sums::Int16)),
        ("edge-int8-float-sums", 0, Some(Sums::Float)),
        ("paper-int8", 4, Some(Sums::Int16)),
        ("attention-int8", 9, Some(Sums::Int16)),
        ("margin-int8", 10, Some(Sums::Int16)),
        ("pooled-int8", 12, Some(Sums::Int16)),
        ("reduced-int8", 15, Some(Sums::Int16)),
        ("fractions-int8", 18, Some(Sums::Int16)),
        ("edge-tensorrt", 0, None),
        ("edge-nearest-tensorrt", 1, None),
        ("paper-shifted-tensorrt", 5, None),
        ("swinir-tensorrt", 7, None),
        ("attention-tensorrt", 9, None),
        ("margin-tensorrt", 10, None),
    ] {
        let Case { ref model, size, fixed, .. } = cases[at];
        let purpose = if sums.is_none() { Purpose::Symmetric } else { Purpose::Engine };
        let settings = Settings { effort: Effort::Normal, purpose, threads: 2, progress: &() };
        let samples = samples(3, 32, 24, model.in_channels());
        let model = Calibrated::new(model, &samples, settings).unwrap().build(&[]).unwrap().model;
        let tensorrt = sums.is_none();
        cases.push(Case { name, model, size, fixed, sums: sums.unwrap_or_default(), tensorrt });
    }
    cases
}

fn options(case: &Case) -> Options {
    Options { size: case.fixed.then_some(case.size), sums: case.sums, tensorrt: case.tensorrt }
}

/// Every tensor read was written before, no name is written twice, and constants have the bytes of their shape.
fn check_structure(name: &str, graph: &GraphProto) {
    let mut known: BTreeSet<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(known, BTreeSet::from([INPUT]), "{name}");
    for tensor in &graph.initializer {
        let size = match tensor.data_type {
            data_type::FLOAT | data_type::INT32 => 4,
            data_type::INT64 => 8,
            data_type::INT16 => 2,
            _ => 1,
        };
        let len: i64 = tensor.dims.iter().product();
        let bytes = tensor.raw_data.as_ref().map(Vec::len);
        assert_eq!(bytes, Some(len as usize * size), "{name}: {}", tensor.name);
        assert!(known.insert(&tensor.name), "{name}: {} is there twice", tensor.name);
    }
    for node in &graph.node {
        let unknown = node.input.iter().find(|i| !i.is_empty() && !known.contains(i.as_str()));
        assert_eq!(unknown, None, "{name}: {}", node.name);
        assert!(node.output.iter().all(|o| known.insert(o)), "{name}: {} writes a name again", node.name);
    }
    assert!(known.contains(OUTPUT), "{name}");
}

#[test]
fn files_hold_every_weight_and_only_known_tensors() {
    for case in cases() {
        let proto = export(&case.model, &options(&case)).unwrap();
        let graph = proto.graph.as_ref().unwrap();
        check_structure(case.name, graph);
        let weights: usize = encode(&proto).len();
        assert!(weights > case.model.weight_bytes(), "{}: {weights} bytes", case.name);
        let quantized = graph.node.iter().any(|n| n.op_type == "QuantizeLinear");
        assert_eq!(quantized, case.model.is_quantized(), "{}", case.name);
    }
}

#[test]
fn windows_need_a_size_that_can_be_extended_to_whole_ones() {
    let model = random(swinir::graph(&swinir::Config::edge(2)), 1);
    let error = export(&model, &Options::default()).unwrap_err();
    assert!(matches!(error, QuantizeError::SizeNeeded { .. }), "{error}");
    let small = Options { size: Some((4, 30)), ..Options::default() };
    let error = export(&model, &small).unwrap_err();
    assert!(matches!(error, QuantizeError::Size { width: 4, height: 30, least: 8, .. }), "{error}");
    assert!(export(&model, &Options { size: Some((5, 30)), ..Options::default() }).is_ok());
    // So do strides that divide the image; zeros, and pixels that are repeated, extend any.
    let model = random(fractions(PadMode::Zero), 1);
    let error = export(&model, &Options::default()).unwrap_err();
    let of = |node: &str| node == "half";
    assert!(matches!(&error, QuantizeError::SizeNeeded { node, multiple: 4 } if of(node)), "{error}");
    assert!(export(&model, &Options { size: Some((1, 2)), ..Options::default() }).is_ok());
    let error = export(
        &random(fractions(PadMode::Reflect), 1),
        &Options { size: Some((1, 2)), ..Options::default() },
    );
    assert!(matches!(error, Err(QuantizeError::Size { least: 4, .. })));
}

/// What TensorRT's explicit quantization takes: floats in and out, signed bytes, no zero points, biases in floats, and operators with
/// both operands in 8 bits or none.
#[test]
fn files_for_tensorrt_have_its_form() {
    for case in cases().iter().filter(|case| case.tensorrt) {
        let name = case.name;
        let proto = export(&case.model, &options(case)).unwrap();
        assert!(proto.opset_import[0].version <= 17, "{name}");
        let graph = proto.graph.as_ref().unwrap();
        let constant = |tensor: &str| graph.initializer.iter().find(|t| t.name == tensor);
        let writer = |tensor: &str| graph.node.iter().find(|n| n.output.iter().any(|o| o == tensor));
        for value in graph.input.iter().chain(&graph.output) {
            let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).unwrap();
            assert_eq!(tensor.elem_type, data_type::FLOAT, "{name}: {}", value.name);
        }
        // Also in another layout, which TensorRT moves to before the pair.
        let is_dequantized = |tensor: &str| {
            let node = writer(tensor).filter(|n| n.op_type == "Transpose");
            writer(node.map_or(tensor, |n| &n.input[0])).is_some_and(|n| n.op_type == "DequantizeLinear")
        };
        let mut quantized = 0;
        for node in &graph.node {
            if ["QuantizeLinear", "DequantizeLinear"].contains(&node.op_type.as_str()) {
                let [scale, zero] = [1, 2].map(|i| constant(&node.input[i]).expect("a constant"));
                assert_eq!(zero.data_type, data_type::INT8, "{name}: {}", node.name);
                assert!(zero.raw_data.as_ref().unwrap().iter().all(|&z| z == 0), "{name}: {}", node.name);
                assert_eq!(zero.dims, scale.dims, "{name}: {}", node.name);
            }
            if ["Conv", "MatMul"].contains(&node.op_type.as_str()) && constant_weight(graph, &node.input[1]) {
                let operands = [0, 1].map(|i| is_dequantized(&node.input[i]));
                assert_eq!(operands[0], operands[1], "{name}: {}", node.name);
                quantized += usize::from(operands[0]);
                if let Some(bias) = node.input.get(2) {
                    assert_eq!(constant(bias).unwrap().data_type, data_type::FLOAT, "{name}: {bias}");
                }
            }
        }
        let convolutions = case.model.graph().nodes.iter().filter(|n| matches!(n.op, Op::Conv2d(_))).count();
        // All but the first, and in the paper's form behind the shift of the mean, are in 8 bits.
        assert_eq!(quantized, convolutions - 1, "{name}");
    }
}

/// Whether an operand is a weight, and not computed from the image.
fn constant_weight(graph: &GraphProto, name: &str) -> bool {
    let is_constant = |name: &str| graph.initializer.iter().any(|t| t.name == name);
    let from = graph.node.iter().find(|n| n.output.iter().any(|o| o == name));
    is_constant(name) || from.is_some_and(|n| n.op_type == "DequantizeLinear" && is_constant(&n.input[0]))
}

#[test]
fn tensorrt_takes_only_symmetric_models_without_16_bits() {
    let cases = cases();
    let find = |name: &str| &cases.iter().find(|case| case.name == name).unwrap().model;
    let tensorrt = Options { tensorrt: true, ..Options::default() };
    let error = export(find("edge-int8"), &tensorrt).unwrap_err();
    assert!(matches!(error, QuantizeError::ZeroPoint { zero_point: 1.., .. }), "{error}");
    assert!(error.to_string().contains("run --for tensorrt"), "{error}");
    let error = export(find("edge-tensorrt"), &Options { sums: Sums::Int16, ..tensorrt }).unwrap_err();
    assert!(matches!(error, QuantizeError::SumsOfTensorRt), "{error}");
    // Sums in 8 bits are symmetric already, and a float model has nothing to quantize.
    export(find("edge-tensorrt"), &Options { sums: Sums::Int8, ..tensorrt }).unwrap();
    export(find("edge"), &tensorrt).unwrap();
}

/// What the engine makes of a picture, `[H, W, C]`: floats, or pixels as floats.
fn engine_output(model: &Model, image: &Image) -> Vec<f32> {
    if model.is_quantized() {
        let out = Runner::new(model).upscale(image).unwrap();
        return out.data().iter().map(|&p| f32::from(p)).collect();
    }
    let plan = Plan::new(model, image.width(), &PlanOptions::default()).unwrap();
    let pixels: Vec<f32> = image.data().iter().map(|&p| f32::from(p) / 255.0).collect();
    let mut out = vec![0.0; plan.out_row_bytes() * image.height() * usize::from(model.upscale())];
    plan.run_image_f32(&mut plan.workspace(), &pixels, image.height(), &mut out).unwrap();
    out
}

/// Checks each file and prints the largest and the mean difference between ONNX Runtime and the engine. Without
/// graph optimizations: those that fuse int8 operators saturate on processors without a dot product.
const SCRIPT: &str = r#"
import sys
import numpy, onnx, onnxruntime
for line in open(sys.argv[1]):
    name, width, height, upscale, channels, quantized = line.split()
    width, height, upscale, channels = int(width), int(height), int(upscale), int(channels)
    onnx.checker.check_model(onnx.load(name + ".onnx"), full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(name + ".onnx", options, providers=["CPUExecutionProvider"])
    image = numpy.fromfile(name + ".in", numpy.uint8).reshape(1, height, width, channels).transpose(0, 3, 1, 2)
    if "float" in session.get_inputs()[0].type:
        image = image.astype(numpy.float32) / 255
    found = session.run(None, {"image": image})[0].astype(numpy.float64)
    if quantized == "true" and "float" in session.get_outputs()[0].type:
        found = numpy.clip(numpy.rint(found * 255), 0, 255)
    expected = numpy.fromfile(name + ".out", numpy.float32)
    expected = expected.reshape(1, height * upscale, width * upscale, channels).transpose(0, 3, 1, 2)
    assert found.shape == expected.shape, (name, found.shape, expected.shape)
    difference = abs(found - expected)
    print(name, difference.max(), difference.mean(), expected.std(), (difference == 0).mean())
"#;

#[test]
fn another_engine_computes_the_same() {
    let python = std::env::var("MCIR_PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&python).args(["-c", "import numpy, onnx, onnxruntime"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        skip::skip(format_args!(
            "`{python}` cannot import numpy, onnx and onnxruntime; install them, or set \
             MCIR_PYTHON to an interpreter that has them"
        ));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: String, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let mut list = String::new();
    let cases = cases();
    for case in &cases {
        let Case { name, model, size: (width, height), .. } = case;
        let image = lr_image(5, *width as u32, *height as u32, model.in_channels());
        let expected = engine_output(model, &image);
        let expected: Vec<u8> = expected.iter().flat_map(|v| v.to_le_bytes()).collect();
        write(format!("{name}.onnx"), &encode(&export(model, &options(case)).unwrap()));
        write(format!("{name}.in"), image.data());
        write(format!("{name}.out"), &expected);
        let (upscale, channels) = (model.upscale(), model.in_channels());
        let _ = writeln!(list, "{name} {width} {height} {upscale} {channels} {}", model.is_quantized());
    }
    write("list".into(), list.as_bytes());
    let output =
        Command::new(&python).current_dir(folder.path()).args(["-c", SCRIPT, "list"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), cases.len(), "{text}");
    for (line, case) in text.lines().zip(&cases) {
        let numbers: Vec<f64> = line.split(' ').skip(1).map(|n| n.parse().unwrap()).collect();
        let &[largest, mean, spread, equal] = numbers.as_slice() else { panic!("{line}") };
        let close = match (case.model.is_quantized(), case.sums) {
            (false, _) => largest <= TOLERANCE,
            (true, Sums::Float) if case.name.starts_with("swinir") => mean <= LEVELS_ATTENTION,
            (true, Sums::Float) => mean <= LEVELS_FLOAT,
            (true, _) => mean <= LEVELS && largest <= LEVELS_MOST && equal >= EQUAL,
        };
        assert!(close, "{line}");
        // Half as many levels, twice as large errors.
        let least = if case.tensorrt { 50.0 } else { 100.0 };
        assert!(spread > least * mean, "{line}: the output varies");
    }
}
