//! Finished training runs, and which of them differ in nothing but the SPN loss.

use mcir_upscale::error::{Advice, Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Names of a run's float model: as shipped, and as the trainer leaves it.
const FLOAT: [&str; 2] = ["model.f32.mcir", "model.mcir"];
const INT8: &str = "model.int8.mcir";
const CONFIG: &str = "config.toml";

/// A finished training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// Its float model.
    #[serde(skip)]
    pub float: PathBuf,
    /// Its quantized model, if there is one.
    #[serde(skip)]
    pub int8: Option<PathBuf>,
    /// Seed of weights and data order.
    pub seed: i64,
    /// What may differ from its twin.
    pub change: Change,
    /// Everything else of the configuration: what twins have in common.
    pub setting: Table,
    /// Training time in seconds, as the log says.
    pub seconds: Option<f64>,
}

/// What runs of one seed are compared for: the loss and, where that is asked for, the learning rate, which tells a loss from
/// a larger step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Change {
    /// The SPN loss; none for λ = 0, whatever else is set.
    pub spn: Option<Table>,
    /// The learning rate.
    pub rate: f64,
}

impl Change {
    /// λ; zero without the loss.
    pub fn lambda(&self) -> f64 {
        self.spn.as_ref().map_or(0.0, lambda)
    }
}

/// Reads the runs in the folders: each is a run itself or holds runs. Sorted by name.
///
/// # Errors
/// [`Error::Missing`], [`Error::NoRuns`], [`Error::Config`], [`Error::Io`].
pub fn find(folders: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    for folder in folders {
        if !folder.is_dir() {
            return Err(Error::missing(folder));
        }
        if let Some(run) = read(folder)? {
            runs.push(run);
            continue;
        }
        let failed = Error::io("list", &folder);
        let before = runs.len();
        for entry in std::fs::read_dir(folder).map_err(&failed)? {
            let path = entry.map_err(&failed)?.path();
            if path.is_dir() {
                runs.extend(read(&path)?);
            }
        }
        if runs.len() == before {
            return Err(RunsError::NoRuns { path: folder.clone() }.into());
        }
    }
    runs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(runs)
}

/// The run in a folder, if it holds a configuration and a model.
fn read(folder: &Path) -> Result<Option<Run>> {
    let (config, float) = (folder.join(CONFIG), FLOAT.map(|f| folder.join(f)));
    let Some(float) = float.into_iter().find(|f| f.exists()) else { return Ok(None) };
    if !config.exists() {
        return Ok(None);
    }
    let io = Error::io("read", &config);
    let text = std::fs::read_to_string(&config).map_err(&io)?;
    let setting: Table = text
        .parse()
        .map_err(|source| RunsError::Config { path: config.clone(), source: Box::new(source) })?;
    let int8 = folder.join(INT8);
    let log = std::fs::read_to_string(folder.join("log.csv")).unwrap_or_default();
    let name = folder.file_name().map_or_else(|| ".".into(), |n| n.to_string_lossy().into_owned());
    Ok(Some(Run { int8: int8.exists().then_some(int8), ..split(name, float, setting, &log) }))
}

/// Takes the seed, the loss and the learning rate out of a configuration. A run of a study starts from that of the same
/// seed: which seed it is, is no setting.
fn split(name: String, float: PathBuf, mut setting: Table, log: &str) -> Run {
    let seed = setting.remove("seed").and_then(|v| v.as_integer()).unwrap_or(0);
    let spn = setting.remove("spn").and_then(|v| match v {
        Value::Table(spn) => Some(spn).filter(|spn| lambda(spn) > 0.0),
        _ => None,
    });
    let mut rate = 0.0;
    if let Some(Value::Table(train)) = setting.get_mut("train") {
        rate = train.remove("lr").and_then(|v| v.as_float()).unwrap_or(0.0);
        if let Some(Value::String(from)) = train.get_mut("from") {
            *from = from.replace(&format!("-seed{seed}"), "");
        }
    }
    Run { name, float, int8: None, seed, change: Change { spn, rate }, setting, seconds: seconds(log) }
}

