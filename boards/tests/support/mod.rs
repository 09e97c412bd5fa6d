//! What the tests of the program share: a folder for each, model files, and running the binary.

// Every test file compiles this module for itself and none uses all of it.
#![allow(dead_code, reason = "shared by several test programs")]

#[path = "../../../tests/src/skip.rs"]
pub mod skip;

use image::{ImageBuffer, Rgb, RgbImage};
use mcir_runtime::arch::edsr::{self, Config};
use mcir_runtime::model::{Model, Op, TensorData};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A fresh folder that is removed at the end.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Names of all files, hidden ones too.
    pub fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Writes a file.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes a colourful image.
    pub fn image(&self, name: &str, width: u32, height: u32) -> PathBuf {
        let path = self.path(name);
        picture(width, height).save(&path).unwrap();
        path
    }

    /// Writes a program.
    pub fn script(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;
        let path = self.file(name, format!("#!/bin/sh\n{text}\n").as_bytes());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Writes a y4m file of grey noise that moves.
    pub fn y4m(&self, name: &str, width: usize, height: usize, frames: usize) -> PathBuf {
        self.file(name, &y4m(width, height, frames))
    }

    /// Writes an untrained model.
    pub fn model(&self, name: &str, upscale: u8) -> PathBuf {
        self.file(name, &model(&Config::edge(upscale, 8, 1)).to_bytes())
    }

    /// The same in `NAME.mcir`, and the model has this name too.
    pub fn named_model(&self, name: &str, upscale: u8) -> PathBuf {
        self.file(&format!("{name}.mcir"), &named(name, &Config::edge(upscale, 8, 1)).to_bytes())
    }
}

/// A y4m stream whose frames all differ.
pub fn y4m(width: usize, height: usize, frames: usize) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F50:1 Ip A1:1 C420jpeg\n").into_bytes();
    for n in 0..frames {
        bytes.extend(b"FRAME\n");
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
        bytes.extend(pixels.map(|(x, y)| (16 + (3 * x + 5 * y + 11 * n) % 220) as u8));
        let colours = width.div_ceil(2) * height.div_ceil(2);
        bytes.extend((0..2 * colours).map(|i| (90 + (i + n) % 70) as u8));
    }
    bytes
}

/// An image with different gradients in its channels and a disc.
pub fn picture(width: u32, height: u32) -> RgbImage {
    ImageBuffer::from_fn(width, height, |x, y| {
        let (dx, dy) = (i64::from(x) - i64::from(width) / 2, i64::from(y) - i64::from(height) / 2);
        let inside = dx * dx + dy * dy < i64::from(width.min(height)).pow(2) / 9;
        let gradient = |v: u32, n: u32| (v * 200 / n.max(1)) as u8;
        if inside { Rgb([250, 240, 40]) } else { Rgb([gradient(x, width), gradient(y, height), 90]) }
    })
}

/// A network with small random weights, always the same: it changes images a little.
pub fn model(config: &Config) -> Model {
    named("untrained", config)
}

pub fn named(name: &str, config: &Config) -> Model {
    let graph = edsr::graph(config);
    let mut state = 1u32;
    let mut small = |n: usize, scale: f32| {
        let value = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f32::from((state >> 16) as u16) / 32768.0 - 1.0) * scale
        };
        TensorData::F32((0..n).map(value).collect())
    };
    let params: Vec<_> = graph
        .nodes
        .iter()
        .map(|node| {
            let Op::Conv2d(c) = node.op else { return vec![] };
            let depth = usize::from(c.kernel).pow(2) * usize::from(c.in_channels);
            let out = usize::from(c.out_channels);
            vec![small(out * depth, 0.6 / (depth as f32).sqrt()), small(out, 0.01)]
        })
        .collect();
    Model::new(graph, &params, vec![("name".into(), name.into())]).unwrap()
}

/// Runs `mcir-board`.
pub fn board<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_mcir-board")).args(args).output().unwrap();
    Run { output }
}

/// `mcir-board camera` with these options, to be started by the test; programs are looked for in `programs`
/// first.
pub fn camera(programs: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcir-board"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(programs.path("")).chain(std::env::split_paths(&path));
    command.arg("camera").args(args).env("PATH", std::env::join_paths(folders).unwrap());
    command
}

/// How the program ended.
pub struct Run {
    output: Output,
}

impl Run {
    pub fn of(output: Output) -> Self {
        Self { output }
    }

    pub fn exit_code(&self) -> Option<i32> {
        self.output.status.code()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    pub fn stdout(&self) -> String {
        String::from_utf8(self.output.stdout.clone()).unwrap()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8(self.output.stderr.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout()).unwrap()
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.output.status.code(), Some(0), "{}", self.stderr());
        self
    }

    /// It ended with this exit code and a message of the command line's parser with each of `parts`.
    #[track_caller]
    pub fn fails_plainly(self, code: i32, parts: &[&str]) -> Self {
        let message = self.stderr();
        assert_eq!(self.output.status.code(), Some(code), "{message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
        self
    }

    /// It ended with this exit code, a message with each of `parts` and a line of help, and did not panic.
    #[track_caller]
    pub fn fails(self, code: i32, parts: &[&str]) -> Self {
        let message = self.stderr();
        assert_eq!(self.output.status.code(), Some(code), "{message}");
        assert!(!message.contains("panicked"), "{message}");
        assert!(message.contains("error: ") && message.contains("\n  help: "), "{message}");
        for part in parts {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
        self
    }
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}
