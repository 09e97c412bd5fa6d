"""Makes swinir.safetensors: two small SwinIR with random weights under the names of the published checkpoints, one that keeps the
size of the image (windows of 7 pixels, as for JPEG) and one with the tail for classical super-resolution, an input, their outputs, and
the gradients of mean(output^2) for every parameter, computed by PyTorch in float64 from the description in "SwinIR: Image Restoration
Using Swin Transformer" (ICCVW 2021). Needs the Python packages torch and safetensors.
"""

import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

DIM, DEPTH, HEADS, RATIO, FEATURES = 8, 2, 2, 2, 8
MEAN = torch.tensor([0.4488, 0.4371, 0.4040], dtype=torch.float64).view(1, 3, 1, 1)
torch.manual_seed(11)


def uniform(size, *shape):
    return (size * (2 * torch.rand(*shape, dtype=torch.float64) - 1)).float().double()


class Net:
    def __init__(self, window, upscale):
        self.window, self.upscale, self.params = window, upscale, {}
        self.conv("conv_first", DIM, 3)
        self.norm("patch_embed.norm")
        for j in range(DEPTH):
            name = f"layers.0.residual_group.blocks.{j}"
            self.norm(f"{name}.norm1")
            self.params[f"{name}.attn.relative_position_bias_table"] = uniform(0.5, (2 * window - 1) ** 2, HEADS)
            self.linear(f"{name}.attn.qkv", 3 * DIM, DIM)
            self.linear(f"{name}.attn.proj", DIM, DIM)
            self.norm(f"{name}.norm2")
            self.linear(f"{name}.mlp.fc1", RATIO * DIM, DIM)
            self.linear(f"{name}.mlp.fc2", DIM, RATIO * DIM)
        self.conv("layers.0.conv", DIM, DIM)
        self.norm("norm")
        self.conv("conv_after_body", DIM, DIM)
        if upscale == 2:
            self.conv("conv_before_upsample.0", FEATURES, DIM)
            self.conv("upsample.0", 4 * FEATURES, FEATURES)
        self.conv("conv_last", 3, FEATURES if upscale == 2 else DIM)
        for value in self.params.values():
            value.requires_grad_()

    def conv(self, name, out, inp):
        self.params[f"{name}.weight"] = uniform((3 / (9 * inp)) ** 0.5, out, inp, 3, 3)
        self.params[f"{name}.bias"] = uniform(0.3, out)

    def linear(self, name, out, inp):
        self.params[f"{name}.weight"] = uniform((3 / inp) ** 0.5, out, inp)
        self.params[f"{name}.bias"] = uniform(0.3, out)

    def norm(self, name):
        self.params[f"{name}.weight"] = 1 + uniform(0.5, DIM)
        self.params[f"{name}.bias"] = uniform(0.3, DIM)

    def get(self, name):
        return self.params[f"{name}.weight"], self.params[f"{name}.bias"]

    def attention(self, name, x, shift):
        # x [N, H, W, C]. Two pixels see each other if they lie in one window of the shifted image and were in one part of it
        # before the shift, which brings the first rows behind the last ones.
        n, h, w, c = x.shape
        k = self.window
        part = torch.zeros(h, w, dtype=torch.long)
        if shift:
            x = torch.roll(x, (-shift, -shift), (1, 2))
            edge = lambda size: torch.tensor([0 if i < size - k else 1 if i < size - shift else 2 for i in range(size)])
            part = 3 * edge(h)[:, None] + edge(w)[None, :]
        windows = lambda v: v.view(-1, h // k, k, w // k, k, v.shape[-1]).transpose(2, 3).reshape(-1, k * k, v.shape[-1])
        parts = windows(part.view(1, h, w, 1))[..., 0]
        hidden = (parts[:, :, None] != parts[:, None, :]).repeat(n, 1, 1)[:, None]
        qkv = F.linear(windows(x), *self.get(f"{name}.qkv"))
        q, key, v = qkv.view(-1, k * k, 3, HEADS, c // HEADS).permute(2, 0, 3, 1, 4)
        at = torch.stack(torch.meshgrid(torch.arange(k), torch.arange(k), indexing="ij")).flatten(1)
        away = at[:, :, None] - at[:, None, :] + k - 1
        bias = self.params[f"{name}.relative_position_bias_table"][away[0] * (2 * k - 1) + away[1]].permute(2, 0, 1)
        scores = q @ key.transpose(-2, -1) * (c // HEADS) ** -0.5 + bias
        scores = scores - 100.0 * hidden
        y = (torch.softmax(scores, -1) @ v).transpose(1, 2).reshape(-1, k * k, c)
        y = F.linear(y, *self.get(f"{name}.proj"))
        y = y.view(n, h // k, w // k, k, k, c).transpose(2, 3).reshape(n, h, w, c)
        return torch.roll(y, (shift, shift), (1, 2)) if shift else y

    def run(self, image):
        n, _, h, w = image.shape
        k = self.window
        image = F.pad(image, (0, -w % k, 0, -h % k), mode="reflect") - MEAN
        apply = lambda name, v: F.conv2d(v, *self.get(name), padding=1)
        norm = lambda name, v: F.layer_norm(v, (DIM,), *self.get(name))
        first = apply("conv_first", image)
        body = norm("patch_embed.norm", first.permute(0, 2, 3, 1))
        x = body
        for j in range(DEPTH):
            name = f"layers.0.residual_group.blocks.{j}"
            x = x + self.attention(f"{name}.attn", norm(f"{name}.norm1", x), k // 2 if j % 2 else 0)
            y = F.gelu(F.linear(norm(f"{name}.norm2", x), *self.get(f"{name}.mlp.fc1")))
            x = x + F.linear(y, *self.get(f"{name}.mlp.fc2"))
        x = apply("layers.0.conv", x.permute(0, 3, 1, 2)) + body.permute(0, 3, 1, 2)
        x = norm("norm", x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = apply("conv_after_body", x) + first
        if self.upscale == 2:
            x = F.leaky_relu(apply("conv_before_upsample.0", x), 0.01)
            x = apply("conv_last", F.pixel_shuffle(apply("upsample.0", x), 2))
        else:
            x = apply("conv_last", x) + image
        return (x + MEAN)[:, :, : h * self.upscale, : w * self.upscale]


image = uniform(0.5, 2, 3, 17, 10) + 0.5
tensors = {"in": image}
for kind, net in [("restoration", Net(7, 1)), ("classical", Net(4, 2))]:
    out = net.run(image)
    (out**2).mean().backward()
    tensors |= {f"{kind}/net/{name}": value.detach() for name, value in net.params.items()}
    tensors |= {f"{kind}/grad/{name}": value.grad for name, value in net.params.items()}
    tensors[f"{kind}/out"] = out.detach()
path = pathlib.Path(__file__).with_suffix(".safetensors")
save_file({name: value.float().contiguous() for name, value in tensors.items()}, path)
print(path, {name: tuple(value.shape) for name, value in tensors.items() if "/" not in name or name.endswith("out")})
