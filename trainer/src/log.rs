//! The record of a run, continued without gaps or doubled steps after a resume: `log.csv` with one row for each
//! logging interval, `validation.csv` with one row for each validation and set.

use crate::eval::SetScores;
use crate::files;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

const HEADER: &str = "step,lr,loss,l_neg,psnr_y_db,ssim_y,seconds";
const VALIDATION_HEADER: &str = "step,set,psnr_y_db,ssim_y";

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
    /// Time since the start or the last resume. The log has it since the start of the run.
    pub seconds: f64,
    /// Validation, if there was one at this step; the first set is the one in `log.csv`.
    pub scores: &'a [SetScores],
}

/// The open files.
#[derive(Debug)]
pub struct Log {
    steps: File,
    validations: File,
    /// Training time before the resume, in seconds.
    before: f64,
}

impl Log {
    /// Opens the logs of a run that has done `step` steps: rows of later steps, which the checkpoint does not
    /// hold, are dropped.
    ///
    /// # Errors
    /// The system's.
    pub fn open(folder: &Path, step: u64) -> std::io::Result<Self> {
        let (steps, rows) = open(&folder.join("log.csv"), HEADER, step)?;
        let (validations, _) = open(&folder.join("validation.csv"), VALIDATION_HEADER, step)?;
        let mut times = rows.lines().rev().filter_map(|row| row.rsplit(',').next()?.parse::<f64>().ok());
        Ok(Self { steps, validations, before: times.next().unwrap_or(0.0) })
    }

    /// Appends a row.
    ///
    /// # Errors
    /// The system's.
    pub fn write(&mut self, row: &Row<'_>) -> std::io::Result<()> {
        let (psnr, ssim) = match row.scores.first() {
            Some(s) => (format!("{:.4}", s.scores.psnr_y_db), format!("{:.5}", s.scores.ssim_y)),
            None => Default::default(),
        };
        let negative = row.negative.map_or(String::new(), |n| format!("{n:.6}"));
        let Row { step, lr, loss, .. } = row;
        let seconds = self.before + row.seconds;
        let line = format!("{step},{lr:.4e},{loss:.6},{negative},{psnr},{ssim},{seconds:.1}\n");
        self.steps.write_all(line.as_bytes())?;
        for SetScores { set, scores } in row.scores {
            // A comma in a folder's name must not become a column.
            let set = set.replace([',', '"', '\n'], "_");
            let line = format!("{step},{set},{:.4},{:.5}\n", scores.psnr_y_db, scores.ssim_y);
            self.validations.write_all(line.as_bytes())?;
        }
        Ok(())
    }
}

/// The file, and what is kept of it.
fn open(path: &Path, header: &str, step: u64) -> std::io::Result<(File, String)> {
    let mut kept = format!("{header}\n");
    if step > 0 && path.exists() {
        let columns = header.split(',').count();
        for line in BufReader::new(File::open(path)?).lines() {
            let line = line?;
            let done = line.split(',').next().and_then(|s| s.parse::<u64>().ok());
            // A loss of power can leave half a row.
            if done.is_some_and(|s| s <= step) && line.split(',').count() == columns {
                kept += &line;
                kept.push('\n');
            }
        }
    }
    files::replace(path, kept.as_bytes())?;
    Ok((File::options().append(true).open(path)?, kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::Scores;

    #[test]
    fn rows_after_the_checkpoint_are_dropped_on_resume() {
        let folder = tempfile::tempdir().expect("a folder");
        let set = |name: &str, psnr_y_db| SetScores {
            set: name.into(),
            scores: Scores {
                psnr_y_db,
                psnr_rgb_db: 1.0,
                ssim_y: 0.5,
                ssim_rgb: 0.5,
                input_psnr_rgb_db: None,
                images: Vec::new(),
            },
        };
        let scores = [set("a,b", 30.0), set("c", 28.0)];
        let row = |step| Row { step, lr: 1e-3, loss: 0.5, negative: None, seconds: 1.0, scores: &scores };
        let mut log = Log::open(folder.path(), 0).expect("opened");
        [10, 20, 30].iter().for_each(|&s| log.write(&row(s)).expect("written"));
        std::fs::OpenOptions::new()
            .append(true)
            .open(folder.path().join("log.csv"))
            .and_then(|mut file| file.write_all(b"1"))
            .expect("half a row of step 15");
        let mut log = Log::open(folder.path(), 20).expect("opened");
        log.write(&Row { scores: &[], ..row(40) }).expect("written");
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("read");
        let steps = |text: &str| -> Vec<u64> {
            let step = |l: &str| l.split(',').next().and_then(|s| s.parse().ok()).expect("a step");
            text.lines().skip(1).map(step).collect()
        };
        let text = read("log.csv");
        assert_eq!(steps(&text), [10, 20, 40]);
        let time = |row: &str| row.rsplit(',').next().map(String::from);
        assert_eq!(
            text.lines().last().and_then(time).as_deref(),
            Some("2.0"),
            "a second before and one after"
        );
        assert!(text.starts_with(HEADER) && text.contains(",30.0000,0.50000,"), "{text}");
        let text = read("validation.csv");
        assert_eq!(steps(&text), [10, 10, 20, 20]);
        assert!(text.contains("20,a_b,30.0000,0.50000\n20,c,28.0000"), "{text}");
        Log::open(folder.path(), 0).expect("opened");
        assert_eq!(read("log.csv"), format!("{HEADER}\n"));
    }
}
