//! The model file: header, postcard graph, aligned weights. `docs/model-format.md` is normative.
//!
//! ```text
//! 0        4         6              8           12               16            20       24      64
//! | "MCIR" | version | margin : u16 | graph_len | weights_offset | weights_len | crc-32 | more  | graph | pad | weights |
//! ```
//! Of what is there since version 3, byte 24 is the multiple that the image's sides are extended to, byte 25 by what; the rest
//! is 0.
//! All integers are little-endian. The weights start at a multiple of 64, every tensor at a multiple of 16
//! from there, so that a file mapped or linked at an aligned address can be read in place. The CRC covers
//! everything but itself. Limits are checked before anything is allocated.

use crate::model::at_most::at_most;
use crate::model::error::LoadError;
use crate::model::graph::{Graph, Node, PadMode};
use crate::model::params::Element;
use crate::model::params::MAX_PARAMS;
use crate::model::stored::Model;
use crate::model::tensor::{TensorData, TensorRef};
use crate::model::validate::{MAX_KEYS, MAX_NODES};
use alloc::{borrow::Cow, string::String, vec, vec::Vec};
use serde::{Deserialize, Serialize};

/// First bytes of a model file.
pub const MAGIC: [u8; 4] = *b"MCIR";
/// Newest format version; a file is written in the lowest one that has all that is in it.
pub const VERSION: u16 = 3;
/// The first version with margins.
const VERSION_OF_MARGIN: u16 = 2;
/// The first version with a multiple, and with other ways to extend an image than reflection.
const VERSION_OF_MULTIPLE: u16 = 3;
/// Size of the header.
pub const HEADER_BYTES: usize = 64;
/// Alignment of the weight section.
const SECTION_ALIGN: usize = 64;
/// Alignment of a tensor within it.
const TENSOR_ALIGN: usize = 16;
/// Largest file; EDSR-light in f32 has 6 MB.
const MAX_FILE_BYTES: usize = 1 << 28;
/// Largest graph section: more than the most nodes, with the longest names and the largest metadata, can need.
const MAX_GRAPH_BYTES: usize = 1 << 22;
const CRC_AT: usize = 20;
const MULTIPLE_AT: usize = 24;
const PAD_MODE_AT: usize = 25;

/// In the order of their numbers.
const PAD_MODES: [PadMode; 3] = [PadMode::Reflect, PadMode::Edge, PadMode::Zero];

/// The graph section as it is decoded, before any check but that of its length and of the lengths of its lists.
#[derive(Serialize, Deserialize)]
struct RawGraph {
    #[serde(deserialize_with = "at_most::<MAX_KEYS, _, _>")]
    metadata: Vec<(String, String)>,
    #[serde(deserialize_with = "at_most::<MAX_NODES, _, _>")]
    nodes: Vec<Node>,
    #[serde(deserialize_with = "at_most::<MAX_NODES, _, _>")]
    tensors: Vec<RawTensors>,
}

/// The tensors of a node.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct RawTensors(#[serde(deserialize_with = "at_most::<MAX_PARAMS, _, _>")] Vec<TensorRef>);

/// Lays tensors out one after the other, aligned.
pub(crate) fn lay_out(params: &[Vec<TensorData>]) -> Result<(Vec<Vec<TensorRef>>, Vec<u8>), LoadError> {
    let mut weights = Vec::new();
    let mut tensors = Vec::with_capacity(params.len());
    for node in params {
        let mut refs = Vec::with_capacity(node.len());
        for data in node {
            weights.resize(weights.len().next_multiple_of(TENSOR_ALIGN), 0);
            let offset = weights.len();
            let (element, len) = match data {
                TensorData::F32(v) => {
                    v.iter().for_each(|x| weights.extend_from_slice(&x.to_le_bytes()));
                    (Element::F32, v.len())
                }
                TensorData::I32(v) => {
                    v.iter().for_each(|x| weights.extend_from_slice(&x.to_le_bytes()));
                    (Element::I32, v.len())
                }
                TensorData::I8(v) => {
                    weights.extend_from_slice(bytemuck::cast_slice(v));
                    (Element::I8, v.len())
                }
            };
            if weights.len() > MAX_FILE_BYTES {
                return Err(too_large(weights.len()));
            }
            refs.push(TensorRef { element, offset: offset as u32, len: len as u32 });
        }
        tensors.push(refs);
    }
    Ok((tensors, weights))
}

