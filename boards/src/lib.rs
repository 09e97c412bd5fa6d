//! The program `mcir-board`: super-resolution of files and camera frames, comparing models, and putting them on boards.
//!
//! What it does lives in rooms, which are crates of their own: `mcir-upscale` (a model that runs on pictures),
//! `mcir-report` (what is measured and predicted), `mcir-deploy` (bundles and boards), `mcir-camera` (with its live page) and
//! `mcir-studio` (a page that enlarges pictures), both of which `mcir-web` serves.
//! Here are the verbs that need several of them, [`compare`], [`info`], [`list`] and [`gpu_check`], and [`completions`]; the rooms are named
//! once more, so that tests find all of them in one place.

pub mod compare;
pub mod completions;
pub mod gpu_check;
pub mod info;
pub mod list;

pub use mcir_camera::{self as camera, gpio, live};
pub use mcir_deploy as deploy;
pub use mcir_report::{bench, estimate, machine, profiles, report, results, shipped};
pub use mcir_studio as studio;
pub use mcir_upscale::{args, cards, embedded, error, models, upscale, upscaler};
pub use mcir_web as web;
