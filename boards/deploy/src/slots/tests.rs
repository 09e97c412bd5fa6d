use super::protocol::{Commit, Event, Request};
use super::serve::serve;
use super::*;
use crate::manifest::{MODEL, ModelFacts, PROGRAM, SELF_TEST, SelfTest, example, sha256};
use crate::target::shell;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A program for a slot that answers a self-test like ours would, or not.
fn program(answer: &str) -> Vec<u8> {
    format!("#!/bin/sh\n{answer}\n").into_bytes()
}

const GOOD: &str = r#"echo '{"crc32":"00000000","isa":"scalar","ms":1.0}'"#;

/// A manifest with its parts.
fn bundle(name: &str, program: Vec<u8>) -> (Vec<u8>, [Vec<u8>; 3]) {
    let parts = [program, format!("model {name}").into_bytes(), b"picture".to_vec()];
    let manifest = Manifest {
        name: name.into(),
        architecture: "x86_64".into(),
        model: ModelFacts { precision: "int8".into(), upscale: 2, macs_per_pixel: 1 },
        self_test: SelfTest { width: 1, height: 1, crc32: "00000000".into() },
        ..example(&parts)
    };
    (manifest.to_bytes(), parts)
}

/// Says these requests to a store, with the bytes that follow each.
fn talk(store: &Store, requests: &[(Request, &[u8])]) -> Vec<Event> {
    let mut input = Vec::new();
    for (request, bytes) in requests {
        input.extend(serde_json::to_vec(request).unwrap());
        input.push(b'\n');
        input.extend_from_slice(bytes);
    }
    let mut output = Vec::new();
    serve(store, input.as_slice(), &mut output).unwrap();
    let events = output.split(|&b| b == b'\n').filter(|l| !l.is_empty());
    events.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

fn flash(store: &Store, bundle: &(Vec<u8>, [Vec<u8>; 3]), commit: Commit) -> Event {
    flash_any(store, bundle, commit, false)
}

fn flash_any(
    store: &Store,
    bundle: &(Vec<u8>, [Vec<u8>; 3]),
    commit: Commit,
    allow_downgrade: bool,
) -> Event {
    let (manifest, parts) = bundle;
    let manifest = String::from_utf8(manifest.clone()).unwrap();
    let begin = Request::Begin { manifest, signature: None, allow_downgrade };
    let put = |name: &str| Request::Put { part: name.into() };
    let requests = [
        (begin, &b""[..]),
        (put(PROGRAM), &parts[0]),
        (put(MODEL), &parts[1]),
        (put(SELF_TEST), &parts[2]),
        (Request::Commit(commit), b""),
    ];
    talk(store, &requests).pop().unwrap()
}

fn current(store: &Store) -> Option<String> {
    store.status().unwrap().current.map(|slot| slot.manifest.name)
}

fn health(command: &str) -> Commit {
    Commit { health: Some(command.into()), health_timeout_s: 5, service: None }
}

#[test]
fn flash_rollback_and_prune() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    for name in ["one", "two", "three"] {
        let event = flash(&store, &bundle(name, program(GOOD)), Commit::default());
        assert!(matches!(event, Event::Switched { .. }), "{event:?}");
        assert_eq!(current(&store).as_deref(), Some(name));
    }
    let status = store.status().unwrap();
    assert_eq!(status.previous.unwrap().manifest.name, "two");
    assert_eq!(status.others.len(), 1);
    for expected in ["two", "three", "two"] {
        talk(&store, &[(Request::Rollback(Commit::default()), b"")]);
        assert_eq!(current(&store).as_deref(), Some(expected));
    }
    let event = talk(&store, &[(Request::Prune, b"")]).pop();
    assert!(matches!(event, Some(Event::Pruned { ref slots, .. }) if slots.len() == 1), "{event:?}");
    let status = store.status().unwrap();
    assert_eq!(
        (current(&store).as_deref(), status.previous.unwrap().manifest.name.as_str()),
        (Some("two"), "three")
    );
    store.verify(&status.current.unwrap().id).unwrap();
    talk(&store, &[(Request::Rollback(Commit::default()), b"")]);
    assert_eq!(current(&store).as_deref(), Some("three"));
}

