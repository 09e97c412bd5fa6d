//! `mcir-board flash`: a bundle, or a model of which it makes one, onto a board, so that the board always runs either what it
//! ran before or the new one.

use super::DeployError;
use super::bundle::{Bundle, Making};
use super::manifest::{Manifest, PROGRAM};
use super::prepare::{Prepared, usual_service};
use super::self_test::Outcome as SelfTest;
use super::slots::protocol::{Commit, Event, Request};
use super::slots::service::{self, Service};
use super::target::{self, Connection, Reach, Target};
use super::{program, sign};
use mcir_files::name::escaped;
use mcir_files::terminal::ProgressBar;
use mcir_report::machine::Machine;
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Version of the JSON output.
const SCHEMA: u32 = 1;

/// Put a bundle, or a model, on a board and make it the one that runs
///
/// With -m it looks up what the board is, finds the program for it and makes the bundle itself. Checks the bundle, uploads it beside what is there, verifies its hashes on the board, runs its self-test there,
/// and switches with one rename. What ran before is kept for `rollback`; interrupting at any point leaves it
/// running, and so does a health check that fails.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// The bundle; or a model with -m
    #[arg(value_name = "BUNDLE", conflicts_with_all = ["model", "program", "Making"])]
    bundle: Option<PathBuf>,

    /// Instead of a bundle: model file or folder, or name of an embedded model
    #[arg(short = 'm', long, value_name = "MODEL")]
    model: Option<String>,

    /// With -m: mcir-board as built for the board [default: the one of the release beside this program, this program, or one
    /// built beside it, whichever fits the board]
    #[arg(long, visible_alias = "binary", value_name = "FILE")]
    program: Option<PathBuf>,

    #[command(flatten)]
    making: Making,

    /// Password of an encrypted key
    #[arg(long, value_name = "PASSWORD", env = "MCIR_KEY_PASSWORD", hide_env_values = true, value_parser = sign::password)]
    key_password: Option<String>,

    #[command(flatten)]
    to: target::Args,

    /// Refuse the bundle unless it is signed with this key: file, or the key itself
    #[arg(long, value_name = "KEY", env = "MCIR_VERIFY_KEY")]
    verify_key: Option<String>,

    /// Flash a bundle for another board
    #[arg(long)]
    any_board: bool,

    /// Flash a bundle whose counter is below that of what runs: an older one, which may have known faults
    #[arg(long)]
    allow_downgrade: bool,

    #[command(flatten)]
    health: Health,

    /// Say what would be done and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    print: OutputArgs,
}

/// How a switch is made sure of.
#[derive(Debug, Clone, clap::Args)]
pub struct Health {
    /// Command for the board's shell that must succeed after the switch; otherwise it is undone
    #[arg(long, value_name = "COMMAND")]
    health: Option<String>,

    /// Seconds that it may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = clap::value_parser!(u64).range(1..=3600))]
    health_timeout: u64,

    /// Install a systemd service that runs mcir-board with these words, such as "camera --source rpicam: --http
    /// 0.0.0.0:8080", and restart it; it must become ready. Without words it shows the camera that the board usually has on a
    /// page at port 8080 of its loopback address
    #[arg(long, value_name = "WORDS", num_args = 0..=1, default_missing_value = "")]
    service: Option<String>,

    /// Name of the service
    #[arg(long, value_name = "NAME", default_value = "mcir", value_parser = service_name)]
    service_name: String,

    /// A service of the user, not of the system: needs no root
    #[arg(long)]
    user_service: bool,

    /// User that a service of the system runs as [default: one of its own, without any rights but those of the groups video,
    /// render and gpio, whose files are in /var/lib/NAME]
    #[arg(long, value_name = "USER", conflicts_with = "user_service")]
    service_user: Option<String>,
}