/// The training time in a log. Logs of older trainers begin at zero again when a run is resumed.
fn seconds(log: &str) -> Option<f64> {
    let times = log.lines().filter_map(|line| line.rsplit(',').next()?.parse::<f64>().ok());
    let sum = |(sum, last): (f64, f64), time: f64| (sum + time - if time < last { 0.0 } else { last }, time);
    (log.lines().count() > 1).then(|| times.fold((0.0, 0.0), sum).0)
}

/// λ of an SPN table; the method's default when it is not set, and zero where the run has no negatives.
pub fn lambda(spn: &Table) -> f64 {
    match spn.get("lambda") {
        _ if spn.get("negative").and_then(Value::as_str) == Some("none") => 0.0,
        Some(Value::Integer(i)) => *i as f64,
        Some(value) => value.as_float().unwrap_or(0.0),
        None => 1e-4,
    }
}

/// Runs that differ in seed and SPN loss alone, and perhaps in the learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub setting: Table,
    /// Indices of the runs without SPN, at the lowest rate at which there are such runs.
    pub plain: Vec<usize>,
    /// The other changes with the indices of their runs, by rising λ.
    pub changed: Vec<(Change, Vec<usize>)>,
}

impl Group {
    /// The pairs of a change, by seed: the run without and the run with it.
    pub fn pairs<'a>(
        &'a self,
        runs: &'a [Run],
        with: &'a [usize],
    ) -> impl Iterator<Item = (usize, usize)> + 'a {
        let twin = move |&w: &usize| {
            let plain = self.plain.iter().find(|&&p| runs[p].seed == runs[w].seed);
            plain.map(|&p| (p, w))
        };
        with.iter().filter_map(twin)
    }
}

/// Puts runs into groups, in the order of the first run of each. With `rates`, another learning rate is a change; without,
/// another setting.
pub fn group(runs: &[Run], rates: bool) -> Vec<Group> {
    let mut settings: Vec<(&Table, Vec<usize>)> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let belongs = |other: usize| {
            runs[other].setting == run.setting && (rates || runs[other].change.rate == run.change.rate)
        };
        match settings.iter_mut().find(|(_, members)| belongs(members[0])) {
            Some((_, members)) => members.push(i),
            None => settings.push((&run.setting, vec![i])),
        }
    }
    let group = |(setting, mut members): (&Table, Vec<usize>)| {
        members.sort_by_key(|&i| runs[i].seed);
        let rates = members.iter().filter(|&&i| runs[i].change.spn.is_none()).map(|&i| runs[i].change.rate);
        let lowest = Change { spn: None, rate: rates.fold(f64::INFINITY, f64::min) };
        let (plain, others): (Vec<usize>, Vec<usize>) =
            members.into_iter().partition(|&i| runs[i].change == lowest);
        let mut changed: Vec<(Change, Vec<usize>)> = Vec::new();
        for i in others {
            match changed.iter_mut().find(|(change, _)| *change == runs[i].change) {
                Some((_, members)) => members.push(i),
                None => changed.push((runs[i].change.clone(), vec![i])),
            }
        }
        changed.sort_by(|(a, _), (b, _)| a.lambda().total_cmp(&b.lambda()));
        Group { setting: setting.clone(), plain, changed }
    };
    settings.into_iter().map(group).collect()
}

/// A setting in one line: name, steps, batch, patch, learning rate of the runs without a change, start.
pub fn describe_setting(setting: &Table, rate: Option<f64>) -> String {
    let text = |path: &[&str]| {
        let (last, tables) = path.split_last()?;
        let table = tables.iter().try_fold(setting, |t, key| t.get(*key)?.as_table())?;
        table.get(*last).map(plain)
    };
    let mut parts: Vec<String> = text(&["name"]).into_iter().collect();
    let data = text(&["data", "hr"]).map(|p| p.rsplit('/').next().unwrap_or_default().to_owned());
    for (label, value) in [
        ("trained on ", data),
        ("steps ", text(&["train", "steps"])),
        ("batch ", text(&["train", "batch"])),
        ("LR patch ", text(&["data", "patch"])),
        ("learning rate ", rate.map(|rate| rate.to_string())),
        ("", text(&["train", "schedule", "kind"])),
        ("started from ", text(&["train", "from"])),
    ] {
        parts.extend(value.map(|v| format!("{label}{v}")));
    }
    parts.join(", ")
}

