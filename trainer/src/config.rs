//! [`Config`]: everything that decides what a run computes, in one TOML file.
//!
//! A configuration is a preset with changes laid over it: those of a file, then those of the command line. It
//! is resolved once, checked, and saved beside the results, so that `config.toml` alone repeats the run.

use crate::conv::Precision;
use crate::data::degrade::{self, Degrade};
use crate::loss::pixel::Loss;
use crate::net::{Architecture, dehazeformer, idt, nafnet};
use mcir_runtime::arch::{edsr, ffanet, swinir};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use toml::{Table, Value};

mod presets;
mod schedule;
mod spn;

pub use presets::PRESETS;
pub use schedule::Schedule;
pub use spn::{FeatureKind, Features, Negative, PerModel, Spn};

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No preset has this name.
    #[error("no preset is called {0:?}; presets are {list}", list = PRESETS)]
    Preset(String),
    /// A `key=value` that cannot be read.
    #[error("cannot read the setting {0:?}; write it as section.key=value, for example train.steps=2000")]
    Setting(String),
    /// Not a TOML document, or an unknown key or a value of the wrong type.
    #[error("{}; see the config.toml of any run for all keys", .0.to_string().trim())]
    Toml(Box<toml::de::Error>),
    /// A degradation that is none of the presets.
    #[error("no degradation is called {0:?}; presets of data.degrade are {list}", list = degrade::PRESETS)]
    Degradation(String),
    /// A value out of range.
    #[error("{key} is {found}, but must be {limit}")]
    Range {
        /// Key of the value.
        key: &'static str,
        /// The value.
        found: String,
        /// What is allowed.
        limit: &'static str,
    },
}

/// All settings of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the model, also written into the exported file.
    pub name: String,
    /// Seed of initial weights and data order.
    pub seed: u64,
    /// Architecture.
    pub model: Model,
    /// Images.
    pub data: Data,
    /// Optimization.
    pub train: Train,
    /// SPN loss; plain L1 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spn: Option<Spn>,
}

/// Architecture and its shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "arch", rename_all = "snake_case")]
pub enum Model {
    /// EDSR and its real-time relatives.
    Edsr(edsr::Config),
    /// SwinIR.
    Swinir(swinir::Config),
    /// FFA-Net, for restoration at one size.
    Ffanet(ffanet::Config),
    /// NAFNet, for restoration at one size; the trainer alone runs it.
    Nafnet(nafnet::Config),
    /// DehazeFormer, for dehazing; the trainer alone runs it.
    Dehazeformer(dehazeformer::Config),
    /// IDT, for removing rain.
    Idt(idt::Config),
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Folder of high-resolution training images: the targets.
    pub hr: PathBuf,
    /// Folder of low-resolution or degraded training images, paired by file name (`NAME`, `NAMEx4`). Without it
    /// they are made from the targets by MATLAB-compatible bicubic downscaling; a network that does not
    /// upscale needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<PathBuf>,
    /// Folders of high-resolution validation images, one a validation set; a string or a list of them.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub val_hr: Vec<PathBuf>,
    /// Folders of low-resolution validation images, one for each of `val_hr` or none; as `lr`.
    #[serde(default, deserialize_with = "one_or_many", skip_serializing_if = "Vec::is_empty")]
    pub val_lr: Vec<PathBuf>,
    /// Side of a training patch in the low-resolution image, in pixels.
    pub patch: usize,
    /// Random flips and rotations by 90 degrees.
    pub augment: bool,
    /// What is done to low-resolution patches, made anew from the targets in every step; in a file or setting also the name
    /// of a preset (`"camera"`, `"photo"`, `"clean"`), or a table of changes with its name as `preset`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degrade: Option<Degrade>,
    /// Folder with what a teacher makes of the low-resolution training images, paired by file name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<PathBuf>,
    /// Memory for decoded training images in MiB; what is beyond goes to a file in the run's folder. DIV2K has 7 GB.
    #[serde(default = "memory_mb", skip_serializing_if = "is_memory_mb")]
    pub memory_mb: usize,
}