#[test]
fn prune_clears_away_what_killed_uploads_have_left() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    flash(&store, &bundle("one", program(GOOD)), Commit::default());
    // As the script leaves it that brings a program to the board.
    let kept = folder.path().join("bin").join(sha256(&program(GOOD)));
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("mcir-board"), program(GOOD)).unwrap();
    let script = format!("sleep 60; : {}", shell::HELLO);
    let mut uploading = Command::new("sh").args(["-c", &script]).spawn().unwrap();
    // Two that are no uploads, one whose number is another process's by now, and one that goes on.
    let left = [".part".into(), ".4194305".into(), format!(".{}", std::process::id())];
    let goes_on = format!(".{}", uploading.id());
    for name in left.iter().chain([&goes_on]) {
        std::fs::write(kept.join(name), "half").unwrap();
    }
    talk(&store, &[(Request::Prune, b"")]);
    assert_eq!(names(&kept).unwrap(), [goes_on.as_str(), "mcir-board"]);
    uploading.kill().unwrap();
    // Its number is still its own until it is waited for.
    talk(&store, &[(Request::Prune, b"")]);
    assert_eq!(names(&kept).unwrap(), ["mcir-board"]);
    uploading.wait().unwrap();
}

#[test]
fn a_bad_health_check_goes_back_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    // The very first: nothing runs afterwards.
    let event = flash(&store, &bundle("one", program(GOOD)), health("exit 3"));
    assert!(
        matches!(&event, Event::Failed { message, .. } if message.contains("nothing runs now")),
        "{event:?}"
    );
    assert_eq!(current(&store), None);
    flash(&store, &bundle("one", program(GOOD)), health("test -x current/slot/mcir-board"));
    assert_eq!(current(&store).as_deref(), Some("one"));
    for (command, seconds, reason) in
        [("exit 3", 60, "ended with exit status: 3"), ("sleep 60", 0, "took more than 0 s")]
    {
        let commit = Commit { health_timeout_s: seconds, ..health(command) };
        let event = flash(&store, &bundle("two", program(GOOD)), commit);
        let Event::Failed { message, .. } = &event else { panic!("{event:?}") };
        assert!(message.contains(reason) && message.contains("rolled back"), "{message}");
        assert_eq!(current(&store).as_deref(), Some("one"));
    }
}

#[test]
fn a_health_check_that_takes_too_long_ends_with_all_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let commit = Commit { health_timeout_s: 2, ..health("sleep 1000 & echo $! > started; wait") };
    let event = flash(&store, &bundle("one", program(GOOD)), commit);
    assert!(
        matches!(&event, Event::Failed { message, .. } if message.contains("more than 2 s")),
        "{event:?}"
    );
    let Ok(started) = fs::read_to_string(folder.path().join("started")) else {
        println!("skipped, because this machine is too busy to start a program in 2 s");
        return;
    };
    // It is gone, or waits for somebody to take its status.
    let status = Path::new("/proc").join(started.trim()).join("status");
    let ended = || !fs::read_to_string(&status).is_ok_and(|s| !s.contains("State:\tZ"));
    assert!((0..500).any(|_| ended() || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        false
    }));
}

#[test]
fn a_program_that_fails_its_self_test_never_runs() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    flash(&store, &bundle("one", program(GOOD)), Commit::default());
    for (answer, part) in [
        ("exit 1", "exit status: 1"),
        ("kill -ILL $$", "signal: 4"),
        ("echo nonsense", "does not run"),
        ("printf 'error: other bits\\n  help: try\\n' >&2; exit 1", "other bits"),
    ] {
        let event = flash(&store, &bundle("two", program(answer)), Commit::default());
        let Event::Failed { message, .. } = &event else { panic!("{event:?}") };
        assert!(message.contains(part), "{message}");
        assert_eq!(current(&store).as_deref(), Some("one"));
    }
    let mut not_a_program = bundle("two", b"\x7fELF that is none".to_vec());
    let event = flash(&store, &not_a_program, Commit::default());
    assert!(matches!(&event, Event::Failed { message, .. } if message.contains("does not run")), "{event:?}");
    not_a_program.1[1][0] ^= 1;
    let event = flash(&store, &not_a_program, Commit::default());
    assert!(matches!(&event, Event::Failed { message, .. } if message.contains("SHA-256")), "{event:?}");
    assert_eq!(current(&store).as_deref(), Some("one"));
}

