#!/usr/bin/env python3
"""Compares this engine with others on the same networks, in turn in one run, at the same number of threads.

    python3 runtime/benches/peers/run.py [--rounds 7] [--threads 1 2] [--size 160x90 320x180] [--only SUBSTRING]

Makes a virtual environment with ONNX Runtime, OpenVINO, ncnn and MNN, builds workers with rten, tract and this engine
(in cargo's target folder), writes the networks as ONNX, and prints a table in Markdown. Models, table and all samples as
JSON are in `--work` (target/peers/work). Needs Python 3.9 and cargo; Linux.

Networks are the shipped edsr-edge, and others with random weights, for which speed is the same. Those of SwinIR are
exported as the quantizer leaves them: attention in floats between 8-bit edges.

Every engine is a process of its own. A round gives each of them a turn of a few frames, one engine after the other,
so that what else happens on the machine meets all of them. The ratio is the engine's time over this engine's int8
time: the median of the ratios of each round. With one thread it is that of processor time, which other programs disturb
less, otherwise that of elapsed time."""

import argparse
import json
import os
import platform
import statistics
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PACKAGES = ["numpy", "pillow", "onnxruntime", "openvino", "ncnn", "pnnx", "MNN"]
# Name in the table, function of worker.py or program, kind of file.
ENGINES = [
    ("mcir int8", "mcir-worker", "int8.mcir"),
    ("mcir int8, Winograd", "mcir-worker", "winograd.mcir"),
    ("mcir f32", "mcir-worker", "f32.mcir"),
    ("OpenVINO int8", "openvino_int8", "int8.onnx"),
    ("OpenVINO int8, 8-bit sums", "openvino_int8", "int8-sums.onnx"),
    ("OpenVINO f32", "openvino_f32", "f32.onnx"),
    ("ONNX Runtime int8", "onnxruntime_int8", "int8.onnx"),
    ("ONNX Runtime int8, 8-bit sums", "onnxruntime_int8", "int8-sums.onnx"),
    ("ONNX Runtime f32", "onnxruntime_f32", "f32.onnx"),
    ("ncnn f32", "ncnn_f32", "ncnn"),
    ("ncnn bf16", "ncnn_bf16", "ncnn"),
    ("MNN int8", "mnn_int8", "int8.mnn"),
    ("MNN f32", "mnn_f32", "f32.mnn"),
    ("rten f32", "rten-worker", "f32.onnx"),
    ("tract f32", "tract-worker", "f32.onnx"),
]
OURS = ENGINES[0][0]
# What holds the engines that can be held to an instruction set: this one, and OpenVINO's oneDNN and its own code generator.
HOLDABLE = ("mcir", "OpenVINO")
HELD = {isa: {"MCIR_ISA": isa, "ONEDNN_MAX_CPU_ISA": other} for isa, other in (("avx2", "AVX2"), ("avxvnni", "AVX2_VNNI"))}
# Seconds that a converter may take, and an engine from its start to its first frame's end.
CONVERSION_LIMIT, LOAD_LIMIT = 300, 300


def say(text):
    print(text, file=sys.stderr, flush=True)


def command(args, **options):
    """Runs a program whose output only matters when it fails."""
    try:
        done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=options.pop("limit", None), **options)
    except subprocess.TimeoutExpired as late:
        raise RuntimeError(f"{args[0]} took more than {late.timeout:.0f} s") from None
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, args))}: {done.stdout[-2000:]}")
    return done.stdout


