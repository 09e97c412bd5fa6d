//! Models: loading them, and what they are.

use crate::status::{Failure, Result, guarded, mcir_status};
use mcir_runtime::model::Model;
use std::ffi::{CStr, CString, OsStr, c_char};
use std::path::Path;
use std::slice;

/// A network with its weights. It does not change; several threads may use it at the same time. Plans keep what they need of it:
/// it may be freed before them.
pub struct mcir_model {
    pub(crate) model: Model,
    /// Its metadata as C reads it.
    texts: Vec<(CString, CString)>,
}

/// What a model is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mcir_model_info {
    /// `sizeof(mcir_model_info)`, set by the caller.
    pub struct_size: usize,
    /// How many times wider and higher the output is.
    pub upscale: u32,
    /// Channels of the input image: 3 for RGB, 1 for brightness.
    pub in_channels: u32,
    /// Channels of the output image.
    pub out_channels: u32,
    /// 1 for an int8 model, 0 for a float one.
    pub quantized: u32,
    /// Multiply-accumulates for one pixel of the input.
    pub macs_per_pixel: u64,
    /// Parameters.
    pub parameters: u64,
    /// Bytes of the weights.
    pub weight_bytes: usize,
}

/// Copies as many bytes of a structure as the caller's has. `found` is the size that the caller has set.
///
/// # Safety
/// `to` points to that many bytes.
pub(crate) unsafe fn fill<T: Copy>(to: *mut T, found: usize, from: &T) -> Result<()> {
    if found < size_of::<usize>() {
        return Err(Failure::argument("struct_size is not set: it must be sizeof of the structure"));
    }
    let size = found.min(size_of::<T>());
    // SAFETY: both are valid for `size` bytes: `to` by the contract of this function, `from` because it is a `T`.
    unsafe { std::ptr::copy_nonoverlapping(std::ptr::from_ref(from).cast::<u8>(), to.cast::<u8>(), size) };
    Ok(())
}

fn loaded(bytes: Vec<u8>, what: &str) -> Result<mcir_model> {
    let model =
        Model::from_bytes(bytes).map_err(|e| Failure::new(mcir_status::Model, format!("{what}: {e}")))?;
    let text = |text: &str| CString::new(text.replace('\0', " ")).unwrap_or_default();
    let texts = model.metadata().iter().map(|(key, value)| (text(key), text(value))).collect();
    Ok(mcir_model { model, texts })
}

/// The place for a new handle, set to null until there is one.
///
/// # Safety
/// `out` is null or valid for writing a pointer.
pub(crate) unsafe fn place<'a, T>(out: *mut *mut T) -> Result<&'a mut *mut T> {
    // SAFETY: the contract of this function.
    let out = unsafe { out.as_mut() }.ok_or_else(|| Failure::argument("the place for the handle is null"))?;
    *out = std::ptr::null_mut();
    Ok(out)
}

/// Reads a model from memory. The bytes are copied.
///
/// `bytes` must be valid for `length` bytes; `*model` is the new handle, or null after an error.
///
/// # Safety
/// As said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_from_bytes(
    bytes: *const u8,
    length: usize,
    model: *mut *mut mcir_model,
) -> mcir_status {
    guarded(
        || {
            // SAFETY: the caller's promise about `model`.
            let out = unsafe { place(model) }?;
            if bytes.is_null() || length > isize::MAX as usize {
                return Err(Failure::argument("the bytes of the model are null"));
            }
            // SAFETY: not null, not longer than an object can be, and valid by the caller's promise.
            let bytes = unsafe { slice::from_raw_parts(bytes, length) };
            *out = Box::into_raw(Box::new(loaded(bytes.to_vec(), "the model")?));
            Ok(())
        },
        || {},
    )
}

