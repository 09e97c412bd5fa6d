//! Columns of text.

use std::fmt;

/// A table with a heading; the first column is text, the others are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Heading of each column.
    pub heading: Vec<String>,
    /// Lines, each as long as the heading.
    pub lines: Vec<Vec<String>>,
}

impl Table {
    /// A table without lines.
    pub fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        Self { heading: heading.into_iter().map(Into::into).collect(), lines: Vec::new() }
    }

    /// Adds a line.
    ///
    /// # Panics
    /// If it is not as long as the heading.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let line: Vec<_> = cells.into_iter().collect();
        assert_eq!(line.len(), self.heading.len(), "a line has as many cells as the heading");
        self.lines.push(line);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || std::iter::once(&self.heading).chain(&self.lines);
        let width = |column: usize| lines().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..self.heading.len()).map(width).collect();
        for (i, line) in lines().enumerate() {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "  {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
            if i == 0 {
                let rules: Vec<_> = widths.iter().map(|&w| "-".repeat(w)).collect();
                writeln!(f, "  {}", rules.join("  "))?;
            }
        }
        Ok(())
    }
}