impl Health {
    /// What the service runs. A board that has not been looked at is looked at where that decides.
    ///
    /// # Errors
    /// [`DeployError::Connect`].
    fn words(&self, to: &target::Args, seen: Option<&Machine>) -> Result<Option<String>, DeployError> {
        match (&self.service, seen) {
            (None, _) => Ok(None),
            (Some(words), _) if !words.trim().is_empty() => Ok(Some(words.clone())),
            (Some(_), Some(machine)) => Ok(Some(usual_service(machine).into())),
            (Some(_), None) => Ok(Some(usual_service(&Machine::of(&to.target.snapshot(&to.reach)?)).into())),
        }
    }

    /// As the board is told. `seen` is the board, where it was looked at.
    ///
    /// # Errors
    /// [`DeployError::Connect`] when it has to be looked at and cannot.
    pub fn commit(&self, to: &target::Args, seen: Option<&Machine>) -> Result<Commit, DeployError> {
        Ok(Commit {
            health: self.health.clone(),
            health_timeout_s: self.health_timeout,
            service: self.words(to, seen)?.map(|arguments| Service {
                name: self.service_name.clone(),
                arguments,
                user: self.user_service,
                run_as: self.service_user.clone(),
            }),
        })
    }
}

#[derive(Debug, Serialize)]
struct Outcome<'a> {
    schema: u32,
    command: &'static str,
    target: String,
    slot: String,
    dry_run: bool,
    /// Whether a signature was checked.
    verified: bool,
    /// Bytes that had to be sent.
    sent_bytes: u64,
    seconds: f64,
    self_test: Option<SelfTest>,
    /// The board and the program for it, where there was no bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    prepared: Option<&'a Prepared>,
    /// What the service runs, where one is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    manifest: &'a Manifest,
}

/// Does it.
///
/// # Errors
/// What is wrong with the bundle, the way or the board. The board then runs what it ran before.
pub fn run(cmd: &Cmd) -> Result<()> {
    let start = Instant::now();
    let (target, reach) = (&cmd.to.target, &cmd.to.reach);
    let bar = cmd.print.bytes(0);
    let (bundle, prepared) = match (&cmd.bundle, &cmd.model) {
        (Some(path), _) => (open(path)?, None),
        (None, None) => return Err(DeployError::NothingToFlash.into()),
        (None, Some(model)) => {
            let model = NamedModel::open(model)?;
            let author = cmd.making.author(cmd.key_password.clone())?;
            bar.set_message(format!("look at {target}"));
            let prepared = Prepared::look(target, reach, cmd.program.as_deref())?;
            if !cmd.dry_run {
                prepared.text().lines().for_each(|line| cmd.print.note(&bar, line));
            }
            bar.set_message("make the bundle");
            let data = cmd.making.data.as_deref();
            (prepared.bundle(&model, cmd.any_board, reach, data, &author, &bar)?, Some(prepared))
        }
    };
    if let Some(key) = &cmd.verify_key {
        bundle.verify(key)?;
    }
    bar.set_message(format!("reach {target}"));
    if cmd.verify_key.is_none() && bundle.signature.is_some() && prepared.is_none() {
        cmd.print.note(&bar, "the bundle is signed; --verify-key would check it");
    }
    // What was made for the board just now is for the board.
    if let (false, Some(board), None) = (cmd.any_board, &bundle.manifest.board, &prepared) {
        check_board(board, &bundle.manifest.architecture, target, reach)?;
    }
    let commit = cmd.health.commit(&cmd.to, prepared.as_ref().map(|p| &p.machine))?;
    let service = commit.service.as_ref().map(|service| service.arguments.clone());
    if cmd.dry_run {
        return dry_run(cmd, &bundle, prepared.as_ref(), service.as_deref(), start);
    }
    let (sent_bytes, event) = upload(&bundle, cmd, commit, &bar)?;
    bar.finish_and_clear();
    let odd = |reason| DeployError::Protocol { target: target.to_string(), reason };
    let Event::Switched { slot, self_test } = event else {
        return Err(odd(format!("{event:.200?} does not answer a commit")).into());
    };
    if slot != bundle.slot_id() {
        let (found, expected) = (escaped(&slot), bundle.slot_id());
        return Err(odd(format!("it says that slot {found:.80} runs, but {expected} was sent")).into());
    }
    let outcome = Outcome {
        schema: SCHEMA,
        command: "flash",
        target: target.to_string(),
        slot,
        dry_run: false,
        verified: cmd.verify_key.is_some(),
        sent_bytes,
        seconds: start.elapsed().as_secs_f64(),
        self_test,
        prepared: prepared.as_ref(),
        service: service.as_deref(),
        manifest: &bundle.manifest,
    };
    if cmd.print.json {
        return cmd.print.result(serde_json::to_string_pretty(&outcome).expect("an outcome is plain data"));
    }
    if cmd.print.quiet {
        return Ok(());
    }
    let tested = outcome
        .self_test
        .as_ref()
        .map_or(String::new(), |t| format!("\nself-test: the same bits on {} ({:.1} ms)", t.isa, t.ms));
    cmd.print.result(format_args!(
        "{target} runs {} {} (slot {}); {:.1} MB sent in {:.1} s{tested}",
        bundle.manifest.name,
        bundle.manifest.model.precision,
        outcome.slot,
        sent_bytes as f64 * 1e-6,
        outcome.seconds,
    ))?;
    if let (Some(prepared), None) = (&prepared, &service) {
        let words = usual_service(&prepared.machine);
        cmd.print.note(
            &bar,
            format_args!("the same command with --service would also start `{words}` with the board"),
        );
    }
    Ok(())
}

