//! QEMU's `mps2-an386`: a 32-bit Cortex-M4F.

use cortex_m as _;
use cortex_m_rt::entry;
use semihosting::{println, process};
use static_alloc::Bump;

/// Memory is never given back; what all runs take together fits.
#[global_allocator]
static MEMORY: Bump<[u8; 14 << 20]> = Bump::uninit();

#[entry]
fn main() -> ! {
    crate::report(&mut |line| println!("{line}"));
    process::exit(0)
}
