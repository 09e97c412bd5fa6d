//! Grids of runs that differ in a few settings, and the table that compares them.
//!
//! Every run of a grid has the same seed, data order, schedule and length as its neighbours and differs in
//! the named settings alone; over several seeds the spread tells which differences mean something.

use crate::config::{Config, ConfigError};
use crate::eval::SetScores;
use serde::Serialize;
use toml::Value;

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

/// Reads a case, settings that go together: `spn.negative=input spn.lambda=0.1`.
///
/// # Errors
/// [`ConfigError::Setting`].
pub fn case(text: &str) -> Result<Vec<String>, ConfigError> {
    let settings: Vec<String> = text.split_whitespace().map(String::from).collect();
    match settings.iter().all(|s| s.contains('=')) && !settings.is_empty() {
        true => Ok(settings),
        false => Err(ConfigError::Setting(text.into())),
    }
}

/// Tables of the paper's ablations, as cases.
///
/// # Source
/// "Learning from History", arXiv 2309.06023: its comparisons of losses and negatives, and its studies of the step, λ and ω.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// No loss, CR, CCR, PCL-SR and SPN, each with the weight of its publication.
    Losses,
    /// No negative, a random and a trained network, frozen, and earlier states of the network.
    Negatives,
    /// The steps between the updates of one negative, and all four.
    Steps,
    /// The weight of the loss, from nothing to what collapses.
    Lambda,
    /// The weight of the old negative in an update.
    Omega,
}

impl Table {
    /// The rows in the paper's order.
    pub fn cases(self) -> Vec<Vec<String>> {
        let rows: &[&str] = match self {
            Self::Losses => &[
                "spn.negative=none",
                "spn.negative=input spn.lambda=0.1",
                "spn.negative=ccr spn.lambda=0.2",
                "spn.negative=pcl spn.lambda=1",
                "spn.negative=latency",
            ],
            Self::Negatives => &[
                "spn.negative=none",
                "spn.negative=random",
                "spn.negative=pretrained",
                "spn.negative=latency",
            ],
            Self::Steps => &[
                "spn.steps=[100]",
                "spn.steps=[500]",
                "spn.steps=[1000]",
                "spn.steps=[2000]",
                "spn.steps=[100,500,1000,2000]",
            ],
            Self::Lambda => &[
                "spn.lambda=0",
                "spn.lambda=1e-2",
                "spn.lambda=1e-3",
                "spn.lambda=5e-4",
                "spn.lambda=1e-4",
                "spn.lambda=1e-5",
            ],
            Self::Omega => &[
                "spn.omega=0",
                "spn.omega=0.01",
                "spn.omega=0.1",
                "spn.omega=0.5",
                "spn.omega=0.9",
                "spn.omega=0.999",
            ],
        };
        rows.iter().map(|row| case(row).expect("a case")).collect()
    }
}

/// The first two combinations of which the runs would have one folder.
pub fn repeated(combinations: &[Vec<String>]) -> Option<(&[String], &[String])> {
    let names: Vec<String> = combinations.iter().map(|c| folder_name(c, 0)).collect();
    let (first, again) =
        names.iter().enumerate().find_map(|(i, n)| Some((names[..i].iter().position(|o| o == n)?, i)))?;
    Some((&combinations[first], &combinations[again]))
}

/// Settings by which two configurations give different results, as `key (there, here)`. Where images for validation
/// come from, and how often something is validated, saved or logged, makes no difference.
pub fn differences(there: &Config, here: &Config) -> Vec<String> {
    const FREE: [&str; 7] = [
        "data.memory_mb",
        "data.val_hr",
        "data.val_lr",
        "train.val_every",
        "train.save_every",
        "train.log_every",
        "train.samples",
    ];
    fn flatten(prefix: &str, table: &toml::Table, into: &mut Vec<(String, Value)>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                Value::Table(table) => flatten(&key, table, into),
                value => into.push((key, value.clone())),
            }
        }
    }
    let [there, here] = [there, here].map(|config| {
        let mut values = Vec::new();
        let table = toml::Table::try_from(config).expect("a configuration can be written as TOML");
        flatten("", &table, &mut values);
        values
    });
    let keys = there.iter().chain(here.iter().filter(|(key, _)| !there.iter().any(|(k, _)| k == key)));
    let mut found = Vec::new();
    for (key, _) in keys.filter(|(key, _)| !FREE.contains(&key.as_str())) {
        let value = |list: &[(String, Value)]| list.iter().find(|(k, _)| k == key).map(|(_, v)| v.clone());
        let (there, here) = (value(&there), value(&here));
        if there != here {
            let text = |v: Option<Value>| v.map_or("not set".into(), |v| v.to_string());
            found.push(format!("{key} ({}, {})", text(there), text(here)));
        }
    }
    found
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
    /// Against the first row, over the seeds that both have; nothing in that row itself.
    pub against_first: Option<Difference>,
}