/// Opens a bundle.
fn open(path: &Path) -> Result<Bundle> {
    if path.as_os_str().is_empty() || !path.exists() {
        return Err(mcir_upscale::error::Error::missing(path));
    }
    Ok(Bundle::open(path)?)
}

/// Sends what is missing and has it switched to. Returns the bytes sent and the answer.
fn upload(bundle: &Bundle, cmd: &Cmd, commit: Commit, bar: &ProgressBar) -> Result<(u64, Event)> {
    let (target, reach, print) = (&cmd.to.target, &cmd.to.reach, &cmd.print);
    let mut total = 0;
    let progress = |name: &str, size: u64, at: u64| {
        bar.set_message(format!("send {name}"));
        bar.set_length(size);
        bar.set_position(at);
    };
    let size = bundle.manifest.part(PROGRAM).size;
    let mut sent_program = 0;
    let mut connection = Connection::with_program(target, reach, bundle, cmd.allow_downgrade, &mut |at| {
        sent_program = at;
        progress(PROGRAM, size, at);
    })?;
    total += sent_program;
    if connection.recovered {
        print.note(bar, "an earlier flash was interrupted before its health check; it was undone first");
    }
    let manifest = String::from_utf8_lossy(&bundle.manifest_bytes).into_owned();
    // Programs of bundles without a counter neither check it nor know the word.
    let allow_downgrade = cmd.allow_downgrade && bundle.manifest.counter.is_some();
    let begin = Request::Begin { manifest, signature: bundle.signature.clone(), allow_downgrade };
    let missing = match connection.ask(&begin, &mut |_| {})? {
        Event::Missing { parts } => parts,
        event => {
            let reason = format!("{event:?} does not answer a beginning");
            return Err(DeployError::Protocol { target: target.to_string(), reason }.into());
        }
    };
    for part in bundle.manifest.parts.iter().filter(|p| missing.contains(&p.name)) {
        connection.put(bundle, &part.name, &mut |at| progress(&part.name, part.size, at))?;
        total += part.size;
    }
    let patience = Duration::from_secs(commit.health_timeout_s);
    let event = connection.ask_patiently(&Request::Commit(commit), patience, &mut |what| {
        bar.set_message(what.to_owned());
        if print.verbose {
            print.note(bar, what);
        }
    })?;
    Ok((total, event))
}

