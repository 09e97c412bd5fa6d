//! Threads that share the columns of each step of a band, the order of the steps, and the processors that they
//! keep to.

#[allow(unsafe_code, reason = "every thread gets the columns that no other has")]
pub(crate) mod band;
#[allow(unsafe_code, reason = "threads write different columns of the same rows")]
pub(crate) mod columns;
#[cfg(all(feature = "std", target_os = "linux"))]
#[allow(unsafe_code, reason = "asks the C library for the processor")]
mod pin;
#[cfg(feature = "std")]
#[allow(unsafe_code, reason = "threads borrow work that ends before they do")]
mod pool;
#[cfg(test)]
#[allow(unsafe_code, reason = "makes the writers that the steps get")]
mod tests;

/// Keeps the calling thread to the first processor, where that is known how.
pub(crate) fn pin_caller() {
    #[cfg(all(feature = "std", target_os = "linux"))]
    pin::pin(0);
}