class Tools:
    """What is installed and built."""

    def __init__(self, work, venv, build):
        self.work = work
        self.python = venv / "bin/python"
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
        self.workers = target / "peers/release"
        self.quantize = target / "release/mcir-quantize"
        if not self.python.exists():
            say("installing the engines that Python has")
            command([sys.executable, "-m", "venv", venv])
            command([self.python, "-m", "pip", "install", "-q", *PACKAGES])
        if not build:
            return
        say("building the workers and mcir-quantize")
        environment = {**os.environ, "CARGO_TARGET_DIR": str(target / "peers")}
        command(["cargo", "build", "--release", "--features", "rten,tract"], cwd=HERE, env=environment)
        command(["cargo", "build", "--release", "-p", "mcir-quantize"], cwd=ROOT)

    def versions(self):
        code = ("import importlib.metadata as m; "
                "print(', '.join(f'{p} {m.version(p)}' for p in ['openvino', 'onnxruntime', 'ncnn', 'MNN']))")
        lock = (HERE / "Cargo.lock").read_text()
        rust = [f"{name} {lock.split(f'name = {chr(34)}{name}{chr(34)}')[1].split(chr(34))[1]}"
                for name in ("rten", "tract-onnx")]
        return ", ".join([command([self.python, "-c", code]).strip(), *rust])


def networks(tools, given):
    """Model files by network: both forms of each."""
    if given:
        return given
    models = tools.work / "models"
    models.mkdir(exist_ok=True)
    command([tools.workers / "make-models", models])
    shipped = ROOT / "boards/models/edsr-edge-x4"

    def drawn(name, *more):
        return {form: models / f"{name}.{form}.mcir" for form in ("f32", "int8", *more)}

    return {
        "edsr-light x4": drawn("edsr-light-x4", "winograd"),
        "edsr-edge x4": {form: shipped / f"model.{form}.mcir" for form in ("f32", "int8")},
        "swinir-edge x4": drawn("swinir-edge-x4"),
        "swinir-light x4": drawn("swinir-light-x4"),
    }


def convert(tools, files, name, width, height):
    """The network in every engine's format, for one size; a format that fails is left out and told."""
    folder = tools.work / f"{name.replace(' ', '-')}-{width}x{height}"
    folder.mkdir(exist_ok=True)
    paths = {f"{form}.mcir": path for form, path in files.items()}
    export = [tools.quantize, "export-onnx", "--size", f"{width}x{height}"]
    for kind, form, more in (("f32", "f32", []), ("int8", "int8", []), ("int8-sums", "int8", ["--sums", "int8"])):
        try:
            command([*export, files[form], "-o", folder / f"{kind}.onnx", *more])
            paths[f"{kind}.onnx"] = folder / f"{kind}.onnx"
        except RuntimeError as error:
            say(f"  no {kind} export: {error}")
    tool = tools.python.parent
    try:
        command([tool / "pnnx", "f32.onnx", f"inputshape=[1,3,{height},{width}]", "fp16=0"], cwd=folder,
                limit=CONVERSION_LIMIT)
        paths["ncnn"] = folder / "f32"
    except RuntimeError as error:
        say(f"  no ncnn: {error}")
    try:
        # The library behind the programs: those install a package and report their use over the network.
        command([tools.python, "-c", "import sys, _tools; _tools.mnnconvert(sys.argv)", "-f", "ONNX",
                 "--modelFile", "f32.onnx", "--MNNModel", "f32.mnn", "--bizCode", "mcir"], cwd=folder, limit=CONVERSION_LIMIT)
        paths["f32.mnn"] = folder / "f32.mnn"
        calibration = folder / "calibration"
        calibration.mkdir(exist_ok=True)
        command([tools.python, "-c", CALIBRATION, calibration, str(width), str(height)])
        (folder / "quantize.json").write_text(json.dumps({
            "format": "RGB", "mean": [0, 0, 0], "normal": [1 / 255] * 3, "width": width, "height": height,
            "path": f"{calibration}/", "used_image_num": 2, "feature_quantize_method": "KL",
            "weight_quantize_method": "MAX_ABS"}))
        command([tools.python, "-c", "import sys, _tools; _tools.mnnquant(*sys.argv[1:])", "f32.mnn", "int8.mnn",
                 "quantize.json"], cwd=folder, limit=CONVERSION_LIMIT)
        paths["int8.mnn"] = folder / "int8.mnn"
    except RuntimeError as error:
        say(f"  no MNN, or not in int8: {error}")
    return paths


