import os
from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

import numpy as np
import numpy.typing as npt

__version__: str

_Picture = npt.NDArray[np.uint8]

class Error(Exception): ...

class GateError(Error):
    report: dict[str, Any]

class Model:
    def __init__(self, name: Union[str, os.PathLike[str]], *, strength: Optional[float] = None) -> None: ...
    @classmethod
    def from_bytes(cls, data: Union[bytes, bytearray, memoryview], name: Optional[str] = None) -> Model: ...
    def to_bytes(self) -> bytes: ...
    def save(self, path: Union[str, os.PathLike[str]]) -> None: ...
    @property
    def name(self) -> str: ...
    @property
    def precision(self) -> Literal["int8", "f32"]: ...
    @property
    def upscale(self) -> int: ...
    @property
    def channels(self) -> tuple[int, int]: ...
    @property
    def parameters(self) -> int: ...
    @property
    def macs_per_pixel(self) -> int: ...
    @property
    def metadata(self) -> dict[str, str]: ...
    def summary(self, width: int = 320) -> dict[str, Any]: ...

class Upscaler:
    def __init__(
        self,
        model: Union[Model, str, os.PathLike[str]],
        *,
        threads: int = 0,
        isa: Optional[str] = None,
        mode: Literal["rgb", "y"] = "rgb",
    ) -> None: ...
    @property
    def model(self) -> Model: ...
    def __call__(self, picture: _Picture) -> _Picture: ...

@dataclass(frozen=True)
class Quantized:
    model: Model
    report: dict[str, Any]
    @property
    def mean_drop_db(self) -> float: ...

def model_names() -> list[str]: ...
def isas() -> list[str]: ...
def upscale(
    picture: _Picture,
    model: Union[Model, str, os.PathLike[str]] = "edsr-edge-x4",
    *,
    strength: Optional[float] = None,
    threads: int = 0,
    mode: Literal["rgb", "y"] = "rgb",
) -> _Picture: ...
def imresize(
    picture: _Picture,
    scale: Optional[float] = None,
    *,
    width: Optional[int] = None,
    height: Optional[int] = None,
) -> _Picture: ...
def psnr(sr: _Picture, hr: _Picture, crop_border: int = 0, channels: Literal["y", "rgb"] = "y") -> float: ...
def ssim(sr: _Picture, hr: _Picture, crop_border: int = 0, channels: Literal["y", "rgb"] = "y") -> float: ...
def quantize(
    model: Union[Model, str, os.PathLike[str]],
    calibration: Union[str, os.PathLike[str]],
    *,
    validation: Optional[Union[str, os.PathLike[str]]] = None,
    max_drop_db: float = 0.1,
    max_worst_drop_db: Optional[float] = None,
    min_agreement_db: Optional[float] = None,
    effort: Literal["low", "normal", "high"] = "normal",
    winograd: bool = False,
    fallback: bool = True,
    images: Optional[int] = None,
    threads: int = 0,
) -> Quantized: ...
