//! Grids of runs that differ in a few settings, and the table that compares them.
//!
//! Every run of a grid has the same seed, data order, schedule and length as its neighbours and differs in
//! the named settings alone; over several seeds the spread tells which differences mean something.

use crate::config::{Config, ConfigError};
use serde::Serialize;

/// One axis of a grid: a setting and its values, as `--set` takes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// Key, such as `spn.lambda`.
    pub key: String,
    /// Values in TOML.
    pub values: Vec<String>,
}

impl Axis {
    /// Reads `key=value;value;…`. Semicolons, because values may be lists.
    ///
    /// # Errors
    /// [`ConfigError::Setting`].
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Setting(text.into());
        let (key, values) = text.split_once('=').ok_or_else(wrong)?;
        let values: Vec<String> = values.split(';').map(|v| v.trim().to_string()).collect();
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { key: key.trim().into(), values })
    }
}

/// All combinations of the axes' values, as settings; the last axis changes fastest.
pub fn combinations(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |all, axis| {
        let with = |(done, value): (&Vec<String>, &String)| {
            let mut settings = done.clone();
            settings.push(format!("{}={value}", axis.key));
            settings
        };
        all.iter().flat_map(|done| axis.values.iter().map(move |v| (done, v))).map(with).collect()
    })
}

/// How one run of a grid ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Seed.
    pub seed: u64,
    /// PSNR on Y in dB and SSIM on Y of the averaged weights at the end; nothing if the run diverged.
    pub scores: Option<(f64, f64)>,
}

/// A row of the table: one combination over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The settings that make the difference.
    pub settings: Vec<String>,
    /// All runs.
    pub runs: Vec<Outcome>,
    /// Mean PSNR on Y in dB over the runs that did not diverge.
    pub psnr_y_db: Option<f64>,
    /// Sample standard deviation of the PSNR over the seeds; needs two.
    pub psnr_spread_db: Option<f64>,
    /// Mean SSIM on Y.
    pub ssim_y: Option<f64>,
}

impl Row {
    /// Summary of the runs of one combination.
    pub fn new(settings: Vec<String>, runs: Vec<Outcome>) -> Self {
        let scores: Vec<(f64, f64)> = runs.iter().filter_map(|run| run.scores).collect();
        let n = scores.len() as f64;
        let mean =
            |f: fn(&(f64, f64)) -> f64| (!scores.is_empty()).then(|| scores.iter().map(f).sum::<f64>() / n);
        let (psnr_y_db, ssim_y) = (mean(|s| s.0), mean(|s| s.1));
        let spread = |m: f64| (scores.iter().map(|s| (s.0 - m).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
        let psnr_spread_db = psnr_y_db.filter(|_| scores.len() > 1).map(spread);
        Self { settings, runs, psnr_y_db, psnr_spread_db, ssim_y }
    }
}

/// The table as text, for reading and for Markdown.
pub fn table(rows: &[Row]) -> String {
    let number = |v: Option<f64>, digits: usize| v.map_or("–".into(), |v| format!("{v:.digits$}"));
    let mut text = String::from("| settings | seeds | diverged | PSNR-Y dB | spread dB | SSIM-Y |\n");
    text += "|---|---|---|---|---|---|\n";
    for row in rows {
        let name = if row.settings.is_empty() { "as configured".into() } else { row.settings.join(" ") };
        let diverged = row.runs.iter().filter(|run| run.scores.is_none()).count();
        text += &format!(
            "| {name} | {} | {diverged} | {} | {} | {} |\n",
            row.runs.len(),
            number(row.psnr_y_db, 3),
            number(row.psnr_spread_db, 3),
            number(row.ssim_y, 4)
        );
    }
    text
}

/// Name of a run's folder.
pub fn folder_name(settings: &[String], seed: u64) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "=.-".contains(c) { c } else { '_' };
    let name: String = settings.join(",").chars().map(safe).collect();
    if name.is_empty() { format!("seed={seed}") } else { format!("{name}_seed={seed}") }
}

/// The configuration of one run: `base` with the settings of the combination and the seed.
///
/// # Errors
/// A setting is wrong.
pub fn config(base: &Config, settings: &[String], seed: u64) -> Result<Config, ConfigError> {
    let mut config = Config::resolve(None, &base.to_toml(), settings)?;
    config.seed = seed;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_is_every_combination() {
        let axes = [
            Axis::parse("spn.lambda=0;1e-4").expect("read"),
            Axis::parse("spn.steps=[1];[1,2]").expect("read"),
        ];
        let all = combinations(&axes);
        let expected = [["0", "[1]"], ["0", "[1,2]"], ["1e-4", "[1]"], ["1e-4", "[1,2]"]];
        assert_eq!(all, expected.map(|[l, s]| vec![format!("spn.lambda={l}"), format!("spn.steps={s}")]));
        assert_eq!(combinations(&[]), [Vec::<String>::new()]);
        assert!(Axis::parse("spn.lambda").is_err() && Axis::parse("a=1;;2").is_err());
        let base = Config::preset("edsr-edge-x4").expect("known");
        let one = config(&base, &all[3], 9).expect("valid");
        let spn = one.spn.expect("switched on");
        assert_eq!((one.seed, spn.lambda, spn.steps), (9, 1e-4, vec![1, 2]));
        let names: Vec<String> = all.iter().map(|s| folder_name(s, 1)).collect();
        assert_eq!(names[3], "spn.lambda=1e-4_spn.steps=_1_2__seed=1");
        assert!(names.iter().enumerate().all(|(i, n)| !names[..i].contains(n)));
    }

    #[test]
    fn rows_have_mean_and_spread() {
        let run = |seed, psnr: Option<f64>| Outcome { seed, scores: psnr.map(|p| (p, 0.8)) };
        let row = Row::new(vec!["a=1".into()], vec![run(1, Some(30.0)), run(2, Some(30.2)), run(3, None)]);
        assert!((row.psnr_y_db.expect("a mean") - 30.1).abs() < 1e-9);
        assert!((row.psnr_spread_db.expect("a spread") - 0.02f64.sqrt()).abs() < 1e-9);
        let lost = Row::new(Vec::new(), vec![run(1, None)]);
        assert_eq!((lost.psnr_y_db, lost.psnr_spread_db), (None, None));
        let text = table(&[row, lost]);
        assert!(text.contains("| a=1 | 3 | 1 | 30.100 | 0.141 | 0.8000 |"), "{text}");
        assert!(text.contains("| as configured | 1 | 1 | – | – | – |"), "{text}");
    }
}
