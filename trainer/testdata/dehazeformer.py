"""Makes dehazeformer.safetensors: a small DehazeFormer with random weights under the names of the published checkpoints, an
input, its output, and the gradient of mean(output^2) for every parameter, computed by PyTorch in float64 from the description
in "Vision Transformers for Single Image Dehazing" (TIP 2023). Needs the Python packages torch and safetensors.
"""

import math
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

DIMS, RATIO, DEPTHS, HEADS = [8, 12, 16, 12, 8], 2, [1, 2, 2, 1, 1], [2, 2, 2, 1, 1]
ATTENDING, WINDOW, HIDDEN = [0, 1, 2, 0, 0], 4, 256
torch.manual_seed(11)
params = {}


def draw(name, *shape, mean=0.0, scale=1.0):
    params[name] = mean + scale * (2 * torch.rand(*shape, dtype=torch.float64) - 1)


def conv(name, out, inp, k, bias=True):
    draw(f"{name}.weight", out, inp, k, k, scale=(3 / (inp * k * k)) ** 0.5)
    if bias:
        draw(f"{name}.bias", out, scale=0.3)


def has_attention(level, i):
    return i >= DEPTHS[level] - ATTENDING[level]


conv("patch_embed.proj", DIMS[0], 3, 3)
for level, (c, depth, heads) in enumerate(zip(DIMS, DEPTHS, HEADS)):
    for i in range(depth):
        name = f"layer{level + 1}.blocks.{i}"
        conv(f"{name}.attn.conv", c, 1, 5)
        conv(f"{name}.attn.V", c, c, 1)
        conv(f"{name}.attn.proj", c, c, 1)
        conv(f"{name}.mlp.mlp.0", RATIO * c, c, 1)
        conv(f"{name}.mlp.mlp.2", c, RATIO * c, 1)
        if has_attention(level, i):
            conv(f"{name}.attn.QK", 2 * c, c, 1)
            draw(f"{name}.attn.attn.meta.0.weight", HIDDEN, 2)
            draw(f"{name}.attn.attn.meta.0.bias", HIDDEN, scale=0.3)
            draw(f"{name}.attn.attn.meta.2.weight", heads, HIDDEN, scale=0.1)
            draw(f"{name}.attn.attn.meta.2.bias", heads, scale=0.3)
            draw(f"{name}.norm1.weight", 1, c, 1, 1, mean=1.0, scale=0.3)
            draw(f"{name}.norm1.bias", 1, c, 1, 1, scale=0.3)
            for meta, mean in (("meta1", 1.0), ("meta2", 0.0)):
                draw(f"{name}.norm1.{meta}.weight", c, 1, 1, 1, scale=0.3)
                draw(f"{name}.norm1.{meta}.bias", c, mean=mean, scale=0.3)
for k, level in ((1, 0), (2, 1)):
    conv(f"patch_merge{k}.proj", DIMS[level + 1], DIMS[level], 2)
    conv(f"skip{k}", DIMS[level], DIMS[level], 1)
