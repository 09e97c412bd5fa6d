//! Button, light and fan on the pins of a board, through the traits of `embedded-hal` 1.0.
//!
//! [`Shutter`], [`Led`] and [`Fan`] are generic over the pin, so that they run on any implementation of the
//! traits; on Linux the pins are lines of the kernel's GPIO character devices.

mod fan;
mod led;
#[cfg(target_os = "linux")]
mod line;
mod shutter;

pub use fan::{Fan, check_limits};
pub use led::{Led, State};
#[cfg(target_os = "linux")]
pub use line::{input, output};
pub use shutter::Shutter;

use mcir_upscale::error::{Advice, Error};
use std::path::PathBuf;

/// A line as the user writes it: `gpiochip0:17`, or `gpiochip0:17:low` for one that is on when it is low.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineSpec {
    /// The chip's device file.
    pub chip: PathBuf,
    /// Number of the line on its chip.
    pub line: u32,
    /// Whether low means on or pressed.
    pub active_low: bool,
}

impl std::str::FromStr for LineSpec {
    type Err = GpioError;

    fn from_str(text: &str) -> Result<Self, GpioError> {
        let wrong = || GpioError::Spec { text: text.into() };
        let mut parts = text.split(':');
        let (chip, line) = (parts.next().unwrap_or_default(), parts.next().ok_or_else(wrong)?);
        let active_low = match (parts.next(), parts.next()) {
            (None | Some("high"), None) => false,
            (Some("low"), None) => true,
            _ => return Err(wrong()),
        };
        let chip = match chip {
            "" => return Err(wrong()),
            path if path.starts_with('/') => path.into(),
            number if number.bytes().all(|b| b.is_ascii_digit()) => format!("/dev/gpiochip{number}").into(),
            name => PathBuf::from("/dev").join(name),
        };
        Ok(Self { chip, line: line.parse().map_err(|_| wrong())?, active_low })
    }
}

impl LineSpec {
    /// From the command line, whose parser shows one text only.
    ///
    /// # Errors
    /// What is wrong, with the next thing to try.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: GpioError| format!("{error}\n  help: {}", error.help()))
    }
}

impl std::fmt::Display for LineSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} of {}", self.line, self.chip.display())
    }
}

/// Why a pin cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GpioError {
    /// Not a line.
    #[error("`{text}` is not a GPIO line")]
    Spec {
        /// As given.
        text: String,
    },
    /// The fan would be switched off before it is switched on.
    #[error("the fan's limits are {off} °C for off and {on} °C for on; off must be lower")]
    Limits {
        /// Switch on from here.
        on: f32,
        /// Switch off from here.
        off: f32,
    },
    /// This system has no such pins.
    #[error("GPIO needs Linux")]
    OtherSystem,
    /// No such chip.
    #[error("there is no GPIO chip {}", chip.display())]
    NoChip {
        /// Its device file.
        chip: PathBuf,
        /// Those that are there.
        found: String,
    },
    /// The device file is something else.
    #[error("{} is not a GPIO chip", chip.display())]
    NotAChip {
        /// The file.
        chip: PathBuf,
    },
    /// The device file may not be opened.
    #[error("no permission to use the GPIO chip {}", chip.display())]
    Permission {
        /// Its device file.
        chip: PathBuf,
    },
    /// The chip has fewer lines.
    #[error("there is no {line}: it has {lines} lines")]
    NoLine {
        /// The line.
        line: LineSpec,
        /// How many there are.
        lines: u32,
    },
    /// Somebody else has the line.
    #[error("{line} is in use by {user}")]
    InUse {
        /// The line.
        line: LineSpec,
        /// The kernel or a program.
        user: String,
    },
    /// Anything else.
    #[error("{line} cannot be used: {reason}")]
    Failed {
        /// The line.
        line: LineSpec,
        /// What the system says.
        reason: String,
    },
}

impl GpioError {
    /// The next thing to try, as one sentence without a full stop.
    pub fn help(&self) -> String {
        match self {
            Self::Spec { .. } => {
                "write the chip and the line's number, for example gpiochip0:17, or gpiochip0:17:low for a button \
                 that pulls the line down; `gpioinfo` lists the lines"
                    .into()
            }
            Self::Limits { .. } => "leave some degrees between, for example --fan-on 65 --fan-off 55".into(),
            Self::OtherSystem => "leave out --shutter, --led and --fan".into(),
            Self::NoChip { found, .. } => format!("{found}; `gpiodetect` lists the chips"),
            Self::NotAChip { .. } => "`gpiodetect` lists the chips".into(),
            Self::Permission { .. } => "`sudo usermod -aG gpio $USER`, then log in again".into(),
            Self::NoLine { line, lines } => {
                format!("use 0 to {}; `gpioinfo {}` lists them", lines.saturating_sub(1), line.chip.display())
            }
            Self::InUse { line, .. } => {
                format!("`gpioinfo {}` tells who uses which line; use a free one", line.chip.display())
            }
            Self::Failed { line, .. } => format!("`gpioinfo {}` tells what the line can do", line.chip.display()),
        }
    }

    /// 2 when the command itself asks for something impossible, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Spec { .. } | Self::Limits { .. } | Self::OtherSystem => 2,
            _ => 1,
        }
    }
}

impl Advice for GpioError {
    fn help(&self) -> String {
        Self::help(self)
    }

    fn exit_code(&self) -> u8 {
        Self::exit_code(self)
    }
}

impl From<GpioError> for Error {
    fn from(error: GpioError) -> Self {
        Self::Room(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_in_several_ways() {
        let spec = |text: &str| text.parse::<LineSpec>();
        let line = |chip: &str, line, active_low| LineSpec { chip: chip.into(), line, active_low };
        assert_eq!(spec("gpiochip0:17").unwrap(), line("/dev/gpiochip0", 17, false));
        assert_eq!(spec("4:2:low").unwrap(), line("/dev/gpiochip4", 2, true));
        assert_eq!(spec("/dev/gpiochip1:0:high").unwrap(), line("/dev/gpiochip1", 0, false));
        for wrong in ["", "17", "gpiochip0", "gpiochip0:", ":3", "0:x", "0:1:up", "0:1:low:2", "0:-1"] {
            assert!(matches!(spec(wrong), Err(GpioError::Spec { .. })), "{wrong}");
        }
    }
}
