"""Makes idt.safetensors: a small IDT with random weights under the names of the published checkpoints, an input, its output, and
the gradient of mean(output^2) for every parameter, computed by PyTorch in float64 from the description in "Image De-Raining
Transformer" (TPAMI 2022) and the behaviour of its authors' code. Needs the Python packages torch and safetensors.

It works, as the original does, on rows of pixels and by im2col, and not on planes as the Rust code, so that no slip is in both.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

DIM, WIN, RATIO = 2, 2, 2
DEPTHS, HEADS = [1] * 9, [1, 2, 2, 1, 2, 1, 2, 1, 1]
CHANNELS = [DIM * k for k in (1, 2, 4, 8, 16, 16, 8, 4, 2)]
SIDES = [16 * WIN // k for k in (1, 2, 4, 8, 16, 8, 4, 2, 1)]
NAMES = [f"encoderlayer_{i}" for i in range(4)] + ["bottle"] + [f"decoderlayer_{i}" for i in range(4)]
torch.manual_seed(13)
params = {}


def draw(name, *shape, size, mean=0.0):
    params[name] = mean + size * (2 * torch.rand(*shape, dtype=torch.float64) - 1)


def layer(name, *shape, bias=None, gain=1.0):
    terms = shape[1] * (shape[2] * shape[3] if len(shape) == 4 else 1)
    draw(f"{name}.weight", *shape, size=gain * (3 / terms) ** 0.5)
    draw(f"{name}.bias", bias or shape[0], size=0.3)


def norm(name, c):
    draw(f"{name}.weight", c, size=0.4, mean=1.0)
    draw(f"{name}.bias", c, size=0.3)


def attention(name, c, heads, side, bound):
    kernel = 2 * min(side - 1, 2) + 1
    draw(f"{name}.relative_position_bias_table", (2 * bound - 1) ** 2, heads, size=0.5)
    layer(f"{name}.Position_Extract.0", c, 1, kernel, kernel)
    layer(f"{name}.Position_Extract.1", c, c // heads, 1, 1)
    layer(f"{name}.qkv.to_q", c, c)
    layer(f"{name}.qkv.to_kv", 3 * c, c)
    layer(f"{name}.proj", c, c, gain=0.5)


def mlp(name, c, hidden):
    norm(f"{name}.norm2", c)
    layer(f"{name}.mlp.linear1.0", hidden, c)
    layer(f"{name}.mlp.dwconv.0", hidden, 1, 3, 3)
    layer(f"{name}.mlp.linear2.0", c, hidden, gain=0.3)


layer("input_proj.proj.0", DIM, 3, 3, 3)
layer("output_proj.proj.0", 3, 2 * DIM, 3, 3)
for level, name in enumerate(NAMES):
    c, heads, windows = CHANNELS[level], HEADS[level], SIDES[level] // WIN
    for i in range(DEPTHS[level]):
        norm(f"{name}.blocks.{i}.norm1", c)
        attention(f"{name}.blocks.{i}.attn", c, heads, WIN, 8)
        mlp(f"{name}.blocks.{i}", c, RATIO * c)
    if level != 4:
        attention(f"{name}.blocks.{DEPTHS[level]}.attn", WIN * WIN, heads, windows, windows)
        mlp(f"{name}.blocks.{DEPTHS[level]}", c, RATIO * WIN * WIN)
    if level < 4:
        layer(f"dowsample_{level}.conv.0", CHANNELS[level + 1], c, 4, 4)
    elif level < 8:
        layer(f"upsample_{level - 4}.deconv.0", c, CHANNELS[level + 1] // 2, 2, 2, bias=CHANNELS[level + 1] // 2)
# Stored and computed with the same values.
params = {k: v.float().double().requires_grad_() for k, v in params.items()}


def get(name):
    return params[f"{name}.weight"], params[f"{name}.bias"]


def attend(name, x, heads):
    # x [B, N, C], N tokens in a square.
    b, n, c = x.shape
    side = int(n**0.5)
    table = params[f"{name}.relative_position_bias_table"]
    bound = (int(table.shape[0] ** 0.5) + 1) // 2
    at = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
    away = (at[:, :, None] - at[:, None, :]).clamp(1 - bound, bound - 1) + bound - 1
    bias = table[away[0] * (2 * bound - 1) + away[1]].permute(2, 0, 1)
    split = lambda v: v.view(b, n, heads, c // heads).transpose(1, 2)
    q = split(F.linear(x, *get(f"{name}.qkv.to_q"))) * (c // heads) ** -0.5
    k, v, place = map(split, F.linear(x, *get(f"{name}.qkv.to_kv")).chunk(3, -1))
    y = (torch.softmax(q @ k.transpose(-2, -1) + bias, -1) @ v).transpose(1, 2).reshape(b, n, c)
    place = place.transpose(-2, -1).reshape(b, c, side, side)
    weight, shift = get(f"{name}.Position_Extract.0")
    place = F.conv2d(place, weight, shift, padding=weight.shape[-1] // 2, groups=c)
    place = F.conv2d(place, *get(f"{name}.Position_Extract.1"), groups=heads)
    return F.linear(y + place.reshape(b, c, n).transpose(1, 2), *get(f"{name}.proj"))


def feed(name, x):
    side = int(x.shape[1] ** 0.5)
    y = F.layer_norm(x, x.shape[-1:], *get(f"{name}.norm2"))
    y = F.gelu(F.linear(y, *get(f"{name}.mlp.linear1.0")))
    plane = y.transpose(1, 2).unflatten(2, (side, side))
    plane = F.gelu(F.conv2d(plane, *get(f"{name}.mlp.dwconv.0"), padding=1, groups=plane.shape[1])) + plane
    return x + F.linear(plane.flatten(2).transpose(1, 2), *get(f"{name}.mlp.linear2.0"))


def windows_block(name, x, heads):
    b, l, c = x.shape
    side = int(l**0.5)
    y = F.layer_norm(x, (c,), *get(f"{name}.norm1"))
    y = y.view(b, side // WIN, WIN, side // WIN, WIN, c).transpose(2, 3).reshape(-1, WIN * WIN, c)
    y = attend(f"{name}.attn", y, heads)
    y = y.view(b, side // WIN, side // WIN, WIN, WIN, c).transpose(2, 3).reshape(b, l, c)
    return feed(name, x + y)


def between_block(name, x, heads):
    b, l, c = x.shape
    side = int(l**0.5)
    plane = x.transpose(1, 2).reshape(b, c, side, side)
    tokens = F.unfold(plane, WIN, stride=WIN).reshape(b * c, WIN * WIN, -1).transpose(1, 2)
    y = attend(f"{name}.attn", tokens, heads)
    # The original adds what is in the order of windows to what is in the order of rows.
    y = y.reshape(b, c, -1, WIN * WIN).permute(0, 2, 3, 1).reshape(b, l, c)
    return feed(name, x + y)


def level(index, x):
    for i in range(DEPTHS[index]):
        x = windows_block(f"{NAMES[index]}.blocks.{i}", x, HEADS[index])
    return x if index == 4 else between_block(f"{NAMES[index]}.blocks.{DEPTHS[index]}", x, HEADS[index])


def plane(x):
    side = int(x.shape[1] ** 0.5)
    return x.transpose(1, 2).reshape(x.shape[0], -1, side, side)


def rows(x):
    return x.flatten(2).transpose(1, 2)


def run(image):
    x = rows(F.leaky_relu(F.conv2d(image, *get("input_proj.proj.0"), padding=1), 0.01))
    kept = []
    for i in range(4):
        x = level(i, x)
        kept.append(x)
        x = rows(F.conv2d(plane(x), *get(f"dowsample_{i}.conv.0"), stride=2, padding=1))
    x = level(4, x)
    for i in range(4):
        x = rows(F.conv_transpose2d(plane(x), *get(f"upsample_{i}.deconv.0"), stride=2))
        x = level(5 + i, torch.cat([x, kept.pop()], -1))
    return image + F.conv2d(plane(x), *get("output_proj.proj.0"), padding=1)


image = torch.rand(1, 3, 16 * WIN, 16 * WIN, dtype=torch.float64).float().double()
out = run(image)
(out**2).mean().backward()
tensors = {f"net/{k}": v.detach() for k, v in params.items()}
tensors |= {f"grad/{k}": v.grad for k, v in params.items()}
tensors |= {"in": image, "out": out.detach()}
path = pathlib.Path(__file__).with_suffix(".safetensors")
# Half a precision is enough for gradients, and half the file.
kind = lambda name: torch.float16 if name.startswith("grad/") else torch.float32
save_file({k: v.to(kind(k)).contiguous() for k, v in tensors.items()}, path)
largest = max(float(v.grad.abs().max()) for v in params.values())
print(path, sum(v.numel() for v in params.values()), float(out.detach().std()), largest)
