//! Nodes and constants of an ONNX graph, one after the other.

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type, data_type};

/// Value of an attribute.
#[derive(Debug, Clone, Copy)]
pub enum Attribute<'a> {
    /// One float.
    Float(f32),
    /// One integer.
    Int(i64),
    /// Integers.
    Ints(&'a [i64]),
    /// Text.
    Text(&'a str),
}

/// A graph that grows; tensors are known by their names.
#[derive(Default)]
pub struct Builder {
    /// What was added so far.
    pub graph: GraphProto,
    /// Number of the next constant that has no name of its own.
    constants: usize,
}

impl Builder {
    /// Adds an operator that writes the tensor `output`; its name is returned.
    pub fn node(
        &mut self,
        output: &str,
        op_type: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) -> String {
        self.split(&[output], op_type, inputs, attributes);
        output.to_string()
    }

    /// Adds an operator with several outputs.
    pub fn split(
        &mut self,
        outputs: &[&str],
        op_type: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute<'_>)],
    ) {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(ToString::to_string).collect(),
            output: outputs.iter().map(ToString::to_string).collect(),
            name: format!("{}:{op_type}", outputs[0]),
            op_type: op_type.into(),
            attribute: attributes.iter().map(|&(name, value)| attribute(name, value)).collect(),
            ..NodeProto::default()
        });
    }

    /// Adds float values; an empty shape makes a scalar.
    pub fn f32s(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, data_type::FLOAT, dims, bytes)
    }

    /// Adds 8-bit integers.
    pub fn i8s(&mut self, name: &str, dims: &[usize], values: &[i8]) -> String {
        let bytes = values.iter().map(|v| v.cast_unsigned()).collect();
        self.tensor(name, data_type::INT8, dims, bytes)
    }

    /// Adds 32-bit integers.
    pub fn i32s(&mut self, name: &str, dims: &[usize], values: &[i32]) -> String {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, data_type::INT32, dims, bytes)
    }

    /// Adds an unsigned byte as a scalar.
    pub fn u8(&mut self, name: &str, value: u8) -> String {
        self.tensor(name, data_type::UINT8, &[], vec![value])
    }

    /// Adds a 16-bit integer as a scalar.
    pub fn i16(&mut self, name: &str, value: i16) -> String {
        self.tensor(name, data_type::INT16, &[], value.to_le_bytes().to_vec())
    }

    /// Adds 64-bit integers, as shapes and axes are; the name is made up.
    pub fn i64s(&mut self, values: &[i64]) -> String {
        self.constants += 1;
        let name = format!("const.{}", self.constants);
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(&name, data_type::INT64, &[values.len()], bytes)
    }

    /// Adds a tensor unless one of this name is there already.
    fn tensor(&mut self, name: &str, data_type: i32, dims: &[usize], bytes: Vec<u8>) -> String {
        if !self.graph.initializer.iter().any(|t| t.name == name) {
            self.graph.initializer.push(TensorProto {
                dims: dims.iter().map(|&d| d as i64).collect(),
                data_type,
                name: name.into(),
                raw_data: Some(bytes),
                ..TensorProto::default()
            });
        }
        name.to_string()
    }
}

fn attribute(name: &str, value: Attribute<'_>) -> AttributeProto {
    let mut proto = AttributeProto { name: name.into(), ..AttributeProto::default() };
    match value {
        Attribute::Float(f) => (proto.f, proto.r#type) = (Some(f), attribute_type::FLOAT),
        Attribute::Int(i) => (proto.i, proto.r#type) = (Some(i), attribute_type::INT),
        Attribute::Ints(ints) => (proto.ints, proto.r#type) = (ints.to_vec(), attribute_type::INTS),
        Attribute::Text(s) => (proto.s, proto.r#type) = (Some(s.into()), attribute_type::STRING),
    }
    proto
}
