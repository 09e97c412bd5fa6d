//! Threads that share the columns of each step of a band, the barrier between the steps, and the processors that they
//! keep to.

pub(crate) mod band;
#[cfg(all(feature = "std", target_os = "linux"))]
mod pin;
#[cfg(feature = "std")]
mod pool;

/// Keeps the calling thread to the first processor, where that is known how.
pub(crate) fn pin_caller() {
    #[cfg(all(feature = "std", target_os = "linux"))]
    pin::pin(0);
}
