//! Text in HTML.

use std::fmt::{self, Display, Formatter, Write};

/// Text with the characters escaped that mean something in HTML.
pub(super) struct Text<'a>(pub &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_cannot_break_the_page() {
        assert_eq!(Text("<b>\"a\" & b").to_string(), "&lt;b&gt;&quot;a&quot; &amp; b");
    }
}
