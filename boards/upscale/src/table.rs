//! Columns of text.

use std::fmt;

/// A table with a heading; the first columns are text, the others are numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Heading of each column.
    pub heading: Vec<String>,
    /// How many of the first columns are text.
    pub text_columns: usize,
    /// Lines below the heading.
    pub lines: Vec<Line>,
}

/// A line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// As many cells as the heading has.
    Cells(Vec<String>),
    /// A first cell, and a text that takes the place of all others.
    Across(String, String),
}

impl Table {
    /// A table without lines, whose first column is text.
    pub fn new<T: Into<String>>(heading: impl IntoIterator<Item = T>) -> Self {
        Self { heading: heading.into_iter().map(Into::into).collect(), text_columns: 1, lines: Vec::new() }
    }

    /// Adds a line.
    ///
    /// # Panics
    /// If it is not as long as the heading.
    pub fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        let line: Vec<_> = cells.into_iter().collect();
        assert_eq!(line.len(), self.heading.len(), "a line has as many cells as the heading");
        self.lines.push(Line::Cells(line));
    }

    /// Adds a line that is a text beside its first cell.
    pub fn push_across(&mut self, first: impl Into<String>, text: impl Into<String>) {
        self.lines.push(Line::Across(first.into(), text.into()));
    }
}

impl Line {
    /// The cell of a column, where the line has one.
    fn cell(&self, column: usize) -> Option<&str> {
        match self {
            Self::Cells(cells) => cells.get(column).map(String::as_str),
            Self::Across(first, _) => (column == 0).then_some(first),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |column: usize| {
            let cells = self.lines.iter().filter_map(|line| line.cell(column));
            cells.chain([self.heading[column].as_str()]).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.heading.len()).map(width).collect();
        let row = |f: &mut fmt::Formatter<'_>, cells: &[String]| {
            for (column, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                match column < self.text_columns {
                    true => write!(f, "  {cell:<width$}")?,
                    false => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)
        };
        row(f, &self.heading)?;
        let rules: Vec<_> = widths.iter().map(|&w| "-".repeat(w)).collect();
        writeln!(f, "  {}", rules.join("  "))?;
        for line in &self.lines {
            match line {
                Line::Cells(cells) => row(f, cells)?,
                Line::Across(first, text) => writeln!(f, "  {first:<0$}  {text}", widths[0])?,
            }
        }
        Ok(())
    }
}