/// Difference of two rows, seed by seed: what the seeds have in common cancels out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Mean difference of the PSNR on Y in dB.
    pub psnr_y_db: f64,
    /// Sample standard deviation of the differences; needs two seeds.
    pub spread_db: Option<f64>,
    /// Seeds that both rows have.
    pub seeds: usize,
}

/// Mean and sample standard deviation, which needs two values.
fn mean_and_spread(values: &[f64]) -> (f64, Option<f64>) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, (values.len() > 1).then(|| variance.sqrt()))
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
            let all = |f: fn(&SetScore) -> f64| scores.iter().map(|s| f(s)).collect::<Vec<_>>();
            let (psnr_y_db, psnr_spread_db) = mean_and_spread(&all(|s| s.psnr_y_db));
            let (ssim_y, _) = mean_and_spread(&all(|s| s.ssim_y));
            Summary { set: name.set.clone(), psnr_y_db, psnr_spread_db, ssim_y, against_first: None }
        });
        let sets = sets.collect();
        Self { settings, runs, sets }
    }

    /// Fills in the differences against the table's first row.
    pub fn compared_with(mut self, first: &Self) -> Self {
        for (i, set) in self.sets.iter_mut().enumerate() {
            let psnr = |run: &Outcome| Some(run.scores.as_ref()?.get(i)?.psnr_y_db);
            let pair = |run: &Outcome| {
                let base = first.runs.iter().find(|other| other.seed == run.seed)?;
                Some(psnr(run)? - psnr(base)?)
            };
            let differences: Vec<f64> = self.runs.iter().filter_map(pair).collect();
            set.against_first = (!differences.is_empty()).then(|| {
                let (psnr_y_db, spread_db) = mean_and_spread(&differences);
                Difference { psnr_y_db, spread_db, seeds: differences.len() }
            });
        }
        self
    }
}