CALIBRATION = """
import sys, numpy
from PIL import Image
folder, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for i in range(2):
    pixels = numpy.random.default_rng(i).integers(0, 256, (height, width, 3), numpy.uint8)
    Image.fromarray(pixels).save(f"{folder}/{i}.png")
"""


class Worker:
    """A process that has loaded a network and waits for its turns."""

    def __init__(self, tools, engine, path, width, height, threads, held):
        name, program, _ = engine
        self.name, self.rounds, self.peak_kb = name, [], 0
        args = [str(path), str(width), str(height), str(threads)]
        own = tools.workers / program
        line = [str(own), *args] if "-" in program else [str(tools.python), str(HERE / "worker.py"), program, *args]
        environment = {**os.environ, "RTEN_NUM_THREADS": str(threads), **held}
        self.process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True, env=environment)
        # An engine that never answers must not keep the others waiting.
        guard = threading.Timer(LOAD_LIMIT, self.process.kill)
        guard.start()
        try:
            self.ready = self.answer()
        finally:
            guard.cancel()

    def answer(self):
        for line in self.process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        raise RuntimeError(f"{self.name} ended with exit code {self.process.wait()}")

    def turn(self, seconds):
        """Frames for about this time, at least one."""
        last = self.rounds[-1]["wall_ms"] if self.rounds else [self.ready["first_ms"]]
        frames = max(1, round(seconds * 1e3 / statistics.median(last)))
        self.process.stdin.write(f"{frames}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.peak_kb = answer["peak_kb"]
        self.rounds.append(answer)

    def spent(self):
        return sum(sum(r["wall_ms"]) for r in self.rounds) / 1e3

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(tools, paths, width, height, threads, options):
    """All engines in turn; those that cannot do it are left out."""
    workers = []
    for engine in ENGINES:
        name, _, kind = engine
        if kind not in paths or (name.startswith("tract") and threads > 1):
            continue
        if options.isa and not name.startswith(HOLDABLE):
            continue
        if options.only and not name.startswith(OURS) and options.only not in name:
            continue
        try:
            workers.append(Worker(tools, engine, paths[kind], width, height, threads, HELD.get(options.isa, {})))
        except RuntimeError as error:
            say(f"  left out: {error}")
    for number in range(options.rounds):
        say(f"  round {number + 1} of {options.rounds}")
        for worker in list(workers):
            try:
                if worker.spent() < options.limit:
                    worker.turn(options.turn)
            except (RuntimeError, BrokenPipeError) as error:
                say(f"  left out: {error}")
                workers.remove(worker)
    for worker in workers:
        worker.end()
    return workers


def summary(workers, macs, threads):
    """A line for each engine, fastest first."""
    clock = "cpu_ms" if threads == 1 else "wall_ms"
    per_round = {w.name: [statistics.median(r[clock]) for r in w.rounds] for w in workers}
    lines = []
    for w in workers:
        wall = [ms for r in w.rounds for ms in r["wall_ms"]]
        cpu = [ms for r in w.rounds for ms in r["cpu_ms"]]
        ratio = statistics.median(a / b for a, b in zip(per_round[w.name], per_round[OURS]))
        median = statistics.median(per_round[w.name])
        lines.append({
            "engine": w.name, "median_ms": median, "wall_median_ms": statistics.median(wall), "wall_min_ms": min(wall),
            "cpu_median_ms": statistics.median(cpu), "cpu_min_ms": min(cpu), "first_ms": w.ready["first_ms"],
            "gmacs": macs / median * 1e-6, "peak_mb": w.peak_kb / 1e3, "library_mb": w.ready["baseline_kb"] / 1e3,
            "ratio": ratio, "rounds": w.rounds,
        })
    return sorted(lines, key=lambda line: line["ratio"])


def markdown(results, about):
    text = [f"{about['cpu']}; {about['versions']}; {about['date']}; load {about['load']} on {about['cores']} cores.", ""]
    for result in results:
        w, h, threads = result["width"], result["height"], result["threads"]
        clock = "processor time" if threads == 1 else "elapsed time"
        noun = "thread" if threads == 1 else "threads"
        r = result["upscale"]
        text += [f"{result['network']}, {w}x{h} → {r * w}x{r * h}, {threads} {noun} ({clock})", "",
                 "| engine | median ms | GMAC/s | ratio | peak memory MB | of it before the network |",
                 "|---|---:|---:|---:|---:|---:|"]
        for line in result["lines"]:
            bold = "**" if line["engine"].startswith(OURS) else ""
            text.append(f"| {bold}{line['engine']}{bold} | {line['median_ms']:.1f} | {line['gmacs']:.0f} | "
                        f"{line['ratio']:.2f} | {line['peak_mb']:.0f} | {line['library_mb']:.0f} |")
        text.append("")
    return "\n".join(text)


def cpu_name():
    with open("/proc/cpuinfo") as info:
        return next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.processor())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=ROOT / "target/peers/work", help="folder for what is made")
    parser.add_argument("--venv", type=Path, help="virtual environment with the Python engines [default: WORK/venv]")
    parser.add_argument("--no-build", action="store_true", help="take the programs as they were built before")
    parser.add_argument("--output", default="peers", help="name of the table and the samples in WORK")
    parser.add_argument("--size", nargs="+", default=["160x90", "320x180"])
    parser.add_argument("--threads", nargs="+", type=int, default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--network", nargs="+", default=["edsr-edge x4", "edsr-light x4", "swinir-edge x4", "swinir-light x4"])
    parser.add_argument("--model", nargs=3, action="append", default=[], metavar=("NAME", "F32", "INT8"),
                        help="a network of your own in place of those: its name and both model files")
    parser.add_argument("--isa", choices=HELD, help="hold the engines to an instruction set; those that cannot be are left out")
    parser.add_argument("--only", help="engines whose name contains this, beside our int8")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--turn", type=float, default=0.4, help="seconds of an engine's turn; at least one frame")
    parser.add_argument("--limit", type=float, default=20, help="seconds after which an engine has no more turns")
    parser.add_argument("--require", nargs="+", default=[], metavar="ENGINE=RATIO",
                        help="end with 3 when an engine whose name begins so has a lower ratio")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    if not shutil.which("cargo"):
        sys.exit("error: there is no cargo; install Rust from rustup.rs")
    tools = Tools(options.work.resolve(), (options.venv or options.work / "venv").absolute(), not options.no_build)
    about = {"cpu": cpu_name() + (f", held to {options.isa}" if options.isa else ""), "versions": tools.versions(), "cores": os.cpu_count(),
             "date": time.strftime("%Y-%m-%d", time.gmtime()), "load": round(os.getloadavg()[0], 1)}
    results = []
    given = {name: {"f32": Path(f32).resolve(), "int8": Path(int8).resolve()} for name, f32, int8 in options.model}
    for name, files in networks(tools, given).items():
        if name not in options.network and not given:
            continue
        inspected = json.loads(command([tools.quantize, "inspect", "--json", files["int8"]]))
        for size in options.size:
            width, height = map(int, size.split("x"))
            paths = convert(tools, files, name, width, height)
            for threads in options.threads:
                say(f"{name}, {size}, {threads} thread(s)")
                workers = measure(tools, paths, width, height, threads, options)
                macs = inspected["macs_per_pixel"] * width * height
                results.append({"network": name, "width": width, "height": height, "threads": threads,
                                "upscale": inspected["upscale"], "lines": summary(workers, macs, threads)})
                (options.work / f"{options.output}.json").write_text(json.dumps({"schema": 1, **about, "results": results}))
                (options.work / f"{options.output}.md").write_text(markdown(results, about))
    print(markdown(results, about))
    low = [f"{line['engine']} {line['ratio']:.2f} in {r['network']} {r['width']}x{r['height']}"
           for r in results for line in r["lines"] for name, _, floor in [need.partition("=") for need in options.require]
           if line["engine"].startswith(name) and line["ratio"] < float(floor)]
    if low:
        say(f"error: below the required ratio: {'; '.join(low)}")
        sys.exit(3)


main()
