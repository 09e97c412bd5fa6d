//! ONNX files: the messages ([`proto`]), and reading them.

pub mod proto;

use crate::array::{self, Array, half};
use crate::error::ImportError;
use crate::net::{Attribute, Input, Layer, Net};
use prost::Message;
use proto::{AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, attribute_type, data_type};
use std::collections::BTreeSet;

/// Most messages in a file: operators, attributes, constants. Each takes some hundred bytes of memory for as few as two in
/// the file.
const MAX_MESSAGES: u64 = 1 << 17;

/// Reads a file. `beside` gives a file of the same folder by its name: large weights are kept in one.
///
/// # Errors
/// [`ImportError::Damaged`], [`ImportError::TooLarge`], [`ImportError::Beside`], [`ImportError::Constant`],
/// [`ImportError::Ends`].
pub fn read(bytes: &[u8], beside: &dyn Fn(&str) -> std::io::Result<Vec<u8>>) -> Result<Net, ImportError> {
    let found = messages(bytes, 0).ok_or_else(|| ImportError::Damaged("it is no whole ONNX file".into()))?;
    if found > MAX_MESSAGES {
        return Err(ImportError::TooLarge { what: "parts", found, limit: MAX_MESSAGES });
    }
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::Damaged(e.to_string()))?;
    let opset = model.opset_import.iter().find(|set| set.domain.is_empty() || set.domain == "ai.onnx");
    let opset = opset.map_or(1, |set| set.version);
    let graph = model.graph.ok_or_else(|| ImportError::Damaged("it has no graph".into()))?;
    let mut net = Net { opset, ..Net::default() };
    for tensor in &graph.initializer {
        net.constants.insert(tensor.name.clone(), constant(tensor, beside)?);
    }
    // Old exporters list weights among the inputs.
    net.inputs = graph.input.iter().filter(|i| !net.constants.contains_key(&i.name)).map(input).collect();
    net.range = net.inputs.first().filter(|input| input.bytes).map(|_| 255.0);
    net.outputs = graph.output.iter().map(|o| o.name.clone()).collect();
    net.layers =
        graph.node.iter().enumerate().map(|(i, node)| layer(i, node, beside)).collect::<Result<_, _>>()?;
    sort(&mut net)?;
    Ok(net)
}

/// Length-delimited fields that are messages, by their number in each kind of message: a walk over the file without
/// building anything. `None` if it is cut off.
fn messages(bytes: &[u8], kind: usize) -> Option<u64> {
    // Model, graph, node, attribute, tensor, value, type, tensor type, shape: which field holds which of them.
    const FIELDS: [&[(u64, usize)]; 9] = [
        &[(7, 1), (8, 8), (14, 8)],
        &[(1, 2), (5, 4), (11, 5), (12, 5), (13, 8)],
        &[(5, 3)],
        &[(5, 4)],
        &[(13, 8)],
        &[(2, 6)],
        &[(1, 7)],
        &[(2, 8)],
        &[(1, 8)],
    ];
    let (mut rest, mut count) = (bytes, 1);
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match key & 7 {
            0 => drop(varint(&mut rest)?),
            1 => rest = rest.get(8..)?,
            5 => rest = rest.get(4..)?,
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (body, after) = rest.split_at_checked(length)?;
                rest = after;
                let inner = FIELDS[kind].iter().find(|(field, _)| *field == key >> 3);
                count += match inner {
                    // The leaves are not looked into; what they hold is bounded by their own length.
                    Some((_, 8)) => 1,
                    Some((_, inner)) => messages(body, *inner)?,
                    None => 0,
                };
                if count > MAX_MESSAGES {
                    return Some(count);
                }
            }
            _ => return None,
        }
    }
    Some(count)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn input(info: &ValueInfoProto) -> Input {
    let tensor = info.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let dims = tensor.and_then(|t| t.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let dims =
        dims.iter().map(|d| d.dim_value.and_then(|v| usize::try_from(v).ok()).filter(|v| *v > 0)).collect();
    Input { name: info.name.clone(), dims, bytes: tensor.is_some_and(|t| t.elem_type == data_type::UINT8) }
}

type Beside<'a> = &'a dyn Fn(&str) -> std::io::Result<Vec<u8>>;

fn layer(index: usize, node: &NodeProto, beside: Beside<'_>) -> Result<Layer, ImportError> {
    let name = if node.name.is_empty() { format!("node {index}") } else { node.name.clone() };
    // An activation that onnxruntime's optimizer has put into the convolution before it is one of ours, too.
    // Those of onnxruntime's optimizer that are done.
    let optimized = ["FusedConv", "FusedMatMul", "Gelu", "BiasGelu", "SkipLayerNormalization"]
        .contains(&node.op_type.as_str());
    let known = matches!(node.domain.as_str(), "" | "ai.onnx") || optimized;
    let kind = if known { node.op_type.clone() } else { format!("{}.{}", node.domain, node.op_type) };
    let mut attributes = std::collections::BTreeMap::new();
    for attribute in &node.attribute {
        if let Some(value) = value(attribute, beside)? {
            attributes.insert(attribute.name.clone(), value);
        }
    }
    Ok(Layer { name, kind, inputs: node.input.clone(), outputs: node.output.clone(), attributes })
}

fn value(attribute: &AttributeProto, beside: Beside<'_>) -> Result<Option<Attribute>, ImportError> {
    Ok(match attribute.r#type {
        attribute_type::FLOAT => attribute.f.map(Attribute::Float),
        attribute_type::INT => Some(Attribute::Int(attribute.i.unwrap_or(0))),
        attribute_type::STRING => {
            attribute.s.as_ref().map(|s| Attribute::Text(String::from_utf8_lossy(s).into_owned()))
        }
        attribute_type::FLOATS => Some(Attribute::Floats(attribute.floats.clone())),
        attribute_type::INTS => Some(Attribute::Ints(attribute.ints.clone())),
        attribute_type::TENSOR => {
            attribute.t.as_ref().map(|t| constant(t, beside)).transpose()?.map(Attribute::Tensor)
        }
        _ => None,
    })
}

