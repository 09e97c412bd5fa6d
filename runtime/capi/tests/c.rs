//! C programs that use the library, compiled by the system's compiler and run: the same bytes as the engine's, every mistake told,
//! nothing touched that is not theirs.

#![cfg(target_os = "linux")]

#[path = "../../../tests/src/skip.rs"]
mod skip;

use mcir_runtime::model::Model;
use mcir_runtime::plan::{Plan, PlanOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

// The libraries are built with this crate.
use mcir as _;

const WIDTH: usize = 61;
const HEIGHT: usize = 43;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn model() -> PathBuf {
    root().join("../../boards/models/edsr-edge-x4/model.int8.mcir")
}

/// Where cargo puts `libmcir.a` and `libmcir.so` before it runs the tests.
fn libraries() -> PathBuf {
    let folder = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    assert!(folder.join("libmcir.a").is_file(), "no libmcir.a in {}", folder.display());
    folder
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success())
}

#[track_caller]
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Compiles a file of C against the library, statically or not.
fn compile(compiler: &str, source: &str, program: &Path, link: &[&str]) {
    run(Command::new(compiler)
        .args(["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .arg("-I")
        .arg(root().join("include"))
        .arg(root().join(source))
        .args(link)
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(program));
}

/// A picture as a PPM file, and what the engine makes of it.
fn expected(folder: &Path) -> (PathBuf, Vec<u8>) {
    let pixels: Vec<u8> = (0..WIDTH * HEIGHT * 3).map(|i| (i * 7 + i / 11 + (i / 183) * 5) as u8).collect();
    let input = folder.join("in.ppm");
    std::fs::write(&input, [format!("P6\n{WIDTH} {HEIGHT}\n255\n").as_bytes(), &pixels].concat()).unwrap();
    let model = Model::from_bytes(std::fs::read(model()).unwrap()).unwrap();
    let plan = Plan::new(&model, WIDTH, &PlanOptions::default()).unwrap();
    let mut out = vec![0; HEIGHT * 4 * plan.out_row_bytes()];
    plan.run_image(&mut plan.workspace(), &pixels, HEIGHT, &mut out).unwrap();
    let header = format!("P6\n{} {}\n255\n", WIDTH * 4, HEIGHT * 4);
    (input, [header.as_bytes(), &out].concat())
}

/// Runs the example both ways.
fn upscales(program: &[&str], folder: &Path) {
    let (input, expected) = expected(folder);
    for rows in [None, Some("rows")] {
        let output = folder.join("out.ppm");
        let _ = std::fs::remove_file(&output);
        run(Command::new(program[0]).args(&program[1..]).arg(model()).arg(&input).arg(&output).args(rows));
        assert!(std::fs::read(&output).unwrap() == expected, "{program:?} {rows:?}");
    }
}

#[test]
fn the_example_computes_the_engines_bytes() {
    if !installed("cc") {
        return skip::skip("cc is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("upscale");
    let archive = libraries().join("libmcir.a");
    compile("cc", "examples/upscale.c", &program, &[archive.to_str().unwrap()]);
    upscales(&[program.to_str().unwrap()], folder.path());
    let failed = Command::new(&program).args(["/nowhere", "x", "y"]).output().unwrap();
    let text = String::from_utf8_lossy(&failed.stderr);
    assert!(failed.status.code() == Some(1) && text.contains("cannot read /nowhere"), "{text}");
}

/// As a program would: installed, found by pkg-config, linked to the shared library.
#[test]
fn cmake_finds_what_is_installed() {
    if !(installed("cmake") && installed("pkg-config") && installed("c++")) {
        return skip::skip("cmake, pkg-config or c++ is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let [prefix, build] = ["prefix", "build"].map(|name| folder.path().join(name));
    run(Command::new(root().join("install")).arg(&prefix).arg(libraries()));
    run(Command::new("cmake")
        .arg("-S")
        .arg(root().join("examples"))
        .arg("-B")
        .arg(&build)
        .arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    let program = build.join("upscale");
    let linked = run(Command::new("ldd").arg(&program).env("LD_LIBRARY_PATH", prefix.join("lib")));
    let linked = String::from_utf8_lossy(&linked.stdout).into_owned();
    assert!(linked.contains("libmcir.so"), "{linked}");
    upscales(&[program.to_str().unwrap()], folder.path());
}

#[test]
fn mistakes_are_told() {
    if !installed("cc") {
        return skip::skip("cc is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("misuse");
    let archive = libraries().join("libmcir.a");
    compile("cc", "tests/misuse.c", &program, &[archive.to_str().unwrap()]);
    run(Command::new(&program).arg(model()));
    // An emulated processor: its best instruction set would be the one of this.
    match installed("valgrind") {
        true => {
            run(Command::new("valgrind")
                .args([
                    "--quiet",
                    "--error-exitcode=9",
                    "--leak-check=full",
                    "--errors-for-leak-kinds=definite",
                ])
                .args([program.as_os_str(), model().as_os_str(), "scalar".as_ref()]));
        }
        false => skip::skip("valgrind is not installed"),
    }
}

/// The same under an emulator, where the library was built for it.
#[test]
fn aarch64() {
    let here = libraries();
    let built = here.ancestors().nth(2).unwrap().join("aarch64-unknown-linux-gnu");
    let archive =
        ["debug", "release"].map(|p| built.join(p).join("libmcir.a")).into_iter().find(|p| p.is_file());
    let Some(archive) = archive.filter(|_| installed("aarch64-linux-gnu-gcc") && installed("qemu-aarch64"))
    else {
        return skip::skip(
            "gcc-aarch64-linux-gnu or qemu-user is not installed, or the library was not built for it: \
             cargo build -p mcir-capi --target aarch64-unknown-linux-gnu",
        );
    };
    let folder = tempfile::tempdir().unwrap();
    let words = ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-cpu", "cortex-a76"];
    let [example, misuse] = ["upscale", "misuse"].map(|name| folder.path().join(name));
    compile("aarch64-linux-gnu-gcc", "examples/upscale.c", &example, &[archive.to_str().unwrap()]);
    upscales(&words.iter().copied().chain([example.to_str().unwrap()]).collect::<Vec<_>>(), folder.path());
    compile("aarch64-linux-gnu-gcc", "tests/misuse.c", &misuse, &[archive.to_str().unwrap()]);
    run(Command::new(words[0]).args(&words[1..]).arg(&misuse).arg(model()));
}
