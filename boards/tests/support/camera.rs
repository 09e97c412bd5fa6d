//! Running `mcir-board camera`, and looking at what it wrote.

use crate::support::{Folder, Run, camera};
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Runs `mcir-board camera` to its end.
pub fn run(folder: &Folder, args: &[&str]) -> Run {
    Run::of(camera(folder, args).output().unwrap())
}

/// Runs `mcir-board camera` with this on its standard input.
pub fn piped(folder: &Folder, args: &[&str], input: Vec<u8>) -> Run {
    let mut command = camera(folder, args);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may stop reading before the end.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Run::of(output)
}

/// Header and number of frames of a y4m stream.
pub fn header_and_frames(bytes: &[u8]) -> (String, usize) {
    let end = bytes.iter().position(|&b| b == b'\n').unwrap();
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let number = |letter: char| {
        let field = header.split(' ').skip(1).find_map(|f| f.strip_prefix(letter)).unwrap();
        field.parse::<usize>().unwrap()
    };
    let (width, height) = (number('W'), number('H'));
    let frame = 6 + width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let rest = bytes.len() - end - 1;
    assert_eq!(rest % frame, 0, "{header}: {rest} bytes are no whole number of frames");
    (header, rest / frame)
}

#[track_caller]
pub fn counts(run: &Run, expected: [u64; 3]) {
    let json = run.json();
    let count = |name: &str| json["frames"][name].as_u64().unwrap();
    assert_eq!(["captured", "output", "dropped"].map(count), expected, "{json:#}");
    let sum: u64 = ["output", "dropped", "broken", "unfinished"].map(count).iter().sum();
    assert_eq!(sum, count("captured"), "{json:#}");
}

/// A script that writes `frames` yuv420 frames of 64x4 pixels and goes on with `then`.
pub fn yuv(frames: usize, then: &str) -> String {
    let frame = 64 * 4 * 3 / 2;
    format!("echo \"$@\" >> \"$(dirname \"$0\")/args\"\nhead -c {} /dev/zero\n{then}", frames * frame)
}

/// Ends a program however the test ends.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn wait(child: &mut Child) -> Option<i32> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the program does not end");
}
