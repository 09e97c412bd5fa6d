//! What `flash` does where it is given a model and no bundle: it looks at the board, finds the program for it and makes the
//! bundle on the way.

use super::DeployError;
use super::bundle::{Bundle, make, make::Author};
use super::program::{self, Found};
use super::target::{Reach, Target};
use mcir_files::terminal::ProgressBar;
use mcir_report::machine::Machine;
use mcir_report::profiles::Profile;
use mcir_upscale::error::Result;
use mcir_upscale::models::NamedModel;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was found out, and the program that was chosen.
#[derive(Debug, Serialize)]
pub struct Prepared {
    /// The board; under an emulator the machine that the emulator runs on.
    pub machine: Machine,
    /// Architecture that the program has to be for.
    pub architecture: String,
    /// The program for the board.
    pub program: PathBuf,
    /// Where it was found.
    pub found: Found,
}

impl Prepared {
    /// Looks at a board and finds the program for it: `given`, or what [`program::find`] finds.
    ///
    /// # Errors
    /// [`DeployError::Connect`] when the board cannot be reached or does not tell what it is, [`DeployError::Architecture`] when
    /// there is no program for it or `given` is for another, [`DeployError::Program`] when `given` is something else.
    pub fn look(target: &Target, reach: &Reach, given: Option<&Path>) -> Result<Self, DeployError> {
        let machine = Machine::of(&target.snapshot(reach)?);
        // What an emulator stands for is not what the files of its host say.
        let emulated = program::emulated(&reach.run_with).map(str::to_owned);
        let untold = || DeployError::Connect {
            target: target.to_string(),
            reason: "it does not tell which processor it has".into(),
        };
        let architecture = emulated.or_else(|| machine.architecture.clone());
        let wrong = |program: &str, found: &str| DeployError::Architecture {
            program: program.into(),
            board: target.to_string(),
            found: found.into(),
        };
        let (program, found) = match given {
            Some(path) => {
                let own = program::architecture(path)?;
                program::is_ours(path)?;
                // Of an emulator that is not known the user knows more.
                let known = architecture
                    .as_deref()
                    .filter(|_| reach.run_with.is_empty() || program::emulated(&reach.run_with).is_some());
                if let Some(other) = known.filter(|known| !program::fits(own, known)) {
                    return Err(wrong(own, other));
                }
                (path.to_owned(), Found::Given)
            }
            None => {
                let needed = architecture.as_deref().ok_or_else(untold)?;
                let here = program::this()?;
                let own = program::architecture(&here)?;
                program::find(&here, needed).ok_or_else(|| wrong(own, needed))?
            }
        };
        let architecture =
            architecture.map_or_else(|| program::architecture(&program).map(str::to_owned), Ok)?;
        Ok(Self { machine, architecture, program, found })
    }

    /// Makes the bundle for this board, in a file that nobody else sees and that is gone with the program.
    ///
    /// # Errors
    /// What keeps the model, the program or the pictures from being used, or the file from being written.
    pub fn bundle(
        &self,
        model: &NamedModel,
        any_board: bool,
        reach: &Reach,
        data: Option<&Path>,
        author: &Author,
        bar: &ProgressBar,
    ) -> Result<Bundle> {
        let of_board = !any_board && reach.run_with.is_empty();
        let board = self.machine.board.clone().filter(|_| of_board);
        let made = make(model, &self.program, board, data, author, bar)?;
        let folder = tempfile::tempdir().map_err(DeployError::io("create", &std::env::temp_dir()))?;
        let path = folder.path().join("flash.bundle");
        made.write(&path)?;
        // Everything is read through the handle that it opens, which outlives the name.
        Ok(Bundle::open(&path)?)
    }

    /// Two lines for a person: what the board is, and which program it gets.
    pub fn text(&self) -> String {
        let m = &self.machine;
        let name = m.model.clone().or_else(|| m.system.clone()).unwrap_or_else(|| "unknown".into());
        let profile = m.board.as_ref().map_or(String::new(), |board| format!(" ({board})"));
        let processor = m.processor.as_ref().map_or(String::new(), |p| format!(" x {p}"));
        let engine = match m.isa {
            Some(isa) if m.architecture.as_deref() == Some(&self.architecture) => format!(", engine {isa}"),
            _ => ", emulated".into(),
        };
        let features = match m.features.is_empty() {
            true => String::new(),
            false => format!(" ({})", m.features.join(", ")),
        };
        format!(
            "board: {name}{profile}, {}{processor}, {}{engine}{features}\nprogram: {} ({})",
            m.processors,
            self.architecture,
            self.program.display(),
            self.found.text(),
        )
    }
}

/// What a board would run as a service, by the camera that it usually has.
pub fn usual_service(machine: &Machine) -> &'static str {
    let profile = machine.model.as_deref().and_then(Profile::of_model);
    let cameras = profile.map_or_else(Vec::new, |profile| profile.camera);
    match cameras.first().map(String::as_str) {
        Some("rpicam") => "camera --source rpicam: --size 320x180 --http 8080",
        Some("nvargus") => {
            "camera --http 8080 --source \"gst:nvarguscamerasrc ! \
             video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1 ! nvvidconv ! \
             video/x-raw,width=320,height=180,format=I420\""
        }
        _ => "camera --source v4l2:/dev/video0 --size 320x240 --http 8080",
    }
}
