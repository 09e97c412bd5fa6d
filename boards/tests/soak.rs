//! Camera frames by the thousand: memory stays where it is, and every frame that goes in comes out or is reported.
//!
//! A few seconds of little work unless told otherwise. An hour at full load, where a leak of a byte a frame would show
//! and more frames come than the engine can take, is
//!
//! ```text
//! MCIR_SOAK_SECONDS=3600 MCIR_SOAK_FPS=500 MCIR_SOAK_SIZE=320x180 MCIR_SOAK_P99=2 \
//!     cargo test --release -p mcir-boards --test soak -- --nocapture
//! ```
//!
//! Beside a viewer that reads there are `MCIR_SOAK_STUCK` (24 unless told otherwise) that ask for frames and never read them, from
//! several addresses; those that are cut off come back. What the kernel keeps for them must stay small and flat.
//!
//! Frames of `MCIR_SOAK_SIZE` come on the standard input at `MCIR_SOAK_FPS` a second, with a reader of the enlarged
//! frames and a viewer of the live page. `MCIR_SOAK_P99` is how many medians the 99th percentile of the latency may be,
//! for machines that do nothing else. `MCIR_SOAK_SUMMARY=FILE` keeps the summary that it prints.

#![cfg(target_os = "linux")]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::{Folder, arg, camera, y4m};

/// Width and height of the camera's frames unless told otherwise: small, so that the machine can do something else
/// beside.
const SIZE: (usize, usize) = (64, 48);
/// Frames that differ; then they begin again.
const DIFFERENT: usize = 50;
/// How long it takes and how many frames come a second, unless told otherwise: more frames than come between two bursts.
const DEFAULT: (u64, u64) = (8, 50);
/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// After so many frames several come at once, more than can wait for the engine: some must be dropped.
const BURST: (u64, u64) = (300, 8);
/// Growth of the memory in use that is still none: what an allocator and the kernel's counters move by.
const TOLERATED_BYTES: u64 = 2 << 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("the variable is a number"))
}

/// Width and height of the camera's frames.
fn size() -> (usize, usize) {
    let Ok(text) = std::env::var("MCIR_SOAK_SIZE") else { return SIZE };
    let (width, height) = text.split_once('x').expect("MCIR_SOAK_SIZE is WIDTHxHEIGHT");
    (width.parse().expect("a width in pixels"), height.parse().expect("a height in pixels"))
}

/// Writes frames of a size at a rate until the time is over; how many.
fn feed(mut to: impl Write, size: (usize, usize), time: Duration, fps: u64) -> std::io::Result<u64> {
    let stream = y4m(size.0, size.1, DIFFERENT);
    let header = stream.iter().position(|&b| b == b'\n').unwrap() + 1;
    let frames: Vec<_> = stream[header..].chunks_exact((stream.len() - header) / DIFFERENT).collect();
    let (begin, mut sent) = (Instant::now(), 0);
    to.write_all(&stream[..header])?;
    for tick in 1.. {
        for _ in 0..if tick % BURST.0 == 0 { BURST.1 } else { 1 } {
            to.write_all(frames[sent as usize % DIFFERENT])?;
            sent += 1;
        }
        to.flush()?;
        if begin.elapsed() >= time {
            break;
        }
        thread::sleep(
            (begin + Duration::from_secs(tick) / fps as u32).saturating_duration_since(Instant::now()),
        );
    }
    Ok(sent)
}

/// Bytes of the live page's stream, until the program ends, in whatever way the system reports that.
fn view(address: &str) -> u64 {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /stream.mjpeg HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let (mut bytes, mut buffer) = (0, vec![0; 1 << 16]);
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        bytes += n as u64;
    }
    bytes
}

/// Kernel memory that one viewer may hold at most: the buffers of both its ends, twice as the kernel counts.
const KERNEL_BYTES_A_VIEWER: u64 = 400 << 10;
/// Kernel memory of other programs' connections on this machine.
const KERNEL_BYTES_OF_OTHERS: u64 = 16 << 20;

/// Asks for frames from addresses of the loopback network and never reads them, until told to stop. One that is cut off comes
/// back. How often one was.
fn never_read(address: &str, viewers: u64, stop: &AtomicBool) -> u64 {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let connect = |viewer: u64| -> Option<TcpStream> {
        // As many for each address as the server allows.
        let from = std::net::Ipv4Addr::new(127, 0, 1, 1 + (viewer / 8) as u8);
        let socket =
            rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None)
                .ok()?;
        rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).ok()?;
        rustix::net::bind(&socket, &std::net::SocketAddrV4::new(from, 0)).ok()?;
        rustix::net::connect(&socket, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port))
            .ok()?;
        let mut stream = TcpStream::from(socket);
        stream.write_all(b"GET /stream.mjpeg HTTP/1.1\r\nHost: localhost\r\n\r\n").ok()?;
        Some(stream)
    };
    let mut held: Vec<Option<TcpStream>> = (0..viewers).map(connect).collect();
    let mut cut_off = 0;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(500));
        for (viewer, stream) in (0..).zip(&mut held) {
            // With its window full it only hears of the end when it sends something.
            let gone = stream.as_mut().is_none_or(|s| s.write_all(b"\n").is_err());
            if gone {
                cut_off += u64::from(stream.is_some());
                *stream = connect(viewer);
            }
        }
    }
    cut_off
}

/// Bytes that the kernel has for all TCP connections of this machine.
fn kernel_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/net/sockstat").ok()?;
    let pages = text.lines().find_map(|l| l.strip_prefix("TCP:"))?.split("mem ").nth(1)?.trim();
    Some(pages.parse::<u64>().ok()? * rustix::param::page_size() as u64)
}