#[test]
fn an_interrupted_health_check_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    flash(&store, &bundle("one", program(GOOD)), Commit::default());
    let two = bundle("two", program(GOOD));
    flash(&store, &two, Commit::default());
    flash(&store, &bundle("one", program(GOOD)), Commit::default());
    // As if the power had gone between the switch and the end of the check.
    store.lock().unwrap().switch(&slot_id(&two.0)).unwrap();
    assert_eq!(current(&store).as_deref(), Some("two"));
    let events = talk(&store, &[]);
    assert!(matches!(events[0], Event::Ready { recovered: true, .. }), "{events:?}");
    assert_eq!(current(&store).as_deref(), Some("one"));
    assert!(matches!(talk(&store, &[])[0], Event::Ready { recovered: false, .. }));
}

#[test]
fn two_at_once_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let locked = store.lock().unwrap();
    assert!(matches!(store.lock(), Err(DeployError::Locked { .. })));
    let events = talk(&store, &[(Request::Prune, b"")]);
    assert!(
        matches!(&events[..], [Event::Failed { message, .. }] if message.contains("in use")),
        "{events:?}"
    );
    drop(locked);
    assert!(store.lock().is_ok());
}

#[test]
fn a_damaged_slot_is_found_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let one = bundle("one", program(GOOD));
    flash(&store, &one, Commit::default());
    let id = slot_id(&one.0);
    std::fs::write(store.slot_path(&id).join(MODEL), b"MODEL one").unwrap();
    assert!(matches!(store.verify(&id), Err(DeployError::Hash { .. })));
    flash(&store, &one, Commit::default());
    store.verify(&id).unwrap();
    // A slot whose manifest is damaged.
    std::fs::write(store.slot_path(&id).join(manifest::MANIFEST), b"{}").unwrap();
    assert!(store.status().is_err());
    flash(&store, &one, Commit::default());
    store.verify(&id).unwrap();
    let mode = std::fs::metadata(store.slot_path(&id).join(PROGRAM)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn hostile_requests_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let (manifest, _) = bundle("one", program(GOOD));
    let text = String::from_utf8(manifest).unwrap();
    let begin = |manifest: String| Request::Begin { manifest, signature: None, allow_downgrade: false };
    let put = |part: &str| Request::Put { part: part.into() };
    for requests in [
        vec![(Request::Commit(Commit::default()), &b""[..])],
        vec![(Request::Rollback(Commit::default()), b"")],
        vec![(put(MODEL), b"x")],
        vec![(begin(text.clone()), b""), (put("../../evil"), b"x")],
        vec![(begin(text.clone()), b""), (put(MODEL), b"model one, cut")],
        vec![(begin(text.clone()), b""), (put(MODEL), b"m")],
        vec![(begin(text.clone()), b""), (Request::Commit(Commit::default()), b"")],
        vec![(begin(text.replace("mcir-board", "../mcir-board")), b"")],
        vec![(begin(text.replace("\"size\": 7", "\"size\": 18446744073709551615")), b"")],
        vec![(begin("[".repeat(60_000)), b"")],
        vec![(begin(" ".repeat(70_000)), b"")],
    ] {
        let event = talk(&store, &requests).pop().unwrap();
        assert!(matches!(event, Event::Failed { .. }), "{requests:?}: {event:?}");
        assert_eq!(current(&store), None);
    }
    let mut output = Vec::new();
    serve(&store, &b"nonsense\n\xff\xfe\n"[..], &mut output).unwrap_err();
    assert!(!folder.path().parent().unwrap().join("evil").exists());
}

