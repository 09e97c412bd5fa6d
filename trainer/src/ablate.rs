//! Grids of runs that differ in a few settings, and the table that compares them.
//!
//! Every run of a grid has the same seed, data order, schedule and length as its neighbours and differs in
//! the named settings alone; over several seeds the spread tells which differences mean something.

use crate::config::{Config, ConfigError};
use crate::eval::SetScores;
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
    /// Quality of the averaged weights at the end on each validation set; nothing if the run diverged.
    pub scores: Option<Vec<SetScore>>,
}

/// Quality of one run on one validation set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetScore {
    /// Name of the set.
    pub set: String,
    /// Mean PSNR on Y in dB.
    pub psnr_y_db: f64,
    /// Mean SSIM on Y.
    pub ssim_y: f64,
}

impl From<&SetScores> for SetScore {
    fn from(s: &SetScores) -> Self {
        Self { set: s.set.clone(), psnr_y_db: s.scores.psnr_y_db, ssim_y: s.scores.ssim_y }
    }
}

/// Mean and spread over the seeds on one validation set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Name of the set.
    pub set: String,
    /// Mean PSNR on Y in dB over the runs that did not diverge.
    pub psnr_y_db: f64,
    /// Sample standard deviation of the PSNR over the seeds; needs two.
    pub psnr_spread_db: Option<f64>,
    /// Mean SSIM on Y.
    pub ssim_y: f64,
}

/// A row of the table: one combination over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The settings that make the difference.
    pub settings: Vec<String>,
    /// All runs.
    pub runs: Vec<Outcome>,
    /// Mean and spread on each validation set; empty if all runs diverged.
    pub sets: Vec<Summary>,
}

impl Row {
    /// Summary of the runs of one combination.
    pub fn new(settings: Vec<String>, runs: Vec<Outcome>) -> Self {
        let done: Vec<&Vec<SetScore>> = runs.iter().filter_map(|run| run.scores.as_ref()).collect();
        let names = done.first().map_or(&[][..], |sets| sets.as_slice());
        let sets = names.iter().enumerate().map(|(i, name)| {
            // All runs of a grid have the same sets in the same order.
            let scores: Vec<&SetScore> = done.iter().filter_map(|sets| sets.get(i)).collect();
            let n = scores.len() as f64;
            let mean = |f: fn(&SetScore) -> f64| scores.iter().map(|s| f(s)).sum::<f64>() / n;
            let psnr_y_db = mean(|s| s.psnr_y_db);
            let variance = scores.iter().map(|s| (s.psnr_y_db - psnr_y_db).powi(2)).sum::<f64>() / (n - 1.0);
            let psnr_spread_db = (scores.len() > 1).then(|| variance.sqrt());
            Summary { set: name.set.clone(), psnr_y_db, psnr_spread_db, ssim_y: mean(|s| s.ssim_y) }
        });
        let sets = sets.collect();
        Self { settings, runs, sets }
    }
}

/// The table as text, for reading and for Markdown.
pub fn table(rows: &[Row]) -> String {
    let number = |v: Option<f64>, digits: usize| v.map_or("–".into(), |v| format!("{v:.digits$}"));
    let sets: Vec<&str> = rows
        .iter()
        .map(|row| &row.sets)
        .find(|sets| !sets.is_empty())
        .map_or(Vec::new(), |sets| sets.iter().map(|s| s.set.as_str()).collect());
    let mut text = String::from("| settings | seeds | diverged |");
    for set in &sets {
        text += &format!(" {set} PSNR-Y dB | spread dB | SSIM-Y |");
    }
    text += &format!("\n|{}\n", "---|".repeat(3 + 3 * sets.len()));
    for row in rows {
        let name = if row.settings.is_empty() { "as configured".into() } else { row.settings.join(" ") };
        let diverged = row.runs.iter().filter(|run| run.scores.is_none()).count();
        text += &format!("| {name} | {} | {diverged} |", row.runs.len());
        for i in 0..sets.len() {
            let set = row.sets.get(i);
            text += &format!(
                " {} | {} | {} |",
                number(set.map(|s| s.psnr_y_db), 3),
                number(set.and_then(|s| s.psnr_spread_db), 3),
                number(set.map(|s| s.ssim_y), 4)
            );
        }
        text.push('\n');
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
        let score = |set: &str, psnr_y_db, ssim_y| SetScore { set: set.into(), psnr_y_db, ssim_y };
        let run = |seed, psnr: Option<f64>| {
            let sets = |p| vec![score("A", p, 0.8), score("B", p - 2.0, 0.7)];
            Outcome { seed, scores: psnr.map(sets) }
        };
        let row = Row::new(vec!["a=1".into()], vec![run(1, Some(30.0)), run(2, Some(30.2)), run(3, None)]);
        assert!((row.sets[0].psnr_y_db - 30.1).abs() < 1e-9);
        assert!((row.sets[1].psnr_spread_db.expect("a spread") - 0.02f64.sqrt()).abs() < 1e-9);
        let lost = Row::new(Vec::new(), vec![run(1, None)]);
        assert_eq!(lost.sets, []);
        let text = table(&[lost, row]);
        let expected = [
            "| settings | seeds | diverged | A PSNR-Y dB | spread dB | SSIM-Y | B PSNR-Y dB | spread dB | SSIM-Y |",
            "|---|---|---|---|---|---|---|---|---|",
            "| as configured | 1 | 1 | – | – | – | – | – | – |",
            "| a=1 | 3 | 1 | 30.100 | 0.141 | 0.8000 | 28.100 | 0.141 | 0.7000 |",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