/// Optimization settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Weights to start from where they fit by name and shape: a model file, checkpoint, run folder or PyTorch
    /// file. Random ones without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PathBuf>,
    /// Optimizer steps.
    pub steps: u64,
    /// Patches in a step.
    pub batch: usize,
    /// Parts that each device computes its patches of a step in, one after the other: the memory of a part for the
    /// gradients of the whole. Contrastive losses that are ratios are then ratios of each part.
    #[serde(default = "accumulate")]
    pub accumulate: usize,
    /// What convolutions compute in; weights, losses and everything else stay in f32. `bf16` is for devices that are
    /// faster with it; the CPU is slower.
    #[serde(default)]
    pub precision: Precision,
    /// Reconstruction loss.
    #[serde(default)]
    pub loss: Loss,
    /// Learning rate of Adam.
    pub lr: f64,
    /// Weights of the old first and second moments in Adam.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// How the learning rate falls.
    pub schedule: Schedule,
    /// Weight of the teacher's output beside the target, which has the rest; of `data.teacher`.
    #[serde(default = "teacher_weight", skip_serializing_if = "is_teacher_weight")]
    pub teacher_weight: f64,
    /// Channels of the linear branch that every convolution is trained with and that is folded into its weights;
    /// none for 0. See [`crate::net::Branch`].
    #[serde(default, skip_serializing_if = "is_zero")]
    pub expand: u16,
    /// Steps over which the learning rate rises from zero at the start.
    pub warmup: u64,
    /// Weight of the old value in the exponential moving average that is evaluated and exported.
    pub ema: f64,
    /// Steps between validations.
    pub val_every: u64,
    /// Steps between checkpoints.
    pub save_every: u64,
    /// Steps between rows of the log.
    pub log_every: u64,
    /// Validation images whose output is written to `samples/` at every validation.
    #[serde(default = "samples")]
    pub samples: usize,
    /// The run has diverged when the mean reconstruction loss over this many steps …
    #[serde(default = "divergence_window")]
    pub divergence_window: u64,
    /// … exceeds the best such mean by this factor.
    #[serde(default = "divergence_factor")]
    pub divergence_factor: f64,
}

/// One path or a list of them: configurations of runs with a single validation set name just that.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a folder or a list of folders")]
    enum Paths {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match Paths::deserialize(deserializer)? {
        Paths::One(path) => vec![path],
        Paths::Many(paths) => paths,
    })
}

const fn memory_mb() -> usize {
    4096
}

/// What makes no difference to the result is only written down if somebody chose it.
fn is_memory_mb(value: &usize) -> bool {
    *value == memory_mb()
}

const fn teacher_weight() -> f64 {
    0.5
}

fn is_teacher_weight(value: &f64) -> bool {
    *value == teacher_weight()
}

fn is_zero(value: &u16) -> bool {
    *value == 0
}

const fn accumulate() -> usize {
    1
}

const fn betas() -> [f64; 2] {
    [0.9, 0.999]
}

const fn samples() -> usize {
    1
}

const fn divergence_window() -> u64 {
    500
}

const fn divergence_factor() -> f64 {
    2.0
}

