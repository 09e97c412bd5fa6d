//! Finished training runs, and which of them differ in nothing but the SPN loss.

use mcir_upscale::error::{Advice, Error, Result};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Names of a run's float model: as shipped, and as the trainer leaves it.
const FLOAT: [&str; 2] = ["model.f32.mcir", "model.mcir"];
const INT8: &str = "model.int8.mcir";
const CONFIG: &str = "config.toml";

/// A finished training run.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Name of its folder.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its float model.
    pub float: PathBuf,
    /// Its quantized model, if there is one.
    pub int8: Option<PathBuf>,
    /// Seed of weights and data order.
    pub seed: i64,
    /// The SPN loss; none for λ = 0, whatever else is set.
    pub spn: Option<Table>,
    /// Everything else of the configuration: what twins have in common.
    pub setting: Table,
    /// Training time in seconds, as the log says.
    pub seconds: Option<f64>,
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
    Ok(Some(Run { int8: int8.exists().then_some(int8), ..split(name, folder, float, setting, &log) }))
}

/// Takes the seed and the loss out of a configuration.
fn split(name: String, folder: &Path, float: PathBuf, mut setting: Table, log: &str) -> Run {
    let seed = setting.remove("seed").and_then(|v| v.as_integer()).unwrap_or(0);
    let spn = setting.remove("spn").and_then(|v| match v {
        Value::Table(spn) => Some(spn).filter(|spn| lambda(spn) > 0.0),
        _ => None,
    });
    let last = log.lines().last().and_then(|line| line.rsplit(',').next()?.parse().ok());
    Run { name, folder: folder.into(), float, int8: None, seed, spn, setting, seconds: last }
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

/// Runs that differ in seed and SPN loss alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// What they have in common.
    pub setting: Table,
    /// Indices of the runs without SPN.
    pub plain: Vec<usize>,
    /// Each SPN loss with the indices of its runs, by rising λ.
    pub spn: Vec<(Table, Vec<usize>)>,
}

impl Group {
    /// The pairs of a loss, by seed: the run without and the run with it.
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

/// Puts runs into groups, in the order of the first run of each.
pub fn group(runs: &[Run]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let at = groups.iter().position(|g| g.setting == run.setting).unwrap_or_else(|| {
            groups.push(Group { setting: run.setting.clone(), plain: Vec::new(), spn: Vec::new() });
            groups.len() - 1
        });
        let group = &mut groups[at];
        match &run.spn {
            None => group.plain.push(i),
            Some(spn) => match group.spn.iter_mut().find(|(table, _)| table == spn) {
                Some((_, members)) => members.push(i),
                None => group.spn.push((spn.clone(), vec![i])),
            },
        }
    }
    for group in &mut groups {
        group.plain.sort_by_key(|&i| runs[i].seed);
        group.spn.sort_by(|a, b| lambda(&a.0).total_cmp(&lambda(&b.0)));
        for (_, members) in &mut group.spn {
            members.sort_by_key(|&i| runs[i].seed);
        }
    }
    groups
}

/// A setting in one line: name, steps, batch, patch, learning rate, start.
pub fn describe_setting(setting: &Table) -> String {
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
        ("learning rate ", text(&["train", "lr"])),
        ("", text(&["train", "schedule", "kind"])),
        ("started from ", text(&["train", "from"])),
    ] {
        parts.extend(value.map(|v| format!("{label}{v}")));
    }
    parts.join(", ")
}

/// An SPN loss in one line, the feature network and what stands in for it included.
pub fn describe_spn(spn: &Table) -> String {
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
        parts.push(format!("features of {weights} at {layers}"));
    }
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
        split(name.into(), Path::new(name), PathBuf::new(), config.parse().unwrap(), "step,seconds\n5,7.5\n")
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
        let groups = group(&runs);
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0].plain, [1, 0], "by seed");
        let members: Vec<_> = groups[0].spn.iter().map(|(t, m)| (lambda(t), m.clone())).collect();
        assert_eq!(members, [(0.001, vec![4]), (0.01, vec![2, 3])], "by λ");
        let pairs: Vec<_> = groups[0].pairs(&runs, &groups[0].spn[1].1).collect();
        assert_eq!(pairs, [(1, 2)], "seed 3 has no run without SPN");
        assert_eq!(groups[1].plain, [6, 7], "neither λ = 0 nor a loss without negatives is SPN");
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
