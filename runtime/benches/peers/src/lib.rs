//! What a worker of the comparison does: it loads a network, runs one frame, and then as many as it is asked for.
//!
//! Lines on the standard output begin with `@` and hold one JSON object each, since engines print things of their
//! own. After the first frame: `{"loaded_kb", "baseline_kb", "first_ms"}`. For every number read from the standard
//! input that many frames are run: `{"wall_ms": […], "cpu_ms": […], "peak_kb"}`.

use cpu_time::ProcessTime;
use std::io::BufRead as _;
use std::time::Instant;

/// Command line of a worker.
pub struct Args {
    /// Model file.
    pub model: String,
    /// Width of the input image.
    pub width: usize,
    /// Height of the input image.
    pub height: usize,
    /// Threads.
    pub threads: usize,
}

impl Args {
    /// `MODEL WIDTH HEIGHT THREADS`.
    ///
    /// # Panics
    /// If the command line is another one.
    pub fn parse() -> Self {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [model, width, height, threads] = args.as_slice() else {
            panic!("usage: WORKER MODEL WIDTH HEIGHT THREADS");
        };
        let number = |text: &String| text.parse().expect("sides and threads are numbers");
        Self { model: model.clone(), width: number(width), height: number(height), threads: number(threads) }
    }

    /// The picture that every engine gets: `value(x, y, channel)`.
    pub fn pixel(&self, x: usize, y: usize, c: usize) -> u8 {
        (((y * self.width + x) * 3 + c) * 31 % 251) as u8
    }
}

/// Runs the frames that the standard input asks for. `load` makes the function that runs one.
pub fn work<F: FnMut()>(load: impl FnOnce() -> F) {
    let baseline = memory_kb("VmRSS");
    let mut frame = load();
    let start = Instant::now();
    frame();
    let first = start.elapsed().as_secs_f64() * 1e3;
    println!(
        "@{{\"baseline_kb\": {baseline}, \"loaded_kb\": {}, \"first_ms\": {first}}}",
        memory_kb("VmRSS")
    );
    for line in std::io::stdin().lock().lines() {
        let frames: usize = line.expect("input is text").trim().parse().expect("input is numbers");
        let (mut wall, mut cpu) = (Vec::new(), Vec::new());
        for _ in 0..frames {
            let (start, spent) = (Instant::now(), ProcessTime::now());
            frame();
            wall.push(start.elapsed().as_secs_f64() * 1e3);
            cpu.push(spent.elapsed().as_secs_f64() * 1e3);
        }
        println!("@{{\"wall_ms\": {wall:?}, \"cpu_ms\": {cpu:?}, \"peak_kb\": {}}}", memory_kb("VmHWM"));
    }
}

/// A line of this process's status, in kB; 0 where there is no such file.
fn memory_kb(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
