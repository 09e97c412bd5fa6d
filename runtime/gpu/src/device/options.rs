//! How a device is used, and faults on purpose.

use std::time::Duration;

/// How a device is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Most bytes of memory on the device, of all networks and frames together.
    pub memory_limit: u64,
    /// A frame that takes longer hangs.
    pub timeout: Duration,
    /// Do without the instruction that multiplies and adds four bytes.
    pub without_dot: bool,
    /// A fault that is made on purpose, to see what follows.
    pub fault: Option<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self { memory_limit: u64::MAX, timeout: Duration::from_secs(30), without_dot: false, fault: None }
    }
}

/// A fault that is made on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// Frames that go well before.
    pub after: u64,
}

/// What can happen to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The device is lost.
    Lost,
    /// The frame does not end in time.
    Hang,
    /// Memory is used up.
    Memory,
}

impl std::str::FromStr for Fault {
    type Err = String;

    /// `lost@3`: the device is lost after three frames. The others are `hang` and `memory`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, after) = text.split_once('@').unwrap_or((text, "0"));
        let kind = match kind {
            "lost" => FaultKind::Lost,
            "hang" => FaultKind::Hang,
            "memory" => FaultKind::Memory,
            _ => return Err(format!("a fault is lost, hang or memory, not {kind}")),
        };
        let after = after.parse().map_err(|_| format!("{after} is no number of frames"))?;
        Ok(Self { kind, after })
    }
}
