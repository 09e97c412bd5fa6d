//! How far an operator looks: the rows and columns of its input that it needs.

use crate::model::{Facts, Look, Op};

/// Which input rows an operator needs for which output rows, on an image without an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Row `y` needs rows `y / upscale − above ..= y / upscale + below`.
    Rows {
        /// Output rows for one input row.
        upscale: i64,
        /// Rows above.
        above: i64,
        /// Rows below.
        below: i64,
    },
    /// Row `y` needs rows `factor · y − above ..= factor · y + below`.
    Reduced {
        /// Input rows for one output row.
        factor: i64,
        /// Rows above.
        above: i64,
        /// Rows below.
        below: i64,
    },
    /// Row `y` needs all rows of its window.
    Windows {
        /// Side of a window.
        window: i64,
        /// The lines between windows are at `shift + k · window`.
        shift: i64,
    },
}

impl Reach {
    /// How far an operator looks.
    pub fn of(op: &Op) -> Self {
        match Facts::of(op, None).look {
            Look::Around { upscale, around, .. } => {
                let around = i64::from(around);
                Self::Rows { upscale: i64::from(upscale), above: around, below: around }
            }
            Look::Reduced { factor, first, taps } => {
                let first = i64::from(first);
                let last = first + i64::from(taps) - 1;
                Self::Reduced { factor: i64::from(factor), above: -first, below: last }
            }
            Look::Window { window, shift } => {
                Self::Windows { window: i64::from(window), shift: i64::from(shift) }
            }
        }
    }

    /// As this one, for an output of `upscale` times the resolution.
    pub fn scaled(self, upscale: u8) -> Self {
        match self {
            Self::Rows { upscale: r, above, below } => {
                Self::Rows { upscale: r * i64::from(upscale), above, below }
            }
            Self::Reduced { .. } | Self::Windows { .. } => unreachable!("it is no convolution"),
        }
    }

    /// Output rows that can be computed from `input` input rows.
    pub fn ready(self, input: i64) -> i64 {
        match self {
            Self::Rows { upscale, below, .. } => (input - below) * upscale,
            Self::Reduced { factor, below, .. } => (input - 1 - below).div_euclid(factor) + 1,
            Self::Windows { window, shift } => window_start(input, window, shift),
        }
    }

    /// Input rows that must be there for `output` output rows.
    pub fn needed(self, output: i64) -> i64 {
        match self {
            // Rounded up: an output row needs the whole input row that it comes from.
            Self::Rows { upscale, below, .. } => (output + upscale - 1).div_euclid(upscale) + below,
            Self::Reduced { factor, below, .. } => (output - 1) * factor + below + 1,
            Self::Windows { window, shift } => window_start(output + window - 1, window, shift),
        }
    }

    /// First input row that output row `output` needs.
    pub fn first(self, output: i64) -> i64 {
        match self {
            Self::Rows { upscale, above, .. } => output.div_euclid(upscale) - above,
            Self::Reduced { factor, above, .. } => output * factor - above,
            Self::Windows { window, shift } => window_start(output, window, shift),
        }
    }
}

/// Padding pixels that an operator reads at either side of a row.
pub(crate) fn column_padding(op: &Op) -> usize {
    match Facts::of(op, None).look {
        Look::Around { around, padded: true, .. } => usize::from(around),
        Look::Around { padded: false, .. } | Look::Reduced { .. } | Look::Window { .. } => 0,
    }
}

/// Lines between windows: the last one at or before `at`.
pub fn window_start(at: i64, window: i64, shift: i64) -> i64 {
    (at - shift).div_euclid(window) * window + shift
}