impl Model {
    /// What the network computes.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Edsr(config) => edsr::graph(config).into(),
            Self::Swinir(config) => swinir::graph(config).into(),
            Self::Ffanet(config) => ffanet::graph(config).into(),
            Self::Nafnet(config) => Architecture::Nafnet(config.clone()),
            Self::Dehazeformer(config) => Architecture::Dehazeformer(config.clone()),
            Self::Idt(config) => Architecture::Idt(config.clone()),
        }
    }

    /// Upscaling factor.
    pub fn upscale(&self) -> usize {
        match self {
            Self::Edsr(config) => config.upscale.into(),
            Self::Swinir(config) => config.upscale.into(),
            Self::Ffanet(_) | Self::Nafnet(_) | Self::Dehazeformer(_) | Self::Idt(_) => 1,
        }
    }

    /// Whether [`Model::architecture`] can build it.
    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Edsr(m) => {
                upscale(m.upscale, m.tail == edsr::Tail::Paper)?;
                range((1..=1024).contains(&m.num_feat), "model.num_feat", &m.num_feat, "1 to 1024")?;
                range((1..=256).contains(&m.num_block), "model.num_block", &m.num_block, "1 to 256")?;
                range(m.channels == 3, "model.channels", &m.channels, "3")?;
                range(m.res_scale.is_finite(), "model.res_scale", &m.res_scale, "a number")
            }
            Self::Swinir(m) => {
                match m.tail {
                    swinir::Tail::Restoration => {
                        let limit = "1 for tail = \"restoration\"";
                        range(m.upscale == 1, "model.upscale", &m.upscale, limit)?;
                    }
                    swinir::Tail::Direct => upscale(m.upscale, false)?,
                    swinir::Tail::Classical(_) => upscale(m.upscale, true)?,
                }
                range((1..=1024).contains(&m.embed_dim), "model.embed_dim", &m.embed_dim, "1 to 1024")?;
                range(m.channels == 3, "model.channels", &m.channels, "3")?;
                let depths =
                    (1..=16).contains(&m.depths.len()) && m.depths.iter().all(|d| (1..=64).contains(d));
                range(depths, "model.depths", &format!("{:?}", m.depths), "1 to 16 numbers from 1 to 64")?;
                let divides = |h: &u16| *h > 0 && m.embed_dim.is_multiple_of(*h);
                let heads = m.num_heads.len() == m.depths.len() && m.num_heads.iter().all(divides);
                let limit = "as many divisors of embed_dim as there are depths";
                range(heads, "model.num_heads", &format!("{:?}", m.num_heads), limit)?;
                range((2..=16).contains(&m.window_size), "model.window_size", &m.window_size, "2 to 16")?;
                range((1..=8).contains(&m.mlp_ratio), "model.mlp_ratio", &m.mlp_ratio, "1 to 8")
            }
            Self::Ffanet(m) => {
                range((1..=16).contains(&m.num_group), "model.num_group", &m.num_group, "1 to 16")?;
                range((1..=64).contains(&m.num_block), "model.num_block", &m.num_block, "1 to 64")?;
                range((1..=1024).contains(&m.num_feat), "model.num_feat", &m.num_feat, "1 to 1024")
            }
            Self::Nafnet(m) => {
                range((1..=256).contains(&m.width), "model.width", &m.width, "1 to 256")?;
                let (down, up) = (&m.enc_blk_nums, &m.dec_blk_nums);
                let blocks = |list: &[u16]| list.iter().all(|n| *n <= 64);
                let levels = (1..=6).contains(&down.len()) && blocks(down);
                range(levels, "model.enc_blk_nums", &format!("{down:?}"), "1 to 6 numbers up to 64")?;
                let equal = up.len() == down.len() && blocks(up);
                let limit = "as many numbers up to 64 as enc_blk_nums";
                range(equal, "model.dec_blk_nums", &format!("{up:?}"), limit)?;
                range(m.middle_blk_num <= 64, "model.middle_blk_num", &m.middle_blk_num, "at most 64")
            }
            Self::Idt(m) => {
                m.fault().map_or(Ok(()), |(key, found, limit)| Err(ConfigError::Range { key, found, limit }))
            }
            Self::Dehazeformer(m) => {
                let within = |list: &[u16], most: u16| list.iter().all(|n| (1..=most).contains(n));
                let text = |list: &[u16]| format!("{list:?}");
                let d = m.embed_dims;
                let dims = within(&d, 1024) && d[1] == d[3] && d[0] == d[4];
                let limit = "1 to 1024, the last two as the first two backwards";
                range(dims, "model.embed_dims", &text(&d), limit)?;
                range(within(&m.mlp_ratios, 8), "model.mlp_ratios", &text(&m.mlp_ratios), "1 to 8")?;
                range(within(&m.depths, 64), "model.depths", &text(&m.depths), "1 to 64")?;
                let heads = m.num_heads.iter().zip(d).all(|(&h, d)| h > 0 && d.is_multiple_of(h));
                range(heads, "model.num_heads", &text(&m.num_heads), "divisors of embed_dims")?;
                let shares = m.attn_ratio.iter().all(|share| (0.0..=1.0).contains(share));
                range(shares, "model.attn_ratio", &format!("{:?}", m.attn_ratio), "numbers from 0 to 1")?;
                range((2..=16).contains(&m.window_size), "model.window_size", &m.window_size, "2 to 16")
            }
        }
    }
}

