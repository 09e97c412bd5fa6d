use super::*;
use crate::manifest;
use crate::skip;

/// A bundle whose program records how it is called.
fn inputs() -> (Manifest, [Vec<u8>; 3]) {
    let program = b"#!/bin/sh\necho \"$@\" >>\"$MCIR_ROOT/calls\"\n".to_vec();
    let parts = [program, b"model".to_vec(), b"picture".to_vec()];
    let manifest = Manifest {
        name: "edge".into(),
        version: "0.1.0".into(),
        board: Some("raspberry-pi-5".into()),
        ..manifest::example(&parts)
    };
    (manifest, parts)
}

const NO_ARGS: Args = Args { cert: None, cert_key: None, compatible: None };

fn make(format: Format, args: &Args, output: &Path) -> Vec<String> {
    let (manifest, parts) = inputs();
    let made = write(format, args, output, &manifest, None, &parts.each_ref().map(Vec::as_slice)).unwrap();
    assert!(made.path.exists(), "what is said to be written is there: {}", made.path.display());
    made.notes
}

/// Runs a tool in a folder; `None` with a note when it is not installed.
fn run(folder: &Path, words: &[&str]) -> Option<(bool, String)> {
    match Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("MCIR_ROOT", folder.join("root"))
        .output()
    {
        Ok(o) => {
            let text = [o.stdout, o.stderr].concat();
            Some((o.status.success(), String::from_utf8_lossy(&text).into_owned()))
        }
        Err(_) => {
            skip::skip(format_args!("{} is not installed", words[0]));
            None
        }
    }
}

/// A certificate and its key; `None` without openssl.
fn certificate(folder: &Path) -> Option<Args> {
    let words = [
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=mcir", "-keyout",
        "key.pem", "-out", "cert.pem", "-days", "2",
    ];
    let (good, text) = run(folder, &words)?;
    assert!(good, "{text}");
    Some(Args {
        cert: Some(folder.join("cert.pem")),
        cert_key: Some(folder.join("key.pem")),
        compatible: None,
    })
}

/// What the program inside the bundle was called with, by a script of ours.
fn calls(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("root/calls")).unwrap()
}

#[test]
fn swupdate_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    make(Format::Swupdate, &NO_ARGS, &path.join("x.swu"));
    assert_eq!(std::fs::read_dir(path).unwrap().count(), 1, "nothing else is left");
    if let Some((good, text)) = run(path, &["sh", "-c", "cpio -i --quiet <x.swu"]) {
        if text.contains("not found") {
            skip::skip("cpio is not installed");
        } else {
            assert!(good, "{text}");
            let bundle = super::super::bundle::Bundle::open(&path.join(BUNDLE)).unwrap();
            assert_eq!(bundle.manifest, inputs().0);
        }
    }
    let Some(args) = certificate(path) else { return };
    make(Format::Swupdate, &args, &path.join("y.swu"));
    // -c only checks; -H stands for the board's own name, which it would read from a file.
    let words = ["swupdate", "-c", "-v", "-H", "board:1.0", "-k", "cert.pem", "-i", "y.swu"];
    let Some((_, text)) = run(path, &words) else { return };
    assert_eq!(accepted(&text), Some(true), "{text}");
    swupdate_installs(path);
    // One byte of the script, which the signed description has the hash of.
    let mut bytes = std::fs::read(path.join("y.swu")).unwrap();
    let at = bytes.windows(9).rposition(|w| w == b"#!/bin/sh").unwrap();
    bytes[at + 2] ^= 1;
    std::fs::write(path.join("y.swu"), bytes).unwrap();
    let (_, text) = run(path, &words).unwrap();
    assert_eq!(accepted(&text), Some(false), "a tampered archive is refused: {text}");
}

