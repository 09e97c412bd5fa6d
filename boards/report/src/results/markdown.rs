//! The tables as Markdown.

use super::scores::{Evidence, GroupReport, RunReport, Variant};
use super::stats::Stat;
use crate::report::Quality;
use std::fmt::Write;

/// The document. `figure` is the name of the picture beside it.
pub fn text(evidence: &Evidence, notes: Option<&str>, figure: Option<&str>) -> String {
    let mut out = String::from("# Does SPN help small, quantized models?\n\n");
    for line in verdicts(evidence) {
        let _ = writeln!(out, "{line}\n");
    }
    if let Some(figure) = figure {
        let _ = writeln!(out, "![gains with their intervals]({figure})\n");
    }
    if let Some(notes) = notes {
        let _ = writeln!(out, "{}\n", notes.trim());
    }
    summary(&mut out, evidence);
    let _ = writeln!(
        out,
        "Made by `mcir-board results`: from runs and images with `--data`, which `--save-scores` keeps, or again with `--scores`.\n"
    );
    for (i, group) in evidence.groups.iter().enumerate() {
        section(&mut out, i + 1, group, &evidence.sets);
    }
    out
}

/// Changes with pairs, with the number and name of their setting.
fn variants(evidence: &Evidence) -> impl Iterator<Item = (usize, &str, &Variant)> {
    evidence.groups.iter().enumerate().flat_map(|(i, group)| {
        let name = group.setting.split(", ").next().unwrap_or_default();
        group.variants.iter().filter(|v| !v.pairs.is_empty()).map(move |v| (i + 1, name, v))
    })
}

/// What a change has to gain on: on the first, and on one of the others. Sets that were not measured do not count; of sets
/// that are all unknown it has to gain on every one.
const JUDGED: (&str, [&str; 2]) = ("Set14", ["Urban100", "Manga109"]);

/// Whether the interval of a gain lies above zero, and whether of a loss below, where it has to: in int8, or in f32 if nothing
/// was quantized.
fn judge(variant: &Variant, sets: &[String]) -> Verdict {
    let deployed: Vec<(&str, Stat)> = sets
        .iter()
        .zip(&variant.gains)
        .filter_map(|(set, gain)| Some((set.as_str(), gain.int8.or(gain.f32)?)))
        .collect();
    let named = |name: &str| deployed.iter().filter(|(set, _)| set.starts_with(name)).collect::<Vec<_>>();
    let (first, others) = (named(JUDGED.0), JUDGED.1.map(named).concat());
    let ask = |test: fn((f64, f64)) -> bool| {
        let holds = |one: &&(&str, Stat)| one.1.interval.is_some_and(test);
        match (first.is_empty(), others.is_empty()) {
            (true, _) => deployed.iter().all(|one| holds(&one)),
            (false, true) => first.iter().all(holds),
            (false, false) => first.iter().all(holds) && others.iter().any(holds),
        }
    };
    let bound = first.first().copied().or(deployed.first());
    match () {
        () if variant.pairs.len() < 2 => Verdict::TooFew,
        () if ask(|(low, _)| low > 0.0) => Verdict::Gain,
        () if ask(|(_, high)| high < 0.0) => Verdict::Loss,
        () => Verdict::None(bound.and_then(|(set, stat)| Some(((*set).into(), stat.interval?.1)))),
    }
}

#[derive(Debug, PartialEq)]
enum Verdict {
    Gain,
    Loss,
    /// No gain, and the set and upper end of the interval: if there is one, it is smaller than this.
    None(Option<(String, f64)>),
    TooFew,
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::Gain => "**a gain**".into(),
            Self::Loss => "a loss".into(),
            Self::None(Some((set, bound))) => {
                format!("none; on {set} below {:.3} dB with 95 %", bound.max(0.0))
            }
            Self::None(None) => "none".into(),
            Self::TooFew => "one pair says nothing".into(),
        }
    }
}

