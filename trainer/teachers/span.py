#!/usr/bin/env python3
"""Writes what a SPAN network makes of low-resolution images, as PNG files of the same names without their xN.

    python3 span.py --param spanx4_ch48.param --bin spanx4_ch48.bin --scale 4 -i LR_FOLDER -o OUT_FOLDER

Needs ncnn, numpy and pillow from PyPI. The folder that it writes is what `data.teacher` of mcir-train names. SPAN: Wan
et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024.
"""

import argparse
import pathlib

import ncnn
import numpy as np
from PIL import Image


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--param", required=True, help="layers of the network, ncnn's .param")
    parser.add_argument("--bin", required=True, help="weights of the network, ncnn's .bin")
    parser.add_argument("--scale", type=int, required=True, help="upscaling factor")
    parser.add_argument("-i", "--input", type=pathlib.Path, required=True, help="folder of low-resolution PNG files")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True, help="folder for the enlarged ones")
    args = parser.parse_args()

    net = ncnn.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 1
    net.load_param(args.param)
    net.load_model(args.bin)
    args.output.mkdir(parents=True, exist_ok=True)
    for path in sorted(args.input.glob("*.png")):
        rgb = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
        with net.create_extractor() as extractor:
            extractor.input("data", ncnn.Mat(np.ascontiguousarray(rgb.transpose(2, 0, 1))).clone())
            status, out = extractor.extract("output")
            if status != 0:
                raise SystemExit(f"{path}: the network failed with {status}")
            # The memory of `out` is the extractor's.
            enlarged = np.array(out.clone())
        pixels = np.clip(np.rint(enlarged.transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
        suffix = f"x{args.scale}"
        stem = path.stem[: -len(suffix)] if path.stem.endswith(suffix) else path.stem
        Image.fromarray(pixels).save(args.output / f"{stem}.png")


if __name__ == "__main__":
    main()
