//! Post-training quantization: an f32 model and photographs in, an int8 model out, with proof of what it costs.
//!
//! ```text
//! f32 model ─ fold, equalise ─► f32 ─ observe ─► types, weights ─ rewrite ─► int8 ─ observe, correct biases ─► gate ─► file
//! ```
//!
//! The quantizer owns no executor. Its float reference is the engine's f32 path with an observer on every
//! edge, and its validation is the engine's int8 path, so what it measures is what a board computes, bit for
//! bit. What belongs here: rewriting graphs and choosing numbers. What does not: how anything is computed
//! (`mcir-runtime`), and training.
//!
//! - [`fold`], [`equalize`], [`transformer`]: f32 to f32, an equal model that quantizes better;
//! - [`calibrate`], [`histogram`]: what values the edges take;
//! - [`params`], [`weights`]: scales and zero points for edges and weights; [`round`]: the better rounding;
//! - [`types`]: the types of edges on their way to the trainer and back;
//! - [`rewrite`]: the graph with integer edges; [`bias`]: means put right;
//! - [`pipeline`]: these steps in order; [`gate`]: PSNR drop on held-out images;
//! - [`sensitivity`], [`ladder`], [`cost`]: where it hurts, the way back to 16 bits and floats for those
//!   nodes, and its price; [`describe`]: what the model's metadata says of all this;
//! - [`onnx`]: the same network as an ONNX file, for other engines;
//! - [`images`], [`samples`], [`engine`], [`parallel`]: photographs, plans and threads; [`report`], [`page`]:
//!   tables and an HTML page.

pub mod bias;
pub mod calibrate;
pub mod cost;
pub mod describe;
pub mod engine;
pub mod equalize;
pub mod error;
pub mod fold;
pub mod gate;
pub mod histogram;
pub mod images;
pub mod ladder;
pub mod onnx;
pub mod page;
pub mod parallel;
pub mod params;
pub mod pipeline;
pub mod report;
pub mod rewrite;
pub mod round;
pub mod samples;
pub mod sensitivity;
pub mod spread;
pub mod transformer;
pub mod types;
pub mod weights;
pub mod winograd;

pub use error::QuantizeError;
