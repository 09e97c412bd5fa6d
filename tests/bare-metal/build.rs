//! Hands the linker the memory map of the emulated machine.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("none") {
        return;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let (name, memory, scripts) = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        // QEMU's `virt`: RAM starts at 1 GiB; the first pages may hold a device tree.
        Ok("aarch64") => (
            "memory.ld",
            "MEMORY { image : ORIGIN = 0x40080000, LENGTH = 64M }\n",
            ["image.ld", "memory.ld"].as_slice(),
        ),
        // QEMU's `mps2-an386`: program in SSRAM, data in PSRAM.
        _ => (
            "memory.x",
            "MEMORY { FLASH : ORIGIN = 0x00000000, LENGTH = 4M  RAM : ORIGIN = 0x21000000, LENGTH = 16M }\n",
            ["link.x"].as_slice(),
        ),
    };
    fs::write(out.join(name), memory).expect("the build folder can be written to");
    println!("cargo::rustc-link-search={}", out.display());
    for script in scripts {
        println!("cargo::rustc-link-arg-bins=-T{script}");
    }
}
