use super::*;

#[test]
fn targets_read_and_print() {
    let ssh = |host: &str, port, folder: Option<&str>| Target::Ssh {
        host: host.into(),
        port,
        folder: folder.map(Into::into),
    };
    for (text, target) in [
        ("ssh://pi@raspberrypi", ssh("pi@raspberrypi", None, None)),
        ("ssh://board", ssh("board", None, None)),
        ("ssh://pi@10.0.0.7:2222", ssh("pi@10.0.0.7", Some(2222), None)),
        ("ssh://pi@board:22/opt/mcir", ssh("pi@board", Some(22), Some("/opt/mcir"))),
        ("ssh://[fe80::1]:22/x", ssh("fe80::1", Some(22), Some("/x"))),
        ("ssh://pi@[fe80::1]", ssh("pi@fe80::1", None, None)),
        ("local:/tmp/board", Target::Local { folder: "/tmp/board".into() }),
    ] {
        let parsed: Target = text.parse().unwrap();
        assert_eq!(parsed, target, "{text}");
        assert_eq!(parsed.to_string(), text);
    }
}

#[test]
fn nothing_that_ssh_would_take_for_an_option_is_a_host() {
    for text in [
        "",
        "pi@board",
        "http://board",
        "local:",
        "ssh://",
        "ssh:///folder",
        "ssh://-oProxyCommand=x",
        "ssh://pi@",
        "ssh://pi@-x",
        "ssh://a b",
        "ssh://board:0",
        "ssh://board:99999",
        "ssh://board:ssh",
        "ssh://a\nb",
    ] {
        let error = text.parse::<Target>().unwrap_err();
        assert!(error.help().contains("ssh://user@host"), "{text}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn quoted_words_are_what_they_were() {
    for word in ["", "plain", "two words", "it's", "$HOME `id` \"x\" \\", "new\nline", "'''"] {
        let script = format!("printf %s {}", shell::quote(word));
        let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
    }
}
