//! What can go wrong with a video file.

use mcir_upscale::error::{Advice, Error};

/// Why a video is not enlarged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VideoError {
    /// ffmpeg is missing.
    #[error("{program} is not installed")]
    NoProgram {
        /// ffmpeg or ffprobe.
        program: &'static str,
    },
    /// A program cannot be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file that ffmpeg does not read.
    #[error("{name} cannot be read as a video: {why}")]
    Probe {
        /// The file.
        name: String,
        /// What ffprobe says.
        why: String,
    },
    /// Sound or nothing.
    #[error("{name} has no video in it")]
    NoVideo {
        /// The file.
        name: String,
    },
    /// Brightness that 8 bits cannot hold.
    #[error("{name} is HDR ({curve}), and the networks are for 8 bits of standard brightness")]
    Hdr {
        /// The file.
        name: String,
        /// PQ or HLG.
        curve: &'static str,
    },
    /// Colours of another standard.
    #[error("{name} has the colour matrix {found}; bt709 and those of standard definition are read")]
    Matrix {
        /// The file.
        name: String,
        /// As ffprobe names it.
        found: String,
    },
    /// Rows of two moments.
    #[error(
        "{name} is interlaced: every other row is of another moment, and a network would take them for neighbours"
    )]
    Interlaced {
        /// The file.
        name: String,
    },
    /// The output is the input.
    #[error("the output {name} is the input itself")]
    OutputIsInput {
        /// Both.
        name: String,
    },
    /// An output without an extension.
    #[error("{name} does not end in the extension of a video format")]
    NoFormat {
        /// The output.
        name: String,
    },
    /// Options that are no words of a shell.
    #[error("--encode `{text}` has a quotation mark without its other half")]
    Words {
        /// As given.
        text: String,
    },
    /// One of the programs failed.
    #[error("{step} failed ({status}){}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Failed {
        /// What it did.
        step: &'static str,
        /// Its exit status.
        status: String,
        /// The last that it said.
        said: String,
    },
}

impl Advice for VideoError {
    fn help(&self) -> String {
        match self {
            Self::NoProgram { .. } => "`sudo apt install ffmpeg` installs it".into(),
            Self::Start { program, .. } => format!("try to run it by hand: {program} -version"),
            Self::Probe { name, .. } => format!("`ffprobe {name}` says more"),
            Self::NoVideo { .. } => "name a file with moving pictures in it".into(),
            Self::Hdr { name, .. } => format!(
                "bring it to standard brightness first: ffmpeg -i {name} -vf \
                 zscale=t=linear,tonemap=hable,zscale=t=bt709:m=bt709:p=bt709,format=yuv420p -c:a copy SDR.mkv"
            ),
            Self::Matrix { name, .. } => {
                format!("convert it first: ffmpeg -i {name} -vf zscale=m=bt709:p=bt709:t=bt709 -c:a copy BT709.mkv")
            }
            Self::Interlaced { .. } => "--deinterlace makes whole frames of it first".into(),
            Self::OutputIsInput { .. } => "give another name with -o".into(),
            Self::NoFormat { .. } => "use for example .mp4 or .mkv".into(),
            Self::Words { .. } => "write it as for a shell: --encode '-c:v libx265 -crf 20'".into(),
            Self::Failed { step: "writing the video", .. } => {
                "check the output's extension and --encode, and that there is room on the disk; `ffmpeg -encoders` lists what it \
                 has"
                    .into()
            }
            Self::Failed { .. } => "-v shows all that the programs say".into(),
        }
    }

    fn exit_code(&self) -> u8 {
        match self {
            Self::OutputIsInput { .. } | Self::NoFormat { .. } | Self::Words { .. } => 2,
            _ => 1,
        }
    }
}

impl From<VideoError> for Error {
    fn from(error: VideoError) -> Self {
        Self::Room(Box::new(error))
    }
}
