//! `mcir-board models`: the models that the program has in it.

use mcir_upscale::args::OutputArgs;
use mcir_upscale::embedded::{self, Kind};
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use mcir_upscale::table::Table;
use serde::{Deserialize, Serialize};

/// What was measured of the models, by the commands that `boards/models/README.md` names.
const QUALITY: &str = include_str!("../models/quality.toml");

/// List the models that are built in
///
/// PSNR is that of the int8 model, on Y, mean over Set5 and Set14 (grey images as Y): reduced with clean bicubic, and
/// damaged as a camera does.
#[derive(Debug, Clone, clap::Args)]
pub struct Cmd {
    #[command(flatten)]
    print: OutputArgs,
}

/// Measured quality.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quality {
    /// Terms of the weights, short.
    pub licence: String,
    /// Bicubic interpolation by factor: `x2` to `x4`.
    pub bicubic: std::collections::BTreeMap<String, Scores>,
    /// Models by name.
    pub model: std::collections::BTreeMap<String, Scores>,
}

/// Mean PSNR-Y in dB.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// Clean Set5.
    pub set5_db: f64,
    /// Clean Set14.
    pub set14_db: f64,
    /// Damaged Set5.
    pub set5_camera_db: f64,
    /// Damaged Set14.
    pub set14_camera_db: f64,
}

/// What was measured.
///
/// # Panics
/// If the file is not what it should be, which a test would have seen.
pub fn quality() -> Quality {
    toml::from_str(QUALITY).expect("quality.toml is checked by a test")
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    upscale: usize,
    learnt: Option<Kind>,
    parameters: Option<u64>,
    macs_per_pixel: Option<u64>,
    int8_bytes: Option<usize>,
    /// Strengths between 0 and 1 that there are models for.
    strengths: Vec<f32>,
    #[serde(flatten)]
    scores: Scores,
}

/// Does it.
///
/// # Errors
/// A model that was damaged when the program was built.
pub fn run(cmd: &Cmd) -> Result<()> {
    let quality = quality();
    let mut rows = Vec::new();
    for upscale in 2..=4 {
        let of_factor = |name: &str| quality.bicubic.get(name).copied();
        if let Some(scores) = of_factor(&format!("x{upscale}")) {
            rows.push(Row {
                name: "bicubic".into(),
                upscale,
                learnt: None,
                parameters: None,
                macs_per_pixel: None,
                int8_bytes: None,
                strengths: Vec::new(),
                scores,
            });
        }
        for shipped in embedded::MODELS.iter().filter(|m| m.upscale == upscale) {
            let Some(&scores) = quality.model.get(shipped.name) else { continue };
            let model = NamedModel::from_embedded(shipped, false)?;
            rows.push(Row {
                name: shipped.name.into(),
                upscale,
                learnt: Some(shipped.kind),
                parameters: Some(model.model.num_params()),
                macs_per_pixel: Some(model.model.macs_per_pixel()),
                int8_bytes: Some(model.file_bytes),
                strengths: shipped.steps.iter().map(|(percent, _)| f32::from(*percent) / 100.0).collect(),
                scores,
            });
        }
    }
    if cmd.print.json {
        let object = serde_json::json!({
            "schema": 1, "command": "models", "licence": quality.licence, "models": rows,
        });
        return cmd.print.result(serde_json::to_string_pretty(&object).expect("rows are plain data"));
    }
    let mut table = Table::new([
        "model",
        "factor",
        "learnt",
        "MAC/pixel",
        "int8 kB",
        "Set5 dB",
        "Set14 dB",
        "damaged Set5",
        "damaged Set14",
    ]);
    for row in &rows {
        table.push([
            row.name.clone(),
            format!("x{}", row.upscale),
            row.learnt.map_or("", |kind| if kind == Kind::Clean { "clean" } else { "camera" }).into(),
            row.macs_per_pixel.map_or_else(String::new, |macs| macs.to_string()),
            row.int8_bytes.map_or_else(String::new, |bytes| format!("{:.1}", bytes as f64 / 1e3)),
            format!("{:.2}", row.scores.set5_db),
            format!("{:.2}", row.scores.set14_db),
            format!("{:.2}", row.scores.set5_camera_db),
            format!("{:.2}", row.scores.set14_camera_db),
        ]);
    }
    cmd.print.result(format!("{}\n{}\n{}", table.to_string().trim_end(), strengths(), quality.licence))
}

/// The steps between a model and its camera model, and how to ask for them.
fn strengths() -> String {
    let Some((first, _)) = embedded::families().next() else { return String::new() };
    let mut steps: Vec<u8> = embedded::families().flat_map(|(_, steps)| steps).collect();
    steps.sort_unstable();
    steps.dedup();
    let between: Vec<_> = steps.iter().map(|percent| (f32::from(*percent) / 100.0).to_string()).collect();
    format!(
        "models with a camera model clean up as much as --strength says, in steps of {}: 0 is the model, 1 its camera model; for \
         example -m {} --strength 0.5",
        between.join(", "),
        first.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_model_and_factor_was_measured() {
        let quality = quality();
        for shipped in embedded::MODELS {
            let scores = quality.model.get(shipped.name).unwrap_or_else(|| panic!("{}", shipped.name));
            let bicubic = quality.bicubic[&format!("x{}", shipped.upscale)];
            // What the models are for, they do better than bicubic.
            match shipped.kind {
                Kind::Clean => assert!(scores.set5_db > bicubic.set5_db + 1.0, "{}", shipped.name),
                Kind::Camera => {
                    assert!(scores.set14_camera_db > bicubic.set14_camera_db + 0.3, "{}", shipped.name);
                    assert!(scores.set5_db > bicubic.set5_db, "{}", shipped.name);
                }
            }
        }
        assert_eq!(quality.model.len(), embedded::MODELS.len(), "nothing that is not there");
    }

    #[test]
    fn the_steps_of_strength_are_listed_as_they_are_asked_for() {
        let text = strengths();
        assert!(text.contains("steps of 0, 0.25, 0.5, 0.75, 1:"), "{text}");
        let options = text.split("for example -m ").nth(1).unwrap();
        let (name, strength) = options.split_once(" --strength ").unwrap();
        let model = NamedModel::at_strength(name, strength.parse().unwrap()).unwrap();
        assert_eq!(model.asked_for(), format!("-m {options}"));
    }
}
