//! Evaluation of many images in parts, on many machines, and from where it stopped: each image's score is a file.

use super::{EvalError, ImageScore, Scores, check, mean, score};
use crate::data::DataError;
use crate::data::layout::Part;
use crate::data::pairs::{Pair, Source, in_parallel};
use crate::files;
use crate::net::Net;
use crate::weights::Tensors;
use mcir_files::{Pattern, Shard, fits, name};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Version of the files.
const SCHEMA: u32 = 1;
/// Most bytes of one.
const MAX_BYTES: u64 = 1 << 16;
/// Pairs that are read together.
const CHUNK: usize = 16;

/// Which images of a folder, and where their scores are kept.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Images of all folders in it too.
    pub recursive: bool,
    /// Only those whose path in the folder fits one of these; all without any.
    pub patterns: Vec<Pattern>,
    /// A part of them.
    pub shard: Shard,
    /// Folder of a file for each image.
    pub scores: Option<PathBuf>,
    /// Whether images whose file is there are not measured again.
    pub skip_existing: bool,
}

/// Why parts cannot be evaluated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The evaluation.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// No image fits the patterns.
    #[error(
        "none of the {images} images of {folder} fits --match; patterns are for paths in the folder: '**/*.png' with -r for all"
    )]
    NoMatch {
        /// The folder.
        folder: String,
        /// How many there are.
        images: usize,
    },
    /// A part without images, of more parts than there are images.
    #[error("this part of the {images} images is empty; take no more parts than there are images")]
    NoPart {
        /// How many there are.
        images: usize,
    },
    /// Two images of one name.
    #[error("two images of {folder} are called {name}; rename one of them")]
    SameName {
        /// The folder.
        folder: String,
        /// The name.
        name: String,
    },
    /// A score cannot be read or written.
    #[error("cannot {action} {path}: {why}")]
    Score {
        /// A verb.
        action: &'static str,
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
    /// A score of something else.
    #[error(
        "{path} is the score of another {what}: it has {found}, here it is {expected}; name another folder with --scores"
    )]
    Other {
        /// The file.
        path: String,
        /// What differs.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What is evaluated.
        expected: String,
    },
}

/// The score of an image as a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    schema: u32,
    /// Checksum of the network's weights.
    weights: String,
    upscale: usize,
    /// `bicubic` for low-resolution images that are made, `folder` for those that are there.
    low: String,
    score: ImageScore,
}

/// An image that is evaluated.
struct Entry {
    /// Path in the folder, with which it is called.
    name: PathBuf,
    /// Its source and its number there.
    at: (usize, usize),
}

/// Evaluates the images of a choice. What was measured before is read, and counted: the second number of the result.
///
/// # Errors
/// [`PartsError`].
pub fn evaluate(
    net: &Net,
    hr: &Path,
    lr: Option<&Path>,
    choice: &Choice,
) -> Result<(Scores, usize), PartsError> {
    let upscale = net.upscale();
    let sources = sources(hr, lr, upscale, choice.recursive)?;
    let entries = entries(&sources, hr, choice)?;
    let weights = choice.scores.as_ref().map(|_| checksum(&net.to_tensors())).unwrap_or_default();
    let path = |entry: &Entry| {
        let mut file = entry.name.clone().into_os_string();
        file.push(".json");
        choice.scores.as_ref().map(|folder| folder.join(file))
    };
    let kept = |entry: &Entry, score: ImageScore| {
        let low = if sources[entry.at.0].1.low().is_some() { "folder" } else { "bicubic" };
        Kept { schema: SCHEMA, weights: weights.clone(), upscale, low: low.into(), score }
    };
    let (mut done, mut skipped) = (Vec::with_capacity(entries.len()), 0);
    for chunk in entries.chunks(CHUNK) {
        // Those that are there, and those that are to be measured.
        let mut found = Vec::with_capacity(chunk.len());
        for entry in chunk {
            let there = path(entry).filter(|path| choice.skip_existing && path.is_file());
            found.push(match there {
                Some(path) => Some(read(&path, &kept(entry, ImageScore::default()))?),
                None => None,
            });
        }
        let open: Vec<&Entry> =
            chunk.iter().zip(&found).filter(|(_, found)| found.is_none()).map(|(entry, _)| entry).collect();
        let pairs = in_parallel(&open, |entry| sources[entry.at.0].1.read(entry.at.1))?;
        check(&pairs, upscale)?;
        let mut pairs = pairs.into_iter();
        for (entry, found) in chunk.iter().zip(found) {
            if let Some(score) = found {
                skipped += 1;
                done.push(score);
                continue;
            }
            let pair: Pair = pairs.next().expect("a pair for each that is open");
            let mut measured = score(net, &pair)?;
            if choice.recursive {
                measured.name = name::text(&entry.name.with_extension(""));
            }
            if let Some(path) = path(entry) {
                write(&path, &kept(entry, measured.clone()))?;
            }
            done.push(measured);
        }
    }
    Ok((mean(done)?, skipped))
}

