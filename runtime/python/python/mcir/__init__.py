"""Super-resolution with light int8 networks: the same bits on every processor.

Pictures are numpy arrays of uint8, ``[height, width, 3]`` RGB or ``[height, width]`` grey. While anything is computed the
interpreter is free for other threads.

>>> import mcir, numpy
>>> small = numpy.zeros((90, 160, 3), numpy.uint8)
>>> mcir.upscale(small, "edsr-edge-x4").shape
(360, 640, 3)
"""

from __future__ import annotations

import json as _json
import os as _os
from dataclasses import dataclass as _dataclass

from ._mcir import Error, GateError, Model as _Model, Upscaler as _Upscaler
from ._mcir import __version__, imresize as _imresize, isas, model_names, psnr, ssim
from ._mcir import quantize as _quantize

__all__ = [
    "Error",
    "GateError",
    "Model",
    "Quantized",
    "Upscaler",
    "__version__",
    "imresize",
    "isas",
    "model_names",
    "psnr",
    "quantize",
    "ssim",
    "upscale",
]


class Model:
    """A network with its weights.

    ``Model("edsr-edge-x4")`` is an embedded one (`model_names` lists them), ``Model("x.mcir")`` a file or a folder with one.
    ``strength`` from 0 to 1 takes the step of an embedded family that cleans up that much.
    """

    __slots__ = ("_inner",)

    def __init__(self, name, *, strength=None):
        self._inner = _Model.open(_os.fspath(name), strength)

    @classmethod
    def _of(cls, inner):
        model = cls.__new__(cls)
        model._inner = inner
        return model

    @classmethod
    def from_bytes(cls, data, name=None):
        """A model file in memory."""
        return cls._of(_Model.from_bytes(bytes(data), name))

    def to_bytes(self):
        """The bytes of its file."""
        return self._inner.to_bytes()

    def save(self, path):
        """Writes its file."""
        with open(path, "wb") as file:
            file.write(self.to_bytes())

    @property
    def name(self):
        """Its name, without the kind of numbers."""
        return self._inner.name

    @property
    def precision(self):
        """``"int8"`` or ``"f32"``."""
        return self._inner.precision

    @property
    def upscale(self):
        """How many times wider and higher the picture becomes."""
        return self._inner.upscale

    @property
    def channels(self):
        """Channels that it reads and writes: 3 for RGB, 1 for brightness."""
        return self._inner.channels

    @property
    def parameters(self):
        """How many parameters it has."""
        return self._inner.parameters

    @property
    def macs_per_pixel(self):
        """Multiply-accumulates for one pixel of the input."""
        return self._inner.macs_per_pixel

    @property
    def metadata(self):
        """What its file says about it."""
        return self._inner.metadata

    def summary(self, width=320):
        """Nodes, types, ranges, sizes and working memory at this width: what ``mcir-quantize inspect --json`` prints."""
        return _json.loads(self._inner.summary_json(width))

    def __repr__(self):
        return f"<mcir.Model {self.name} {self.precision} x{self.upscale}>"


class Upscaler:
    """A model that runs on pictures; pictures of one width share what is prepared for it.

    ``threads=0`` takes all processors, ``isa`` one of `isas`, ``mode="y"`` brightness alone with interpolated colour. The
    output does not depend on threads and instruction set. Threads that share an upscaler take turns; give each its own.
    """

    __slots__ = ("_inner",)

    def __init__(self, model, *, threads=0, isa=None, mode="rgb"):
        self._inner = _Upscaler(_model(model)._inner, threads, isa, mode)

    @property
    def model(self):
        """The model."""
        return Model._of(self._inner.model)

    def __call__(self, picture):
        """The picture, larger: an array of as many axes."""
        return self._inner(picture)


def _model(model):
    return model if isinstance(model, Model) else Model(model)


def upscale(picture, model="edsr-edge-x4", *, strength=None, threads=0, mode="rgb"):
    """A picture, larger. For many pictures make an `Upscaler` once."""
    if strength is not None:
        if isinstance(model, Model):
            raise TypeError("strength goes with the name of a family, not with a model: Model(name, strength=...)")
        model = Model(model, strength=strength)
    return Upscaler(model, threads=threads, mode=mode)(picture)


def imresize(picture, scale=None, *, width=None, height=None):
    """Bicubic as MATLAB's ``imresize``, antialiased when it shrinks, bit for bit.

    Either by a factor, or to a width and height. A factor only decides the size, which is rounded up as MATLAB does; the kernel
    goes by the sizes, as in ``imresize(A, [rows cols])``.
    """
    if (scale is None) == (width is None and height is None):
        raise TypeError("imresize takes either a scale or a width and a height")
    if scale is not None:
        rows, columns = picture.shape[:2]
        # A factor such as 1/3 is not exact: what is a hair more than a whole number is that number.
        width, height = (-int(-(side * scale - 1e-9) // 1) for side in (columns, rows))
    if width is None or height is None:
        raise TypeError("imresize takes a width and a height, or a scale")
    if width < 1 or height < 1:
        raise ValueError(f"a picture of {width}x{height} pixels has none")
    return _imresize(picture, width, height)


@_dataclass(frozen=True)
class Quantized:
    """An int8 model that is within the limits, and what quantization cost on held-out pictures."""

    model: Model
    report: dict

    @property
    def mean_drop_db(self):
        """Mean drop of PSNR-Y in dB."""
        return self.report["mean_drop_db"]


def quantize(
    model,
    calibration,
    *,
    validation=None,
    max_drop_db=0.1,
    max_worst_drop_db=None,
    min_agreement_db=None,
    effort="normal",
    winograd=False,
    fallback=True,
    images=None,
    threads=0,
):
    """An f32 model as int8: what ``mcir-quantize run`` does, with the same bytes.

    ``calibration`` and ``validation`` are folders of high-resolution pictures. Raises `GateError`, whose ``report`` has the
    figures, where more than ``max_drop_db`` is lost in the mean or ``max_worst_drop_db`` on one picture, or where the pictures of the two
    models agree by less than ``min_agreement_db``.
    """
    try:
        int8, report = _quantize(
            _model(model)._inner,
            _os.fspath(calibration),
            None if validation is None else _os.fspath(validation),
            max_drop_db,
            max_worst_drop_db,
            min_agreement_db,
            effort,
            winograd,
            fallback,
            images,
            threads,
        )
    except GateError as error:
        error.report = _json.loads(error.report)
        raise
    return Quantized(Model._of(int8), _json.loads(report))
