//! Plans: a model prepared for a width, with its working memory, and images through it.

use crate::model::{fill, mcir_model, place};
use crate::rows::Rows;
use crate::status::{Failure, Result, guarded, mcir_status};
use mcir_runtime::Isa;
use mcir_runtime::error::RunError;
use mcir_runtime::exec::{Frame, Workspace};
use mcir_runtime::plan::{MAX_THREADS, Plan, PlanOptions};
use self_cell::{MutBorrow, self_cell};
use std::ffi::{CStr, c_char, c_void};
use std::slice;

/// A model prepared for images of one width, with the memory to run them in. It runs one image at a time; other threads may use
/// it afterwards, but not at the same time.
pub struct mcir_plan {
    state: State,
    shape: Shape,
}

/// The sizes that calls are checked against.
#[derive(Clone, Copy)]
struct Shape {
    in_row: usize,
    out_row: usize,
    upscale: usize,
}

enum State {
    Idle(Box<Owner>),
    Running(Running),
    /// After a panic: nobody knows what the memory holds.
    Broken,
}

struct Owner {
    plan: Plan,
    workspace: Workspace,
}

/// An image on its way, and how many of its rows are still to come.
struct Image<'a> {
    frame: Frame<'a>,
    rows_left: usize,
}

self_cell!(
    struct Running {
        owner: MutBorrow<Box<Owner>>,
        #[not_covariant]
        dependent: Image,
    }
);

/// How a plan is made. All zero, but for the size, is the fastest on one thread.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mcir_plan_options {
    /// `sizeof(mcir_plan_options)`, set by the caller.
    pub struct_size: usize,
    /// Threads; 0 and 1 for the calling one alone. The output does not depend on it.
    pub threads: u32,
    /// Not 0: every thread keeps to one processor (Linux). The calling thread then stays pinned.
    pub pinned: u32,
    /// Name of the instruction set, such as "neon_dot"; null for the fastest that this processor has.
    pub isa: *const c_char,
}

/// What a plan is.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct mcir_plan_info {
    /// `sizeof(mcir_plan_info)`, set by the caller.
    pub struct_size: usize,
    /// Bytes of a row of the input: width times channels.
    pub in_row_bytes: usize,
    /// Bytes of a row of the output.
    pub out_row_bytes: usize,
    /// Rows of the output for a row of the input.
    pub upscale: usize,
    /// Bytes of working memory and packed weights. A network that keeps the whole image takes more when it runs.
    pub memory_bytes: usize,
    /// Threads.
    pub threads: u32,
    /// Name of the instruction set; it stays for ever.
    pub isa: *const c_char,
}

/// Takes a row of the output: its number, and `length` bytes that are valid until it returns. It is called in the thread that
/// pushes rows, must not use the plan, and must not leave by `longjmp` or an exception.
pub type mcir_row_fn =
    Option<unsafe extern "C" fn(user: *mut c_void, y: usize, row: *const u8, length: usize)>;

/// The options that a caller gives, or the usual ones.
///
/// # Safety
/// `options` is null or valid for reading the size that it says; its texts are texts of C.
unsafe fn options_of(options: *const mcir_plan_options) -> Result<PlanOptions> {
    let mut given = mcir_plan_options { struct_size: 0, threads: 0, pinned: 0, isa: std::ptr::null() };
    if !options.is_null() {
        // SAFETY: not null, and its first field is valid by the contract of this function.
        let found = unsafe { (&raw const (*options).struct_size).read() };
        if found < size_of::<usize>() {
            return Err(Failure::argument("struct_size is not set: it must be sizeof(mcir_plan_options)"));
        }
        let size = found.min(size_of::<mcir_plan_options>());
        // SAFETY: `options` is valid for `size` bytes, `given` has as many. A program of an older header leaves the
        // fields that it does not know as they are: zero and null, which every field allows.
        unsafe {
            std::ptr::copy_nonoverlapping(options.cast::<u8>(), (&raw mut given).cast::<u8>(), size);
        }
    }
    let threads = given.threads as usize;
    if threads > MAX_THREADS {
        return Err(Failure::argument(format!(
            "{threads} threads were asked for; the limit is {MAX_THREADS}"
        )));
    }
    let isa = match given.isa.is_null() {
        true => None,
        false => {
            // SAFETY: not null, and a text of C by the contract of this function.
            let name = unsafe { CStr::from_ptr(given.isa) }.to_string_lossy();
            let isa = Isa::from_name(&name).filter(|isa| isa.is_available());
            Some(isa.ok_or_else(|| {
                Failure::argument(format!("this processor has no instruction set `{name}`"))
            })?)
        }
    };
    Ok(PlanOptions::default().isa(isa).threads(threads).pinned(given.pinned != 0))
}

