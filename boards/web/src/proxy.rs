//! Whether somebody else may be behind a request that comes from this machine.
//!
//! A proxy here hands on the requests of the whole network, and all of them come from a loopback address. Most proxies say so
//! in a header; those that say nothing (nginx without further settings) still hand on the name under which the viewer knows the
//! page, in `Host` or at least in the `Origin` of a change. Only a program here that rewrites both cannot be told from a viewer here.

use crate::hosts::host_name;
use std::net::{IpAddr, Ipv6Addr};

/// Headers by which proxies, load balancers, tunnels and content delivery networks tell who is behind them.
const HEADERS: [&str; 17] = [
    "cdn-loop",
    "client-ip",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "surrogate-capability",
    "true-client-ip",
    "via",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded",
    "x-host",
    "x-proxyuser-ip",
    "x-scheme",
];
/// How others of them begin: `X-Forwarded-Host`, `CF-Connecting-IP`, `Tailscale-User-Login` and their like.
const BEGINNINGS: [&str; 10] = [
    "cf-",
    "tailscale-",
    "x-amz",
    "x-appengine-",
    "x-arr-",
    "x-azure-",
    "x-envoy-",
    "x-forwarded-",
    "x-original-",
    "x-real-",
];

/// Whether this header says that a request was handed on.
pub fn tells(header: &str, value: &[u8]) -> bool {
    let header = header.to_ascii_lowercase();
    let is_elsewhere = |value: &[u8]| !std::str::from_utf8(value).is_ok_and(is_here);
    match header.as_str() {
        "host" => is_elsewhere(value),
        // Of a page, as its scheme and its host.
        "origin" => is_elsewhere(value.split(|&b| b == b'/').next_back().unwrap_or_default()),
        name => HEADERS.contains(&name) || BEGINNINGS.iter().any(|start| name.starts_with(start)),
    }
}

/// Whether a host, perhaps with a port, is this machine and no other.
fn is_here(host: &str) -> bool {
    let Some(name) = host_name(host) else { return false };
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => {
            address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback())
        }
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_tell_by_many_names() {
        for header in [
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "x-forwarded-proto",
            "X-Forwarded-Server",
            "X-Forwarded-Port",
            "X-Forwarded",
            "Forwarded",
            "Via",
            "X-Real-IP",
            "CF-Connecting-IP",
            "CF-Ray",
            "True-Client-IP",
            "X-Client-IP",
            "Fly-Client-IP",
            "X-Original-Forwarded-For",
            "X-Envoy-External-Address",
            "Tailscale-User-Login",
        ] {
            assert!(tells(header, b"203.0.113.7"), "{header}");
        }
        for header in ["Accept", "User-Agent", "X-Mcir", "Cookie", "Referer", "Connection", "Viable", "Cfx"] {
            assert!(!tells(header, b"203.0.113.7"), "{header}");
        }
    }

    #[test]
    fn names_of_this_machine_alone() {
        for here in
            ["localhost:8080", "LOCALHOST", "127.0.0.1:80", "127.1.2.3", "[::1]:8080", "cam.localhost"]
        {
            assert!(!tells("Host", here.as_bytes()), "{here}");
            assert!(!tells("Origin", format!("http://{here}").as_bytes()), "{here}");
        }
        for other in [
            "pi.local",
            "pi",
            "192.168.1.7:8080",
            "cam.example",
            "[fe80::1]:80",
            "0.0.0.0",
            "localhost.example",
            "127.0.0.1.nip.io",
            "",
        ] {
            assert!(tells("Host", other.as_bytes()), "{other}");
            assert!(tells("origin", format!("https://{other}").as_bytes()), "{other}");
        }
        // A page in a sandbox.
        assert!(tells("Origin", b"null"));
        assert!(tells("Host", b"\xff"));
    }
}
