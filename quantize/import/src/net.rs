//! A network as a file describes it: operators of ONNX between named edges.

use crate::array::Array;
use std::collections::BTreeMap;

/// A network of any origin, with ONNX's operators.
#[derive(Debug, Clone, Default)]
pub struct Net {
    /// The image that goes in: name and sizes, where a size may be open.
    pub inputs: Vec<Input>,
    /// Names of the edges that come out.
    pub outputs: Vec<String>,
    /// Operators, each behind those that it reads from.
    pub layers: Vec<Layer>,
    /// Weights and other constants.
    pub constants: BTreeMap<String, Array>,
    /// Version of the operators.
    pub opset: i64,
    /// The largest pixel value that it works with, if its origin says so.
    pub range: Option<f32>,
}

/// An input.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its edge.
    pub name: String,
    /// Sizes; nothing where they are open.
    pub dims: Vec<Option<usize>>,
    /// Whether it is made of bytes, 0 to 255.
    pub bytes: bool,
}

/// An operator.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// For messages.
    pub name: String,
    /// ONNX's name of the operator, such as `Conv`.
    pub kind: String,
    /// Edges read; an empty name is one that is left out.
    pub inputs: Vec<String>,
    /// Edges written.
    pub outputs: Vec<String>,
    /// Attributes.
    pub attributes: BTreeMap<String, Attribute>,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A float.
    Float(f32),
    /// An integer.
    Int(i64),
    /// A word.
    Text(String),
    /// Floats.
    Floats(Vec<f32>),
    /// Integers.
    Ints(Vec<i64>),
    /// A constant.
    Tensor(Array),
}

impl Layer {
    /// An integer, or what it is by default.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        match self.attributes.get(name) {
            Some(Attribute::Int(i)) => *i,
            _ => default,
        }
    }

    /// A float, or what it is by default.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        match self.attributes.get(name) {
            Some(Attribute::Float(f)) => *f,
            _ => default,
        }
    }

    /// Integers, if they are given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        match self.attributes.get(name) {
            Some(Attribute::Ints(list)) => Some(list),
            _ => None,
        }
    }

    /// A word, or what it is by default.
    pub fn text<'a>(&'a self, name: &str, default: &'a str) -> &'a str {
        match self.attributes.get(name) {
            Some(Attribute::Text(text)) => text,
            _ => default,
        }
    }
}
