//! `log.csv`: one row for each logging interval, continued without gaps or doubled steps after a resume.

use crate::eval::Scores;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

const HEADER: &str = "step,lr,loss,l_neg,psnr_y_db,ssim_y,seconds";

/// A row of the log.
#[derive(Debug)]
pub struct Row<'a> {
    /// Steps done.
    pub step: u64,
    /// Learning rate of the last of them.
    pub lr: f64,
    /// Mean reconstruction loss since the row before.
    pub loss: f64,
    /// Mean negative loss since the row before, if there is one; the total is `loss − λ·l_neg`.
    pub negative: Option<f64>,
    /// Time since the start or the last resume.
    pub seconds: f64,
    /// Validation, if there was one at this step.
    pub scores: Option<&'a Scores>,
}

/// The open file.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    /// Opens the log of a run that has done `step` steps: rows of later steps, which the checkpoint does not
    /// hold, are dropped.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, step: u64) -> std::io::Result<Self> {
        let mut kept = format!("{HEADER}\n");
        if step > 0 && path.exists() {
            for line in BufReader::new(File::open(path)?).lines() {
                let line = line?;
                let done = line.split(',').next().and_then(|s| s.parse::<u64>().ok());
                if done.is_some_and(|s| s <= step) {
                    kept += &line;
                    kept.push('\n');
                }
            }
        }
        let temporary = path.with_extension("csv.tmp");
        let mut file = File::create(&temporary)?;
        file.write_all(kept.as_bytes())?;
        std::fs::rename(&temporary, path)?;
        Ok(Self(file))
    }

    /// Appends a row.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, row: &Row<'_>) -> std::io::Result<()> {
        let (psnr, ssim) = match row.scores {
            Some(s) => (format!("{:.4}", s.psnr_y_db), format!("{:.5}", s.ssim_y)),
            None => Default::default(),
        };
        let negative = row.negative.map_or(String::new(), |n| format!("{n:.6}"));
        let Row { step, lr, loss, seconds, .. } = row;
        let line = format!("{step},{lr:.4e},{loss:.6},{negative},{psnr},{ssim},{seconds:.1}\n");
        self.0.write_all(line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_after_the_checkpoint_are_dropped_on_resume() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log.csv");
        let row = |step| Row { step, lr: 1e-3, loss: 0.5, negative: None, seconds: 1.0, scores: None };
        let mut log = Log::open(&path, 0).expect("opened");
        [10, 20, 30].iter().for_each(|&s| log.write(&row(s)).expect("written"));
        let mut log = Log::open(&path, 20).expect("opened");
        log.write(&row(40)).expect("written");
        let text = std::fs::read_to_string(&path).expect("read");
        let steps: Vec<_> = text.lines().skip(1).map(|l| l.split(',').next().unwrap_or("")).collect();
        assert_eq!(steps, ["10", "20", "40"]);
        assert!(text.starts_with(HEADER));
        Log::open(&path, 0).expect("opened");
        assert_eq!(std::fs::read_to_string(&path).expect("read"), format!("{HEADER}\n"));
    }
}