/// Names of instruction sets as C reads them.
fn isa_text(isa: Isa) -> &'static CStr {
    match isa.name() {
        "scalar" => c"scalar",
        "avx2" => c"avx2",
        "avxvnni" => c"avxvnni",
        "avx512vnni" => c"avx512vnni",
        "neon" => c"neon",
        "neon_dot" => c"neon_dot",
        "neon_i8mm" => c"neon_i8mm",
        _ => c"other",
    }
}

fn plan_failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(mcir_status::Plan, error.to_string())
}

fn run_failed(error: RunError) -> Failure {
    match error {
        RunError::Plan(error) => plan_failed(error),
        other => Failure::argument(other.to_string()),
    }
}

/// Prepares a model for images of this width, in pixels. `options` may be null.
///
/// The model may be freed afterwards. `*plan` is the new handle, or null after an error.
///
/// # Safety
/// `model` is a handle that was not freed, `options` valid for the size that it says, `plan` valid for writing a pointer; or they
/// are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_new(
    model: *const mcir_model,
    width: usize,
    options: *const mcir_plan_options,
    plan: *mut *mut mcir_plan,
) -> mcir_status {
    guarded(
        || {
            // SAFETY: the caller's promise about `plan`.
            let out = unsafe { place(plan) }?;
            // SAFETY: null, or a handle, by the caller's promise.
            let model = unsafe { model.as_ref() }.ok_or_else(|| Failure::argument("the model is null"))?;
            // SAFETY: the caller's promise about `options`.
            let options = unsafe { options_of(options) }?;
            let plan = Plan::new(&model.model, width, &options).map_err(plan_failed)?;
            let workspace = plan.try_workspace().map_err(plan_failed)?;
            let shape = Shape {
                in_row: plan.in_row_bytes(),
                out_row: plan.out_row_bytes(),
                upscale: usize::from(plan.model().upscale()),
            };
            let state = State::Idle(Box::new(Owner { plan, workspace }));
            *out = Box::into_raw(Box::new(mcir_plan { state, shape }));
            Ok(())
        },
        || {},
    )
}

impl mcir_plan {
    /// Does something with an image; afterwards the plan is idle if the image is complete.
    fn with_image<T>(&mut self, work: impl FnOnce(&mut Image<'_>, &Shape) -> Result<T>) -> Result<T> {
        let shape = self.shape;
        let State::Running(running) = &mut self.state else {
            return Err(match self.state {
                State::Broken => broken(),
                _ => Failure::state("no image was begun: call mcir_plan_begin first"),
            });
        };
        let (done, complete) = running.with_dependent_mut(|_, image| {
            let done = work(image, &shape);
            (done, image.rows_left == 0)
        });
        if complete {
            self.stop();
        }
        done
    }

    /// From running to idle, whatever became of the image.
    fn stop(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Broken) {
            State::Running(running) => State::Idle(running.into_owner().into_inner()),
            other => other,
        };
    }

    fn begin(&mut self, height: usize) -> Result<()> {
        // What the engine counts with must not overflow.
        let Shape { in_row, out_row, upscale } = self.shape;
        let out = height.checked_mul(upscale).and_then(|rows| rows.checked_mul(out_row.max(in_row)));
        if out.is_none_or(|bytes| bytes > isize::MAX as usize) {
            return Err(Failure::argument(format!("an image of {height} rows is larger than memory")));
        }
        let owner = match std::mem::replace(&mut self.state, State::Broken) {
            State::Idle(owner) => owner,
            other => {
                let running = matches!(other, State::Running(_));
                self.state = other;
                return Err(match running {
                    true => Failure::state(
                        "an image is running: push the rest of its rows, or call mcir_plan_cancel",
                    ),
                    false => broken(),
                });
            }
        };
        let running = Running::try_new_or_recover(MutBorrow::new(owner), |owner| {
            let Owner { plan, workspace } = &mut **owner.borrow_mut();
            plan.begin(workspace, height).map(|frame| Image { frame, rows_left: height })
        });
        match running {
            Ok(running) => self.state = State::Running(running),
            Err((owner, error)) => {
                self.state = State::Idle(owner.into_inner());
                return Err(run_failed(error));
            }
        }
        Ok(())
    }

