//! Plans of studies: runs that come in pairs of one seed, with and without a change, and the order in which they are done.
//!
//! A plan is a TOML file:
//!
//! ```toml
//! set = ["train.steps=10000"]          # of every run
//!
//! [[plain]]                            # the first of each pair
//! name = "x4"
//! preset = "edsr-edge-x4"
//!
//! [[plain]]                            # a run that starts with the weights of another one of the same seed
//! name = "x4-more"
//! preset = "edsr-edge-x4"
//! from = "x4"
//!
//! [[arm]]                              # the second
//! name = "spn"
//! of = "x4"
//! seeds = [1, 2, 3]
//! set = ["spn.lambda=1e-3"]
//! ```
//!
//! Arms of one plain run share it: a seed is run without the change once.

use crate::config::{Config, ConfigError, FeatureKind};
use serde::Deserialize;
use std::path::Path;

/// A plan.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Settings of all runs, as `--set` takes them.
    #[serde(default)]
    set: Vec<String>,
    plain: Vec<Plain>,
    arm: Vec<Arm>,
}

/// What the runs of an arm are compared with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain {
    name: String,
    preset: String,
    from: Option<String>,
    #[serde(default)]
    set: Vec<String>,
}

/// A change, and the seeds that it is run with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Arm {
    name: String,
    of: String,
    seeds: Vec<u64>,
    set: Vec<String>,
    /// Whether the loss takes the features that the study is given, and not random ones.
    #[serde(default = "yes")]
    trained_features: bool,
}

const fn yes() -> bool {
    true
}

/// A run of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// Everything that it needs.
    pub config: Config,
}

impl Run {
    /// Takes the weights of the feature network from a file, if the loss has such a network and no file yet.
    fn with_features(mut self, path: &Path) -> Self {
        let spn = self.config.spn.as_mut().map(|spn| &mut spn.features);
        if let Some(features) = spn.filter(|f| f.net != FeatureKind::Pixels && f.path.is_none()) {
            features.path = Some(path.into());
        }
        self
    }
}

/// Why a plan cannot be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// It is not written as a plan.
    #[error("the plan cannot be read: {0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// Settings of a run.
    #[error("{run}: {error}")]
    Config {
        /// Name of the run.
        run: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// An arm or a start names no plain run.
    #[error("{by} names {name:?}, which is no [[plain]] before it")]
    Unknown {
        /// Who.
        by: String,
        /// The name.
        name: String,
    },
    /// Two runs would share a folder.
    #[error("two runs would be called {0}; give arms and plain runs different names")]
    Repeated(String),
}

impl Plan {
    /// Reads a plan.
    ///
    /// # Errors
    /// [`PlanError::Toml`].
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        Ok(toml::from_str(text).map_err(Box::new)?)
    }

    /// The runs in order: the first seed of every arm, then the second of every arm, and so on, so that pairs are complete
    /// whenever the study is stopped. `more` are settings of all runs, `features` the weights of the feature network; weights of
    /// earlier runs lie in `folder`. With `only`, the arms of these names.
    ///
    /// # Errors
    /// Any other [`PlanError`].
    pub fn runs(
        &self,
        more: &[String],
        features: Option<&Path>,
        folder: &Path,
        only: &[String],
    ) -> Result<Vec<Run>, PlanError> {
        let mut runs: Vec<Run> = Vec::new();
        let mut changed: Vec<String> = Vec::new();
        let arms = || self.arm.iter().filter(|arm| only.is_empty() || only.contains(&arm.name));
        for round in 0..arms().map(|arm| arm.seeds.len()).max().unwrap_or(0) {
            for arm in arms() {
                let Some(&seed) = arm.seeds.get(round) else { continue };
                let at = self.find(&arm.of, self.plain.len(), &arm.name)?;
                self.plain(at, seed, more, folder, &mut runs)?;
                let run = self.run(at, seed, folder, Some(arm), more)?;
                let run = match features.filter(|_| arm.trained_features) {
                    Some(path) => run.with_features(path),
                    None => run,
                };
                if changed.contains(&run.name) || self.plain.iter().any(|p| name(&p.name, seed) == run.name) {
                    return Err(PlanError::Repeated(run.name));
                }
                changed.push(run.name.clone());
                runs.push(run);
            }
        }
        Ok(runs)
    }

    /// Adds the run of a plain entry, and before it the one that it starts from, unless they are there.
    fn plain(
        &self,
        at: usize,
        seed: u64,
        more: &[String],
        folder: &Path,
        runs: &mut Vec<Run>,
    ) -> Result<(), PlanError> {
        let Plain { name: this, from, .. } = &self.plain[at];
        if runs.iter().any(|run| run.name == name(this, seed)) {
            return Ok(());
        }
        if let Some(from) = from {
            self.plain(self.find(from, at, this)?, seed, more, folder, runs)?;
        }
        runs.push(self.run(at, seed, folder, None, more)?);
        Ok(())
    }

    fn run(
        &self,
        at: usize,
        seed: u64,
        folder: &Path,
        arm: Option<&Arm>,
        more: &[String],
    ) -> Result<Run, PlanError> {
        let plain = &self.plain[at];
        let start =
            plain.from.iter().map(|from| format!("train.from={}", folder.join(name(from, seed)).display()));
        let settings: Vec<String> = [&self.set, &plain.set]
            .into_iter()
            .chain(arm.map(|arm| &arm.set))
            .flatten()
            .cloned()
            .chain(more.to_vec())
            .chain(start)
            .chain([format!("seed={seed}")])
            .collect();
        let name = match arm {
            Some(arm) => name(&format!("{}-{}", plain.name, arm.name), seed),
            None => name(&plain.name, seed),
        };
        let config = Config::resolve(Some(&plain.preset), "", &settings);
        match config {
            Ok(config) => Ok(Run { name, config }),
            Err(error) => Err(PlanError::Config { run: name, error }),
        }
    }

    /// Place of a plain entry before `end`, so that nothing starts from itself.
    fn find(&self, name: &str, end: usize, by: &str) -> Result<usize, PlanError> {
        let found = self.plain[..end].iter().position(|plain| plain.name == name);
        found.ok_or_else(|| PlanError::Unknown { by: by.into(), name: name.into() })
    }
}

