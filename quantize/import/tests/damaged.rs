//! Damaged files: bytes changed, numbers made absurd, ends cut off. Whatever is in them, there is a message.

#[path = "../../../tests/src/skip.rs"]
mod skip;

use mcir_import::onnx::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};
use mcir_import::{Options, dict, import, ncnn, onnx};
use prost::Message;
use std::path::Path;

/// A sequence of numbers that is the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

fn damage(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(damaged.len());
        match numbers.below(5) {
            0 => damaged[at] ^= 1 << numbers.below(8),
            1 => damaged[at] = [0, 1, 0x7f, 0x80, 0xff][numbers.below(5)],
            2 => damaged.truncate(at.max(1)),
            3 => {
                let end = (at + numbers.below(40)).min(damaged.len());
                let part = damaged[at..end].to_vec();
                damaged.splice(at..at, part);
            }
            _ => drop(damaged.drain(at..(at + numbers.below(40)).min(damaged.len()))),
        }
        if damaged.is_empty() {
            damaged.push(0);
        }
    }
    damaged
}

fn take(bytes: &[u8]) {
    let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    if let Ok(net) = onnx::read(bytes, &none) {
        for range in [None, Some(255.0)] {
            drop(
                import(&net, &Options { name: "n".into(), range, ..Options::default() })
                    .map(|model| model.to_bytes()),
            );
        }
    }
}

/// A convolution, a pixel shuffle by reshapes and what surrounds them.
fn small() -> Vec<u8> {
    let ints = |name: &str, dims: &[i64], values: &[i64]| TensorProto {
        dims: dims.to_vec(),
        data_type: data_type::INT64,
        name: name.into(),
        int64_data: values.to_vec(),
        ..TensorProto::default()
    };
    let floats = |name: &str, dims: &[i64]| TensorProto {
        dims: dims.to_vec(),
        data_type: data_type::FLOAT,
        name: name.into(),
        float_data: vec![0.25; dims.iter().product::<i64>() as usize],
        ..TensorProto::default()
    };
    let node = |op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>| NodeProto {
        input: inputs.iter().map(ToString::to_string).collect(),
        output: vec![output.into()],
        op_type: op.into(),
        attribute,
        ..NodeProto::default()
    };
    let attribute = |name: &str, ints: &[i64]| AttributeProto {
        name: name.into(),
        ints: ints.to_vec(),
        r#type: attribute_type::INTS,
        ..AttributeProto::default()
    };
    let dims = [Some(1), Some(3), None, None].map(|dim_value| DimensionProto { dim_value, dim_param: None });
    let shape = TensorShapeProto { dim: dims.to_vec() };
    let tensor_type = Some(TensorTypeProto { elem_type: data_type::FLOAT, shape: Some(shape) });
    let image = ValueInfoProto { name: "x".into(), r#type: Some(TypeProto { tensor_type }) };
    let graph = GraphProto {
        node: vec![
            node("Conv", &["x", "w", "b"], "c", vec![attribute("pads", &[1, 1, 1, 1])]),
            node("PRelu", &["c", "slope"], "p", Vec::new()),
            node("Shape", &["x"], "s", Vec::new()),
            node("Slice", &["s", "two", "four"], "hw", Vec::new()),
            node(
                "Concat",
                &["split", "hw"],
                "to",
                vec![AttributeProto {
                    name: "axis".into(),
                    i: Some(0),
                    r#type: attribute_type::INT,
                    ..AttributeProto::default()
                }],
            ),
            node("Reshape", &["p", "to"], "r", Vec::new()),
            node("Transpose", &["r"], "t", vec![attribute("perm", &[0, 1, 4, 2, 5, 3])]),
            node("Mul", &["hw", "twice"], "large", Vec::new()),
            node(
                "Concat",
                &["first", "large"],
                "end",
                vec![AttributeProto {
                    name: "axis".into(),
                    i: Some(0),
                    r#type: attribute_type::INT,
                    ..AttributeProto::default()
                }],
            ),
            node("Reshape", &["t", "end"], "y", Vec::new()),
        ],
        initializer: vec![
            floats("w", &[12, 3, 3, 3]),
            floats("b", &[12]),
            floats("slope", &[12, 1, 1]),
            ints("two", &[1], &[2]),
            ints("four", &[1], &[4]),
            ints("twice", &[1], &[2]),
            ints("split", &[4], &[1, 3, 2, 2]),
            ints("first", &[2], &[1, 3]),
        ],
        input: vec![image],
        output: vec![ValueInfoProto { name: "y".into(), r#type: None }],
        ..GraphProto::default()
    };
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
}

#[test]
fn damaged_onnx_files_end_in_a_message() {
    let file = small();
    let net = onnx::read(&file, &|_| unreachable!()).expect("whole");
    let model = import(&net, &Options { name: "n".into(), ..Options::default() }).expect("imported");
    assert_eq!(
        (model.upscale(), model.graph().nodes.len()),
        (2, 4),
        "input, convolution, PReLU, pixel shuffle"
    );
    let mut numbers = Numbers(1);
    (0..20_000).for_each(|_| take(&damage(&file, &mut numbers)));
}

#[test]
fn damaged_files_of_exporters_end_in_a_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/exports");
    let Ok(entries) = std::fs::read_dir(folder) else {
        return skip::skip("there is no ../shared/data/exports");
    };
    let mut numbers = Numbers(2);
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "onnx")).step_by(3) {
        let bytes = std::fs::read(path).expect("read");
        // In the structure, which lies around the weights.
        let edge = bytes.len().min(4000);
        for _ in 0..8 {
            let (head, rest) = bytes.split_at(edge);
            take(&[damage(head, &mut numbers), rest.to_vec()].concat());
            let (rest, tail) = bytes.split_at(bytes.len() - edge);
            take(&[rest.to_vec(), damage(tail, &mut numbers)].concat());
        }
    }
}

