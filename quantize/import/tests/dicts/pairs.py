"""Makes the networks in this folder: definitions as published, small, with random weights in half precision, and what
PyTorch 2.15 makes of a random image in f32. Written for these tests from the papers and the names of published weights.

    python chains.py && python deep.py        # needs torch and safetensors
"""

import os

import torch
import torch.nn as nn
from safetensors.torch import save_file

out = os.path.dirname(os.path.abspath(__file__))


def seed(s):
    torch.manual_seed(s)


def vary(m):
    for n, p in m.named_parameters():
        if p.dim() == 1:
            p.data = torch.randn_like(p) * 0.1 + (0.2 if "act" in n or "prelu" in n else 0)
    for n, b in m.named_buffers():
        if "running_mean" in n:
            b.data = torch.randn_like(b) * 0.2
        if "running_var" in n:
            b.data = torch.rand_like(b) + 0.5


def save(name, net, cin=3, h=11, w=14):
    net.eval()
    x = torch.rand(1, cin, h, w)
    for t in list(net.parameters()) + list(net.buffers()):
        if t.dtype == torch.float32:
            t.data = t.data.half().float()
    with torch.no_grad():
        y = net(x)
    d = {
        k: (v.half() if v.dtype == torch.float32 else v).contiguous().clone()
        for k, v in net.state_dict().items()
    }
    save_file(d, f"{out}/{name}.safetensors")
    save_file({"in": x.contiguous(), "out": y.contiguous()}, f"{out}/{name}.io.safetensors")
    print(name, sum(v.numel() for v in d.values()), tuple(y.shape), float(y.abs().max()))


def C(i, o, k=3, **kw):
    """A convolution that keeps the size."""
    return nn.Conv2d(i, o, k, padding=k // 2, **kw)