impl Config {
    /// Lays a TOML document and `section.key=value` settings over a preset (the document's `preset` key, or
    /// `preset`, which wins) and checks the result.
    ///
    /// # Errors
    /// Any [`ConfigError`].
    pub fn resolve(preset: Option<&str>, document: &str, settings: &[String]) -> Result<Self, ConfigError> {
        let mut over: Table = document.parse().map_err(|e| ConfigError::Toml(Box::new(e)))?;
        let named = over.remove("preset");
        expand_degradation(&mut over)?;
        let preset = preset.or(named.as_ref().and_then(Value::as_str));
        let mut table = match preset {
            Some(name) => Table::try_from(Self::preset(name)?).expect("a preset can be written as TOML"),
            None => Table::new(),
        };
        merge(&mut table, over);
        for setting in settings {
            let mut setting = parse_setting(setting)?;
            expand_degradation(&mut setting)?;
            merge(&mut table, setting);
        }
        let config: Self = table.try_into().map_err(|e| ConfigError::Toml(Box::new(e)))?;
        config.check()?;
        Ok(config)
    }

    /// Whether this is a recipe of the paper's for x3 or x4, which begins with the weights of x2, without such weights.
    pub fn is_short_of_a_start(&self) -> bool {
        let recipe = |family: &str| self.name.strip_prefix(family).is_some_and(|n| n == "3" || n == "4");
        let preset = Self::preset(&self.name).is_ok_and(|preset| preset.train.steps == self.train.steps);
        self.train.from.is_none() && preset && (recipe("edsr-light-x") || recipe("swinir-light-x"))
    }

    /// The document that [`Config::resolve`] reads back to an equal configuration.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a configuration can be written as TOML")
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.model.check()?;
        range((4..=1024).contains(&self.data.patch), "data.patch", &self.data.patch, "4 to 1024")?;
        let (sets, partners) = (self.data.val_hr.len(), self.data.val_lr.len());
        let paired = partners == 0 || partners == sets;
        range(paired, "data.val_lr", &format!("a list of {partners}"), "as long as data.val_hr, or empty")?;
        if let Some((key, found, limit)) = self.data.degrade.as_ref().and_then(Degrade::fault) {
            return Err(ConfigError::Range { key, found, limit });
        }
        let made = self.data.degrade.is_none() || (self.data.lr.is_none() && self.data.teacher.is_none());
        let limit = "left out where data.degrade makes the low-resolution patches";
        range(made, "data.lr or data.teacher", &"set", limit)?;
        let t = &self.train;
        range((0.0..=1.0).contains(&t.teacher_weight), "train.teacher_weight", &t.teacher_weight, "0 to 1")?;
        range(t.expand <= 1024, "train.expand", &t.expand, "0 (no branches) to 1024")?;
        let branches =
            t.expand == 0 || !matches!(self.model, Model::Nafnet(_) | Model::Dehazeformer(_) | Model::Idt(_));
        range(branches, "train.expand", &t.expand, "0 for a network that is no graph of the engine's")?;
        range(t.steps > 0, "train.steps", &t.steps, "at least 1")?;
        range((1..=4096).contains(&t.batch), "train.batch", &t.batch, "1 to 4096")?;
        let divides = (1..=t.batch).contains(&t.accumulate) && t.batch.is_multiple_of(t.accumulate);
        range(divides, "train.accumulate", &t.accumulate, "a divisor of train.batch")?;
        range(t.lr > 0.0 && t.lr < 1.0, "train.lr", &t.lr, "above 0 and below 1")?;
        let betas = t.betas.iter().all(|b| (0.0..1.0).contains(b));
        range(betas, "train.betas", &format!("{:?}", t.betas), "two numbers from 0 to below 1")?;
        range((0.0..1.0).contains(&t.ema), "train.ema", &t.ema, "0 or more and below 1")?;
        for (key, every) in [
            ("train.val_every", t.val_every),
            ("train.save_every", t.save_every),
            ("train.log_every", t.log_every),
            ("train.divergence_window", t.divergence_window),
        ] {
            range(every > 0, key, &every, "at least 1")?;
        }
        let factor = t.divergence_factor;
        range(factor > 1.0, "train.divergence_factor", &factor, "above 1")?;
        if let Some(spn) = &self.spn {
            let nothing = spn.steps.is_empty() || spn.steps.contains(&0);
            range(!nothing, "spn.steps", &format!("{:?}", spn.steps), "a list of numbers of at least 1")?;
            // What is subtracted has no lower bound; what is added may weigh more than the reconstruction.
            let subtracted = spn.negative != Negative::None && !spn.negative.is_added();
            let (ok, limit) = match subtracted {
                true => ((0.0..1.0).contains(&spn.lambda), "0 or more and below 1"),
                false => ((0.0..=1e3).contains(&spn.lambda), "0 to 1000"),
            };
            range(ok, "spn.lambda", &spn.lambda, limit)?;
            range(spn.copies <= 64, "spn.copies", &spn.copies, "at most 64")?;
            let warm = (0.02..=100.0).contains(&spn.temperature);
            range(warm, "spn.temperature", &spn.temperature, "0.02 to 100")?;
            range((0.0..1.0).contains(&spn.gamma), "spn.gamma", &spn.gamma, "0 or more and below 1")?;
            for (key, value) in [("spn.omega", &spn.omega), ("spn.nu", &spn.nu)] {
                let limit = "a number from 0 to 1, or a list of one for each of spn.steps";
                range(value.fits(spn.steps.len()), key, value, limit)?;
            }
            let crop = spn.crop.unwrap_or(16);
            range((16..=4096).contains(&crop), "spn.crop", &crop, "16 to 4096")?;
            let batch = spn.batch.unwrap_or(1);
            range((1..=t.batch).contains(&batch), "spn.batch", &batch, "1 to train.batch")?;
            let draw = spn.draw.unwrap_or(1);
            range(
                (1..=spn.models().max(1)).contains(&draw),
                "spn.draw",
                &draw,
                "1 to the number of negative models",
            )?;
            let (layers, weights) = (&spn.features.layers, &spn.features.weights);
            let distinct = layers.iter().enumerate().all(|(i, l)| !layers[..i].contains(l));
            let named = !layers.is_empty() && distinct;
            range(named, "spn.features.layers", &format!("{layers:?}"), "a list of different layers")?;
            let fits = weights.len() == layers.len() && weights.iter().all(|w| w.is_finite());
            range(fits, "spn.features.weights", &format!("{weights:?}"), "one number for each layer")?;
            let limit = "a list of 1 to 16 trained networks for negative = \"ccr\"";
            let enough = spn.negative != Negative::Ccr || (1..=16).contains(&spn.others.len());
            range(enough, "spn.others", &format!("{:?}", spn.others), limit)?;
            let given = spn.negative != Negative::Pretrained || spn.pretrained.is_some();
            range(given, "spn.pretrained", &"not set", "a model file for negative = \"pretrained\"")?;
        }
        t.schedule.check(t.lr)
    }
}

