//! Tests that this machine cannot run.
//!
//! Test programs of several crates include this file.

use std::fmt::Display;

/// Says that a test, or a part of one, is skipped. With `MCIR_REQUIRE=all`, which `.ci/run` sets, it fails instead, so that
/// nothing is left out there without anybody noticing.
#[track_caller]
pub fn skip(why: impl Display) {
    let all = std::env::var_os("MCIR_REQUIRE").is_some_and(|required| required == "all");
    assert!(!all, "MCIR_REQUIRE=all, but a test would be skipped, because {why}");
    println!("skipped, because {why}");
}