/// What SWUpdate says it has come to. Debian's 2022.12 ends a check with 1 whatever it found, so its words tell: those of the
/// end of an update, and those of a thread that is not always in time to say them.
fn accepted(text: &str) -> Option<bool> {
    let says = |words: [&str; 2]| words.iter().any(|words| text.contains(words));
    match says(["SWUPDATE failed", "SWUpdate *failed*"]) {
        true => Some(false),
        false => says(["SWUPDATE successful", "SWUpdate was successful"]).then_some(true),
    }
}

/// Not only checked but installed: into a folder of the test, by the script that is in the archive.
fn swupdate_installs(path: &Path) {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    if !root || !Path::new("/run").is_dir() {
        skip::skip("only root may install");
        return;
    }
    let words = ["swupdate", "-v", "-H", "board:1.0", "-k", "cert.pem", "-i", "y.swu"];
    let (_, text) = run(path, &words).unwrap();
    assert_eq!(accepted(&text), Some(true), "{text}");
    assert!(calls(path).starts_with("flash /run/mcir.bundle --target local:"), "{}", calls(path));
    assert!(!Path::new("/run/mcir.bundle").exists(), "nothing is left of it");
}

#[test]
fn rauc_signs_and_reads_what_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let notes = make(Format::Rauc, &NO_ARGS, &path.join("x.raucb"));
    assert!(notes[0].contains("no --cert") && notes[1].contains("rauc bundle --cert"), "{notes:?}");
    let input = path.join("x.d");
    // The handler, as RAUC would call it.
    let handler = input.join("handler.sh");
    let output = Command::new(&handler)
        .env("RAUC_BUNDLE_MOUNT_POINT", &input)
        .env("MCIR_ROOT", path.join("root"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(calls(path).contains("mcir.bundle --target local:"), "{}", calls(path));

    let Some(args) = certificate(path) else { return };
    if run(path, &["rauc", "--version"]).is_none() || run(path, &["mksquashfs", "-version"]).is_none() {
        return;
    }
    let notes = make(Format::Rauc, &args, &path.join("y.raucb"));
    assert!(notes.is_empty(), "{notes:?}");
    let (good, text) = run(path, &["rauc", "info", "--keyring", "cert.pem", "y.raucb"]).unwrap();
    assert!(good && text.contains("raspberry-pi-5") && text.contains("0.1.0"), "{text}");
}

#[test]
fn mender_reads_what_is_written_and_its_module_installs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let notes = make(Format::Mender, &NO_ARGS, &path.join("x.mender"));
    let module = [path.join("x.module"), path.join("x.d/mcir")].into_iter().find(|p| p.exists());
    let module = module.unwrap_or_else(|| panic!("{notes:?}"));
    let module = module.to_str().unwrap();
    for (state, answer) in [("NeedsArtifactReboot", "No"), ("SupportsRollback", "Yes"), ("Cleanup", "")] {
        let (good, text) = run(path, &["sh", module, state, "."]).unwrap();
        assert!(good && text.trim() == answer, "{state}: {text}");
    }
    let (manifest, parts) = inputs();
    std::fs::create_dir_all(path.join("update/files")).unwrap();
    let payload = path.join("update/files/mcir.bundle");
    file::write(&payload, &manifest, None, &parts.each_ref().map(Vec::as_slice)).unwrap();
    let (good, text) = run(path, &["sh", module, "ArtifactInstall", "update"]).unwrap();
    assert!(good, "{text}");
    assert!(calls(path).starts_with("flash update/files/mcir.bundle --target local:"), "{}", calls(path));

    let Some((good, text)) = run(path, &["mender-artifact", "read", "x.mender"]) else { return };
    assert!(good && text.contains("mcir-edge-0.1.0") && text.contains("raspberry-pi-5"), "{text}");
}

#[test]
fn odd_names_do_not_reach_other_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, parts) = inputs();
    let args = Args { compatible: Some("x\n[image]".into()), ..NO_ARGS };
    let parts = parts.each_ref().map(Vec::as_slice);
    let error = write(Format::Rauc, &args, &folder.path().join("x"), &manifest, None, &parts).unwrap_err();
    assert_eq!(error.exit_code(), 2);
}
