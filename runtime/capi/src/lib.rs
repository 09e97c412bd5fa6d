//! The engine for C and C++: models, plans, frames and rows behind plain functions.
//!
//! `include/mcir.h` is made of this crate by cbindgen. What every function here keeps to:
//!
//! - it checks pointers for null and lengths against what they have to be; what else a pointer must be (valid for that many bytes,
//!   not used by another thread at the same time) only the caller can know, and the header says so;
//! - nothing unwinds into C: a panic is caught and becomes [`mcir_status::Internal`];
//! - errors leave a sentence for `mcir_last_error` in the thread that made the call.
//!
//! The interface has a version, [`MCIR_ABI_VERSION`], apart from that of the library: it grows with every change that would break
//! a program compiled before, and structures carry their size so that most changes do not.

#![allow(non_camel_case_types, reason = "types are named as they are in C")]

mod model;
mod plan;
mod rows;
mod status;

pub use model::{
    mcir_model, mcir_model_free, mcir_model_from_bytes, mcir_model_info, mcir_model_metadata,
    mcir_model_name, mcir_model_open, mcir_model_query,
};
pub use plan::{
    mcir_plan, mcir_plan_begin, mcir_plan_cancel, mcir_plan_free, mcir_plan_info, mcir_plan_new,
    mcir_plan_options, mcir_plan_push, mcir_plan_query, mcir_plan_run, mcir_row_fn,
};
pub use status::{mcir_last_error, mcir_status, mcir_status_text};

use std::ffi::{CStr, c_char};

/// Version of this interface. `mcir_abi_version` says that of the library at run time: they must be equal.
pub const MCIR_ABI_VERSION: u32 = 1;

/// Version of the interface that the library has.
#[unsafe(no_mangle)]
pub extern "C" fn mcir_abi_version() -> u32 {
    MCIR_ABI_VERSION
}

/// Version of the library, as in "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn mcir_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(text) => text,
            Err(_) => panic!("a version has no zero byte"),
        };
    VERSION.as_ptr()
}