    fn owner(&self) -> Option<&Owner> {
        match &self.state {
            State::Idle(owner) => Some(owner),
            _ => None,
        }
    }
}

fn broken() -> Failure {
    Failure::state("an earlier call ended with an internal error: the plan can only be freed")
}

/// The plan of a handle.
///
/// # Safety
/// `plan` is null, or a handle that nobody else uses.
unsafe fn plan_of<'a>(plan: *mut mcir_plan) -> Result<&'a mut mcir_plan> {
    // SAFETY: the contract of this function.
    unsafe { plan.as_mut() }.ok_or_else(|| Failure::argument("the plan is null"))
}

/// Marks a plan after a panic.
///
/// # Safety
/// `plan` is null, or a handle that nobody else uses.
unsafe fn break_plan(plan: *mut mcir_plan) {
    // SAFETY: the contract of this function.
    if let Some(plan) = unsafe { plan.as_mut() } {
        // What it owns may panic again when it is dropped: left where it is.
        std::mem::forget(std::mem::replace(&mut plan.state, State::Broken));
    }
}

/// Says what a plan is. While an image is running its memory is given as 0.
///
/// `info->struct_size` must be `sizeof(mcir_plan_info)`.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses, `info` valid for writing that many bytes; or they are
/// null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_query(plan: *mut mcir_plan, info: *mut mcir_plan_info) -> mcir_status {
    guarded(
        || {
            // SAFETY: the caller's promise.
            let plan = unsafe { plan_of(plan) }?;
            if info.is_null() {
                return Err(Failure::argument("the place for the description is null"));
            }
            // SAFETY: not null, and its first field is valid by the caller's promise.
            let found = unsafe { (&raw const (*info).struct_size).read() };
            let told = plan.owner().map(|owner| {
                let p = &owner.plan;
                (p.memory_bytes(1).unwrap_or(0), p.threads() as u32, isa_text(p.isa()).as_ptr())
            });
            let Some((memory_bytes, threads, isa)) = told else {
                return Err(Failure::state("ask before an image is begun, or after it is complete"));
            };
            let Shape { in_row, out_row, upscale } = plan.shape;
            let told = mcir_plan_info {
                struct_size: found,
                in_row_bytes: in_row,
                out_row_bytes: out_row,
                upscale,
                memory_bytes,
                threads,
                isa,
            };
            // SAFETY: valid for `struct_size` bytes by the caller's promise.
            unsafe { fill(info, found, &told) }
        },
        || {},
    )
}

/// Upscales a whole image: `height` rows of interleaved bytes, each `stride` bytes after the one before (0: without gaps), into rows
/// that are `out_stride` bytes apart (0: without gaps). `out_length` is how many bytes `out` has.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses; `pixels` is valid for `height - 1` strides and a row, `out`
/// for `out_length` bytes, and they do not overlap; or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_run(
    plan: *mut mcir_plan,
    pixels: *const u8,
    stride: usize,
    height: usize,
    out: *mut u8,
    out_stride: usize,
    out_length: usize,
) -> mcir_status {
    let handle = plan;
    guarded(
        || {
            // SAFETY: the caller's promise.
            let plan = unsafe { plan_of(handle) }?;
            let Shape { in_row, out_row, upscale } = plan.shape;
            let rows = Rows::new("the image", pixels, stride, in_row, height)?;
            let out_height = height.checked_mul(upscale);
            let out_height = out_height.ok_or_else(|| Failure::argument("the image is too high"))?;
            let to = Rows::new("the output", out.cast_const(), out_stride, out_row, out_height)?;
            if to.bytes() > out_length {
                return Err(Failure::argument(format!(
                    "the output has {out_length} bytes, but {} are needed",
                    to.bytes()
                )));
            }
            plan.begin(height)?;
            let run = (0..height).try_for_each(|y| {
                // SAFETY: `rows` lies in what the caller promised for `pixels`.
                let row = unsafe { slice::from_raw_parts(pixels.add(rows.at(y)), in_row) };
                plan.with_image(|image, _| {
                    let pushed = image.frame.push(row, &mut |y, pixels| {
                        let at = to.at(y);
                        assert!(
                            at + pixels.len() <= out_length,
                            "the engine has more rows than were asked for"
                        );
                        // SAFETY: it ends before `out_length`, and `out` is valid for that and does not overlap `pixels`,
                        // which is the engine's own memory.
                        unsafe { std::ptr::copy_nonoverlapping(pixels.as_ptr(), out.add(at), pixels.len()) };
                    });
                    image.rows_left -= 1;
                    pushed.map_err(run_failed)
                })
            });
            // An image that could not be completed is not in the way of the next.
            plan.stop();
            run
        },
        // SAFETY: the caller's promise; the reference above is gone.
        || unsafe { break_plan(handle) },
    )
}

