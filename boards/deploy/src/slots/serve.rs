//! The board's end of a connection: requests from the standard input, events to the standard output.

use super::protocol::{Commit, Event, MAX_LINE, Request, VERSION};
use super::service::{self, Restored, Service};
use super::{Store, change::Incoming, change::Switched};
use crate::DeployError;
use mcir_upscale::error::{Error, Result};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Serves until the input ends. Errors go to the other end, except when it is gone.
///
/// # Errors
/// [`Error::Io`] when the other end is gone.
pub fn serve(store: &Store, input: impl Read, mut output: impl Write) -> Result<()> {
    let mut input = BufReader::new(input);
    let mut say = |event: &Event| -> Result<()> {
        let mut line = serde_json::to_vec(event).expect("an event is plain data");
        line.push(b'\n');
        let said = output.write_all(&line).and_then(|()| output.flush());
        said.map_err(Error::io("write", "the connection"))
    };
    let locked = match store.lock() {
        Ok(locked) => locked,
        Err(error) => return say(&failed(&error.into())),
    };
    let recovered = match locked.recover() {
        Ok(recovered) => recovered,
        Err(error) => return say(&failed(&error.into())),
    };
    say(&Event::Ready { protocol: VERSION, version: env!("CARGO_PKG_VERSION").into(), recovered })?;
    let mut incoming = None::<Incoming>;
    loop {
        let mut line = String::new();
        let read = input.by_ref().take(MAX_LINE).read_line(&mut line);
        if read.map_err(Error::io("read", "the connection"))? == 0 {
            return Ok(());
        }
        let event = match serde_json::from_str(&line) {
            Err(e) => Err(bad_request(e.to_string())),
            Ok(Request::Begin { manifest, signature, allow_downgrade }) => locked
                .begin(manifest.as_bytes(), signature.as_deref(), allow_downgrade)
                .map_err(Error::from)
                .map(|(new, parts)| {
                    incoming = Some(new);
                    Event::Missing { parts }
                }),
            Ok(Request::Put { part }) => match &incoming {
                None => Err(bad_request("a part before its manifest".into())),
                // After an error in the middle of a part nobody knows where the next request begins.
                Some(to) => match locked.receive(to, &part, &mut input) {
                    Ok(()) => Ok(Event::Done),
                    Err(error) => return say(&failed(&error.into())),
                },
            },
            Ok(Request::Commit(commit)) => match incoming.take() {
                None => Err(bad_request("nothing was received".into())),
                Some(new) => {
                    say(&doing("verify hashes and run the self-test"))?;
                    let device = commit.service.as_ref().and_then(Service::device);
                    let done = locked.complete(&new, device.as_deref()).map_err(Error::from);
                    done.and_then(|outcome| {
                        say(&doing("switch"))?;
                        let switched = locked.switch(&new.id)?;
                        finish(store, &locked, switched, &commit, &mut say)?;
                        Ok(Event::Switched { slot: new.id, self_test: Some(outcome) })
                    })
                }
            },
            Ok(Request::Rollback(commit)) => {
                say(&doing("check the previous slot"))?;
                locked.previous().map_err(Error::from).and_then(|slot| {
                    say(&doing("switch"))?;
                    let switched = locked.switch(&slot)?;
                    finish(store, &locked, switched, &commit, &mut say)?;
                    Ok(Event::Switched { slot, self_test: None })
                })
            }
            Ok(Request::Status { verify }) => store.status().map_err(Error::from).and_then(|status| {
                if let (true, Some(slot)) = (verify, &status.current) {
                    say(&doing("verify hashes and run the self-test"))?;
                    store.verify(&slot.id)?;
                    locked.self_test(&store.slot_path(&slot.id), None)?;
                }
                Ok(Event::Status(Box::new(status)))
            }),
            Ok(Request::Prune) => {
                let pruned = locked.prune().map_err(Error::from);
                pruned.map(|slots| Event::Pruned { slots, free_bytes: store.free_bytes() })
            }
        };
        match event {
            Ok(event) => say(&event)?,
            Err(error) => say(&failed(&error))?,
        }
    }
}

/// Checks the health of what was switched to, and goes back when it is not good.
fn finish(
    store: &Store,
    locked: &super::Locked<'_>,
    switched: Switched,
    commit: &Commit,
    say: &mut dyn FnMut(&Event) -> Result<()>,
) -> Result<()> {
    say(&doing("check the health"))?;
    let generation = store.generation_path(switched.generation);
    let Err(reason) = healthy(store, commit, &generation) else {
        return Ok(locked.confirm(switched.generation)?);
    };
    // The unit first: its record is in the generation that is undone.
    let restored = service::restore(&generation, true);
    locked.undo(switched)?;
    let state = match switched.before {
        Some(_) => "rolled back to what ran before",
        None => "nothing ran before, and nothing runs now",
    };
    let mut state = state.to_owned();
    if let Some(service) = &commit.service {
        let again = match (&restored, switched.before) {
            (Ok(Restored::Removed), _) => {
                state += "; the service that was not there before is removed";
                Ok(())
            }
            (_, Some(_)) => service.restart(),
            (_, None) => service.stop(),
        };
        for error in [restored.err(), again.err()].into_iter().flatten() {
            state = format!("{state}, but {error}");
        }
    }
    Err(DeployError::Unhealthy { reason, state }.into())
}

/// Why a slot is not good, if so.
fn healthy(store: &Store, commit: &Commit, generation: &Path) -> Result<(), String> {
    if let Some(service) = &commit.service {
        service::install(store, service, generation)
            .and_then(|()| service.restart())
            .map_err(|e| e.to_string())?;
    }
    let Some(command) = &commit.health else { return Ok(()) };
    let mut child = Command::new("sh")
        .args(["-c", command])
        .process_group(0)
        .current_dir(store.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| e.to_string())?;
    let (start, limit) = (Instant::now(), Duration::from_secs(commit.health_timeout_s));
    loop {
        match child.try_wait().map_err(|e| e.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("`{command}` ended with {status}")),
            None if start.elapsed() > limit => {
                // With all that it started. It may have ended just now; there is nothing more to do then.
                let group = rustix::process::Pid::from_child(&child);
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                let _ = child.wait();
                return Err(format!("`{command}` took more than {} s", limit.as_secs()));
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn doing(what: &str) -> Event {
    Event::Doing { what: what.into() }
}

fn failed(error: &Error) -> Event {
    Event::Failed { message: error.to_string(), help: error.help() }
}

fn bad_request(reason: String) -> Error {
    DeployError::Protocol { target: "the workstation".into(), reason }.into()
}