/// The first lines: what follows.
fn verdicts(evidence: &Evidence) -> Vec<String> {
    let judged: Vec<_> = variants(evidence).map(|(_, name, v)| (name, v, judge(v, &evidence.sets))).collect();
    let gains: Vec<_> =
        judged.iter().filter(|(_, v, verdict)| *verdict == Verdict::Gain && v.lambda > 0.0).collect();
    let losses = judged.iter().filter(|(_, v, _)| v.lambda > 0.0).count();
    if losses == 0 {
        return vec!["No run with SPN has a twin yet.".into()];
    }
    let names: Vec<String> = gains.iter().map(|(name, v, _)| format!("{name} ({})", v.change)).collect();
    let first = match gains.len() {
        0 => format!("**No setting of SPN gains** ({losses} tried)."),
        n => format!("**{n} of {losses} settings of SPN gain**: {}.", names.join("; ")),
    };
    let rule = format!(
        "A gain is the difference of two runs with the same seed, data order, schedule and length that differ in the loss \
         (or, where it is named, the learning rate) alone; PSNR on Y, borders of `upscale` pixels cropped. It counts as one where its 95 % interval \
         (Student's t over the pairs) lies above zero in int8 on {} and on one of {}.",
        JUDGED.0,
        JUDGED.1.join(" and "),
    );
    vec![first, rule]
}

/// A line for each change of each setting.
fn summary(out: &mut String, evidence: &Evidence) {
    if variants(evidence).next().is_none() {
        return;
    }
    let _ = writeln!(out, "## Gains in dB\n\nMean and interval; pairs that gain and lose.\n");
    let _ = write!(out, "| setting | change | pairs |");
    for set in &evidence.sets {
        let _ = write!(out, " {set} f32 | {set} int8 | int8 − f32 |");
    }
    let _ = writeln!(out, " verdict |\n|---|---|---|{}---|", "---|---|---|".repeat(evidence.sets.len()));
    for (number, name, variant) in variants(evidence) {
        let _ = write!(out, "| [{name}](#setting-{number}) | {} | {} |", variant.change, variant.pairs.len());
        for gain in &variant.gains {
            let _ = write!(
                out,
                " {} | {} | {} |",
                cell(gain.f32, true),
                cell(gain.int8, true),
                cell(gain.carried, false)
            );
        }
        let _ = writeln!(out, " {} |", judge(variant, &evidence.sets).text());
    }
    let _ = writeln!(out);
}

fn cell(stat: Option<Stat>, signs: bool) -> String {
    let Some(stat) = stat else { return "–".into() };
    let interval =
        stat.interval.map_or_else(String::new, |(low, high)| format!(" ({low:+.3} to {high:+.3})"));
    let (above, below) = stat.signs;
    let signs = if signs && stat.pairs > 1 { format!(", {above}:{below}") } else { String::new() };
    format!("{:+.3}{interval}{signs}", stat.mean)
}

/// All runs of one setting.
fn section(out: &mut String, number: usize, group: &GroupReport, sets: &[String]) {
    let _ = writeln!(out, "<a id=\"setting-{number}\"></a>\n\n## {}\n", group.setting);
    let cost = &group.cost;
    let (w, h) = cost.size;
    let figures = |(ms, bytes): (f64, usize)| format!("{ms:.1} ms, {:.1} MB", bytes as f64 / 1e6);
    let _ = writeln!(
        out,
        "One {w}x{h} image, {} thread{}, {}: f32 {}{}{}.\n",
        cost.threads,
        if cost.threads == 1 { "" } else { "s" },
        cost.isa,
        figures(cost.f32),
        cost.int8.map_or_else(String::new, |c| format!("; int8 {}", figures(c))),
        cost.doubt().map_or_else(String::new, |why| format!(" (**not valid: {why}**)")),
    );
    let _ = write!(out, "| run | λ | seed |");
    for set in sets {
        let _ = write!(out, " {set} f32 | {set} int8 | drop |");
    }
    let _ = writeln!(out, " training |\n|---|---|---|{}---|", "---|---|---|".repeat(sets.len()));
    for run in &group.runs {
        line(out, run, sets.len());
    }
    let _ = writeln!(
        out,
        "\nTo train one again: `mcir-train train -c NAME/config.toml -o RUN`; to quantize it: `mcir-quantize run \
         RUN/model.mcir -c CALIBRATION_IMAGES -o RUN/model.int8.mcir`.\n"
    );
}

