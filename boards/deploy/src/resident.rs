//! `mcir-board rollback`, `status` and `prune`: what the program of the current slot does by itself.

use super::DeployError;
use super::flash::Health;
use super::slots::protocol::{Event, Request};
use super::slots::{Slot, Status};
use super::target::{self, Connection};
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use serde_json::{Value, json};
use std::time::Duration;

/// Make a board run what it ran before the last flash
///
/// The previous slot is verified and its self-test run before the switch. A second rollback undoes the first.
#[derive(Debug, Clone, clap::Args)]
pub struct RollbackCmd {
    #[command(flatten)]
    to: target::Args,

    #[command(flatten)]
    health: Health,

    /// Say what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    print: OutputArgs,
}

/// Say what is flashed on a board, and what it can go back to
#[derive(Debug, Clone, clap::Args)]
pub struct StatusCmd {
    #[command(flatten)]
    to: target::Args,

    /// Read all files of the current slot again, check their hashes and run the self-test
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    print: OutputArgs,
}

/// Remove all slots but the current and the previous one from a board
#[derive(Debug, Clone, clap::Args)]
pub struct PruneCmd {
    #[command(flatten)]
    to: target::Args,

    /// Say what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    print: OutputArgs,
}

/// Asks the program on a board one thing.
fn ask(to: &target::Args, request: &Request, print: &OutputArgs) -> Result<Event> {
    let bar = print.progress(0);
    bar.set_message(format!("reach {}", to.target));
    let mut connection = Connection::with_resident(&to.target, &to.reach)?;
    let patience = match request {
        Request::Rollback(commit) => commit.health_timeout_s,
        _ => 0,
    };
    let mut doing = |what: &str| bar.set_message(what.to_owned());
    let event = connection.ask_patiently(request, Duration::from_secs(patience), &mut doing)?;
    bar.finish_and_clear();
    Ok(event)
}

fn odd<T>(to: &target::Args, event: &Event) -> Result<T> {
    let reason = format!("{event:?} was not asked for");
    Err(DeployError::Protocol { target: to.target.to_string(), reason }.into())
}

fn status_of(to: &target::Args, verify: bool, print: &OutputArgs) -> Result<Status> {
    match ask(to, &Request::Status { verify }, print)? {
        Event::Status(status) => Ok(*status),
        event => odd(to, &event),
    }
}

/// One JSON object, or a text.
fn print(
    print: &OutputArgs,
    command: &str,
    to: &target::Args,
    more: Value,
    text: impl std::fmt::Display,
) -> Result<()> {
    if !print.json {
        return if print.quiet { Ok(()) } else { print.result(text) };
    }
    let mut object = json!({ "schema": 1, "command": command, "target": to.target.to_string() });
    if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
        object.extend(more);
    }
    print.result(serde_json::to_string_pretty(&object).expect("it is plain data"))
}

/// Does it.
///
/// # Errors
/// What keeps the board from going back; it then runs what it ran before.
pub fn rollback(cmd: &RollbackCmd) -> Result<()> {
    if cmd.dry_run {
        let status = status_of(&cmd.to, false, &cmd.print)?;
        let path = status.root.clone();
        let slot = status.previous.ok_or(DeployError::NoPrevious { path })?;
        let text = format!("{} would run {}", cmd.to.target, describe(&slot));
        return print(&cmd.print, "rollback", &cmd.to, json!({ "dry_run": true, "slot": slot.id }), text);
    }
    match ask(&cmd.to, &Request::Rollback(cmd.health.commit(&cmd.to, None)?), &cmd.print)? {
        Event::Switched { slot, .. } => {
            let text = format!("{} runs slot {slot} again", cmd.to.target);
            print(&cmd.print, "rollback", &cmd.to, json!({ "dry_run": false, "slot": slot }), text)
        }
        event => odd(&cmd.to, &event),
    }
}

/// Does it.
///
/// # Errors
/// When nothing was flashed, the board cannot be reached, or its slot is damaged.
pub fn status(cmd: &StatusCmd) -> Result<()> {
    let status = status_of(&cmd.to, cmd.verify, &cmd.print)?;
    let line = |label: &str, slot: Option<&Slot>| {
        format!("{label:10}{}\n", slot.map_or_else(|| "none".into(), describe))
    };
    let mut text = line("current", status.current.as_ref()) + &line("previous", status.previous.as_ref());
    for slot in &status.others {
        text += &line("unused", Some(slot));
    }
    let verified = if cmd.verify { "; hashes and self-test are good" } else { "" };
    let free = status.free_bytes as f64 * 1e-6;
    text += &format!("{} has {free:.0} MB free{verified}", status.root.display());
    print(&cmd.print, "status", &cmd.to, json!({ "verified": cmd.verify, "status": status }), text)
}

/// Does it.
///
/// # Errors
/// When the board cannot be reached or a file cannot be removed.
pub fn prune(cmd: &PruneCmd) -> Result<()> {
    if cmd.dry_run {
        let status = status_of(&cmd.to, false, &cmd.print)?;
        let ids: Vec<_> = status.others.iter().map(|s| s.id.clone()).collect();
        let text = format!("{} would lose {} slots", cmd.to.target, ids.len());
        return print(&cmd.print, "prune", &cmd.to, json!({ "dry_run": true, "slots": ids }), text);
    }
    match ask(&cmd.to, &Request::Prune, &cmd.print)? {
        Event::Pruned { slots, free_bytes } => {
            let free = free_bytes as f64 * 1e-6;
            let text = format!("{} lost {} slots and has {free:.0} MB free", cmd.to.target, slots.len());
            let more = json!({ "dry_run": false, "slots": slots, "free_bytes": free_bytes });
            print(&cmd.print, "prune", &cmd.to, more, text)
        }
        event => odd(&cmd.to, &event),
    }
}

fn describe(slot: &Slot) -> String {
    let manifest = &slot.manifest;
    let quality = manifest
        .expected
        .as_ref()
        .map_or(String::new(), |e| format!(", {:.2} dB on {}", e.psnr_y_db, e.data));
    format!(
        "{}  {} {} x{}, version {}{quality}",
        slot.id, manifest.name, manifest.model.precision, manifest.model.upscale, manifest.version
    )
}
