#!/usr/bin/env python3
"""Instructions and modelled cycles of one frame on Arm cores, without an Arm board.

Runs the engine's benchmark under qemu-aarch64 for one and for two frames, counts how often every block of
code ran, and takes the difference: exactly one frame. llvm-mca says how many cycles a core needs for each
block. See README.md for what that can and cannot tell.

  count.py                     all cases of limits.json; exit code 1 if one is above its limit
  count.py --cpu cortex-a76 --only 'edge 16x4 x4' --hot 12    one case, and where its cycles go

Prints a table, or one JSON object with --json. Without the emulator, llvm-mca or a C compiler it says what
is missing and exits with 0, unless --require is given.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
TARGET = "aarch64-unknown-linux-musl"
# llvm-mca knows no A76; its model of the Neoverse N1, the same core for servers, stands for it.
MODEL_OF = {"cortex-a76": "neoverse-n1", "max": "neoverse-n1"}
ROUNDS = 50
# Blocks are modelled from the most executed instructions down to this share of all; the rest is scaled.
COVER = 0.9995


def find(*names):
    return next((path for name in names if (path := shutil.which(name))), None)


def build():
    """Builds the benchmark and returns its path."""
    command = ["cargo", "build", "--release", "-p", "mcir-runtime", "--bench", "engine", "--target", TARGET,
               "--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True)
    built = [json.loads(line) for line in done.stdout.splitlines()]
    return next(b["executable"] for b in built if b.get("executable") and b["target"]["name"] == "engine")


def blocks(program, plugin, arguments, cpu, frames):
    """Executions of every block, and the multiply-accumulates of a frame."""
    with tempfile.NamedTemporaryFile("r") as out:
        command = ["qemu-aarch64", "-cpu", cpu, "-plugin", f"{plugin},out={out.name}", program, *arguments,
                   "--threads", "1", "--frames", str(frames)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        macs = re.findall(r"frame\(s\) of (\d+) MAC", done.stdout)
        if len(macs) != 1:
            sys.exit(f"the benchmark ran {len(macs)} networks instead of one: {done.stdout}")
        counts = {}
        for line in out.read().splitlines():
            address, runs, code = line.split()
            counts[address, code] = int(runs)
        return counts, int(macs[0])


def words(code):
    """Instructions as llvm-mc reads them: little-endian bytes."""
    return " ".join(f"0x{byte:02x}" for byte in b"".join(
        bytes.fromhex(code[i:i + 8])[::-1] for i in range(0, len(code), 8)))


class Core:
    """Cycles of blocks on one core."""

    def __init__(self, cpu, mc, mca):
        self.cpu, self.mc, self.mca = MODEL_OF.get(cpu, cpu), mc, mca
        self.cycles = {}

    def listing(self, code):
        triple = "-triple=aarch64-linux-gnu"
        done = subprocess.run([self.mc, "--disassemble", triple, "-mattr=+all"], input=words(code),
                              capture_output=True, text=True, check=True)
        return [line.strip() for line in done.stdout.splitlines() if line.strip() and line.strip()[0] != "."]

    def listings(self, codes):
        """Those of all blocks, by one run where every instruction has its line."""
        lines = iter(all_lines := self.listing("".join(codes)))
        if len(all_lines) != sum(len(code) // 8 for code in codes):
            return [self.listing(code) for code in codes]
        return [[next(lines) for _ in range(len(code) // 8)] for code in codes]

    def measure(self, codes):
        """Cycles of one execution of each block in a loop of itself."""
        regions = [f"# LLVM-MCA-BEGIN block{n}\n" + "\n".join(lines) + f"\n# LLVM-MCA-END block{n}\n"
                   for n, lines in enumerate(self.listings(codes))]
        command = [self.mca, "-mtriple=aarch64-linux-gnu", f"-mcpu={self.cpu}", "-mattr=+all",
                   f"-iterations={ROUNDS}", "-skip-unsupported-instructions=any", "-instruction-info=0",
                   "-resource-pressure=0"]
        done = subprocess.run(command, input="".join(regions), capture_output=True, text=True)
        found = re.findall(r"Code Region - block(\d+)\n(?:.*\n)*?Total Cycles:\s+(\d+)", done.stdout)
        cycles = {int(n): int(total) / ROUNDS for n, total in found}
        # A block of nothing but what the model skips, such as a system call, has none.
        return [cycles.get(n, len(code) / 16) for n, code in enumerate(codes)]

    def add(self, codes):
        new = [code for code in dict.fromkeys(codes) if code not in self.cycles]
        parts = [new[k::os.cpu_count()] for k in range(os.cpu_count())]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for part, cycles in zip(parts, pool.map(self.measure, parts)):
                self.cycles.update(zip(part, cycles))


def frame(program, plugin, arguments, cpu, core):
    """Instructions, cycles and multiply-accumulates of one frame, and its blocks, hottest first."""
    with ThreadPoolExecutor(2) as pool:
        runs = pool.map(lambda n: blocks(program, plugin, arguments, cpu, n), (1, 2))
        (once, macs), (twice, _) = runs
    counts = {key: n - once.get(key, 0) for key, n in twice.items()}
    size = {key: n * (len(key[1]) // 8) for key, n in counts.items()}
    instructions = sum(size.values())
    ordered = sorted((key for key in counts if counts[key] > 0), key=size.get, reverse=True)
    hot, covered = [], 0
    for key in ordered:
        if covered >= COVER * instructions:
            break
        hot.append(key)
        covered += size[key]
    core.add(code for _, code in hot)
    cycles = {key: counts[key] * core.cycles[key[1]] for key in hot}
    total = sum(cycles.values()) * instructions / covered
    return instructions, total, macs, sorted(((cycles[k], counts[k], k) for k in hot), reverse=True)


def symbols(program):
    """Functions by address, if there is a tool to list them."""
    nm = find("llvm-nm-19", "llvm-nm", "nm", "aarch64-linux-gnu-nm")
    if not nm:
        return lambda address: "?"
    done = subprocess.run([nm, "-C", program], capture_output=True, text=True)
    table = sorted((int(p[0], 16), p[2]) for line in done.stdout.splitlines()
                   if len(p := line.split(maxsplit=2)) == 3 and p[1] in "tTwW")
    return lambda address: next((name for at, name in reversed(table) if at <= address), "?")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cpu", help="emulated processor, with --only instead of the cases of limits.json")
    parser.add_argument("--only", help="network of the benchmark")
    parser.add_argument("--winograd", action="store_true", help="networks quantized for Winograd in 8 bits")
    parser.add_argument("--size", default="160x90", help="input image (default %(default)s)")
    parser.add_argument("--isa", help="instruction set, if not the best one of the processor")
    parser.add_argument("--program", help="a benchmark that is already built")
    parser.add_argument("--hot", type=int, default=0, metavar="N", help="also list the N costliest blocks")
    parser.add_argument("--list", action="store_true", help="with --hot: the instructions of the blocks")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--require", action="store_true", help="fail when a tool is missing")
    arguments = parser.parse_args()
    if bool(arguments.cpu) != bool(arguments.only):
        parser.error("--cpu and --only go together")
    return arguments


def main():
    options = parse()
    mc, mca, cc = find("llvm-mc-19", "llvm-mc"), find("llvm-mca-19", "llvm-mca"), find("cc", "gcc", "clang")
    tools = {"qemu-aarch64": find("qemu-aarch64"), "llvm-mc": mc, "llvm-mca": mca, "a C compiler": cc}
    if missing := [name for name, path in tools.items() if not path]:
        print(f"skipped: {', '.join(missing)} not found; install qemu-user, llvm-19 and gcc", file=sys.stderr)
        return 1 if options.require else 0
    cases = json.loads((HERE / "limits.json").read_text())["cases"]
    if options.cpu:
        cases = [{"cpu": options.cpu, "network": options.only, "isa": options.isa, "winograd": options.winograd}]
    program = options.program or build()
    name_of = symbols(program)
    rows, cores = [], {}
    with tempfile.TemporaryDirectory() as folder:
        plugin = f"{folder}/blocks.so"
        subprocess.run([cc, "-O2", "-shared", "-fPIC", "-o", plugin, HERE / "blocks.c"], check=True)
        for case in cases:
            core = cores.setdefault(case["cpu"], Core(case["cpu"], mc, mca))
            size = case.get("size", options.size)
            arguments = ["--only", case["network"], "--size", size]
            arguments += ["--isa", case["isa"]] if case.get("isa") else []
            arguments += ["--winograd"] if case.get("winograd") else []
            instructions, cycles, macs, hot = frame(program, plugin, arguments, case["cpu"], core)
            row = {"cpu": case["cpu"], "network": case["network"], "isa": case.get("isa"), "size": size,
                   "winograd": bool(case.get("winograd")),
                   "mega_cycles": round(cycles / 1e6, 2), "mega_instructions": round(instructions / 1e6, 2),
                   "instructions_per_mac": round(instructions / macs, 4), "macs_per_cycle": round(macs / cycles, 2)}
            # Limits of cases without a size of their own are for 160x90; cycles grow with the pixels.
            width, height = map(int, size.split("x"))
            scale = 1 if "size" in case else width * height / (160 * 90)
            row["limit_mega_cycles"] = case.get("mega_cycles") and case["mega_cycles"] * scale
            row["limit_instructions_per_mac"] = case.get("instructions_per_mac")
            over = [what for what in ("mega_cycles", "instructions_per_mac")
                    if row[f"limit_{what}"] and row[what] > row[f"limit_{what}"]]
            row["over"] = over
            rows.append(row)
            if not options.json:
                limit = f"  limit {row['limit_mega_cycles']:.2f}" if row["limit_mega_cycles"] else ""
                print(f"{row['cpu']:11} {row['isa'] or 'best':9} {row['network']:14} {row['size']:8} {'winograd' if row['winograd'] else '':8} "
                      f"{row['mega_cycles']:9.2f} Mcycles{limit}  {row['instructions_per_mac']:.4f} instructions/MAC  "
                      f"{row['macs_per_cycle']:6.2f} MAC/cycle{'  ABOVE ITS LIMIT' if over else ''}", flush=True)
            for spent, runs, (address, code) in hot[:options.hot]:
                print(f"  {100 * spent / cycles:5.1f} %  {runs:9} x {len(code) // 8:4} instructions, "
                      f"{core.cycles[code]:7.1f} cycles  {address}  {name_of(int(address, 16))[:90]}", file=sys.stderr)
                if options.list:
                    print("".join(f"      {line}\n" for line in core.listing(code)), file=sys.stderr)
    if options.json:
        print(json.dumps({"schema": 1, "cases": rows}))
    return 1 if any(row["over"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