/// A change in one line, beside the rate of the runs without it.
pub fn describe_change(change: &Change, plain_rate: Option<f64>) -> String {
    let rate = (plain_rate.is_some_and(|plain| plain != change.rate))
        .then(|| format!("learning rate {}", change.rate));
    let spn = change.spn.as_ref().map(describe_spn);
    match (spn, rate) {
        (Some(spn), Some(rate)) => format!("{spn}, {rate}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "no SPN".into(),
    }
}

/// An SPN loss in one line, the feature network and what stands in for it included.
fn describe_spn(spn: &Table) -> String {
    let get = |key: &str| spn.get(key).map(plain);
    let mut parts = vec![format!("λ = {}", lambda(spn))];
    parts.extend(get("negative").map(|v| match v.as_str() {
        "latency" => format!("latency models, steps {}", get("steps").unwrap_or_default()),
        _ => format!("{v} negative"),
    }));
    parts.extend(get("omega").map(|v| format!("ω = {v}")));
    if let Some(features) = spn.get("features").and_then(Value::as_table) {
        let net = features.get("net").map_or_else(String::new, plain);
        let path = features.get("path").map(plain);
        let weights = match path {
            // A network of this engine's: of its file the folder says which.
            Some(path) if net == "model" => format!("the trained {path}"),
            Some(path) => format!("a {net} of {}", path.rsplit('/').next().unwrap_or_default()),
            None => format!("a random {net} (fixed seed)"),
        };
        let layers = features.get("layers").map_or_else(String::new, plain);
        parts.push(match net.as_str() {
            "pixels" => "compared by pixels".into(),
            _ => format!("features of {weights} at {layers}"),
        });
    }
    parts.extend(get("draw").map(|v| format!("{v} of them drawn for each patch")));
    parts.extend(get("crop").map(|v| format!("on {v}x{v} pixel crops")));
    parts.extend(get("batch").map(|v| format!("of {v} patches a step")));
    parts.join(", ")
}

/// A value for a reader: no quotes, lists with slashes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join("/"),
        other => other.to_string(),
    }
}

/// Why a folder's training runs cannot be tabulated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunsError {
    /// A folder without any.
    #[error("there is no training run in the folder {}", path.display())]
    NoRuns {
        /// The folder.
        path: PathBuf,
    },
    /// A file of measurements that is none.
    #[error("{} holds no scores of mcir-board results: {why}", path.display())]
    Scores {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A configuration that is no TOML.
    #[error("{} cannot be read: {source}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<toml::de::Error>,
    },
}

impl Advice for RunsError {
    fn help(&self) -> String {
        match self {
            Self::NoRuns { .. } => {
                "a run is a folder with config.toml and model.mcir, as mcir-train train -o leaves it".into()
            }
            Self::Scores { .. } => {
                "it has to be a file that results --save-scores wrote with this version".into()
            }
            Self::Config { .. } => "it has to be the config.toml that mcir-train wrote into the run".into(),
        }
    }
}

