//! QEMU's `virt` machine, at EL1 with caches and the floating-point unit on.

use aarch64_paging::descriptor::Attributes;
use aarch64_paging::mair::{Mair, MairAttribute, NormalMemory};
use aarch64_rt::{ExceptionHandlers, InitialPagetable, entry, exception_handlers, initial_pagetable};
use semihosting::{println, process};
use static_alloc::Bump;

/// Memory is never given back; what all runs take together fits.
#[global_allocator]
static MEMORY: Bump<[u8; 48 << 20]> = Bump::uninit();

const DEVICE: Attributes =
    Attributes::VALID.union(Attributes::ATTRIBUTE_INDEX_0).union(Attributes::ACCESSED).union(Attributes::UXN);
const NORMAL: Attributes = Attributes::VALID
    .union(Attributes::ATTRIBUTE_INDEX_1)
    .union(Attributes::INNER_SHAREABLE)
    .union(Attributes::ACCESSED)
    .union(Attributes::NON_GLOBAL);
const CACHED: NormalMemory = NormalMemory::WriteBackNonTransientReadWriteAllocate;
const MAIR: Mair = Mair::EMPTY
    .with_attribute(0, MairAttribute::DEVICE_NGNRE)
    .with_attribute(1, MairAttribute::normal(CACHED, CACHED));

initial_pagetable!(
    {
        // One entry for each GiB: devices, then memory, at their own addresses.
        let mut map = [0; 512];
        map[0] = DEVICE.bits();
        map[1] = NORMAL.bits() | 0x4000_0000;
        InitialPagetable(map)
    },
    MAIR.0
);

struct Exceptions;

// Every exception ends in the default handlers, which panic.
impl ExceptionHandlers for Exceptions {}

exception_handlers!(Exceptions);
entry!(main);

fn main(_: u64, _: u64, _: u64, _: u64) -> ! {
    crate::report(&mut |line| println!("{line}"));
    process::exit(0)
}
