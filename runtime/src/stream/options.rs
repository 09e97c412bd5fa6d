//! Choices for plans.

use crate::cpu::isa::Isa;

/// Most input rows in a band.
pub const MAX_BAND: usize = 256;
/// Most threads.
pub const MAX_THREADS: usize = 64;

/// Choices for [`Plan::new`]; the default is the fastest on this processor, on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlanOptions {
    /// Instruction set; the best one if `None`.
    pub isa: Option<Isa>,
    /// Input rows processed at a time; chosen from the model if `None`. The output does not depend on it.
    pub band: Option<usize>,
    /// Worker threads, 0 and 1 for none. The output does not depend on it. Ignored without `std`.
    pub threads: usize,
    /// Keep each thread to one processor: the n-th of those that the program was given. The thread that runs frames is the
    /// first and stays pinned after them, as do threads that it starts later. Linux only; elsewhere, and without `std`,
    /// ignored.
    pub pinned: bool,
    /// Keep every edge as the graph has it, so that an observer sees it in the documented channel order.
    pub observable: bool,
}
