//! `mcir-board list`: the boards that have a profile.

use mcir_report::profiles::{Profile, gib};
use mcir_upscale::args::OutputArgs;
use mcir_upscale::error::Result;
use mcir_upscale::table::Table;

/// List the boards that are known
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    /// Print the profile of this board as TOML, to make one's own from
    #[arg(long, value_name = "BOARD", conflicts_with = "json")]
    toml: Option<String>,

    #[command(flatten)]
    print: OutputArgs,
}

/// Does it.
///
/// # Errors
/// [`ProfileError::NoBoard`](mcir_report::profiles::ProfileError::NoBoard).
pub fn run(cmd: &Cmd) -> Result<()> {
    if let Some(name) = &cmd.toml {
        let profile = Profile::open(name)?;
        return cmd.print.result(profile.to_toml().trim_end());
    }
    let all = Profile::all();
    if cmd.print.json {
        let object = serde_json::json!({ "schema": 1, "command": "list", "boards": all });
        return cmd.print.result(serde_json::to_string_pretty(&object).expect("profiles are plain data"));
    }
    let mut table = Table::new(["board", "cores", "engine", "memory", "camera"]);
    for profile in &all {
        let cores = profile.cores.iter().map(|c| format!("{} x {} {:.0} MHz", c.count, c.kind, c.clock_mhz));
        table.push([
            profile.name.clone(),
            cores.collect::<Vec<_>>().join(" + "),
            profile.isa.clone(),
            profile.memory_mb.iter().map(|&mb| gib(mb.into())).collect::<Vec<_>>().join("/"),
            profile.camera.join(", "),
        ]);
    }
    cmd.print.result(table.to_string().trim_end())
}
