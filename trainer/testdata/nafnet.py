"""Makes nafnet.safetensors: a small NAFNet with random weights, an input, its output, and the gradient of
mean(output^2) for every parameter, computed by PyTorch in float64 from the equations of "Simple Baselines for Image
Restoration" (ECCV 2022). Needs the Python packages torch and safetensors.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

WIDTH, DOWN, MIDDLE, UP = 4, [1, 2], 1, [1, 1]
torch.manual_seed(5)
params = {}


def draw(name, *shape, mean=0.0, scale=1.0):
    params[name] = (mean + scale * (2 * torch.rand(*shape, dtype=torch.float64) - 1)).requires_grad_()


def conv(name, out, inp, k, bias=True):
    draw(f"{name}.weight", out, inp, k, k, scale=(3 / (inp * k * k)) ** 0.5)
    if bias:
        draw(f"{name}.bias", out, scale=0.2)


def block(name, c):
    for norm in ("norm1", "norm2"):
        draw(f"{name}.{norm}.weight", c, mean=1.0, scale=0.3)
        draw(f"{name}.{norm}.bias", c, scale=0.3)
    conv(f"{name}.conv1", 2 * c, c, 1)
    conv(f"{name}.conv2", 2 * c, 1, 3)
    conv(f"{name}.sca.1", c, c, 1)
    conv(f"{name}.conv3", c, c, 1)
    conv(f"{name}.conv4", 2 * c, c, 1)
    conv(f"{name}.conv5", c, c, 1)
    draw(f"{name}.beta", 1, c, 1, 1)
    draw(f"{name}.gamma", 1, c, 1, 1)


conv("intro", WIDTH, 3, 3)
c = WIDTH
for level, count in enumerate(DOWN):
    for i in range(count):
        block(f"encoders.{level}.{i}", c)
    conv(f"downs.{level}", 2 * c, c, 2)
    c *= 2
for i in range(MIDDLE):
    block(f"middle_blks.{i}", c)
for k, count in enumerate(UP):
    conv(f"ups.{k}.0", 2 * c, c, 1, bias=False)
    c //= 2
    for i in range(count):
        block(f"decoders.{k}.{i}", c)
conv("ending", 3, WIDTH, 3)


def apply(name, x, **options):
    return F.conv2d(x, params[f"{name}.weight"], params.get(f"{name}.bias"), **options)


def norm(name, x):
    mean = x.mean(1, keepdim=True)
    variance = ((x - mean) ** 2).mean(1, keepdim=True)
    row = lambda part: params[f"{name}.{part}"].view(1, -1, 1, 1)
    return (x - mean) / (variance + 1e-6).sqrt() * row("weight") + row("bias")


def gate(x):
    a, b = x.chunk(2, dim=1)
    return a * b


def run_block(name, x):
    y = apply(f"{name}.conv1", norm(f"{name}.norm1", x))
    y = gate(apply(f"{name}.conv2", y, padding=1, groups=y.shape[1]))
    y = y * apply(f"{name}.sca.1", y.mean((2, 3), keepdim=True))
    x = x + apply(f"{name}.conv3", y) * params[f"{name}.beta"]
    y = gate(apply(f"{name}.conv4", norm(f"{name}.norm2", x)))
    return x + apply(f"{name}.conv5", y) * params[f"{name}.gamma"]


def run(image):
    _, _, h, w = image.shape
    multiple = 2 ** len(DOWN)
    image = F.pad(image, (0, -w % multiple, 0, -h % multiple))
    x, skips = apply("intro", image, padding=1), []
    for level, count in enumerate(DOWN):
        for i in range(count):
            x = run_block(f"encoders.{level}.{i}", x)
        skips.append(x)
        x = apply(f"downs.{level}", x, stride=2)
    for i in range(MIDDLE):
        x = run_block(f"middle_blks.{i}", x)
    for k, count in enumerate(UP):
        x = F.pixel_shuffle(apply(f"ups.{k}.0", x), 2) + skips.pop()
        for i in range(count):
            x = run_block(f"decoders.{k}.{i}", x)
    return (apply("ending", x, padding=1) + image)[:, :, :h, :w]


image = torch.rand(2, 3, 10, 7, dtype=torch.float64)
# Stored and computed with the same values.
image = image.float().double()
params = {k: v.detach().float().double().requires_grad_() for k, v in params.items()}
out = run(image)
(out**2).mean().backward()
tensors = {f"net/{k}": v.detach() for k, v in params.items()}
tensors |= {f"grad/{k}": v.grad for k, v in params.items()}
tensors |= {"in": image, "out": out.detach()}
path = pathlib.Path(__file__).with_suffix(".safetensors")
save_file({k: v.float().contiguous() for k, v in tensors.items()}, path)
print(path, {k: tuple(v.shape) for k, v in tensors.items() if "/" not in k}, float(out.std()))