/// The pairs of a folder, or of it and all folders in it, each with its path inside; in the order of the paths.
fn sources(
    hr: &Path,
    lr: Option<&Path>,
    upscale: usize,
    recursive: bool,
) -> Result<Vec<(PathBuf, Source)>, PartsError> {
    if !recursive {
        return Ok(vec![(PathBuf::new(), Source::open(hr, lr, upscale, Part::Valid)?)]);
    }
    let failed = |error| DataError::Folder { path: hr.into(), source: std::io::Error::other(error) };
    let (listing, unread) = mcir_files::list_all(hr, lr.unwrap_or(Path::new(""))).map_err(failed)?;
    // A mean over what could be read would be taken for one over all.
    if let Some(error) = unread.into_iter().next() {
        return Err(failed(error).into());
    }
    let inside = |path: &PathBuf| path.parent()?.strip_prefix(hr).ok().map(Path::to_path_buf);
    let folders: BTreeSet<PathBuf> = listing.images.iter().filter_map(inside).collect();
    if folders.is_empty() {
        return Err(DataError::Empty { path: hr.into() }.into());
    }
    let open = |folder: PathBuf| {
        let lr = lr.map(|lr| lr.join(&folder));
        let source = Source::open(&hr.join(&folder), lr.as_deref(), upscale, Part::Valid)?;
        Ok((folder, source))
    };
    folders.into_iter().map(open).collect()
}

/// The images of a choice. Parts are made before anything is left out, so that all machines find the same ones.
fn entries(sources: &[(PathBuf, Source)], hr: &Path, choice: &Choice) -> Result<Vec<Entry>, PartsError> {
    let (mut all, mut images, mut names) = (Vec::new(), 0, BTreeSet::new());
    for (number, (folder, source)) in sources.iter().enumerate() {
        for (index, file) in source.files().iter().enumerate() {
            images += 1;
            let inside = folder.join(file.file_name().unwrap_or_default());
            if !fits(&choice.patterns, &inside) {
                continue;
            }
            let name = folder.join(source.file_name(index));
            if !names.insert(name.clone()) {
                let (folder, name) = (name::text(hr), name::text(&name));
                return Err(PartsError::SameName { folder, name });
            }
            all.push(Entry { name, at: (number, index) });
        }
    }
    if all.is_empty() {
        return Err(PartsError::NoMatch { folder: name::text(hr), images });
    }
    let images = all.len();
    let part = choice.shard.part(all);
    if part.is_empty() { Err(PartsError::NoPart { images }) } else { Ok(part) }
}

fn read(path: &Path, expected: &Kept) -> Result<ImageScore, PartsError> {
    let failed = |why: String| PartsError::Score { action: "read", path: name::text(path), why };
    let bytes = mcir_files::bytes(path, MAX_BYTES).map_err(|error| failed(error.to_string()))?;
    let kept: Kept = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
    for (what, found, expected) in [
        ("version", kept.schema.to_string(), expected.schema.to_string()),
        ("network", kept.weights, expected.weights.clone()),
        ("factor", kept.upscale.to_string(), expected.upscale.to_string()),
        ("kind of input", kept.low, expected.low.clone()),
    ] {
        if found != expected {
            return Err(PartsError::Other { path: name::text(path), what, found, expected });
        }
    }
    Ok(kept.score)
}

