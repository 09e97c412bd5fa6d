//! Which images of a folder are upscaled, and to where: for data sets that are too large for one folder, one run or one machine.

use super::Job;
use crate::error::{Error, Result};
use mcir_files::{self as files, Format, Input, Output, Pattern, Shard, name, terminal};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What to take of a folder.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Many {
    /// Images of all folders in the input folder, too; the output folder gets the same folders
    #[arg(short = 'r', long)]
    recursive: bool,

    /// Only images whose path in the input folder fits this pattern, such as '*_LR.png' or '2024/**'; may be repeated
    #[arg(long = "match", value_name = "PATTERN")]
    patterns: Vec<Pattern>,

    /// Leave out what has been upscaled already: images whose output is there
    #[arg(long)]
    pub skip_existing: bool,

    /// The I-th of N parts of the images, 1/8 to 8/8 or 0/8 to 7/8: for as many jobs or machines
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
}

impl Many {
    /// Whether anything was asked for that a single image has no use for.
    pub fn is_for_folders(&self) -> bool {
        self.recursive || !self.patterns.is_empty() || self.shard.is_some()
    }

    /// The images of a folder with the files to write, how many of them were left out because they are there, and why folders in it
    /// could not be listed.
    ///
    /// Parts are made of the images in the order of their paths, one each in turn, before anything is left out: every
    /// machine finds the same ones, whatever the others have done by then.
    ///
    /// # Errors
    /// [`mcir_files::Error::NoImages`] and [`Error::NoMatch`] when no image is left by name and pattern, whatever the part;
    /// [`Error::OutputIsInput`] when an image of the folder would be replaced; what keeps the folder from being listed.
    pub fn jobs(
        &self,
        input: &Path,
        output: &Path,
        format: Format,
        quiet: bool,
    ) -> Result<(Vec<Job>, usize, Vec<files::Error>)> {
        let (listing, mut unread) = match self.recursive {
            true => files::list_all(input, output)?,
            false => (files::list(input)?, Vec::new()),
        };
        if let (Some(note), false) = (listing.note(), quiet) {
            let taken =
                if listing.folders > 0 && !self.recursive { " (-r takes folders in it, too)" } else { "" };
            terminal::tell(format_args!("note: {}: {note}{taken}", name::text(input)));
        }
        let inside = |path: &Path| path.strip_prefix(input).unwrap_or(path).to_owned();
        let fits = |path: &PathBuf| files::fits(&self.patterns, &inside(path));
        let all = listing.images.len();
        let images: Vec<_> = listing.images.into_iter().filter(fits).collect();
        if let (true, Some(first)) = (images.is_empty(), unread.pop_if(|_| all == 0)) {
            return Err(first.into());
        }
        if images.is_empty() && all > 0 {
            return Err(Error::NoMatch { path: input.to_owned(), images: all });
        }
        if images.is_empty() {
            return Err(files::Error::NoImages { name: name::text(input) }.into());
        }
        std::fs::create_dir_all(output).map_err(Error::io("create", output))?;
        // By whatever way an output leads there, links included, no image is replaced that is yet to be read.
        let sources: BTreeSet<_> = images.iter().filter_map(|image| image.canonicalize().ok()).collect();
        let mut taken = BTreeMap::new();
        let job = |image: PathBuf| {
            let target = output.join(inside(&image).with_extension(format.extension()));
            let target = match taken.get(&target) {
                Some(first) => Err((target, PathBuf::clone(first))),
                None => {
                    taken.insert(target.clone(), image.clone());
                    Ok(Output::new(&target))
                }
            };
            Job { input: Input::new(&image), output: target, format }
        };
        let all: Vec<_> = images.into_iter().map(job).collect();
        for target in all.iter().filter_map(|job| job.output.as_ref().ok()?.path()) {
            if target.canonicalize().is_ok_and(|target| sources.contains(&target)) {
                return Err(Error::OutputIsInput { path: target.to_owned() });
            }
        }
        let part = self.shard.unwrap_or_default().part(all);
        let before = part.len();
        let jobs: Vec<_> = part.into_iter().filter(|job| !self.is_done(job)).collect();
        for folder in jobs.iter().filter_map(|job| job.output.as_ref().ok()?.path()?.parent()) {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let left_out = before - jobs.len();
        Ok((jobs, left_out, unread))
    }

    /// Whether there is nothing to do, as the output is there. It appears only when it is complete.
    pub fn is_done(&self, job: &Job) -> bool {
        let output = job.output.as_ref().ok().and_then(Output::path);
        self.skip_existing && output.is_some_and(Path::is_file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many(options: &[&str]) -> Many {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            many: Many,
        }
        <Line as clap::Parser>::parse_from(["upscale"].iter().chain(options)).many
    }

    fn found(folder: &Path, options: &[&str]) -> (Vec<String>, usize) {
        let (jobs, done, unread) =
            many(options).jobs(&folder.join("in"), &folder.join("out"), Format::Png, true).unwrap();
        assert!(unread.is_empty());
        let text = |path: &Path| path.strip_prefix(folder.join("out")).unwrap().display().to_string();
        let target = |job: &Job| {
            job.output.as_ref().map_or_else(|(p, _)| text(p) + " taken", |o| text(o.path().unwrap()))
        };
        (jobs.iter().map(target).collect(), done)
    }

    #[test]
    fn parts_make_the_whole_and_what_is_there_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a.jpg", "a.png", "b.jpg", "x/c_LR.png", "x/d.png", "x/y/e.png"] {
            let path = folder.path().join("in").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let of = |options: &[&str]| found(folder.path(), options).0;
        let all = ["a.png", "a.png taken", "b.png", "x/c_LR.png", "x/d.png", "x/y/e.png"];
        assert_eq!(of(&[]), all[..3]);
        assert_eq!(of(&["-r"]), all);
        assert_eq!(of(&["-r", "--shard", "1/2"]), ["a.png", "b.png", "x/d.png"]);
        assert_eq!(of(&["-r", "--shard", "2/2"]), ["a.png taken", "x/c_LR.png", "x/y/e.png"]);
        assert_eq!(of(&["-r", "--shard", "9/9"]), [""; 0]);
        assert_eq!(of(&["-r", "--match", "x/*.png", "--match", "b*"]), ["b.png", "x/c_LR.png", "x/d.png"]);
        assert_eq!(of(&["-r", "--match", "**/*_LR.png"]), ["x/c_LR.png"]);

        std::fs::write(folder.path().join("out/x/d.png"), b"").unwrap();
        let (left, done) = found(folder.path(), &["-r", "--skip-existing", "--shard", "1/2"]);
        assert_eq!((left, done), (vec!["a.png".to_owned(), "b.png".into()], 1));
        let nothing =
            many(&["--match", "*.gif"]).jobs(&folder.path().join("in"), folder.path(), Format::Png, true);
        assert!(matches!(nothing, Err(Error::NoMatch { images: 3, .. })));
    }
}
