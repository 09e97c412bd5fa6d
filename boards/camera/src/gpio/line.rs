//! Lines of Linux's GPIO character devices.

use super::{GpioError, LineSpec};
use linux_embedded_hal::CdevPin;
use linux_embedded_hal::gpio_cdev::{self, Chip, LineRequestFlags};
use std::error::Error as _;
use std::io;

/// What `gpioinfo` shows as the user of our lines.
const CONSUMER: &str = "mcir-board";

/// A line to read.
///
/// # Errors
/// [`GpioError`].
pub fn input(line: &LineSpec) -> Result<CdevPin, GpioError> {
    request(line, LineRequestFlags::INPUT, 0)
}

/// A line to write, which starts as off.
///
/// # Errors
/// [`GpioError`].
pub fn output(line: &LineSpec) -> Result<CdevPin, GpioError> {
    request(line, LineRequestFlags::OUTPUT, u8::from(line.active_low))
}

fn request(line: &LineSpec, flags: LineRequestFlags, start: u8) -> Result<CdevPin, GpioError> {
    let mut chip = Chip::new(&line.chip).map_err(|e| chip_error(line, &e))?;
    if line.line >= chip.num_lines() {
        return Err(GpioError::NoLine { line: line.clone(), lines: chip.num_lines() });
    }
    let failed = |e: &gpio_cdev::Error| line_error(line, e);
    let handle = chip.get_line(line.line).map_err(|e| failed(&e))?;
    let info = handle.info().map_err(|e| failed(&e))?;
    if info.is_used() {
        let user = info.consumer().filter(|c| !c.is_empty()).unwrap_or("the system");
        return Err(GpioError::InUse { line: line.clone(), user: user.into() });
    }
    let handle = handle.request(flags, start, CONSUMER).map_err(|e| failed(&e))?;
    CdevPin::new(handle).map_err(|e| failed(&e))
}

fn chip_error(line: &LineSpec, error: &gpio_cdev::Error) -> GpioError {
    let chip = line.chip.clone();
    let kind = error.source().and_then(|s| s.downcast_ref::<io::Error>()).map(io::Error::kind);
    match kind {
        Some(io::ErrorKind::NotFound) => GpioError::NoChip { chip, found: present() },
        Some(io::ErrorKind::PermissionDenied) => GpioError::Permission { chip },
        // It could be opened, but does not answer as a chip does.
        _ => GpioError::NotAChip { chip },
    }
}

fn line_error(line: &LineSpec, error: &gpio_cdev::Error) -> GpioError {
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if reason.contains("EBUSY") {
        return GpioError::InUse { line: line.clone(), user: "another program".into() };
    }
    GpioError::Failed { line: line.clone(), reason }
}

/// The chips that are there, for a message.
fn present() -> String {
    let chips = gpio_cdev::chips().into_iter().flatten().flatten();
    let names: Vec<_> = chips.map(|c| format!("{} ({})", c.path().display(), c.label())).collect();
    if names.is_empty() {
        "there is no chip at all".into()
    } else {
        format!("there are {}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(spec: &str) -> GpioError {
        input(&spec.parse().unwrap()).err().unwrap()
    }

    #[test]
    fn causes_are_named() {
        let missing = error("/dev/gpiochip987:1");
        assert!(matches!(missing, GpioError::NoChip { .. }), "{missing}");
        assert!(missing.help().contains("gpiodetect"), "{}", missing.help());
        let line = "0:3:low".parse().unwrap();
        let denied = chip_error(&line, &io::Error::from(io::ErrorKind::PermissionDenied).into());
        assert!(matches!(denied, GpioError::Permission { .. }), "{denied}");
        assert!(denied.help().contains("usermod -aG gpio"), "{}", denied.help());
        let other = error("/dev/null:1");
        assert!(matches!(other, GpioError::NotAChip { .. }), "{other}");
    }
}
