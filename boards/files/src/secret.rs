//! Passwords in what is shown to others.

/// Names of a value that is a secret, in query strings and in properties of GStreamer elements.
const NAMES: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "pass",
    "pwd",
    "pw",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "auth",
];
/// What stands for a secret.
const HIDDEN: &str = "***";

/// A text without the passwords in it: of addresses (`rtsp://user:password@camera` becomes `rtsp://user:***@camera`),
/// of query strings (`?user=a&pwd=b`) and of properties (`user-pw=b`).
pub fn without_passwords(text: &str) -> String {
    values(&addresses(text))
}

/// Hides what stands between the user's name and the host.
fn addresses(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        out += before;
        // An address ends where a word does, or its quotes.
        let scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let quote = before[..at].trim_end_matches(scheme).chars().next_back().filter(|c| "\"'".contains(*c));
        let ends = |c: char| match quote {
            Some(quote) => c == quote,
            None => c.is_whitespace() || "\"'<>`|".contains(c),
        };
        let end = address.find(ends).unwrap_or(address.len());
        // Of several addresses in one word, this one is at most what is before the next.
        let end = address[..end].find("://").unwrap_or(end);
        let (address, after) = address.split_at(end);
        out += &one_address(address);
        rest = after;
    }
    out + rest
}

fn one_address(address: &str) -> String {
    let host_end = address.find(['/', '?', '#']).unwrap_or(address.len());
    let authority = &address[..host_end];
    let port = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let at = match (authority.rfind('@'), authority.split_once(':')) {
        (Some(at), _) => at,
        // A password with a slash in it, which some programs take: what follows the colon is no port.
        (None, Some((_, word))) if !authority.starts_with('[') && !port(word) => match address.rfind('@') {
            Some(at) => at,
            None => return address.into(),
        },
        _ => return address.into(),
    };
    match address[..at].find(':') {
        Some(colon) => format!("{}:{HIDDEN}{}", &address[..colon], &address[at..]),
        None => address.into(),
    }
}

/// Hides the values of secret names: `name=value`, with or without spaces and quotes.
fn values(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('=') {
        let (before, after) = rest.split_at(at);
        out += before;
        let name = before.trim_end();
        let start = name.rfind(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
        let name =
            start.map_or(name, |at| &name[at..]).trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let spaces = after.len() - 1 - after[1..].trim_start_matches(' ').len();
        let (equals, value) = after.split_at(1 + spaces);
        out += equals;
        rest = value;
        if is_secret(name) {
            let length = value_length(value);
            if length > 0 {
                out += HIDDEN;
            }
            rest = &value[length..];
        }
    }
    out + rest
}

/// `user-pw` and `rtsp_password` too.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    NAMES.iter().any(|secret| {
        name.strip_suffix(secret).is_some_and(|rest| rest.is_empty() || rest.ends_with(['-', '_']))
    })
}

/// Bytes of a value: to the closing quote, or to the end of the word or of the part of a query.
fn value_length(value: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || "&;\"'`<>".contains(c);
    match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |at| at + 2),
        _ => value.find(ends).unwrap_or(value.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        for (text, shown) in [
            ("rtsp://user:password@cam/1", "rtsp://user:***@cam/1"),
            ("rtsp://user:p@ss@cam:554/1", "rtsp://user:***@cam:554/1"),
            ("rtsp://user:a:b@cam", "rtsp://user:***@cam"),
            ("rtsp://user:pa/ss@cam/1", "rtsp://user:***@cam/1"),
            ("rtsp://:geheim@cam", "rtsp://:***@cam"),
            ("rtsp://user:@cam", "rtsp://user:***@cam"),
            ("RTSPS://u:p%40ss@[fe80::1]:322/x", "RTSPS://u:***@[fe80::1]:322/x"),
            (
                "gst:rtspsrc location=\"rtsp://u:p w@cam\" ! x",
                "gst:rtspsrc location=\"rtsp://u:***@cam\" ! x",
            ),
            (
                "gst:rtspsrc location=rtsp://u:pw@cam user-id=u user-pw=pw ! d",
                "gst:rtspsrc location=rtsp://u:***@cam user-id=u user-pw=*** ! d",
            ),
            ("rtspsrc user-pw = \"two words\" ! d", "rtspsrc user-pw = *** ! d"),
            (
                "http://cam/video.cgi?user=admin&pwd=123&rate=0",
                "http://cam/video.cgi?user=admin&pwd=***&rate=0",
            ),
            ("http://cam/?PassWord=1;x=2", "http://cam/?PassWord=***;x=2"),
            ("http://a:b@c http://d:e@f", "http://a:***@c http://d:***@f"),
            ("http://a:b@c,http://d:e@f", "http://a:***@c,http://d:***@f"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }

    #[test]
    fn everything_else_is() {
        for text in [
            "",
            "file:in=out.y4m",
            "rtsp://cam:554/user@place",
            "http://127.0.0.1:8080/",
            "ssh://pi@board:22/opt",
            "http://[::1]:80/a@b",
            "http://user@cam",
            "videotestsrc pattern=ball ! video/x-raw,width=68",
            "a :// b",
            "compass=3 bypass=4",
            "password=",
        ] {
            assert_eq!(without_passwords(text), text);
        }
    }
}
