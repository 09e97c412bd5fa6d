//! `mcir-train degrade`

use anyhow::{Context, bail};
use mcir_runtime::image::Image;
use mcir_trainer::config::Config;
use mcir_trainer::data::degrade::{self, Degrade};
use mcir_trainer::data::layout::Part;
use mcir_trainer::data::pairs::{self, Source};
use mcir_trainer::{files, sheet};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Options of `degrade`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of high-resolution images
    #[arg(long)]
    data: PathBuf,
    /// Upscaling factor of the networks that are tested: the images get that much smaller; 1, the default for haze, rain and
    /// motion, leaves their size [default: 4]
    #[arg(short = 's', long, value_parser = clap::value_parser!(u8).range(1..=8))]
    upscale: Option<u8>,
    /// Damage: camera, photo, clean, haze, rain or motion
    #[arg(short, long, default_value = "camera")]
    preset: String,
    /// A setting of the damage, as in a configuration: noise.prob=0.5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Seed; the same seed makes the same images
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Versions of each image, all different; more of them make a measurement steadier
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=100))]
    versions: u16,
    /// Folder for the test set: HR, LR/XN, and a list of what was done to each, with checksums, as degradations.csv
    #[arg(short, long, required_unless_present = "sheet")]
    output: Option<PathBuf>,
    /// Write although the folder has images of another set: those of the same names are replaced, and the others stay
    #[arg(long)]
    force: bool,
    /// A picture of examples to look at (PNG): the middle of up to eight images, and of each five damaged versions
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
    /// Print one JSON object instead of a line
    #[arg(long)]
    json: bool,
    /// Print nothing but the result
    #[arg(short, long)]
    quiet: bool,
}

/// Degrades.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let settings = settings(args)?;
    let upscale = usize::from(args.upscale.unwrap_or(if Degrade::keeps_size(&args.preset) { 1 } else { 4 }));
    let source = Source::targets(&args.data, upscale, Part::Valid)?;
    if let Some(path) = &args.sheet {
        let drawn = write_sheet(&source, &settings, upscale, args.seed, path)?;
        if !args.json && !args.quiet {
            say!("{drawn}");
        }
    }
    let mut written = 0;
    if let Some(folder) = &args.output {
        written = write_pairs(&source, &settings, upscale, args, folder)?;
    }
    if args.json {
        let report = serde_json::json!({
            "schema": 1, "images": written, "upscale": upscale, "seed": args.seed, "versions": args.versions,
            "output": args.output, "sheet": args.sheet, "degrade": settings,
        });
        say!("{report}");
    } else if !args.quiet {
        if let Some(folder) = &args.output {
            say!("{written} pairs in {}", folder.display());
        }
        if let Some(path) = &args.sheet {
            say!("{}", path.display());
        }
    }
    Ok(())
}

/// Preset and settings, checked as those of a training.
fn settings(args: &Args) -> anyhow::Result<Degrade> {
    let prefixed = args.settings.iter().map(|setting| format!("data.degrade.{setting}"));
    let preset = format!("data.degrade.preset={:?}", args.preset);
    let list: Vec<String> = std::iter::once(preset).chain(prefixed).collect();
    let config = Config::resolve(Some("edsr-edge-x4"), "", &list)?;
    config.data.degrade.context("a preset gives a degradation")
}

fn write_pairs(
    source: &Source,
    settings: &Degrade,
    upscale: usize,
    args: &Args,
    folder: &Path,
) -> anyhow::Result<usize> {
    let (high, low) = (folder.join("HR"), folder.join("LR").join(format!("X{upscale}")));
    if !args.force {
        unmixed(source, args.versions, &high, &low)?;
    }
    for folder in [&high, &low] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let write = |path: &Path, image: &Image| {
        if source.files().iter().any(|file| file == path) {
            bail!("{} would overwrite an original; choose another folder", path.display());
        }
        files::write_png(path, image).with_context(|| format!("cannot write {}", path.display()))
    };
    let mut list = String::from("image,crc32,degradation\n");
    for (index, path) in (0u64..).zip(source.files()) {
        let (hr, grey) = pairs::decode_told(path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for version in 0..u64::from(args.versions) {
            let small =
                || format!("{} is smaller than {upscale}x{upscale} pixels; remove it", path.display());
            // A version is the same one however many there are.
            let index = version << 32 | index;
            let (lr, hr, drawn) =
                degrade::degrade(&hr, upscale, settings, args.seed, index).with_context(small)?;
            let name = name_of(&stem, version, args.versions);
            // Where the size stays, input and target share their name.
            let suffix = if upscale == 1 { String::new() } else { format!("x{upscale}") };
            let hr = if grey { pairs::first_channel(&hr) } else { hr };
            write(&high.join(format!("{name}.png")), &hr)?;
            write(&low.join(format!("{name}{suffix}.png")), &lr)?;
            // Of the pixels: encoders of PNG differ, and the protocol does not depend on them.
            let crc = crc32fast::hash(lr.data());
            let _ = writeln!(list, "{name:?},{crc:08x},\"{drawn}\"");
        }
    }
    let target = folder.join("degradations.csv");
    files::replace(&target, list.as_bytes()).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(source.len() * usize::from(args.versions))
}

/// The name of a version of an image.
fn name_of(stem: &str, version: u64, versions: u16) -> String {
    if versions == 1 { stem.to_owned() } else { format!("{stem}-{}", version + 1) }
}

/// Refuses a folder that would be a mixture of two sets afterwards: one with images of this factor, or of other originals. The same
/// originals for another factor belong together.
fn unmixed(source: &Source, versions: u16, high: &Path, low: &Path) -> anyhow::Result<()> {
    let found = |folder: &Path| match folder.is_dir() {
        true => mcir_files::list(folder).map(|listing| listing.images),
        false => Ok(Vec::new()),
    };
    let stem = |path: &Path| path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let own: BTreeSet<String> = source
        .files()
        .iter()
        .flat_map(|path| {
            (0..u64::from(versions))
                .map(|version| name_of(&stem(path), version, versions))
                .collect::<Vec<_>>()
        })
        .collect();
    let other = found(high)?.into_iter().find(|path| !own.contains(&stem(path)));
    if let Some(path) = found(low)?.into_iter().next().or(other) {
        bail!(
            "{} is there from another set, and the two would be mixed; choose another folder, or write into this one with --force",
            path.display()
        );
    }
    Ok(())
}

/// Side of a part on the sheet, in high-resolution pixels.
const PART: usize = 192;
/// Versions of each part.
const VERSIONS: usize = 5;
/// Images at most.
const ROWS: usize = 8;

fn write_sheet(
    source: &Source,
    settings: &Degrade,
    upscale: usize,
    seed: u64,
    path: &Path,
) -> anyhow::Result<String> {
    let (mut tiles, mut list) = (Vec::new(), String::new());
    let side = PART / upscale * upscale;
    let rows = source.len().min(ROWS);
    for row in 0..rows {
        let path = &source.files()[row * source.len() / rows];
        let hr = sheet::middle(&pairs::decode(path)?, side);
        tiles.push(hr.clone());
        for version in 0..VERSIONS {
            let index = (row * VERSIONS + version) as u64;
            let (lr, _, drawn) =
                degrade::degrade(&hr, upscale, settings, seed, index).context("an image is too small")?;
            tiles.push(sheet::enlarge(&lr, upscale));
            let _ = writeln!(list, "{} {}: {drawn}", path.display(), version + 1);
        }
    }
    let picture = sheet::grid(&tiles, 1 + VERSIONS, side);
    files::write_png(path, &picture).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(list)
}
