//! Rows in memory of the caller.

use crate::status::{Failure, Result};

/// Where rows lie that are checked to have room.
pub struct Rows {
    stride: usize,
    row: usize,
    height: usize,
}

impl Rows {
    /// Of `height` rows of `row` bytes, `stride` bytes apart or without gaps. `what` is for the error.
    pub fn new(what: &str, at: *const u8, stride: usize, row: usize, height: usize) -> Result<Self> {
        if at.is_null() {
            return Err(Failure::argument(format!("{what} is null")));
        }
        let stride = if stride == 0 { row } else { stride };
        if stride < row {
            return Err(Failure::argument(format!(
                "rows of {what} have {row} bytes, but the stride is {stride}"
            )));
        }
        if height == 0 {
            return Err(Failure::argument(format!("{what} has no rows")));
        }
        let fits = (height - 1).checked_mul(stride).and_then(|all| all.checked_add(row));
        match fits.filter(|&bytes| bytes <= isize::MAX as usize) {
            Some(_) => Ok(Self { stride, row, height }),
            None => Err(Failure::argument(format!("{what} is larger than memory"))),
        }
    }

    /// Bytes from the first to the end of the last.
    pub fn bytes(&self) -> usize {
        self.at(self.height - 1) + self.row
    }

    /// Where a row begins.
    pub fn at(&self, y: usize) -> usize {
        y * self.stride
    }
}
