//! Commands to try next, as they can be pasted into a shell: with the board's address, not with "user@host".

use super::target::Target;

/// Where a help has no target because the one who wrote it does not know how the board is reached.
const HERE: &str = "--target …";

/// The same help with this target in its commands, if it is one.
pub fn at(target: &str, help: &str) -> String {
    match target.parse::<Target>() {
        Ok(target) => help.replace(HERE, &format!("--target {}", word(&target.to_string()))),
        Err(_) => help.into(),
    }
}

/// How to get a program for this architecture.
pub fn program_for(architecture: &str) -> String {
    let [triple, _] = crate::program::triples(architecture);
    format!(
        "lay mcir-board-{triple} of the release beside this program; or build it, cargo build --release -p mcir-boards \
         --target {triple}, and give target/{triple}/release/mcir-board to --binary (flash: --program)"
    )
}

/// What to try when ssh, or the shell at its other end, says this.
pub fn connection(target: &str, reason: &str) -> String {
    let parsed = target.parse::<Target>().ok();
    let (name, port) = match &parsed {
        Some(Target::Ssh { host, port, .. }) => (host.as_str(), *port),
        _ => ("user@host", None),
    };
    let host = name.rsplit('@').next().unwrap_or(name);
    let option = port.map_or(String::new(), |port| format!("-p {port} "));
    // As ssh itself writes an address with a port into its list of known hosts.
    let known = match port {
        Some(port) if port != 22 => format!("'[{host}]:{port}'"),
        _ => host.to_owned(),
    };
    let away = format!("check that the board is switched on and in this network: ping {host}");
    let folder = match &parsed {
        Some(Target::Local { .. }) => "local:FOLDER".into(),
        _ => format!("ssh://{name}{}/FOLDER", port.map_or(String::new(), |port| format!(":{port}"))),
    };
    // The first that fits; what is more special comes first.
    let cases: [(&str, String); 15] = [
        (
            "cannot be started",
            "install it (Debian: sudo apt install openssh-client), or name another with --ssh".into(),
        ),
        (
            "Could not resolve",
            format!("check the name of the board, or use its address; this must work first: ping {host}"),
        ),
        (
            "refused",
            format!(
                "check that ssh is enabled on the board (there: sudo systemctl enable --now ssh) and listens on this \
                 port: ssh {option}{name}"
            ),
        ),
        ("Permission denied (", format!("give the board your key first: ssh-copy-id {option}{name}")),
        (
            "has changed and you have requested",
            format!(
                "if the board was set up anew, forget its old key: ssh-keygen -R {known}, then log in once: ssh \
                 {option}{name}; if not, somebody may be in between"
            ),
        ),
        (
            "Host key verification",
            format!("log in once to see and accept the board's key: ssh {option}{name}"),
        ),
        ("timed out", away.clone()),
        ("No route", away.clone()),
        ("unreachable", away),
        ("Permission denied", format!("give a folder that this user may write to: --target {folder}")),
        ("Read-only", format!("give a folder on a writable file system: --target {folder}")),
        ("cannot create directory", format!("give a folder that can be made there: --target {folder}")),
        (
            "No space left",
            at(
                target,
                "free some space on the board: mcir-board prune --target …; there, `df -h` shows what is full",
            ),
        ),
        ("Exec format", "give the program that was built for the board to mcir-board bundle --binary".into()),
        ("not found", "try the static program: build with --target aarch64-unknown-linux-musl".into()),
    ];
    let found = cases.into_iter().find(|(part, _)| reason.contains(part)).map(|(_, help)| help);
    found.unwrap_or_else(|| {
        let what = "what is running on the board has not been changed";
        match parsed {
            Some(Target::Ssh { .. }) => {
                format!("try again, {what}; this must work by itself: ssh {option}{name} true")
            }
            _ => format!("try again; {what}"),
        }
    })
}

/// As a word of a shell: in quotes only where it needs them.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "@:/._-[]".contains(c);
    if text.chars().all(plain) { text.into() } else { super::target::shell::quote(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_board() {
        let target = "ssh://pi@board:2222/opt/mcir";
        for (reason, command) in [
            ("ssh: Could not resolve hostname board", "ping board"),
            ("connect to host board port 2222: Connection refused", "ssh -p 2222 pi@board"),
            ("pi@board: Permission denied (publickey).", "ssh-copy-id -p 2222 pi@board"),
            ("Host key verification failed.", "key: ssh -p 2222 pi@board"),
            (
                "Host key for [board]:2222 has changed and you have requested strict checking.; Host key \
                 verification failed.",
                "ssh-keygen -R '[board]:2222'",
            ),
            ("connect to host board port 2222: Connection timed out", "ping board"),
            (
                "mkdir: cannot create directory '/opt/mcir': Permission denied",
                "--target ssh://pi@board:2222/FOLDER",
            ),
            (
                "head: error writing: No space left on device",
                "mcir-board prune --target ssh://pi@board:2222/opt/mcir",
            ),
            ("ssh cannot be started: No such file or directory", "apt install openssh-client"),
            ("Connection reset by peer", "ssh -p 2222 pi@board true"),
        ] {
            let help = connection(target, reason);
            assert!(help.contains(command), "{reason}: {help}");
        }
        assert!(
            connection("ssh://board", "key has changed and you have requested")
                .contains("ssh-keygen -R board,")
        );
        let local = connection("local:/x", "mkdir: cannot create directory '/x': Permission denied");
        assert!(local.contains("--target local:FOLDER"), "{local}");
    }

    #[test]
    fn a_target_is_filled_in_where_it_is_known() {
        let help = "free some: mcir-board prune --target …";
        assert_eq!(at("ssh://pi@b", help), "free some: mcir-board prune --target ssh://pi@b");
        assert_eq!(at("local:/a b", help), "free some: mcir-board prune --target 'local:/a b'");
        assert_eq!(at("/opt/mcir", help), help);
    }

    #[test]
    fn programs_are_built_for_what_the_board_is() {
        for (found, triple) in [
            ("aarch64", "--target aarch64-unknown-linux-musl"),
            ("arm64", "--target aarch64-unknown-linux-musl"),
            ("x86_64", "--target x86_64-unknown-linux-musl"),
            ("armv7l", "--target armv7-unknown-linux-musleabihf"),
        ] {
            assert!(program_for(found).contains(triple), "{found}");
        }
    }
}