fn range(ok: bool, key: &'static str, found: &dyn ToString, limit: &'static str) -> Result<(), ConfigError> {
    if ok { Ok(()) } else { Err(ConfigError::Range { key, found: found.to_string(), limit }) }
}

fn upscale(found: u8, eight: bool) -> Result<(), ConfigError> {
    let ok = matches!(found, 2..=4) || (eight && found == 8);
    range(ok, "model.upscale", &found, "2, 3 or 4 (8 with a tail of several pixel shuffles)")
}

fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            // A choice between variants is replaced as a whole: keys of the other variant must not linger.
            (Some(Value::Table(b)), Value::Table(o)) if same_variant(b, &o) => merge(b, o),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Puts the values of a preset where a degradation is named, so that it replaces what there was before.
fn expand_degradation(table: &mut Table) -> Result<(), ConfigError> {
    let Some(Value::Table(data)) = table.get_mut("data") else { return Ok(()) };
    let (name, over) = match data.get_mut("degrade") {
        Some(Value::String(name)) => (name.clone(), Table::new()),
        Some(Value::Table(over)) => match over.remove("preset") {
            Some(Value::String(name)) => (name, over.clone()),
            Some(other) => return Err(ConfigError::Degradation(other.to_string())),
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let preset = Degrade::preset(&name).ok_or(ConfigError::Degradation(name))?;
    let mut whole = Table::try_from(preset).expect("a preset can be written as TOML");
    merge(&mut whole, over);
    data.insert("degrade".into(), Value::Table(whole));
    Ok(())
}

fn same_variant(base: &Table, over: &Table) -> bool {
    ["kind", "arch"].iter().all(|tag| over.get(*tag).is_none_or(|t| base.get(*tag) == Some(t)))
}

fn parse_setting(setting: &str) -> Result<Table, ConfigError> {
    let wrong = || ConfigError::Setting(setting.into());
    let (path, value) = setting.split_once('=').ok_or_else(wrong)?;
    // A bare word is a string: nobody quotes a path twice for shell and TOML.
    let document = format!("{path} = {value}");
    document.parse().or_else(|_| format!("{path} = {value:?}").parse()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