fn write(path: &Path, kept: &Kept) -> Result<(), PartsError> {
    let json = serde_json::to_vec_pretty(kept).expect("a score is plain data");
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).and_then(|()| files::replace(path, &json)).map_err(|error| {
        PartsError::Score { action: "write", path: name::text(path), why: error.to_string() }
    })
}

/// A checksum of all weights with their names and shapes: of the same network in whatever file.
fn checksum(tensors: &Tensors) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (name, shape, values) in tensors.iter() {
        hasher.update(name.as_bytes());
        shape.iter().for_each(|side| hasher.update(&(*side as u64).to_le_bytes()));
        values.iter().for_each(|value| hasher.update(&value.to_le_bytes()));
    }
    format!("{:08x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Architecture;
    use burn::tensor::Device;
    use mcir_runtime::arch::edsr;
    use mcir_runtime::image::Image;

    fn picture(seed: usize) -> Image {
        let pixels = (0..32 * 28 * 3).map(|i| ((i * (7 + seed) + i / 32 * 5) % 251) as u8).collect();
        Image::new(32, 28, 3, pixels).expect("a picture")
    }

    fn net(seed: u64) -> Net {
        let graph: Architecture = edsr::graph(&edsr::Config::edge(2, 4, 1)).into();
        Net::random(&graph, seed, &Device::default()).expect("a network")
    }

    #[test]
    fn parts_make_the_whole_and_go_on_where_they_stopped() {
        let folder = tempfile::tempdir().expect("a folder");
        let (data, scores) = (folder.path().join("data"), folder.path().join("scores"));
        for (i, name) in ["a.png", "b.png", "x/a.png", "x/y/c.png", "x/y/d.jpg.png"].into_iter().enumerate() {
            let path = data.join(name);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            files::write_png(&path, &picture(i)).expect("written");
        }
        let net = net(1);
        let choice = |shard: &str| Choice {
            recursive: true,
            shard: shard.parse().expect("a part"),
            scores: Some(scores.clone()),
            skip_existing: true,
            ..Choice::default()
        };
        let whole = Choice { scores: None, ..choice("1/1") };
        let (whole, none) = evaluate(&net, &data, None, &whole).expect("measured");
        assert_eq!((whole.images.len(), none), (5, 0));
        let names: Vec<_> = whole.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "x/a", "x/y/c", "x/y/d.jpg"]);

        let (second, skipped) = evaluate(&net, &data, None, &choice("2/2")).expect("measured");
        assert_eq!((second.images.len(), skipped), (2, 0));
        assert_eq!(second.images, [whole.images[1].clone(), whole.images[3].clone()]);
        assert!(scores.join("x/y/c.png.json").is_file() && !scores.join("a.png.json").exists());
        // The rest, and the mean of all, to the bit.
        let (all, skipped) = evaluate(&net, &data, None, &choice("1/1")).expect("measured");
        assert_eq!((all, skipped), (whole.clone(), 2));
        assert_eq!(evaluate(&net, &data, None, &choice("1/1")).expect("read"), (whole, 5));

        let match_x = Choice { patterns: vec![Pattern::new("x/*.png").expect("a pattern")], ..choice("1/1") };
        assert_eq!(evaluate(&net, &data, None, &match_x).expect("read").0.images.len(), 1);
        let nothing = Choice { patterns: vec![Pattern::new("*.gif").expect("a pattern")], ..choice("1/1") };
        assert!(matches!(evaluate(&net, &data, None, &nothing), Err(PartsError::NoMatch { images: 5, .. })));
        assert!(matches!(evaluate(&net, &data, None, &choice("9/9")), Err(PartsError::NoPart { images: 5 })));

        // Another network's scores are not taken for this one's, nor is what is no score.
        let error = evaluate(&self::net(2), &data, None, &choice("1/1")).expect_err("another network");
        assert!(matches!(error, PartsError::Other { what: "network", .. }), "{error}");
        std::fs::write(scores.join("a.png.json"), "{}").expect("written");
        let error = evaluate(&net, &data, None, &choice("1/1")).expect_err("no score");
        assert!(matches!(error, PartsError::Score { action: "read", .. }), "{error}");
    }
}