fn line(out: &mut String, run: &RunReport, sets: usize) {
    let _ = write!(out, "| {} | {} | {} |", run.name, run.lambda, run.seed);
    let cell = |q: &Quality| format!("{:.3} / {:.4}", q.psnr_y_db, q.ssim_y);
    for set in 0..sets {
        let float = &run.scores.f32[set];
        let int8 = run.scores.int8.as_ref().map(|q| &q[set]);
        let drop = int8.map_or("–".into(), |q| format!("{:.3}", float.psnr_y_db - q.psnr_y_db));
        let _ = write!(out, " {} | {} | {drop} |", cell(float), int8.map_or("–".into(), cell));
    }
    let _ = writeln!(out, " {} |", run.seconds.map_or("–".into(), |s| format!("{:.0} min", s / 60.0)));
}

#[cfg(test)]
mod tests {
    use super::super::scores::Pair;
    use super::*;

    /// A change with gains on so many sets, alike in f32 and int8.
    fn variant(gains: &[&[f64]]) -> Variant {
        let pair = |(seed, gains): (usize, &&[f64])| Pair {
            seed: seed as i64,
            f32_db: gains.to_vec(),
            int8_db: Some(gains.to_vec()),
        };
        let pairs = gains.iter().enumerate().map(pair).collect();
        Variant::new("λ = 1".into(), 1.0, pairs, gains[0].len())
    }

    fn sets(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_gain_needs_an_interval_above_zero_on_set14_and_one_of_the_harder_sets() {
        let all = sets(&["Set5/HR", "Set14/HR", "Urban100", "Manga109"]);
        let gain = variant(&[&[-0.1, 0.02, 0.03, -0.1], &[0.1, 0.03, 0.02, 0.1], &[0.0, 0.025, 0.025, 0.0]]);
        assert_eq!(judge(&gain, &all), Verdict::Gain, "whatever Set5 and Manga109 do");
        let only = variant(&[&[0.1, 0.02, -0.03, -0.1], &[0.1, 0.03, 0.02, 0.1], &[0.1, 0.025, 0.025, 0.0]]);
        let Verdict::None(Some((set, bound))) = judge(&only, &all) else {
            panic!("Set14 alone is not enough")
        };
        assert_eq!(set, "Set14/HR");
        assert!(bound > 0.03 && bound < 0.04, "{bound}");
        let loss = variant(&[&[0.0, -0.02, -0.03, 0.0], &[0.0, -0.03, -0.02, 0.0]]);
        let Verdict::None(_) = judge(&loss, &all) else { panic!("the interval of two pairs is wide") };
        let loss =
            variant(&[&[0.0, -0.02, -0.03, 0.0], &[0.0, -0.021, -0.031, 0.0], &[0.0, -0.02, -0.03, 0.0]]);
        assert_eq!(judge(&loss, &all), Verdict::Loss);
        assert_eq!(judge(&variant(&[&[1.0]]), &sets(&["Set5"])), Verdict::TooFew);
        assert_eq!(judge(&variant(&[&[1.0], &[1.1], &[1.2]]), &sets(&["Set5"])), Verdict::Gain);
    }

    #[test]
    fn a_cell_shows_mean_interval_and_signs() {
        let stat = Stat::of(&[0.01, 0.03]);
        assert_eq!(cell(stat, true), "+0.020 (-0.107 to +0.147), 2:0");
        assert_eq!(cell(Stat::of(&[-0.01]), true), "-0.010");
        assert_eq!(cell(None, false), "–");
    }
}
