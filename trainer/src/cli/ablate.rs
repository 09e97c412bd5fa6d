//! `mcir-train ablate`

use super::Common;
use super::runs::Runner;
use super::settings::{self, Settings};
use anyhow::{Context, bail, ensure};
use mcir_trainer::ablate::{self, Axis, Row};
use mcir_trainer::files;
use std::path::{Path, PathBuf};

/// Options of `ablate`
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Setting to vary and its values: "spn.lambda=0;1e-4;5e-4". Several make a grid
    #[arg(long, value_name = "KEY=VALUE;VALUE")]
    vary: Vec<String>,
    /// Settings that go together: "spn.negative=input spn.lambda=0.1". Several are rows of the table, each with the grid
    /// of --vary
    #[arg(long = "case", value_name = "KEY=VALUE KEY=VALUE")]
    cases: Vec<String>,
    /// A table of the paper: its rows are cases, before those of --case
    #[arg(long, value_enum, value_name = "TABLE")]
    table: Option<Table>,
    /// Seeds that each combination is run with
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    seeds: Vec<u64>,
    /// Folder for one run a subfolder, table.md and table.json; runs that are there are continued
    #[arg(short, long)]
    output: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Tables of the paper
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Table {
    /// Contrastive losses: none, CR, CCR (needs --set spn.others), PCL-SR, SPN
    Losses,
    /// What the negative is: none, a random network, a trained one (needs --set spn.pretrained), earlier states
    Negatives,
    /// Steps between the updates of a negative: 100, 500, 1000, 2000, all four
    Steps,
    /// λ from 0 to 1e-2
    Lambda,
    /// ω from 0 to 0.999
    Omega,
}

impl From<Table> for ablate::Table {
    fn from(table: Table) -> Self {
        match table {
            Table::Losses => Self::Losses,
            Table::Negatives => Self::Negatives,
            Table::Steps => Self::Steps,
            Table::Lambda => Self::Lambda,
            Table::Omega => Self::Omega,
        }
    }
}

/// Runs the grid.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let base = args.settings.resolve()?;
    if base.data.val_hr.is_empty() {
        bail!("an ablation compares results on validation images; name their folder with --val");
    }
    let axes = args.vary.iter().map(|v| Axis::parse(v)).collect::<Result<Vec<_>, _>>()?;
    let mut cases = args.table.map(|table| ablate::Table::from(table).cases()).unwrap_or_default();
    for case in &args.cases {
        cases.push(ablate::case(case)?);
    }
    let cases = if cases.is_empty() { vec![Vec::new()] } else { cases };
    let grid = ablate::combinations(&axes);
    let combinations: Vec<Vec<String>> = cases
        .iter()
        .flat_map(|case| grid.iter().map(move |settings| [&case[..], settings].concat()))
        .collect();
    if let Some((a, b)) = ablate::repeated(&combinations) {
        bail!("two rows would be the same or share a folder: {a:?} and {b:?}; leave one out");
    }
    let distinct = args.seeds.iter().enumerate().all(|(i, seed)| !args.seeds[..i].contains(seed));
    ensure!(distinct, "--seeds names a seed twice; the spread would be too small");
    // A mistake in the last combination should not show after hours.
    let configs = combinations.iter().map(|s| ablate::config(&base, s, 0)).collect::<Result<Vec<_>, _>>()?;
    if let Some(config) = configs.iter().find(|config| settings::needs_stand_in(config)) {
        settings::warn_of_stand_in(config);
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot create {}", args.output.display()))?;
    let mut runner = Runner::new(&args.common, args.settings.devices, settings::stop_flag()?)?;
    let total = combinations.len() * args.seeds.len();
    let (mut rows, mut number): (Vec<Row>, _) = (Vec::new(), 0);
    for settings in &combinations {
        let mut runs = Vec::new();
        for &seed in &args.seeds {
            number += 1;
            let config = ablate::config(&base, settings, seed)?;
            let folder = args.output.join(ablate::folder_name(settings, seed));
            if !args.common.quiet {
                tell!("run {number} of {total}: {}", folder.display());
            }
            match runner.run(config, &folder)? {
                Some(end) => runs.push(end.outcome),
                None => {
                    if args.common.json {
                        say!("{}", report(&rows, false));
                    } else {
                        say!("stopped in run {number} of {total}; the same command continues");
                    }
                    return Ok(());
                }
            }
        }
        let row = Row::new(settings.clone(), runs);
        rows.push(match rows.first() {
            Some(first) => row.compared_with(first),
            None => row,
        });
        // After every combination, so that a long grid can be looked at while it runs.
        write(&args.output.join("table.md"), &ablate::table(&rows))?;
        let complete = rows.len() == combinations.len();
        write(&args.output.join("table.json"), &report(&rows, complete).to_string())?;
    }
    if args.common.json {
        say!("{}", report(&rows, true));
    } else {
        say!("{}", ablate::table(&rows));
    }
    Ok(())
}

fn report(rows: &[Row], complete: bool) -> serde_json::Value {
    serde_json::json!({ "schema": 3, "complete": complete, "rows": rows })
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    files::replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
