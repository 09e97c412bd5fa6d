//! What went wrong: a number, and a sentence in the thread that asked.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How a call went.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum mcir_status {
    /// Done.
    Ok = 0,
    /// A null pointer, a length or a number that cannot be.
    Argument = 1,
    /// A file cannot be read.
    Io = 2,
    /// A model file is damaged, or of a version that this library does not know.
    Model = 3,
    /// The model cannot be prepared for this width and processor.
    Plan = 4,
    /// The call does not fit what the plan is doing: rows before an image was begun, or an image while another is running.
    State = 5,
    /// An error of the library itself. The handle can only be freed.
    Internal = 6,
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// What went wrong, and where.
#[derive(Debug)]
pub struct Failure {
    status: mcir_status,
    text: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(status: mcir_status, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    pub fn argument(text: impl Into<String>) -> Self {
        Self::new(mcir_status::Argument, text)
    }

    pub fn state(text: impl Into<String>) -> Self {
        Self::new(mcir_status::State, text)
    }
}

/// Keeps a sentence for `mcir_last_error`. C's texts end at a zero byte: one inside becomes a space.
fn remember(text: &str) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    LAST.with(|last| *last.borrow_mut() = text);
}

/// Runs what a function of C does. A panic ends here; `panicked` then marks what it may have left half done.
pub fn guarded(work: impl FnOnce() -> Result<()>, panicked: impl FnOnce()) -> mcir_status {
    // Whether anything is used after a panic is what `panicked` decides.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => mcir_status::Ok,
        Ok(Err(failure)) => {
            remember(&failure.text);
            failure.status
        }
        Err(cause) => {
            remember(&format!("internal error, please report it: {}", words(&*cause)));
            // A payload may panic once more when it is dropped.
            std::mem::forget(cause);
            panicked();
            mcir_status::Internal
        }
    }
}

fn words(cause: &(dyn Any + Send)) -> &str {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| cause.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

/// A sentence about the last error of this thread; empty when there was none. It stays until the thread's next error.
#[unsafe(no_mangle)]
pub extern "C" fn mcir_last_error() -> *const c_char {
    LAST.with(|last| last.borrow().as_ptr())
}

/// What a status means, in a few words. Of a number that is no status: "unknown status".
#[unsafe(no_mangle)]
pub extern "C" fn mcir_status_text(status: i32) -> *const c_char {
    let text: &CStr = match status {
        0 => c"done",
        1 => c"wrong argument",
        2 => c"a file cannot be read",
        3 => c"not a model file, or a damaged one",
        4 => c"the model cannot be prepared",
        5 => c"the plan is not in the state for this",
        6 => c"internal error",
        _ => c"unknown status",
    };
    text.as_ptr()
}