fn name(of: &str, seed: u64) -> String {
    format!("{of}-seed{seed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        set = ["train.steps=50", "train.batch=4"]
        [[plain]]
        name = "x4"
        preset = "edsr-edge-x4"
        [[plain]]
        name = "more"
        preset = "edsr-edge-x4"
        from = "x4"
        set = ["train.lr=1e-4"]
        [[arm]]
        name = "spn"
        of = "x4"
        seeds = [7, 8]
        set = ["spn.lambda=1e-3"]
        [[arm]]
        name = "fast"
        of = "x4"
        seeds = [7]
        set = ["train.lr=2e-3"]
        [[arm]]
        name = "spn"
        of = "more"
        seeds = [8]
        set = ["spn.lambda=1e-3"]
        trained_features = false
    "#;

    #[test]
    fn pairs_come_in_rounds_and_share_their_plain_runs() {
        let plan = Plan::parse(PLAN).expect("read");
        let names = |only: &[&str]| -> Vec<String> {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            let runs = plan.runs(&[], None, Path::new("o"), &only).expect("runs");
            runs.into_iter().map(|run| run.name).collect()
        };
        let all = [
            "x4-seed7",
            "x4-spn-seed7",
            "x4-fast-seed7",
            "x4-seed8",
            "more-seed8",
            "more-spn-seed8",
            "x4-spn-seed8",
        ];
        assert_eq!(names(&[]), all);
        assert_eq!(names(&["fast"]), ["x4-seed7", "x4-fast-seed7"]);
        let more = ["train.batch=2".to_string()];
        let runs = plan.runs(&more, Some(Path::new("vgg")), Path::new("o"), &[]).expect("runs");
        let config = |name: &str| &runs.iter().find(|run| run.name == name).expect("there").config;
        let (plain, spn, again) = (config("x4-seed8"), config("x4-spn-seed8"), config("more-spn-seed8"));
        assert_eq!((plain.seed, plain.train.steps, plain.train.batch, &plain.spn), (8, 50, 2, &None));
        let loss = spn.spn.as_ref().expect("on");
        assert_eq!((loss.lambda, loss.features.path.as_deref()), (1e-3, Some(Path::new("vgg"))));
        assert_eq!(&Config { spn: None, ..spn.clone() }, plain, "a pair differs in nothing else");
        assert_eq!(again.train.from.as_deref(), Some(Path::new("o/x4-seed8")));
        assert_eq!(again.train.lr, 1e-4);
        assert_eq!(again.spn.as_ref().expect("on").features.path, None);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |from: &str, to: &str| {
            let plan = Plan::parse(&PLAN.replacen(from, to, 1));
            plan.and_then(|plan| plan.runs(&[], None, Path::new("o"), &[])).expect_err("refused").to_string()
        };
        assert!(error("of = \"x4\"", "of = \"x5\"").contains("\"x5\""));
        assert!(error("from = \"x4\"", "from = \"more\"").contains("more names \"more\""));
        assert!(error("spn.lambda=1e-3", "spn.lambda=7").contains("x4-spn-seed7: spn.lambda"));
        assert!(error("name = \"fast\"", "name = \"spn\"").contains("x4-spn-seed7"));
        assert!(error("seeds", "seed").contains("seed"));
    }
}