#[test]
fn the_unit_names_what_is_current() {
    let store = Store::new(Path::new("/home/pi/mcir"), "qemu-aarch64 -cpu cortex-a76");
    let service = service::Service {
        name: "mcir".into(),
        arguments: "camera --source -".into(),
        user: true,
        run_as: None,
    };
    let text = service.text(&store, &[]);
    for line in [
        "Type=notify",
        "WatchdogSec=30",
        "ExecStart=qemu-aarch64 -cpu cortex-a76 /home/pi/mcir/current/slot/mcir-board camera --source - \
         -m /home/pi/mcir/current/slot/model.mcir",
        "WantedBy=default.target",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in:\n{text}");
    }
    // Words are meant as they are written; systemd expands none of them.
    let words = service::Service { arguments: "camera -o /srv/100%$HOME".into(), ..service.clone() };
    let text = words.text(&store, &[]);
    assert!(text.contains("mcir-board camera -o /srv/100%%$$HOME -m"), "{text}");
    let odd = service::Service { name: "../x".into(), ..service.clone() };
    let nowhere = Path::new("/nowhere");
    assert!(service::install(&store, &odd, nowhere).is_err());
    let odd = service::Service { run_as: Some("a\nExecStart=b".into()), ..service.clone() };
    assert!(service::install(&store, &odd, nowhere).is_err());
    let spaces = Store::new(Path::new("/home/p i/mcir"), "");
    assert!(service::install(&spaces, &service, nowhere).unwrap_err().to_string().contains("p i"));
    assert!(text.contains("NoNewPrivileges=yes") && !text.contains("User="), "{text}");
}

/// One of the system is a user of its own, or the one that was asked for, and never the administrator by itself.
#[test]
fn the_self_test_runs_where_the_service_does() {
    let device = |arguments: &str| {
        let arguments = arguments.into();
        service::Service { name: "cam".into(), arguments, user: true, run_as: None }.device()
    };
    assert_eq!(device("camera --source - --device gpu:1 --http :8080").as_deref(), Some("gpu:1"));
    assert_eq!(device("camera --device=auto").as_deref(), Some("auto"));
    for plain in ["camera --source -", "camera --device cpu", "camera --device"] {
        assert_eq!(device(plain), None, "{plain}");
    }
}

#[test]
fn a_service_of_the_system_has_few_rights() {
    let store = Store::new(Path::new("/opt/mcir"), "");
    let own = service::Service {
        name: "cam".into(),
        arguments: "camera --source rpicam:".into(),
        user: false,
        run_as: None,
    };
    let text = own.text(&store, &["root", "video", "gpio", "audio"]);
    let has = |text: &str, line: &str| text.lines().any(|l| l == line);
    for line in [
        "User=mcir",
        "DynamicUser=yes",
        "SupplementaryGroups=video gpio",
        "BindReadOnlyPaths=/opt/mcir",
        "StateDirectory=cam",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "SystemCallFilter=@system-service",
        "ExecStartPre=-+/opt/mcir/current/slot/mcir-board slot recover --root /opt/mcir",
    ] {
        assert!(has(&text, line), "{line} is not in:\n{text}");
    }
    // A group that is not there would keep it from starting.
    assert!(!own.text(&store, &["root"]).contains("SupplementaryGroups"));
    let pi = service::Service { run_as: Some("pi".into()), ..own };
    let text = pi.text(&store, &["video"]);
    assert!(
        has(&text, "User=pi") && !text.contains("DynamicUser") && has(&text, "NoNewPrivileges=yes"),
        "{text}"
    );
}

/// systemd knows every word, and finds nothing that it would ignore.
#[test]
fn systemd_takes_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let slot = folder.path().join("current/slot");
    fs::create_dir_all(&slot).unwrap();
    fs::write(slot.join("mcir-board"), program("true")).unwrap();
    fs::set_permissions(slot.join("mcir-board"), fs::Permissions::from_mode(0o755)).unwrap();
    let store = Store::new(folder.path(), "");
    for (user, run_as) in [(false, None), (false, Some("root".to_owned())), (true, None)] {
        let service =
            service::Service { name: "cam".into(), arguments: "camera --source -".into(), user, run_as };
        let path = folder.path().join("cam.service");
        fs::write(&path, service.text(&store, &["video"])).unwrap();
        let scope: &[&str] = if user { &["--user"] } else { &[] };
        let run = Command::new("systemd-analyze").args(scope).arg("verify").arg(&path).output();
        let Ok(output) = run else {
            crate::skip::skip("systemd-analyze is not installed");
            return;
        };
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        // Of this machine, which need not run systemd at all.
        let ours: Vec<_> = words.lines().filter(|line| line.contains("cam.service")).collect();
        assert!(ours.is_empty(), "{ours:?}");
        if !user {
            let run = Command::new("systemd-analyze")
                .args(["security", "--offline=true", "--no-pager"])
                .arg(&path)
                .output();
            let text = String::from_utf8_lossy(&run.unwrap().stdout).into_owned();
            println!("{}", text.lines().last().unwrap_or_default());
        }
    }
}

