//! The names that this server goes by.

use std::net::IpAddr;

/// Endings of names that nobody outside a house or a company can own. Of `.arpa`, which is the Internet's own, only
/// `home.arpa` (RFC 8375): everybody may have a name below `ip6.arpa`.
const PRIVATE: [&str; 6] = ["local", "lan", "home", "internal", "localhost", "home.arpa"];
/// Longest name of a host, in bytes.
const MAX_NAME: usize = 253;

/// Which names in a request's `Host` are answered.
///
/// A page of another site could get a name of its own to point to this machine, and then read the camera through the
/// browser of somebody in the house; so names are only those that nobody outside can own, addresses, single words and
/// private endings, and those that the user allows.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// In lower case, without a dot at the end.
    allowed: Vec<String>,
}

impl Hosts {
    /// Private names and these, which [`parse_host`] gives.
    pub fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    /// Whether a request with this in its `Host` is answered.
    pub fn is_ours(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else { return false };
        let ends_in = |end: &str| name.strip_suffix(end).is_some_and(|rest| rest.ends_with('.'));
        name.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || PRIVATE.iter().any(|end| name == *end || ends_in(end))
            || self.allowed.contains(&name)
    }
}

/// The name in front of a port, in lower case and without a dot at the end. `None` where it is malformed.
pub(super) fn host_name(host: &str) -> Option<String> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<IpAddr>().ok()?;
            (address, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

/// A name for [`Hosts::new`], from the command line.
///
/// # Errors
/// A message for the user.
pub fn parse_host(text: &str) -> Result<String, String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    match name.len() <= MAX_NAME && name.split('.').all(label) {
        true => Ok(name),
        false => {
            Err("write a whole name without scheme, port and path, such as raspberrypi.fritz.box".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_others_can_own_are_refused() {
        let hosts = Hosts::default();
        for ours in [
            "localhost:8080",
            "192.168.1.7:80",
            "[::1]:8080",
            "[fe80::1]",
            "pi:8080",
            "pi.local",
            "PI.Local.",
            "cam.lan.",
            "home.arpa",
            "cam.home.arpa:80",
        ] {
            assert!(hosts.is_ours(ours), "{ours}");
        }
        for other in [
            "evil.example:8080",
            "rebind.attacker.com",
            "127.0.0.1.nip.io",
            "x.0.8.e.f.ip6.arpa",
            "1.0.0.127.in-addr.arpa",
            "x.arpa",
            "evilhome.arpa",
            "evil.notlocal",
            "home.arpa.evil.com",
            "raspberrypi.fritz.box",
            "[::1].evil.com",
            "[evil.com]",
            "localhost:80:evil.com",
            "localhost:80@evil.com",
            "[::1",
        ] {
            assert!(!hosts.is_ours(other), "{other}");
        }
    }

    #[test]
    fn more_names_can_be_allowed() {
        let hosts = Hosts::new(vec![parse_host("RaspberryPi.fritz.box.").unwrap()]);
        for ours in
            ["raspberrypi.fritz.box", "raspberrypi.fritz.box:8080", "RASPBERRYPI.FRITZ.BOX.", "pi.local"]
        {
            assert!(hosts.is_ours(ours), "{ours}");
        }
        for other in ["fritz.box", "x.raspberrypi.fritz.box", "raspberrypi.fritz.box.evil.com"] {
            assert!(!hosts.is_ours(other), "{other}");
        }
        for wrong in ["", ".", "a..b", "http://a.b", "a.b:80", "*.b", "a b", "a/b"] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }
}