/// Begins an image of `height` rows, which come with `mcir_plan_push`.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_begin(plan: *mut mcir_plan, height: usize) -> mcir_status {
    guarded(
        // SAFETY: the caller's promise.
        || unsafe { plan_of(plan) }?.begin(height),
        // SAFETY: the caller's promise; the reference above is gone.
        || unsafe { break_plan(plan) },
    )
}

/// Takes the next `count` rows, without gaps, and hands out those rows of the output that are now complete to `sink`, which gets
/// `user`. With the last row of the image all of the output is handed out, and another image may begin. After an error the image
/// goes on as if the call had not been made.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses; `rows` is valid for `count` rows; `sink` keeps to what
/// `mcir_row_fn` says; or they are null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_push(
    plan: *mut mcir_plan,
    rows: *const u8,
    count: usize,
    sink: mcir_row_fn,
    user: *mut c_void,
) -> mcir_status {
    let handle = plan;
    guarded(
        || {
            // SAFETY: the caller's promise.
            let plan = unsafe { plan_of(handle) }?;
            let sink = sink.ok_or_else(|| Failure::argument("the function that takes rows is null"))?;
            plan.with_image(|image, shape| {
                if rows.is_null() {
                    return Err(Failure::argument("the rows are null"));
                }
                if count > image.rows_left {
                    return Err(Failure::argument(format!(
                        "{count} rows were pushed, but the image has only {} left",
                        image.rows_left
                    )));
                }
                let bytes = count.checked_mul(shape.in_row).filter(|&bytes| bytes <= isize::MAX as usize);
                let bytes = bytes.ok_or_else(|| Failure::argument("the rows are larger than memory"))?;
                // SAFETY: not null, not longer than an object can be, and valid for so many rows by the caller's promise.
                let rows = unsafe { slice::from_raw_parts(rows, bytes) };
                let pushed = image.frame.push(rows, &mut |y, pixels| {
                    // SAFETY: the caller's promise about `sink`; the row is valid during the call.
                    unsafe { sink(user, y, pixels.as_ptr(), pixels.len()) };
                });
                pushed.map_err(run_failed)?;
                image.rows_left -= count;
                Ok(())
            })
        },
        // SAFETY: the caller's promise; the reference above is gone.
        || unsafe { break_plan(handle) },
    )
}

/// Gives the image that is running up; another may begin. Without one it does nothing.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_cancel(plan: *mut mcir_plan) -> mcir_status {
    guarded(
        || {
            // SAFETY: the caller's promise.
            unsafe { plan_of(plan) }?.stop();
            Ok(())
        },
        // SAFETY: the caller's promise; the reference above is gone.
        || unsafe { break_plan(plan) },
    )
}

/// Frees a plan, also one with an image that is running. Null is nothing to free.
///
/// # Safety
/// `plan` is a handle that was not freed and that no other thread uses, or null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mcir_plan_free(plan: *mut mcir_plan) {
    if !plan.is_null() {
        // SAFETY: made by `Box::into_raw`, and not freed before, by the caller's promise.
        let plan = unsafe { Box::from_raw(plan) };
        guarded(
            move || {
                drop(plan);
                Ok(())
            },
            || {},
        );
    }
}
