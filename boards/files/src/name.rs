//! Names as text: any path and any foreign string, so that a terminal only prints it and JSON can hold it.

use std::fmt::Write as _;
use std::path::Path;

/// The path as text. Bytes that are not UTF-8 and control characters are written `\xNN`.
pub fn text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        text += &escaped(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// Text from elsewhere for a terminal: control characters, which could move the cursor, change colours or set the
/// window's title, and those that reverse the direction of writing are written as escapes.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        match c {
            c if u32::from(c) < 0x20 || u32::from(c) == 0x7f => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || turns => {
                let _ = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

/// The same for text of several lines, whose line ends and tabs stay.
pub fn escaped_lines(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(escaped).collect::<Vec<_>>().join("\t");
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// So many of something: `1 image`, `2 images`.
pub fn counted(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_only_print_names() {
        assert_eq!(text(Path::new("photos/größe 1.png")), "photos/größe 1.png");
        assert_eq!(text(Path::new("a\x1b]0;title\x07\n.png")), "a\\x1b]0;title\\x07\\x0a.png");
        assert_eq!(escaped("csi \u{9b}2J, rlo \u{202e}gnp"), "csi \\u{9b}2J, rlo \\u{202e}gnp");
        assert_eq!(escaped_lines("one\r\n\ttwo\x1b[31m\n"), "one\n\ttwo\\x1b[31m");
    }

    #[cfg(unix)]
    #[test]
    fn paths_that_are_not_utf_8() {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(b"a/\xff\xc3.png"));
        assert_eq!(text(path), "a/\\xff\\xc3.png");
    }
}