impl From<RunsError> for Error {
    fn from(error: RunsError) -> Self {
        Self::Room(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(name: &str, config: &str) -> Run {
        split(name.into(), PathBuf::new(), config.parse().unwrap(), "step,seconds\n5,7.5\n")
    }

    #[test]
    fn twins_differ_in_seed_and_loss_alone() {
        let runs = [
            run("a", "name = \"e\"\nseed = 2\n[train]\nsteps = 10"),
            run("b", "name = \"e\"\nseed = 1\n[train]\nsteps = 10"),
            run("c", "name = \"e\"\nseed = 1\n[train]\nsteps = 10\n[spn]\nlambda = 0.01"),
            run("d", "name = \"e\"\nseed = 3\n[train]\nsteps = 10\n[spn]\nlambda = 0.01"),
            run("e", "name = \"e\"\nseed = 2\n[train]\nsteps = 10\n[spn]\nlambda = 0.001"),
            run("f", "name = \"e\"\nseed = 2\n[train]\nsteps = 11\n[spn]\nlambda = 0.001"),
            run("g", "name = \"e\"\nseed = 4\n[train]\nsteps = 11\n[spn]\nlambda = 0.0"),
            run("h", "name = \"e\"\nseed = 5\n[train]\nsteps = 11\n[spn]\nlambda = 0.1\nnegative = \"none\""),
        ];
        assert_eq!(runs[0].seconds, Some(7.5));
        assert_eq!(
            seconds("step,seconds\n1,20.0\n2,41.0\n3,4.0\n4,9.5\n"),
            Some(50.5),
            "resumed after step 2"
        );
        assert_eq!(seconds(""), None);
        let groups = group(&runs, false);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].plain, [1, 0], "by seed");
        let members: Vec<_> = groups[0].changed.iter().map(|(c, m)| (c.lambda(), m.clone())).collect();
        assert_eq!(members, [(0.001, vec![4]), (0.01, vec![2, 3])], "by λ");
        let pairs: Vec<_> = groups[0].pairs(&runs, &groups[0].changed[1].1).collect();
        assert_eq!(pairs, [(1, 2)], "seed 3 has no run without SPN");
        assert_eq!(groups[1].plain, [6, 7], "neither λ = 0 nor a loss without negatives is SPN");
    }

    #[test]
    fn a_higher_rate_is_a_change_and_the_seed_of_a_start_is_none() {
        let config = |seed: u32, rate: &str, more: &str| {
            format!("seed = {seed}\n[train]\nlr = {rate}\nfrom = \"runs/x4-seed{seed}\"\n{more}")
        };
        let runs = [
            run("a", &config(1, "2e-3", "")),
            run("b", &config(1, "1e-3", "")),
            run("c", &config(2, "1e-3", "")),
            run("d", &config(1, "1e-3", "[spn]\nlambda = 0.01")),
        ];
        assert_eq!(group(&runs, false).len(), 2, "unless it is asked for, another rate is another setting");
        let groups = group(&runs, true);
        assert_eq!(groups.len(), 1);
        assert_eq!(groups[0].plain, [1, 2]);
        let members: Vec<_> = groups[0].changed.iter().map(|(_, m)| m.clone()).collect();
        assert_eq!(members, [vec![0], vec![3]]);
        assert_eq!(describe_change(&runs[0].change, Some(1e-3)), "learning rate 0.002");
        assert!(describe_change(&runs[3].change, Some(1e-3)).starts_with("λ = 0.01"));
    }

    #[test]
    fn descriptions_name_what_stands_in_for_the_feature_network() {
        let spn = "lambda = 0.01\nnegative = \"latency\"\nsteps = [100, 500]\ncrop = 32\n[features]\n\
                   net = \"vgg16\"\nlayers = [\"relu1_2\", \"relu2_2\"]";
        assert_eq!(
            describe_spn(&spn.parse().unwrap()),
            "λ = 0.01, latency models, steps 100/500, features of a random vgg16 (fixed seed) at relu1_2/relu2_2, \
             on 32x32 pixel crops"
        );
        let given = "lambda = 1e-4\nnegative = \"random\"\n[features]\nnet = \"vgg16\"\npath = \"w/vgg.pth\"";
        assert_eq!(
            describe_spn(&given.parse().unwrap()),
            "λ = 0.0001, random negative, features of a vgg16 of vgg.pth at "
        );
        let ours = "lambda = 1e-4\nnegative = \"latency\"\nsteps = [100]\n[features]\nnet = \"model\"\npath = \"edge/model.mcir\"\n\
                    layers = [\"body.1.conv1\"]";
        assert_eq!(
            describe_spn(&ours.parse().unwrap()),
            "λ = 0.0001, latency models, steps 100, features of the trained edge/model.mcir at body.1.conv1"
        );
    }
}
