//! All that speaks with Vulkan: instances and devices, buffers, pipelines, submissions.
//!
//! What is made is destroyed in `Drop`, and holds the device that it was made on. What a submission uses is held by its
//! [`Recording`](recording::Recording), which is waited for before anything of it is touched or destroyed. On a device that hangs
//! nothing is destroyed any more: it may still be in use.

#![allow(unsafe_code, reason = "Vulkan is a C interface")]

pub(crate) mod buffer;
mod commands;
pub(crate) mod instance;
pub(crate) mod logical;
pub(crate) mod options;
pub(crate) mod pipeline;
pub(crate) mod recording;
pub(crate) mod select;
mod timestamps;