for k, level in ((1, 3), (2, 4)):
    conv(f"patch_split{k}.proj.0", 4 * DIMS[level], DIMS[level - 1], 1)
    few = max(DIMS[level] // 8, 4)
    conv(f"fusion{k}.mlp.0", few, DIMS[level], 1, bias=False)
    conv(f"fusion{k}.mlp.2", 2 * DIMS[level], few, 1, bias=False)
conv("patch_unembed.proj.0", 4, DIMS[4], 3)
# Stored and computed with the same values.
params = {k: v.float().double().requires_grad_() for k, v in params.items()}


def apply(name, x, **options):
    return F.conv2d(x, params[f"{name}.weight"], params.get(f"{name}.bias"), **options)


def reflected(name, x, **options):
    pad = params[f"{name}.weight"].shape[-1] // 2
    return apply(name, F.pad(x, [pad] * 4, mode="reflect"), **options)


def position_bias(name):
    """[heads, window^2, window^2]"""
    grid = torch.stack(torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")).flatten(1).double()
    away = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0)
    away = away.sign() * (1 + away.abs()).log()
    y = F.relu(F.linear(away, params[f"{name}.0.weight"], params[f"{name}.0.bias"]))
    return F.linear(y, params[f"{name}.2.weight"], params[f"{name}.2.bias"]).permute(2, 0, 1)


def window_attention(name, qkv, heads):
    """Of every window by itself, in loops."""
    n, c3, h, w = qkv.shape
    c = c3 // 3
    bias = position_bias(name)
    rows = []
    for y in range(0, h, WINDOW):
        row = []
        for x in range(0, w, WINDOW):
            part = qkv[:, :, y : y + WINDOW, x : x + WINDOW].reshape(n, 3, heads, c // heads, WINDOW**2)
            q, k, v = (part[:, i].transpose(-1, -2) for i in range(3))
            scores = q @ k.transpose(-1, -2) / math.sqrt(c // heads) + bias
            out = scores.softmax(-1) @ v
            row.append(out.transpose(-1, -2).reshape(n, c, WINDOW, WINDOW))
        rows.append(torch.cat(row, 3))
    return torch.cat(rows, 2)


def attention(name, x, heads, shift):
    n, c, h, w = x.shape
    v = apply(f"{name}.V", x)
    qkv = torch.cat([apply(f"{name}.QK", x), v], 1)
    behind = lambda size: -(size + shift) % WINDOW
    qkv = F.pad(qkv, [shift, behind(w), shift, behind(h)], mode="reflect")
    y = window_attention(f"{name}.attn.meta", qkv, heads)[:, :, shift : shift + h, shift : shift + w]
    return apply(f"{name}.proj", reflected(f"{name}.conv", v, groups=c) + y)


def block(level, i, x):
    name = f"layer{level + 1}.blocks.{i}"
    if has_attention(level, i):
        norm = f"{name}.norm1"
        mean = x.mean((1, 2, 3), keepdim=True)
        std = ((x - mean).pow(2).mean((1, 2, 3), keepdim=True) + 1e-5).sqrt()
        y = (x - mean) / std * params[f"{norm}.weight"] + params[f"{norm}.bias"]
        y = attention(f"{name}.attn", y, HEADS[level], WINDOW // 2 if i % 2 else 0)
        x = x + y * apply(f"{norm}.meta1", std) + apply(f"{norm}.meta2", mean)
    else:
        v = apply(f"{name}.attn.V", x)
        x = x + apply(f"{name}.attn.proj", reflected(f"{name}.attn.conv", v, groups=x.shape[1]))
    return x + apply(f"{name}.mlp.mlp.2", F.relu(apply(f"{name}.mlp.mlp.0", x)))


def stage(level, x):
    for i in range(DEPTHS[level]):
        x = block(level, i, x)
    return x


def fusion(name, x, skip):
    pooled = (x + skip).mean((2, 3), keepdim=True)
    y = apply(f"{name}.mlp.2", F.relu(apply(f"{name}.mlp.0", pooled)))
    weights = y.reshape(y.shape[0], 2, -1, 1, 1).softmax(1)
    return (torch.stack([x, skip], 1) * weights).sum(1) + x


def run(image):
    _, _, h, w = image.shape
    image = F.pad(image, [0, -w % 4, 0, -h % 4], mode="reflect") * 2 - 1
    x = stage(0, reflected("patch_embed.proj", image))
    first = x
    x = stage(1, apply("patch_merge1.proj", x, stride=2))
    second = x
    x = stage(2, apply("patch_merge2.proj", x, stride=2))
    x = F.pixel_shuffle(apply("patch_split1.proj.0", x), 2)
    x = stage(3, fusion("fusion1", x, apply("skip2", second)))
    x = F.pixel_shuffle(apply("patch_split2.proj.0", x), 2)
    x = stage(4, fusion("fusion2", x, apply("skip1", first)))
    k, b = reflected("patch_unembed.proj.0", x).split((1, 3), 1)
    return ((k * image - b + image + 1) / 2)[:, :, :h, :w]


image = torch.rand(2, 3, 18, 22, dtype=torch.float64).float().double()
out = run(image)
(out**2).mean().backward()
tensors = {f"net/{k}": v.detach() for k, v in params.items()}
tensors |= {f"grad/{k}": v.grad for k, v in params.items()}
tensors |= {"in": image, "out": out.detach()}
path = pathlib.Path(__file__).with_suffix(".safetensors")
save_file({k: v.float().contiguous() for k, v in tensors.items()}, path)
print(path, {k: tuple(v.shape) for k, v in tensors.items() if "/" not in k}, float(out.detach().std()))
