//! Choices for plans.

use crate::cpu::isa::Isa;

/// Most input rows in a band.
pub const MAX_BAND: usize = 256;
/// Most threads.
pub const MAX_THREADS: usize = 64;

/// Choices for [`Plan::new`](crate::plan::Plan::new); the default is the fastest on this processor, on one thread.
///
/// ```
/// use mcir_runtime::{Isa, plan::PlanOptions};
///
/// let options = PlanOptions::default().isa(Isa::Scalar).threads(4);
/// assert_eq!((options.isa, options.threads), (Some(Isa::Scalar), 4));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
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

impl PlanOptions {
    /// With this [instruction set](Self::isa), or the best one.
    #[must_use]
    pub fn isa(mut self, isa: impl Into<Option<Isa>>) -> Self {
        self.isa = isa.into();
        self
    }

    /// With so many [rows at a time](Self::band), or as many as suit the model.
    #[must_use]
    pub fn band(mut self, rows: impl Into<Option<usize>>) -> Self {
        self.band = rows.into();
        self
    }

    /// With so many [threads](Self::threads).
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    /// With threads that keep to [one processor](Self::pinned) each, or not.
    #[must_use]
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    /// With edges that [can be observed](Self::observable), or not.
    #[must_use]
    pub fn observable(mut self, observable: bool) -> Self {
        self.observable = observable;
        self
    }
}
