//! The verb: options, the server, and waiting for the end.

use crate::menu::Menu;
use crate::site::Studio;
use mcir_files::terminal;
use mcir_upscale::args::{EngineArgs, Mode, OutputArgs};
use mcir_upscale::device::DeviceArgs;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_web::{self as web, Hosts, Options, Server, WebError, parse_address, parse_host};
use serde::Serialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Version of the JSON output.
const SCHEMA: u32 = 1;
/// Where it is served unless the user says, if nobody else is there.
const PORT: u16 = 8090;
/// How often the main thread looks whether it is to end.
const LOOK: Duration = Duration::from_millis(100);

/// Enlarge pictures on a page in the browser: drop them there, compare under a slider, save
///
/// Pictures stay on this machine. They are enlarged as `mcir-board upscale` does it, to the same bytes: opacity, colour profile and
/// the way up are kept, and unless a model is chosen the picture decides whether it is cleaned up. The page tells which model it
/// was and why.
///
/// The page needs nothing from the network. It is for this machine alone unless --http says otherwise. Other programs can use it too:
/// curl -H 'X-Mcir: control' --data-binary @photo.jpg 'http://127.0.0.1:8090/upscale?s=2' -o large.png
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Where to serve the page: a port on this machine, 0 for any that is free, or ADDRESS:PORT; 0.0.0.0:8090 lets the whole network
    /// use it [default: 8090, or any that is free]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = parse_address)]
    http: Option<SocketAddr>,

    /// Answer under this name too, such as workstation.fritz.box; may be repeated. Addresses, single words and names below local,
    /// lan, home, internal and home.arpa are always answered, because nobody outside can own them
    #[arg(long, value_name = "NAME", value_parser = parse_host)]
    http_allow_host: Vec<String>,

    /// Connections that one address may have, of 32 in all; of IPv6 the first 64 bits are an address
    #[arg(long, value_name = "N", default_value_t = web::PER_ADDRESS as u8,
          value_parser = clap::value_parser!(u8).range(1..=web::MAX_CONNECTIONS as i64))]
    http_per_address: u8,

    /// Offer this model too, and begin with the first of them: a model file or folder, or the name of an embedded model; may be
    /// repeated
    #[arg(short = 'm', long = "model", value_name = "MODEL")]
    models: Vec<String>,

    /// What the network sees of colour images: rgb, or y for brightness only with interpolated colour, which is faster
    #[arg(long, value_name = "MODE", default_value = "rgb")]
    mode: Mode,

    /// Open the page in the browser
    #[arg(long)]
    open: bool,

    #[command(flatten)]
    device: DeviceArgs,

    #[command(flatten)]
    engine: EngineArgs,

    #[command(flatten)]
    print: OutputArgs,
}

/// Where the page is, for `--json`; printed when it begins.
#[derive(Debug, Serialize)]
struct Begun {
    schema: u32,
    command: &'static str,
    address: String,
}

/// Serves the page until a signal ends it.
///
/// # Errors
/// As [`NamedModel::open`] for the user's models; [`WebError`].
pub fn run(cmd: &Cmd) -> Result<()> {
    let ended = Arc::new(AtomicBool::new(false));
    let own = cmd.models.iter().map(|name| NamedModel::open(name)).collect::<Result<Vec<_>>>()?;
    let menu = Menu::new(own, cmd.engine.plan_options(0)?, cmd.mode, cmd.device.open()?);
    let address = cmd.start(menu)?.address();
    let page = format!("http://{address}/");
    if cmd.print.json {
        let begun = Begun { schema: SCHEMA, command: "studio", address: page.clone() };
        cmd.print.result(serde_json::to_string(&begun).expect("an address is plain data"))?;
    }
    if !cmd.print.quiet {
        terminal::tell(format_args!("studio: {page}"));
        if !address.ip().is_loopback() {
            terminal::tell("note: everybody who reaches this address can have pictures enlarged here");
        }
    }
    if cmd.open && !open(&page) {
        terminal::tell(format_args!("note: no browser could be opened; open {page} in one"));
    }
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // Without a handler the signal ends the program as it always does.
        let _ = signal_hook::flag::register(signal, Arc::clone(&ended));
    }
    while !ended.load(Ordering::Relaxed) {
        thread::sleep(LOOK);
    }
    Ok(())
}

impl Cmd {
    fn start(&self, menu: Menu) -> Result<Server> {
        let options = || Options {
            hosts: Hosts::new(self.http_allow_host.clone()),
            per_address: self.http_per_address.into(),
        };
        let is_local = self.http.is_none_or(|address| address.ip().is_loopback());
        let site: Arc<Studio> = Arc::new(Studio::new(menu, is_local));
        if let Some(address) = self.http {
            return Ok(Server::start(address, options(), site)?);
        }
        let here = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match Server::start(here(PORT), options(), site.clone()) {
            Err(WebError::PortInUse { .. }) => Ok(Server::start(here(0), options(), site)?),
            result => Ok(result?),
        }
    }
}

/// Opens a page in the user's browser; whether that began.
fn open(page: &str) -> bool {
    let (program, before): (_, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("cmd", &["/C", "start"]),
        _ => ("xdg-open", &[]),
    };
    let mut command = Command::new(program);
    command.args(before).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.spawn() {
        Ok(mut child) => {
            // It may go on as long as the browser does.
            thread::spawn(move || child.wait());
            true
        }
        Err(_) => false,
    }
}
