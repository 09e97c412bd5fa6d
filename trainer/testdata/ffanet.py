"""Makes ffanet.safetensors: a small FFA-Net with random weights under the names of the published checkpoints, an input, its
output, and the gradient of mean(output^2) for every parameter, computed by PyTorch in float64 from the description in "FFA-Net:
Feature Fusion Attention Network for Single Image Dehazing" (AAAI 2020). Needs the Python packages torch and safetensors.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

GROUPS, BLOCKS, DIM = 2, 1, 16
MEAN, STD = [0.64, 0.6, 0.58], [0.14, 0.15, 0.152]
torch.manual_seed(7)
params = {}


def conv(name, out, inp, k):
    scale = (3 / (inp * k * k)) ** 0.5
    params[f"{name}.weight"] = scale * (2 * torch.rand(out, inp, k, k, dtype=torch.float64) - 1)
    params[f"{name}.bias"] = 0.3 * (2 * torch.rand(out, dtype=torch.float64) - 1)


conv("pre.0", DIM, 3, 3)
for g in range(1, GROUPS + 1):
    for b in range(BLOCKS):
        name = f"g{g}.gp.{b}"
        conv(f"{name}.conv1", DIM, DIM, 3)
        conv(f"{name}.conv2", DIM, DIM, 3)
        conv(f"{name}.calayer.ca.0", DIM // 8, DIM, 1)
        conv(f"{name}.calayer.ca.2", DIM, DIM // 8, 1)
        conv(f"{name}.palayer.pa.0", DIM // 8, DIM, 1)
        conv(f"{name}.palayer.pa.2", 1, DIM // 8, 1)
    conv(f"g{g}.gp.{BLOCKS}", DIM, DIM, 3)
conv("ca.1", DIM // 16, DIM * GROUPS, 1)
conv("ca.3", DIM * GROUPS, DIM // 16, 1)
conv("palayer.pa.0", DIM // 8, DIM, 1)
conv("palayer.pa.2", 1, DIM // 8, 1)
conv("post.0", DIM, DIM, 3)
conv("post.1", 3, DIM, 3)
# A ReLU of a single channel that is off would hide what lies before it.
params["ca.1.bias"] = params["ca.1.bias"].abs() + 1.0
# Stored and computed with the same values.
params = {k: v.float().double().requires_grad_() for k, v in params.items()}


def apply(name, x):
    weight = params[f"{name}.weight"]
    return F.conv2d(x, weight, params[f"{name}.bias"], padding=weight.shape[-1] // 2)


def channel_attention(name, x):
    mean = x.mean((2, 3), keepdim=True)
    return x * torch.sigmoid(apply(f"{name}.ca.2", F.relu(apply(f"{name}.ca.0", mean))))


def pixel_attention(name, x):
    # One channel, which all of x are multiplied with.
    return x * torch.sigmoid(apply(f"{name}.pa.2", F.relu(apply(f"{name}.pa.0", x))))


def block(name, x):
    y = F.relu(apply(f"{name}.conv1", x)) + x
    y = apply(f"{name}.conv2", y)
    y = pixel_attention(f"{name}.palayer", channel_attention(f"{name}.calayer", y))
    return x + y


def run(image):
    row = lambda v: torch.tensor(v, dtype=torch.float64).view(1, 3, 1, 1)
    image = (image - row(MEAN)) / row(STD)
    x, groups = apply("pre.0", image), []
    for g in range(1, GROUPS + 1):
        y = x
        for b in range(BLOCKS):
            y = block(f"g{g}.gp.{b}", y)
        x = apply(f"g{g}.gp.{BLOCKS}", y) + x
        groups.append(x)
    means = torch.cat(groups, 1).mean((2, 3), keepdim=True)
    weights = torch.sigmoid(apply("ca.3", F.relu(apply("ca.1", means)))).chunk(GROUPS, 1)
    x = sum(w * g for w, g in zip(weights, groups))
    return apply("post.1", apply("post.0", pixel_attention("palayer", x))) + image


image = torch.rand(2, 3, 10, 7, dtype=torch.float64).float().double()
out = run(image)
(out**2).mean().backward()
tensors = {f"net/{k}": v.detach() for k, v in params.items()}
tensors |= {f"grad/{k}": v.grad for k, v in params.items()}
tensors |= {"in": image, "out": out.detach()}
path = pathlib.Path(__file__).with_suffix(".safetensors")
save_file({k: v.float().contiguous() for k, v in tensors.items()}, path)
print(path, {k: tuple(v.shape) for k, v in tensors.items() if "/" not in k}, float(out.detach().std()))