/// A bundle for one board belongs on no other.
fn check_board(board: &str, architecture: &str, target: &Target, reach: &Reach) -> Result<(), DeployError> {
    let machine = Machine::of(&target.snapshot(reach)?);
    let found = match (&machine.board, &machine.model) {
        // An emulated board shows the files of its host.
        _ if !reach.run_with.is_empty() => return Ok(()),
        (Some(found), _) if found == board => return Ok(()),
        (Some(found), _) => found.clone(),
        // No device tree: not one of the boards that have a profile, but perhaps the user's own.
        (None, None) => {
            let found = machine.architecture.unwrap_or_default();
            if program::fits(architecture, &found) {
                return Ok(());
            }
            let (program, board) = (architecture.into(), target.to_string());
            return Err(DeployError::Architecture { program, board, found });
        }
        (None, Some(model)) => model.clone(),
    };
    Err(DeployError::OtherBoard { bundle: board.into(), target: target.to_string(), found })
}

/// Looks, and says what would be done.
fn dry_run(
    cmd: &Cmd,
    bundle: &Bundle,
    prepared: Option<&Prepared>,
    service: Option<&str>,
    start: Instant,
) -> Result<()> {
    let (target, reach, manifest) = (&cmd.to.target, &cmd.to.reach, &bundle.manifest);
    let sight = Connection::look(target, reach, bundle)?;
    if reach.run_with.is_empty() && !program::fits(&manifest.architecture, &sight.architecture) {
        let (program, board) = (manifest.architecture.clone(), target.to_string());
        return Err(DeployError::Architecture { program, board, found: sight.architecture }.into());
    }
    if !sight.writable {
        let reason = "Permission denied: the folder cannot be written to".into();
        return Err(DeployError::Connect { target: target.to_string(), reason }.into());
    }
    if !cmd.allow_downgrade {
        manifest.follows(sight.counter, &target.to_string())?;
    }
    let known = if sight.has_program { manifest.part(PROGRAM).size } else { 0 };
    let needed = manifest.size() - known;
    if let Some(free) = sight.free_bytes.filter(|&free| free < needed) {
        return Err(DeployError::NoSpace { path: target.to_string().into(), free, needed }.into());
    }
    if cmd.print.json {
        let outcome = Outcome {
            schema: SCHEMA,
            command: "flash",
            target: target.to_string(),
            slot: bundle.slot_id(),
            dry_run: true,
            verified: cmd.verify_key.is_some(),
            sent_bytes: 0,
            seconds: start.elapsed().as_secs_f64(),
            self_test: None,
            prepared,
            service,
            manifest,
        };
        return cmd.print.result(serde_json::to_string_pretty(&outcome).expect("an outcome is plain data"));
    }
    let slot = bundle.slot_id();
    let runs = match &sight.current {
        Some(current) if *current == slot => "it runs this bundle already".to_owned(),
        Some(current) => format!("it runs slot {current}, which would be kept"),
        None => "nothing has been flashed there yet".to_owned(),
    };
    let free = sight.free_bytes.map_or(String::new(), |b| format!(", {:.0} MB are free", b as f64 * 1e-6));
    let seen = prepared.map_or(String::new(), |prepared| {
        let expected = manifest.expected.as_ref().map_or(String::new(), |expected| {
            format!(", {:.2} dB PSNR-Y on {}", expected.psnr_y_db, expected.data)
        });
        let model = &manifest.model;
        format!(
            "{}\nmodel: {} {} x{}{expected}\n",
            prepared.text(),
            manifest.name,
            model.precision,
            model.upscale
        )
    });
    let service = match (service, prepared) {
        (Some(words), _) => format!("\nservice {}: {words}", cmd.health.service_name),
        (None, Some(prepared)) => {
            format!("\nno service; --service would install `{}`", usual_service(&prepared.machine))
        }
        (None, None) => String::new(),
    };
    cmd.print.result(format_args!(
        "{seen}{target} ({}) would get slot {slot}: at most {:.1} MB to send{free}; {runs}{service}",
        sight.architecture,
        needed as f64 * 1e-6
    ))
}

fn service_name(name: &str) -> Result<String, String> {
    match service::is_name(name) {
        true => Ok(name.to_owned()),
        false => Err("a service's name is up to 64 letters, digits, - and _".into()),
    }
}