#[test]
fn damaged_ncnn_files_end_in_a_message() {
    let param = "7767517\n6 6\nInput in 0 1 in\nConvolution c 1 1 in a 0=12 1=3 4=1 5=1 6=324 9=2 -23310=1,0.2\n\
                 PReLU p 1 1 a b 0=12\nPixelShuffle s 1 1 b d 0=2\nInterp i 1 1 in e 0=1 1=2.0 2=2.0\n\
                 BinaryOp o 2 1 d e out 0=0\n";
    let bin = [vec![0; 4], [0x3f; 4 * (324 + 12 + 12)].to_vec()].concat();
    let options = Options { name: "n".into(), ..Options::default() };
    let whole = ncnn::read(param, &bin).and_then(|net| import(&net, &options)).expect("imported");
    assert_eq!(whole.upscale(), 2);
    let mut numbers = Numbers(3);
    for _ in 0..20_000 {
        let text = String::from_utf8_lossy(&damage(param.as_bytes(), &mut numbers)).into_owned();
        if let Ok(net) = ncnn::read(&text, &bin) {
            drop(import(&net, &options));
        }
    }
}

/// Tensors that are lost, renamed, cut or given other sizes.
#[test]
fn damaged_state_dicts_end_in_a_message() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dicts");
    let mut numbers = Numbers(4);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    paths.sort();
    let (mut done, mut refused) = (0, 0);
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "safetensors")) {
        let whole = mcir_checkpoint::read(path, &|_| true).expect("whole");
        let names: Vec<String> = whole.iter().map(|(name, ..)| name.to_owned()).collect();
        for _ in 0..60 {
            let mut tensors = whole.clone();
            for _ in 0..=numbers.below(2) {
                let name = &names[numbers.below(names.len())];
                let Some((mut shape, mut values)) = tensors.remove(name) else { continue };
                let mut name = name.clone();
                match numbers.below(5) {
                    0 => continue,
                    1 => name = names[numbers.below(names.len())].clone(),
                    2 => shape = vec![values.len()],
                    3 => {
                        let (at, size) = (numbers.below(shape.len()), numbers.below(12));
                        if let Some(size_) = shape.get_mut(at) {
                            *size_ = size;
                        }
                        values = vec![0.25; shape.iter().product()];
                    }
                    _ => shape.reverse(),
                }
                tensors.insert(name, shape, values);
            }
            let options =
                dict::Options { scale: [None, Some(2), Some(3)][numbers.below(3)], ..Default::default() };
            match dict::import(&tensors, &options, "n") {
                Ok(found) => done += usize::from(!found.model.to_bytes().is_empty()),
                Err(error) => refused += usize::from(!error.to_string().is_empty()),
            }
        }
    }
    assert!(done > 0 && refused > 500, "{done} {refused}");
}