pub(crate) fn write(model: &Model) -> Vec<u8> {
    let raw = RawGraph {
        metadata: model.metadata.clone(),
        nodes: model.graph.nodes.clone(),
        tensors: model.tensors.iter().cloned().map(RawTensors).collect(),
    };
    let graph = postcard::to_allocvec(&raw).expect("serializing to memory cannot fail");
    let weights_offset = (HEADER_BYTES + graph.len()).next_multiple_of(SECTION_ALIGN);
    let mut bytes = vec![0; weights_offset + model.weights.len()];
    bytes[..4].copy_from_slice(&MAGIC);
    let Graph { margin, multiple, pad_mode, .. } = model.graph;
    let version = match (multiple, pad_mode, margin) {
        (1, PadMode::Reflect, 0) => 1,
        (1, PadMode::Reflect, _) => VERSION_OF_MARGIN,
        _ => VERSION_OF_MULTIPLE,
    };
    if version >= VERSION_OF_MULTIPLE {
        bytes[MULTIPLE_AT] = multiple;
        bytes[PAD_MODE_AT] = PAD_MODES.iter().position(|mode| *mode == pad_mode).unwrap_or(0) as u8;
    }
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    bytes[6..8].copy_from_slice(&margin.to_le_bytes());
    bytes[8..12].copy_from_slice(&(graph.len() as u32).to_le_bytes());
    bytes[12..16].copy_from_slice(&(weights_offset as u32).to_le_bytes());
    bytes[16..20].copy_from_slice(&(model.weights.len() as u32).to_le_bytes());
    bytes[HEADER_BYTES..HEADER_BYTES + graph.len()].copy_from_slice(&graph);
    bytes[weights_offset..].copy_from_slice(&model.weights);
    let crc = checksum(&bytes);
    bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A file whose sections could be read; nothing of them is checked yet.
pub(crate) struct File {
    pub graph: Graph,
    pub metadata: Vec<(String, String)>,
    pub tensors: Vec<Vec<TensorRef>>,
    pub weights: Cow<'static, [u8]>,
}

pub(crate) fn read(bytes: Cow<'static, [u8]>) -> Result<File, LoadError> {
    let found = bytes.len() as u64;
    if bytes.len() >= 4 && bytes[..4] != MAGIC {
        return Err(LoadError::NotAModel { found: [bytes[0], bytes[1], bytes[2], bytes[3]] });
    }
    if bytes.len() < HEADER_BYTES {
        return Err(LoadError::Truncated { expected: HEADER_BYTES as u64, found });
    }
    let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    if version == 0 || version > VERSION {
        return Err(LoadError::Version { found: version, supported: VERSION });
    }
    let margin = u16::from_le_bytes([bytes[6], bytes[7]]);
    let reserved = if version < VERSION_OF_MULTIPLE { MULTIPLE_AT } else { PAD_MODE_AT + 1 };
    if (version < VERSION_OF_MARGIN && margin != 0) || bytes[reserved..HEADER_BYTES].iter().any(|&b| b != 0) {
        return Err(LoadError::Header { field: "reserved" });
    }
    let (multiple, pad_mode) = match version {
        VERSION_OF_MULTIPLE.. => {
            (bytes[MULTIPLE_AT], PAD_MODES.get(usize::from(bytes[PAD_MODE_AT])).copied())
        }
        _ => (1, Some(PadMode::Reflect)),
    };
    let pad_mode = pad_mode.ok_or(LoadError::Header { field: "pad_mode" })?;
    // Sums of u32 values in u64 cannot overflow.
    let (graph_len, weights_offset, weights_len) =
        (u64::from(u32_at(8)), u64::from(u32_at(12)), u64::from(u32_at(16)));
    if graph_len > MAX_GRAPH_BYTES as u64 {
        let (what, limit) = ("graph section in bytes", MAX_GRAPH_BYTES as u64);
        return Err(LoadError::TooLarge { what, found: graph_len, limit });
    }
    let graph_end = HEADER_BYTES as u64 + graph_len;
    if weights_offset != graph_end.next_multiple_of(SECTION_ALIGN as u64) {
        return Err(LoadError::Header { field: "weights_offset" });
    }
    let expected = weights_offset + weights_len;
    if expected > MAX_FILE_BYTES as u64 {
        return Err(too_large(expected as usize));
    }
    if found < expected {
        return Err(LoadError::Truncated { expected, found });
    }
    if found > expected {
        return Err(LoadError::TrailingBytes { expected, found });
    }
    let (expected, found) = (u32_at(CRC_AT), checksum(&bytes));
    if expected != found {
        return Err(LoadError::Checksum { expected, found });
    }
    let (raw, rest): (RawGraph, _) =
        postcard::take_from_bytes(&bytes[HEADER_BYTES..graph_end as usize]).map_err(|_| LoadError::Graph)?;
    if !rest.is_empty() {
        return Err(LoadError::Graph);
    }
    let weights_offset = weights_offset as usize;
    let weights = match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[weights_offset..]),
        Cow::Owned(mut bytes) => {
            bytes.drain(..weights_offset);
            Cow::Owned(bytes)
        }
    };
    let tensors = raw.tensors.into_iter().map(|t| t.0).collect();
    Ok(File {
        graph: Graph { nodes: raw.nodes, margin, multiple, pad_mode },
        metadata: raw.metadata,
        tensors,
        weights,
    })
}

/// CRC-32 of the file with the checksum field left out.
fn checksum(bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..CRC_AT]);
    hasher.update(&bytes[CRC_AT + 4..]);
    hasher.finalize()
}

fn too_large(found: usize) -> LoadError {
    LoadError::TooLarge { what: "size in bytes", found: found as u64, limit: MAX_FILE_BYTES as u64 }
}
