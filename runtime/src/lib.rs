#![cfg_attr(not(feature = "std"), no_std)]
//! Streaming super-resolution engine for small devices: `no_std` + `alloc`, f32 and int8, bit-identical on
//! every instruction set.
//!
//! ```text
//! rows of u8 in ─► steps over ring buffers ─► rows of u8 out
//! ```
//!
//! - [`model`]: the layer list ([`model::Graph`]), its weights ([`model::Model`]) and the file they live in;
//! - [`arch`]: functions from a configuration to a graph;
//! - [`plan`]: a model prepared for one image width and one instruction set ([`plan::Plan`]);
//! - [`exec`]: running it, row by row, without allocating ([`exec::Frame`]);
//! - [`image`], [`metrics`]: 8-bit images, bicubic resizing, PSNR and SSIM, the only copies in the project.
//!
//! An output row of a super-resolution network depends on a few input rows only. So every edge keeps just
//! the rows that its readers still need, and a band of rows flows through the whole network while it is warm
//! in the cache: memory grows with the width of the image, not with its area. Networks that look at the whole image, to pool
//! it or for a mean, keep the rows that wait for that ([`plan::Plan::keeps_image`]).
//!
//! ```
//! use mcir_runtime::{arch::edsr, model::{Model, TensorData}, plan::{Plan, PlanOptions}};
//!
//! // A network with all weights zero: its output is the interpolated image.
//! let graph = edsr::graph(&edsr::Config::edge(2, 8, 1));
//! let shapes = mcir_runtime::model::infer(&graph)?;
//! let params: Vec<Vec<TensorData>> = graph.nodes.iter().map(|node| match node.op {
//!     mcir_runtime::model::Op::Conv2d(c) => {
//!         let taps = usize::from(c.kernel) * usize::from(c.kernel);
//!         let (from, to) = (usize::from(c.in_channels), usize::from(c.out_channels));
//!         vec![TensorData::F32(vec![0.0; to * taps * from]), TensorData::F32(vec![0.0; to])]
//!     }
//!     _ => vec![],
//! }).collect();
//! let model = Model::new(graph, &params, vec![])?;
//! let plan = Plan::new(&model, 4, &PlanOptions::default())?;
//! let mut workspace = plan.workspace();
//! let mut out = vec![0; 8 * 8 * 3];
//! plan.run_image(&mut workspace, &[200; 4 * 4 * 3], 4, &mut out)?;
//! assert_eq!(out, [200; 8 * 8 * 3]);
//! # assert_eq!(shapes.len(), model.graph().nodes.len());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Unsafe code
//!
//! The lint `unsafe_code` denies it everywhere; what may hold it says so where the module is declared, and why: vector
//! instructions in `cpu` (not the steps that use them), and three files with what the type system has no words for:
//! `threads/columns.rs` (threads write different columns of the same rows), `threads/band.rs` (who those threads are) and
//! `threads/pool.rs` (they borrow work that ends before they do). Models, programs, plans and frames are safe code.

extern crate alloc;

pub mod arch;
pub(crate) mod arithmetic;
pub(crate) mod cpu;
pub mod image;
pub(crate) mod memory;
pub mod metrics;
pub mod model;
pub mod program;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod threads;

/// Errors, one enum a stage. They carry values, not strings, so that they work without `std`.
pub mod error {
    pub use crate::model::error::LoadError;
    pub use crate::stream::error::{PlanError, RunError};
}

/// A model prepared for one image width and one instruction set.
pub mod plan {
    pub use crate::stream::options::{MAX_BAND, MAX_THREADS, PlanOptions};
    pub use crate::stream::packed::PackedModel;
    pub use crate::stream::plan::{MAX_WIDTH, Plan};
}

/// Running a plan: rows in, rows out.
pub mod exec {
    pub use crate::stream::frame::{EdgeRow, Frame, RowSink};
    pub use crate::stream::workspace::Workspace;
}

pub use cpu::isa::Isa;