/// What runs has the counter 20: bundles below are refused, also those from before there were counters.
#[test]
fn older_bundles_are_refused_unless_they_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let with = |name: &str, counter: Option<u64>| {
        let (manifest, parts) = bundle(name, program(GOOD));
        let manifest = Manifest { counter, ..Manifest::parse(&manifest).unwrap() };
        (manifest.to_bytes(), parts)
    };
    let (ten, twenty, none) = (with("ten", Some(10)), with("twenty", Some(20)), with("none", None));
    for (bundle, name) in [(&none, "none"), (&ten, "ten"), (&twenty, "twenty"), (&twenty, "twenty")] {
        flash(&store, bundle, Commit::default());
        assert_eq!(current(&store).as_deref(), Some(name));
    }
    for old in [&ten, &none, &with("nineteen", Some(19))] {
        let event = flash(&store, old, Commit::default());
        assert!(matches!(&event, Event::Failed { .. }), "{event:?}");
        assert_eq!(current(&store).as_deref(), Some("twenty"));
    }
    let begin = |manifest: &[u8]| Request::Begin {
        manifest: String::from_utf8(manifest.to_vec()).unwrap(),
        signature: None,
        allow_downgrade: false,
    };
    let event = talk(&store, &[(begin(&ten.0), b"")]).pop().unwrap();
    let Event::Failed { message, help } = &event else { panic!("{event:?}") };
    assert!(message.contains("counter is 10") && message.contains("20"), "{message}");
    assert!(help.contains("--allow-downgrade"), "{help}");
    // Going back is always possible: what ran before was let in once, and who may go back may flash anything.
    talk(&store, &[(Request::Rollback(Commit::default()), b"")]);
    assert_eq!(current(&store).as_deref(), Some("ten"));
    flash(&store, &twenty, Commit::default());
    flash_any(&store, &none, Commit::default(), true);
    assert_eq!(current(&store).as_deref(), Some("none"));
    let huge = with("huge", Some(u64::MAX));
    assert!(Manifest::parse(&huge.0).is_err());
}

/// The same bundle once more is no step: what can be gone back to stays.
#[test]
fn the_same_slot_twice_keeps_the_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::new(folder.path(), "");
    let (four, two) = (bundle("x4", program(GOOD)), bundle("x2", program(GOOD)));
    flash(&store, &four, Commit::default());
    let event = talk(&store, &[(Request::Rollback(Commit::default()), b"")]).pop().unwrap();
    assert!(
        matches!(&event, Event::Failed { message, .. } if message.contains("no previous slot")),
        "{event:?}"
    );
    for _ in 0..3 {
        flash(&store, &two, Commit::default());
        let status = store.status().unwrap();
        assert_eq!(
            (current(&store).as_deref(), status.previous.unwrap().manifest.name.as_str()),
            (Some("x2"), "x4")
        );
    }
    // A check that fails leaves what ran, which is the same.
    let event = flash(&store, &two, health("false"));
    assert!(matches!(&event, Event::Failed { .. }), "{event:?}");
    assert_eq!(store.status().unwrap().previous.unwrap().manifest.name, "x4");
    // Also one that was interrupted.
    store.lock().unwrap().switch(&slot_id(&two.0)).unwrap();
    talk(&store, &[]);
    assert_eq!(store.status().unwrap().current.unwrap().generation, Some(4));
    // Boards that an earlier version has left with a generation that leads to itself.
    let link = folder.path().join("generations/4/previous");
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("../3", &link).unwrap();
    assert_eq!(store.status().unwrap().previous.unwrap().manifest.name, "x4");
    talk(&store, &[(Request::Prune, b"")]);
    let status = store.status().unwrap();
    assert_eq!((status.previous.unwrap().manifest.name.as_str(), status.others.len()), ("x4", 0));
    talk(&store, &[(Request::Rollback(Commit::default()), b"")]);
    assert_eq!(current(&store).as_deref(), Some("x4"));
    talk(&store, &[(Request::Rollback(Commit::default()), b"")]);
    assert_eq!(current(&store).as_deref(), Some("x2"));
}
