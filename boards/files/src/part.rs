//! A part of the pictures of a folder: those whose paths fit patterns, and one of so many parts of these.

pub use glob::Pattern;

use std::path::Path;
use std::str::FromStr;

/// Whether a path in a folder fits one of the patterns; without patterns all do. As shells have it: `*` stays in one folder, and
/// capitals count.
pub fn fits(patterns: &[Pattern], path: &Path) -> bool {
    const RULES: glob::MatchOptions = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: false,
    };
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches_path_with(path, RULES))
}

/// One part of so many, counted from zero. All is the only part of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Default for Shard {
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// The part of a list whose order is the same for all who take parts of it: one each in turn.
    pub fn part<T>(self, all: Vec<T>) -> Vec<T> {
        all.into_iter().skip(self.index).step_by(self.of).collect()
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<usize>().ok();
        let parts = text.split_once('/').and_then(|(i, n)| Some((number(i)?, number(n)?)));
        match parts {
            // Where jobs are counted from zero, number 0 has what number N has elsewhere: either way all parts are done.
            Some((index, of)) if of > 0 && index <= of => {
                Ok(Self { index: index.checked_sub(1).unwrap_or(of - 1), of })
            }
            _ => Err("write which part of how many, such as 1/8".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_are_none_are_refused() {
        for (text, expected) in
            [("1/1", (0, 1)), ("0/1", (0, 1)), ("3/8", (2, 8)), ("8/8", (7, 8)), ("0/8", (7, 8))]
        {
            assert_eq!(text.parse::<Shard>().map(|s| (s.index, s.of)), Ok(expected));
        }
        assert!(format!("1/{}", usize::MAX).parse::<Shard>().is_ok());
        for wrong in ["9/8", "8", "1/", "/2", "a/b", "1/0", "-1/2"] {
            assert!(wrong.parse::<Shard>().is_err_and(|e| e.contains("1/8")), "{wrong}");
        }
        let parts = (1..=3).map(|i| format!("{i}/3").parse::<Shard>().unwrap().part((0..8).collect()));
        assert_eq!(parts.collect::<Vec<_>>(), [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!(Shard::default().part(vec![1, 2]), [1, 2]);
    }

    #[test]
    fn patterns_are_those_of_shells() {
        let fit = |pattern: &str, path: &str| fits(&[Pattern::new(pattern).unwrap()], Path::new(path));
        assert!(fit("*.png", "a.png") && fit("x/**/*.png", "x/y/a.png") && fit("**/*.png", "a.png"));
        assert!(!fit("*.png", "x/a.png") && !fit("*.png", "a.PNG"));
        assert!(fits(&[], Path::new("anything")));
    }
}