/// Memory in use by a program, in bytes.
fn resident(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

fn median(values: &[u64]) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn nothing_grows_and_nothing_is_lost() {
    let (seconds, fps) = (number("MCIR_SOAK_SECONDS", DEFAULT.0), number("MCIR_SOAK_FPS", DEFAULT.1));
    assert!(seconds >= 5 && (1..=1000).contains(&fps), "at least 5 s, at 1 to 1000 frames a second");
    let folder = Folder::new();
    // A pipe with a name, so that frames and report do not share the standard output.
    let pipe = folder.path("frames");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        thread::spawn(move || {
            std::io::copy(&mut std::fs::File::open(pipe).unwrap(), &mut std::io::sink()).unwrap()
        })
    };
    let args = ["--source", "-", "-s", "2", "--drop", "oldest", "--http", "0", "-o", arg(&pipe), "--json"];
    let mut child = camera(&folder, &[&args[..], &["--interval", "60"]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.by_ref().find_map(|l| Some(l.strip_prefix("live page: http://")?.replace('/', "")));
    let address = address.expect("the program tells where its page is");
    let told = thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
    let stuck = number("MCIR_SOAK_STUCK", 24);
    let (stop, before) = (Arc::new(AtomicBool::new(false)), kernel_bytes().unwrap_or(0));
    let stuck_viewers = {
        let (address, stop) = (address.clone(), Arc::clone(&stop));
        thread::spawn(move || never_read(&address, stuck, &stop))
    };
    let viewer = thread::spawn(move || view(&address));
    let stdin = child.stdin.take().unwrap();
    let size = size();
    let feeder = thread::spawn(move || feed(stdin, size, Duration::from_secs(seconds), fps).unwrap());

    let (mut memory, mut kernel) = (Vec::new(), Vec::new());
    while !feeder.is_finished() {
        thread::sleep(LOOK);
        memory.extend(resident(child.id()));
        kernel.extend(kernel_bytes().map(|now| now.saturating_sub(before)));
    }
    stop.store(true, Ordering::Relaxed);
    let cut_off = stuck_viewers.join().unwrap();
    let sent = feeder.join().unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert!(child.wait().unwrap().success());
    told.join().unwrap();
    let (written, viewed) = (reader.join().unwrap(), viewer.join().unwrap());

    let report: Value = serde_json::from_str(&report).unwrap();
    let count = |name: &str| report["frames"][name].as_u64().unwrap();
    let large = (size.0 * 2 * size.1 * 2 * 3 / 2 + "FRAME\n".len()) as u64;
    // A tenth of the time to warm up; then the first tenth against the last.
    let tenth = memory.len() / 10;
    let (early, late) = (median(&memory[tenth..2 * tenth]), median(&memory[memory.len() - tenth..]));
    let summary = json!({
        "seconds": seconds,
        "frames_sent": sent,
        "frames_a_second": fps,
        "frames": report["frames"],
        "frames_read": written / large,
        "viewed_bytes": viewed,
        "latency": report["latency"],
        "resident_bytes": {
            "second_tenth": early,
            "last_tenth": late,
            "most": memory.iter().max(),
            "samples": memory.len(),
        },
        "stuck_viewers": stuck,
        "stuck_viewers_cut_off": cut_off,
        "kernel_bytes": {
            "second_tenth": median(&kernel[tenth..2 * tenth]),
            "last_tenth": median(&kernel[kernel.len() - tenth..]),
            "most": kernel.iter().max(),
        },
        "peak_bytes": report["memory"]["peak_bytes"],
        "size": report["size"],
        "model": report["model"],
        "isa": report["isa"],
        "threads": report["threads"],
    });
    let text = serde_json::to_string_pretty(&summary).unwrap();
    println!("{text}");
    if let Some(path) = std::env::var_os("MCIR_SOAK_SUMMARY").map(PathBuf::from) {
        std::fs::write(path, text).unwrap();
    }

    assert_eq!(count("captured"), sent, "every frame is taken in");
    assert_eq!(count("output") + count("dropped"), sent, "every frame comes out or is reported as dropped");
    assert_eq!((written - written % large) / large, count("output"), "what is reported as out has come out");
    assert!(written % large < 200, "after the header there are only whole frames");
    if sent > BURST.0 + BURST.1 {
        assert!(count("dropped") > 0, "a burst is more than can wait");
    }
    assert!(viewed > 0, "the live page was served all the time");
    let (most, limit) =
        (kernel.iter().max().copied().unwrap_or(0), stuck * KERNEL_BYTES_A_VIEWER + KERNEL_BYTES_OF_OTHERS);
    assert!(most <= limit, "the kernel held {most} bytes for viewers that do not read; the limit is {limit}");
    if seconds >= 60 && stuck > 0 {
        assert!(cut_off >= stuck, "{cut_off} viewers were cut off, of {stuck} that do not read");
    }
    assert!(late <= early + TOLERATED_BYTES, "memory grew from {early} to {late} bytes");
    if let Ok(limit) = std::env::var("MCIR_SOAK_P99") {
        let stages = report["latency"].as_array().unwrap();
        let total = stages.iter().find(|stage| stage["stage"] == "total").unwrap();
        let [p50, p99] = ["p50_ms", "p99_ms"].map(|name| total[name].as_f64().unwrap());
        let limit: f64 = limit.parse().expect("MCIR_SOAK_P99 is a number");
        assert!(p99 <= limit * p50, "latency: p50 {p50} ms, p99 {p99} ms, more than {limit} times as much");
    }
}
