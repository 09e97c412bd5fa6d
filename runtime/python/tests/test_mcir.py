"""The wheel against the programs: the same bytes, the same figures, the same refusals.

MCIR_BOARD and MCIR_QUANTIZE name the programs; `check` builds them and sets both.
"""

import math
import os
import pathlib
import struct
import subprocess
import tempfile
import threading
import time
import unittest

import mcir
import numpy as np

BOARD, QUANTIZE = os.environ["MCIR_BOARD"], os.environ["MCIR_QUANTIZE"]
MODELS = pathlib.Path(__file__).resolve().parents[3] / "boards" / "models"


def picture(width, height, seed=1):
    """Gradients, edges and a little noise."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 24, (height, width, 3))
    waves = 90 + 60 * np.sin(x / (5 + seed)) + 40 * ((x + 2 * y) % 37 < 15)
    colours = waves[..., None] + [0, 1, 2] * (y % 64)[..., None] // 2 + noise
    return np.clip(colours, 0, 255).astype(np.uint8)


def write_bmp(path, image):
    height, width, _ = image.shape
    stride = (3 * width + 3) // 4 * 4
    rows = np.zeros((height, stride), np.uint8)
    rows[:, : 3 * width] = image[::-1, :, ::-1].reshape(height, -1)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, rows.size, 2835, 2835, 0, 0)
    with open(path, "wb") as file:
        file.write(b"BM" + struct.pack("<IHHI", 54 + rows.size, 0, 0, 54) + header + rows.tobytes())


def read_bmp(path):
    data = pathlib.Path(path).read_bytes()
    (offset,), (width, height) = struct.unpack_from("<I", data, 10), struct.unpack_from("<ii", data, 18)
    stride = (3 * width + 3) // 4 * 4
    rows = np.frombuffer(data, np.uint8, abs(height) * stride, offset).reshape(abs(height), stride)
    rows = rows[::-1] if height > 0 else rows
    return rows[:, : 3 * width].reshape(abs(height), width, 3)[..., ::-1]


def run(*words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True)


def luma(image):
    """BT.601 in 16..235."""
    r, g, b = (image[..., c].astype(np.float64) for c in range(3))
    return 16 + (65.481 * r + 128.553 * g + 24.966 * b) / 255


def matlab_imresize(image, rows, columns):
    """Written from the documentation: a = -0.5, widened when it shrinks, one dimension after the other, rounded between."""

    def kernel(x):
        x = np.abs(x)
        near = 1.5 * x**3 - 2.5 * x**2 + 1
        far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))

    def along(image, axis, size):
        old = image.shape[axis]
        scale = size / old
        wide = 4 / min(scale, 1)
        centre = (np.arange(size) + 1) / scale + 0.5 * (1 - 1 / scale)
        left = np.floor(centre - wide / 2)
        at = left[:, None] + np.arange(math.ceil(wide) + 2)
        weights = min(scale, 1) * kernel(min(scale, 1) * (centre[:, None] - at))
        weights /= weights.sum(1, keepdims=True)
        mirror = np.concatenate([np.arange(old), np.arange(old)[::-1]])
        at = mirror[np.mod(at.astype(int) - 1, 2 * old)]
        moved = np.moveaxis(image.astype(np.float64), axis, 0)
        result = np.einsum("ij,ij...->i...", weights, moved[at])
        # Halves away from zero, as MATLAB rounds.
        return np.moveaxis(np.clip(np.floor(result + 0.5), 0, 255).astype(np.uint8), 0, axis)

    first = [(0, rows), (1, columns)]
    if columns / image.shape[1] < rows / image.shape[0]:
        first.reverse()
    for axis, size in first:
        image = along(image, axis, size)
    return image


class Upscaling(unittest.TestCase):
    def test_the_programs_bytes(self):
        image = picture(61, 43)
        for name in ["edsr-edge-x4", "edsr-edge-x2-camera", "edsr-edge-x3.f32"]:
            with tempfile.TemporaryDirectory() as folder:
                source, target = f"{folder}/in.bmp", f"{folder}/out.bmp"
                write_bmp(source, image)
                run(BOARD, "upscale", "-q", "-i", source, "-o", target, "-m", name)
                np.testing.assert_array_equal(mcir.upscale(image, name), read_bmp(target), name)

    def test_strength_and_brightness(self):
        image = picture(40, 31)
        for more, words in [({"strength": 0.5}, ["--strength", "0.5"]), ({"mode": "y"}, ["--mode", "y"])]:
            with tempfile.TemporaryDirectory() as folder:
                source, target = f"{folder}/in.bmp", f"{folder}/out.bmp"
                write_bmp(source, image)
                run(BOARD, "upscale", "-q", "-i", source, "-o", target, "-m", "edsr-edge-x4", *words)
                np.testing.assert_array_equal(mcir.upscale(image, "edsr-edge-x4", **more), read_bmp(target))

    def test_every_instruction_set_and_thread_gives_the_same(self):
        image, model = picture(53, 29), mcir.Model("edsr-edge-x2")
        expected = mcir.Upscaler(model, threads=1, isa="scalar")(image)
        for isa in mcir.isas():
            for threads in [1, 2]:
                np.testing.assert_array_equal(mcir.Upscaler(model, threads=threads, isa=isa)(image), expected)

    def test_arrays_of_every_kind(self):
        image, upscaler = picture(40, 31), mcir.Upscaler("edsr-edge-x2")
        whole = upscaler(image)
        self.assertEqual((whole.shape, whole.dtype), ((62, 80, 3), np.dtype(np.uint8)))
        wide = np.zeros((31, 90, 3), np.uint8)
        wide[:, 5:45] = image
        np.testing.assert_array_equal(upscaler(wide[:, 5:45]), whole)
        np.testing.assert_array_equal(upscaler(np.asfortranarray(image)), whole)
        frozen = image.copy()
        frozen.flags.writeable = False
        np.testing.assert_array_equal(upscaler(frozen), whole)
        grey = image[..., 1]
        self.assertEqual(upscaler(grey).shape, (62, 80))
        np.testing.assert_array_equal(upscaler(grey[..., None])[..., 0], upscaler(grey))
        # Nothing is shared with what was given.
        before = image.copy()
        upscaler(image)[:] = 0
        np.testing.assert_array_equal(image, before)

    def test_what_is_refused(self):
        upscaler = mcir.Upscaler("edsr-edge-x2")
        for wrong, kind, words in [
            (np.zeros((4, 4, 3), np.float32), TypeError, "uint8"),
            ([[1, 2], [3, 4]], TypeError, "numpy array"),
            (np.zeros((4, 4, 4), np.uint8), ValueError, "height"),
            (np.zeros((4,), np.uint8), ValueError, "height"),
            (np.zeros((0, 4, 3), np.uint8), mcir.Error, ""),
        ]:
            with self.assertRaisesRegex(kind, words):
                upscaler(wrong)
        with self.assertRaisesRegex(mcir.Error, "no-such-model.*edsr-edge-x4"):
            mcir.Model("no-such-model")
        with self.assertRaisesRegex(ValueError, "strength"):
            mcir.Model("edsr-edge-x4", strength=2)
        with self.assertRaisesRegex(ValueError, "quantum"):
            mcir.Upscaler("edsr-edge-x2", isa="quantum")
        with self.assertRaisesRegex(ValueError, "'rgb' or 'y'"):
            mcir.Upscaler("edsr-edge-x2", mode="hsv")
        with self.assertRaises(TypeError):
            mcir.upscale(picture(8, 8), mcir.Model("edsr-edge-x2"), strength=0.5)
        with self.assertRaises(mcir.Error):
            mcir.Model.from_bytes(b"MCIR and then nothing")

    def test_the_interpreter_is_free_meanwhile(self):
        upscaler, image, started = mcir.Upscaler("edsr-edge-m-x4", threads=1, isa="scalar"), picture(400, 300), threading.Event()

        def work():
            started.set()
            upscaler(image)

        worker = threading.Thread(target=work)
        worker.start()
        started.wait()
        # Were the interpreter held, this would go on when the picture is done.
        time.sleep(0.05)
        self.assertTrue(worker.is_alive())
        worker.join()


class Models(unittest.TestCase):
    def test_inspection(self):
        self.assertIn("edsr-edge-x4", mcir.model_names())
        model = mcir.Model("edsr-edge-x4")
        self.assertEqual((model.name, model.precision, model.upscale, model.channels), ("edsr-edge-x4", "int8", 4, (3, 3)))
        self.assertIn("edsr-edge-x4", repr(model))
        self.assertEqual(model.to_bytes(), (MODELS / "edsr-edge-x4" / "model.int8.mcir").read_bytes())
        self.assertIn("quantize.version", model.metadata)
        again = mcir.Model.from_bytes(model.to_bytes())
        self.assertEqual((again.parameters, again.macs_per_pixel), (model.parameters, model.macs_per_pixel))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "x.mcir"
            model.save(path)
            self.assertEqual(mcir.Model(path).to_bytes(), model.to_bytes())
            import json

            told = json.loads(run(QUANTIZE, "inspect", "--json", path).stdout)
            self.assertEqual(model.summary(), told)


class Metrics(unittest.TestCase):
    def test_against_their_definitions(self):
        hr = picture(48, 40)
        sr = np.clip(hr.astype(int) + np.random.default_rng(3).integers(-9, 10, hr.shape), 0, 255).astype(np.uint8)
        for border in [0, 4]:
            inner = np.s_[border : 40 - border, border : 48 - border]
            mse = np.mean((luma(sr)[inner] - luma(hr)[inner]) ** 2)
            self.assertAlmostEqual(mcir.psnr(sr, hr, border), 10 * math.log10(255**2 / mse), 9)
            mse = np.mean((sr[inner].astype(float) - hr[inner].astype(float)) ** 2)
            self.assertAlmostEqual(mcir.psnr(sr, hr, border, "rgb"), 10 * math.log10(255**2 / mse), 9)
        self.assertEqual((mcir.psnr(hr, hr), mcir.ssim(hr, hr)), (math.inf, 1.0))
        self.assertLess(mcir.ssim(sr, hr, 4), 1)
        with self.assertRaisesRegex(mcir.Error, "cannot be compared"):
            mcir.psnr(hr, hr[:-1])
        with self.assertRaisesRegex(ValueError, "'y' or 'rgb'"):
            mcir.psnr(hr, hr, channels="lab")

    def test_imresize(self):
        image = picture(48, 40)
        for width, height in [(12, 10), (24, 20), (96, 80), (31, 50), (16, 9)]:
            np.testing.assert_array_equal(
                mcir.imresize(image, width=width, height=height), matlab_imresize(image, height, width)
            )
        np.testing.assert_array_equal(mcir.imresize(image, 1 / 4), mcir.imresize(image, width=12, height=10))
        self.assertEqual(mcir.imresize(image, 1 / 3).shape, (14, 16, 3))
        self.assertEqual(mcir.imresize(image[..., 0], 2).shape, (80, 96))
        for wrong in [{}, {"scale": 2, "width": 3, "height": 3}, {"width": 3}]:
            with self.assertRaises(TypeError):
                mcir.imresize(image, **wrong)
        with self.assertRaises(ValueError):
            mcir.imresize(image, width=0, height=3)


class Quantizing(unittest.TestCase):
    def test_the_programs_bytes_and_the_gate(self):
        float_model = MODELS / "edsr-edge-x2" / "model.f32.mcir"
        with tempfile.TemporaryDirectory() as folder:
            photos = pathlib.Path(folder) / "photos"
            photos.mkdir()
            for n in range(14):
                write_bmp(photos / f"{n:02}.bmp", picture(96, 72, n))
            output = f"{folder}/int8.mcir"
            words = ["--effort", "low", "--max-drop-db", "3", "--max-worst-drop-db", "9"]
            run(QUANTIZE, "run", float_model, "-c", photos, "-o", output, "-q", *words)
            limits = {"effort": "low", "max_drop_db": 3, "max_worst_drop_db": 9}
            found = mcir.quantize(float_model, photos, **limits)
            self.assertEqual(found.model.to_bytes(), pathlib.Path(output).read_bytes())
            self.assertEqual(found.model.precision, "int8")
            self.assertEqual(len(found.report["images"]), 2)
            self.assertLess(found.mean_drop_db, 3)
            with self.assertRaisesRegex(mcir.GateError, "lost") as caught:
                mcir.quantize(
                    float_model, photos, effort="low", max_drop_db=0, max_worst_drop_db=0, fallback=False
                )
            self.assertEqual(caught.exception.report["mean_drop_db"], found.mean_drop_db)
            with self.assertRaisesRegex(mcir.Error, "nowhere"):
                mcir.quantize(float_model, f"{folder}/nowhere")
            with self.assertRaisesRegex(ValueError, "effort"):
                mcir.quantize(float_model, photos, effort="heroic")


if __name__ == "__main__":
    unittest.main()