/// Reads a model file.
///
/// `path` must be a text that ends with a zero byte, as the system takes names of files; `*model` is the new handle, or null after
/// an error.
///
/// # Safety
/// As said.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_open(path: *const c_char, model: *mut *mut mcir_model) -> mcir_status {
    guarded(
        || {
            // SAFETY: the caller's promise about `model`.
            let out = unsafe { place(model) }?;
            if path.is_null() {
                return Err(Failure::argument("the path of the model is null"));
            }
            // SAFETY: not null, and a text of C by the caller's promise.
            let text = unsafe { CStr::from_ptr(path) };
            let path = path_of(text)?;
            let name = path.display().to_string();
            let bytes = std::fs::read(path)
                .map_err(|e| Failure::new(mcir_status::Io, format!("cannot read {name}: {e}")))?;
            *out = Box::into_raw(Box::new(loaded(bytes, &name)?));
            Ok(())
        },
        || {},
    )
}

#[cfg(unix)]
fn path_of(text: &CStr) -> Result<&Path> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(OsStr::from_bytes(text.to_bytes())))
}

#[cfg(not(unix))]
fn path_of(text: &CStr) -> Result<&Path> {
    let text = text.to_str().map_err(|_| Failure::argument("the path of the model is not UTF-8"))?;
    Ok(Path::new(OsStr::new(text)))
}

/// Says what a model is.
///
/// `info->struct_size` must be `sizeof(mcir_model_info)`.
///
/// # Safety
/// `model` is a handle that was not freed, `info` valid for writing that many bytes; or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_query(
    model: *const mcir_model,
    info: *mut mcir_model_info,
) -> mcir_status {
    guarded(
        || {
            // SAFETY: null, or a handle, by the caller's promise.
            let this = unsafe { model.as_ref() }.ok_or_else(|| Failure::argument("the model is null"))?;
            if info.is_null() {
                return Err(Failure::argument("the place for the description is null"));
            }
            // SAFETY: not null, and its first field is valid by the caller's promise.
            let found = unsafe { (&raw const (*info).struct_size).read() };
            let m = &this.model;
            let told = mcir_model_info {
                struct_size: found,
                upscale: u32::from(m.upscale()),
                in_channels: m.in_channels() as u32,
                out_channels: m.out_channels() as u32,
                quantized: u32::from(m.is_quantized()),
                macs_per_pixel: m.macs_per_pixel(),
                parameters: m.num_params(),
                weight_bytes: m.weight_bytes(),
            };
            // SAFETY: valid for `struct_size` bytes by the caller's promise.
            unsafe { fill(info, found, &told) }
        },
        || {},
    )
}

/// The name of a model: empty where it has none, null for a null pointer. It stays as long as the model.
///
/// # Safety
/// `model` is a handle that was not freed, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_name(model: *const mcir_model) -> *const c_char {
    // SAFETY: the caller's promise; the key is a text.
    unsafe {
        match (model.is_null(), mcir_model_metadata(model, c"name".as_ptr())) {
            (true, _) => std::ptr::null(),
            (false, name) if name.is_null() => c"".as_ptr(),
            (false, name) => name,
        }
    }
}

/// What a model file says under this key: null where it has no such key. It stays as long as the model.
///
/// # Safety
/// `model` is a handle that was not freed, `key` a text that ends with a zero byte; or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_metadata(model: *const mcir_model, key: *const c_char) -> *const c_char {
    if key.is_null() {
        return std::ptr::null();
    }
    // SAFETY: null, or a handle, by the caller's promise.
    let Some(this) = (unsafe { model.as_ref() }) else { return std::ptr::null() };
    // SAFETY: not null, and a text of C by the caller's promise.
    let key = unsafe { CStr::from_ptr(key) };
    let found = this.texts.iter().find(|(name, _)| name.as_c_str() == key);
    found.map_or(std::ptr::null(), |(_, value)| value.as_ptr())
}

/// Frees a model. Null is nothing to free.
///
/// # Safety
/// `model` is a handle that was not freed and that no other thread uses, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_model_free(model: *mut mcir_model) {
    if !model.is_null() {
        // SAFETY: made by `Box::into_raw`, and not freed before, by the caller's promise.
        let model = unsafe { Box::from_raw(model) };
        guarded(
            move || {
                drop(model);
                Ok(())
            },
            || {},
        );
    }
}
