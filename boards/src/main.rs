//! `mcir-board`: upscale images, compare models and put them on boards, on a workstation or on a board.
//!
//! Results go to the standard output, progress and messages to the standard error. Exit codes: 0 done,
//! 1 failed, 2 wrong usage, 3 a floor is not reached.

use clap::{CommandFactory, Parser, Subcommand};
use mcir_boards::deploy::{bundle, flash, keygen, raw, resident, slots};
use mcir_boards::{
    bench, camera, compare, completions, estimate, gpu_check, info, list, results, shipped, studio, upscale,
};
use std::process::ExitCode;

/// Super-resolution on small devices
#[derive(Debug, Parser)]
#[command(name = "mcir-board", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Upscale(upscale::Cmd),
    /// Restore an image, or all images of a folder, at the same size: with a model that does not enlarge
    ///
    /// The model, such as one against haze or rain, is named with --model; images come out as large as they went in. Everything else
    /// is as with `upscale`.
    Restore(upscale::Cmd),
    Compare(compare::Cmd),
    Bench(bench::Cmd),
    Results(results::Cmd),
    Camera(camera::Cmd),
    Video(camera::video::Cmd),
    Studio(studio::Cmd),
    Models(shipped::Cmd),
    List(list::Cmd),
    Info(info::Cmd),
    Estimate(estimate::Cmd),
    GpuCheck(gpu_check::Cmd),
    Profile(estimate::profile::Cmd),
    Bundle(bundle::Cmd),
    Keygen(keygen::Cmd),
    Flash(flash::Cmd),
    Rollback(resident::RollbackCmd),
    Status(resident::StatusCmd),
    Prune(resident::PruneCmd),
    Raw(raw::Cmd),
    #[command(hide = true)]
    Slot(slots::Cmd),
    #[command(hide = true)]
    Measure(compare::remote::Cmd),
    Completions(completions::Cmd),
    #[command(hide = true)]
    Package(completions::PackageCmd),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() {
            mcir_files::terminal::fail_json(error.to_string().trim_end(), None, 2);
        }
        error.exit()
    });
    let result = match cli.verb {
        Verb::Upscale(cmd) => upscale::run(&cmd),
        Verb::Restore(cmd) => upscale::restore(&cmd),
        Verb::Compare(cmd) => compare::run(&cmd),
        Verb::Bench(cmd) => bench::run(&cmd),
        Verb::Results(cmd) => results::run(&cmd),
        Verb::Camera(cmd) => camera::run(&cmd),
        Verb::Video(cmd) => camera::video::run(&cmd),
        Verb::Studio(cmd) => studio::run(&cmd),
        Verb::Models(cmd) => shipped::run(&cmd),
        Verb::List(cmd) => list::run(&cmd),
        Verb::Info(cmd) => info::run(&cmd),
        Verb::Estimate(cmd) => estimate::run(&cmd),
        Verb::GpuCheck(cmd) => gpu_check::run(&cmd),
        Verb::Profile(cmd) => estimate::profile::run(&cmd),
        Verb::Bundle(cmd) => bundle::run(&cmd),
        Verb::Keygen(cmd) => keygen::run(&cmd),
        Verb::Flash(cmd) => flash::run(&cmd),
        Verb::Rollback(cmd) => resident::rollback(&cmd),
        Verb::Status(cmd) => resident::status(&cmd),
        Verb::Prune(cmd) => resident::prune(&cmd),
        Verb::Raw(cmd) => raw::run(&cmd),
        Verb::Slot(cmd) => slots::run(&cmd),
        Verb::Measure(cmd) => compare::remote::run(&cmd),
        Verb::Completions(cmd) => completions::run(&cmd, Cli::command()),
        Verb::Package(cmd) => completions::package(&cmd, &Cli::command()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            mcir_files::terminal::fail(&error.to_string(), Some(&error.help()), error.exit_code());
            ExitCode::from(error.exit_code())
        }
    }
}