/// The table as text, for reading and for Markdown. With several rows, each is compared with the first.
pub fn table(rows: &[Row]) -> String {
    let number = |v: Option<f64>, digits: usize| v.map_or("–".into(), |v| format!("{v:.digits$}"));
    let sets: Vec<&str> = rows
        .iter()
        .map(|row| &row.sets)
        .find(|sets| !sets.is_empty())
        .map_or(Vec::new(), |sets| sets.iter().map(|s| s.set.as_str()).collect());
    let mut text = String::from("| settings | seeds | diverged |");
    let compared = rows.len() > 1;
    for set in &sets {
        text += &format!(" {set} PSNR-Y dB | spread dB |");
        text += if compared { " against first dB | spread dB |" } else { "" };
        text += " SSIM-Y |";
    }
    text += &format!("\n|{}\n", "---|".repeat(3 + sets.len() * if compared { 5 } else { 3 }));
    for row in rows {
        let name = if row.settings.is_empty() { "as configured".into() } else { row.settings.join(" ") };
        let diverged = row.runs.iter().filter(|run| run.scores.is_none()).count();
        text += &format!("| {name} | {} | {diverged} |", row.runs.len());
        for i in 0..sets.len() {
            let set = row.sets.get(i);
            let mean = number(set.map(|s| s.psnr_y_db), 3);
            text += &format!(" {mean} | {} |", number(set.and_then(|s| s.psnr_spread_db), 3));
            if compared {
                let difference = set.and_then(|s| s.against_first.as_ref());
                let mean = difference.map_or("–".into(), |d| format!("{:+.3}", d.psnr_y_db));
                text += &format!(" {mean} | {} |", number(difference.and_then(|d| d.spread_db), 3));
            }
            text += &format!(" {} |", number(set.map(|s| s.ssim_y), 4));
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

    /// Every row of every table is a configuration; only what has to be named is asked for.
    #[test]
    fn the_tables_of_the_paper_are_configurations() {
        let mut base = Config::preset("edsr-edge-x4").expect("known");
        let rows =
            [Table::Losses, Table::Negatives, Table::Steps, Table::Lambda, Table::Omega].map(Table::cases);
        assert_eq!(rows.each_ref().map(Vec::len), [5, 4, 5, 6, 6]);
        let asked =
            rows.iter().flatten().filter_map(|row| config(&base, row, 1).err()).map(|e| e.to_string());
        let asked: Vec<String> = asked.collect();
        assert!(
            asked.len() == 2 && asked[0].contains("spn.others") && asked[1].contains("spn.pretrained"),
            "{asked:?}"
        );
        base.spn = Some(crate::config::Spn {
            others: vec!["a.mcir".into()],
            pretrained: Some("b.mcir".into()),
            ..Default::default()
        });
        for table in rows {
            assert_eq!(repeated(&table), None);
            table.iter().for_each(|row| drop(config(&base, row, 1).expect("complete")));
        }
    }

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
        assert_eq!(repeated(&all), None);
        let twice = [all.clone(), vec![all[1].clone()]].concat();
        assert_eq!(repeated(&twice), Some((&all[1][..], &all[1][..])));
        assert_eq!(case("a=1  b=[2,3]").expect("read"), ["a=1", "b=[2,3]"]);
        assert!(case("").is_err() && case("a=1 b").is_err());
    }

    #[test]
    fn what_makes_another_result_is_named() {
        let base = Config::preset("edsr-edge-x4").expect("known");
        let with = |list: &[&str]| {
            config(&base, &list.iter().map(ToString::to_string).collect::<Vec<_>>(), 1).expect("valid")
        };
        let free = with(&["train.val_every=3", "data.val_hr=a", "train.samples=9"]);
        assert_eq!(differences(&base, &free), Vec::<String>::new());
        let other = with(&["train.lr=0.5", "spn.lambda=0.1"]);
        let found = differences(&base, &other).join("; ");
        assert!(found.contains("train.lr (0.001, 0.5)"), "{found}");
        assert!(found.contains("spn.lambda (not set, 0.1)"), "{found}");
        assert_eq!(differences(&other, &base).len(), differences(&base, &other).len());
    }

    #[test]
    fn rows_have_mean_and_spread() {
        let score = |set: &str, psnr_y_db, ssim_y| SetScore { set: set.into(), psnr_y_db, ssim_y };
        let run = |seed, psnr: Option<f64>| {
            let sets = |p| vec![score("A", p, 0.8), score("B", p - 2.0, 0.7)];
            Outcome { seed, scores: psnr.map(sets) }
        };
        let row = Row::new(vec!["a=1".into()], vec![run(1, Some(30.0)), run(2, Some(30.2)), run(3, None)]);
        // The seeds are as far apart as before, the two rows always by the same.
        let other = Row::new(
            vec!["a=2".into()],
            [31.0, 31.2, 40.0].iter().zip(1..).map(|(p, s)| run(s, Some(*p))).collect(),
        );
        let other = other.compared_with(&row);
        let difference = other.sets[0].against_first.as_ref().expect("two seeds");
        assert_eq!(difference.seeds, 2);
        assert!((difference.psnr_y_db - 1.0).abs() < 1e-9 && difference.spread_db.expect("of two") < 1e-9);
        let text = table(&[row.clone(), other]);
        assert!(text.contains("| a=2 | 3 | 0 | 34.067 | 5.139 | +1.000 | 0.000 | 0.8000 |"), "{text}");
        assert!(text.contains("| 30.100 | 0.141 | – | – | 0.8000 |"), "{text}");
        assert!((row.sets[0].psnr_y_db - 30.1).abs() < 1e-9);
        assert!((row.sets[1].psnr_spread_db.expect("a spread") - 0.02f64.sqrt()).abs() < 1e-9);
        let lost = Row::new(Vec::new(), vec![run(1, None)]);
        assert_eq!(lost.sets, []);
        let row = row.compared_with(&lost);
        assert_eq!(row.sets[0].against_first, None, "there is nothing to compare with");
        let text = table(&[row]);
        let expected = [
            "| settings | seeds | diverged | A PSNR-Y dB | spread dB | SSIM-Y | B PSNR-Y dB | spread dB | SSIM-Y |",
            "|---|---|---|---|---|---|---|---|---|",
            "| a=1 | 3 | 1 | 30.100 | 0.141 | 0.8000 | 28.100 | 0.141 | 0.7000 |",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert!(table(&[lost]).ends_with("| as configured | 1 | 1 |\n"));
    }
}