fn constant(tensor: &TensorProto, beside: Beside<'_>) -> Result<Array, ImportError> {
    let wrong = || ImportError::Constant { name: tensor.name.clone() };
    let outside;
    let raw = if tensor.data_location == 1 {
        outside = external(tensor, beside)?;
        Some(&outside[..])
    } else {
        tensor.raw_data.as_deref()
    };
    fn each<const N: usize>(raw: &[u8], read: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
        let (parts, rest) = raw.as_chunks::<N>();
        rest.is_empty().then(|| parts.iter().map(|part| read(*part)).collect())
    }
    let ints = |bits: fn(i32) -> f64| tensor.int32_data.iter().map(|v| bits(*v)).collect();
    let integer = !matches!(
        tensor.data_type,
        data_type::FLOAT | data_type::FLOAT16 | data_type::DOUBLE | data_type::BFLOAT16
    );
    let values: Option<Vec<f64>> = match (tensor.data_type, raw) {
        (data_type::FLOAT, Some(raw)) => each(raw, |b| f32::from_le_bytes(b).into()),
        (data_type::FLOAT, None) => Some(tensor.float_data.iter().map(|v| f64::from(*v)).collect()),
        (data_type::DOUBLE, Some(raw)) => each(raw, f64::from_le_bytes),
        (data_type::DOUBLE, None) => Some(tensor.double_data.clone()),
        (data_type::FLOAT16, Some(raw)) => each(raw, |b| half(u16::from_le_bytes(b))),
        (data_type::FLOAT16, None) => Some(ints(|v| half(v as u16))),
        (data_type::BFLOAT16, Some(raw)) => {
            each(raw, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16).into())
        }
        (data_type::INT64, Some(raw)) => each(raw, |b| i64::from_le_bytes(b) as f64),
        (data_type::INT64, None) => Some(tensor.int64_data.iter().map(|v| *v as f64).collect()),
        (data_type::INT32, Some(raw)) => each(raw, |b| i32::from_le_bytes(b).into()),
        (data_type::UINT8 | data_type::BOOL, Some(raw)) => each(raw, |[b]| b.into()),
        (data_type::INT8, Some(raw)) => each(raw, |[b]| (b as i8).into()),
        (data_type::INT32 | data_type::UINT8 | data_type::INT8 | data_type::BOOL, None) => {
            Some(ints(f64::from))
        }
        _ => None,
    };
    array::checked(&tensor.name, &tensor.dims, values.ok_or_else(wrong)?, integer)
}

/// Values that are kept in a file beside the network.
fn external(tensor: &TensorProto, beside: Beside<'_>) -> Result<Vec<u8>, ImportError> {
    let entry = |key: &str| tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let name = entry("location").unwrap_or_default();
    let failed = |why: &str| ImportError::Beside { name: name.into(), why: why.into() };
    let number = |key: &str| {
        entry(key).map(str::parse::<usize>).transpose().map_err(|_| failed("its place is no number"))
    };
    let bytes = beside(name).map_err(|e| failed(&e.to_string()))?;
    let start = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(bytes.len().saturating_sub(start));
    let part = start.checked_add(length).and_then(|end| bytes.get(start..end));
    part.map(<[u8]>::to_vec).ok_or_else(|| failed("it is too short"))
}

/// Puts layers behind those that they read from. The format asks for it, not every writer does it.
fn sort(net: &mut Net) -> Result<(), ImportError> {
    let mut known: BTreeSet<String> = net.constants.keys().cloned().collect();
    known.extend(net.inputs.iter().map(|i| i.name.clone()));
    known.insert(String::new());
    let mut waiting = std::mem::take(&mut net.layers);
    while !waiting.is_empty() {
        let before = waiting.len();
        let mut later = Vec::new();
        for layer in waiting {
            if layer.inputs.iter().all(|name| known.contains(name)) {
                known.extend(layer.outputs.iter().cloned());
                net.layers.push(layer);
            } else {
                later.push(layer);
            }
        }
        if later.len() == before {
            let layer = &later[0];
            let name = layer.inputs.iter().find(|name| !known.contains(*name)).cloned().unwrap_or_default();
            return Err(ImportError::Unknown { node: layer.name.clone(), name });
        }
        waiting = later;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_countless_parts_is_refused_before_it_is_read() {
        // A graph of empty operators: two bytes each.
        let graph: Vec<u8> = [0x0a, 0x00].repeat(1 << 18);
        let mut file = vec![0x3a];
        let mut length = graph.len();
        while length >= 0x80 {
            file.push(length as u8 | 0x80);
            length >>= 7;
        }
        file.push(length as u8);
        file.extend(graph);
        let error = read(&file, &|_| Err(std::io::ErrorKind::NotFound.into())).expect_err("refused");
        assert!(matches!(error, ImportError::TooLarge { .. }), "{error}");
        assert!(matches!(read(&file[..9], &|_| unreachable!()), Err(ImportError::Damaged(_))));
    }
}
