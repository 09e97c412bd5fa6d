"""Makes the files in this folder: small networks of the kinds that are hard to import, with random weights, as PyTorch's two
exporters write them, and what PyTorch 2.15 makes of random images. Written for these tests.

    python make.py        # needs torch, onnx, onnxscript and safetensors
"""

import os

import onnx
import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

out = os.path.dirname(os.path.abspath(__file__))


def C(i, o, k=3, **kw):
    """A convolution that keeps the size."""
    return nn.Conv2d(i, o, k, padding=k // 2, **kw)


def save(name, net, sizes, opset, dynamo=False, open_sizes=True):
    torch.manual_seed(len(name))
    net.eval()
    for n, p in net.named_parameters():
        scale = 0.2 if p.dim() == 1 else 1 / p[0].numel() ** 0.5
        p.data = torch.randn(p.shape) * scale + (1 if "norm" in n and "weight" in n else 0)
    pairs = {}
    # The first is the one that the file is made with.
    for h, w in sizes:
        x = torch.rand(1, 3, h, w)
        with torch.no_grad():
            pairs |= {f"{h}x{w}.in": x, f"{h}x{w}.out": net(x).contiguous()}
    save_file(pairs, f"{out}/{name}.io.safetensors")
    x = (pairs["{}x{}.in".format(*sizes[0])],)
    if dynamo:
        side = torch.export.Dim.DYNAMIC
        shapes = ({2: side, 3: side},) if open_sizes else None
        torch.onnx.export(
            net, x, f"{out}/{name}.onnx", opset_version=opset, dynamo=True, dynamic_shapes=shapes, external_data=False
        )
    else:
        axes = {"x": {2: "h", 3: "w"}} if open_sizes else None
        torch.onnx.export(
            net, x, f"{out}/{name}.onnx", opset_version=opset, dynamo=False, input_names=["x"], dynamic_axes=axes
        )
    # Where each node came from is most of a small file.
    model = onnx.load(f"{out}/{name}.onnx")
    for part in [model, model.graph, *model.graph.node, *model.graph.initializer]:
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    model.graph.ClearField("value_info")
    model.ClearField("functions")
    onnx.save(model, f"{out}/{name}.onnx")


# --- NAFNet: a U-Net that pads to a multiple with zeros
class ChannelNorm(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(c)), nn.Parameter(torch.zeros(c))

    def forward(self, x):
        less = x - x.mean(1, keepdim=True)
        x = less / (less.pow(2).mean(1, keepdim=True) + 1e-6).sqrt()
        return self.weight.view(1, -1, 1, 1) * x + self.bias.view(1, -1, 1, 1)


def gate(x):
    a, b = x.chunk(2, dim=1)
    return a * b


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(c), ChannelNorm(c)
        self.wide, self.each, self.back = C(c, 2 * c, 1), C(2 * c, 2 * c, groups=2 * c), C(c, c, 1)
        self.attend, self.up, self.down = C(c, c, 1), C(c, 2 * c, 1), C(c, c, 1)
        self.beta, self.gamma = (nn.Parameter(torch.zeros(1, c, 1, 1)) for _ in range(2))

    def forward(self, x):
        y = gate(self.each(self.wide(self.norm1(x))))
        y = x + self.back(y * self.attend(F.adaptive_avg_pool2d(y, 1))) * self.beta
        return y + self.down(gate(self.up(self.norm2(y)))) * self.gamma


class Nafnet(nn.Module):
    def __init__(self, c=2):
        super().__init__()
        self.intro, self.ending = C(3, c), C(c, 3)
        self.encoder, self.decoder = nn.ModuleList(), nn.ModuleList()
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i in (c, 2 * c):
            self.encoder.append(Block(i))
            self.downs.append(nn.Conv2d(i, 2 * i, 2, 2))
            self.ups.insert(0, nn.Sequential(C(2 * i, 4 * i, 1, bias=False), nn.PixelShuffle(2)))
            self.decoder.insert(0, Block(i))
        self.middle = Block(4 * c)

    def forward(self, x):
        h, w = x.shape[2:]
        x = F.pad(x, (0, (4 - w % 4) % 4, 0, (4 - h % 4) % 4))
        y, skips = self.intro(x), []
        for block, down in zip(self.encoder, self.downs):
            skips.append(block(y))
            y = down(skips[-1])
        y = self.middle(y)
        for block, up in zip(self.decoder, self.ups):
            y = block(up(y) + skips.pop())
        return (self.ending(y) + x)[:, :, :h, :w]


# --- waifu2x's cunet: two U-Nets without padding, the second with strides that begin at another row than the first's
class Squeezed(nn.Module):
    def __init__(self, i, m, o, attend):
        super().__init__()
        self.a, self.b = nn.Conv2d(i, m, 3), nn.Conv2d(m, o, 3)
        self.squeeze = nn.Sequential(nn.Conv2d(o, 2, 1), nn.ReLU(), nn.Conv2d(2, o, 1), nn.Sigmoid())
        self.attend = attend

    def forward(self, x):
        x = F.leaky_relu(self.b(F.leaky_relu(self.a(x), 0.1)), 0.1)
        return x * self.squeeze(x.mean((2, 3), keepdim=True)) if self.attend else x


class Shallow(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Squeezed(3, 3, 4, False), Squeezed(4, 4, 4, True)
        self.down, self.up = nn.Conv2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)
        self.c, self.end = nn.Conv2d(4, 4, 3), nn.ConvTranspose2d(4, 3, 4, 2, 3)

    def forward(self, x):
        x = self.a(x)
        y = F.leaky_relu(self.up(self.b(F.leaky_relu(self.down(x), 0.1))), 0.1)
        return self.end(F.leaky_relu(self.c(F.pad(x, (-4,) * 4) + y), 0.1))


class Cunet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Shallow()
        self.a, self.b = Squeezed(3, 3, 4, False), Squeezed(4, 4, 4, True)
        self.c, self.d = Squeezed(4, 4, 4, True), Squeezed(4, 4, 4, True)
        self.down1, self.down2 = nn.Conv2d(4, 4, 2, 2), nn.Conv2d(4, 4, 2, 2)
        self.up1, self.up2 = nn.ConvTranspose2d(4, 4, 2, 2), nn.ConvTranspose2d(4, 4, 2, 2)
        self.e, self.end = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 3, 3)

    def forward(self, x):
        z = self.first(x)
        a = self.a(z)
        b = self.b(F.leaky_relu(self.down1(a), 0.1))
        c = F.leaky_relu(self.up2(self.c(F.leaky_relu(self.down2(b), 0.1))), 0.1)
        d = F.leaky_relu(self.up1(self.d(F.pad(b, (-4,) * 4) + c)), 0.1)
        y = self.end(F.leaky_relu(self.e(F.pad(a, (-16,) * 4) + d), 0.1))
        return y + F.pad(z, (-20,) * 4)


# --- Pixels gathered into channels
class Gathered(nn.Module):
    def __init__(self, how, r=2):
        super().__init__()
        self.how, self.r = how, r
        self.up = 3 if r == 3 else 4
        self.a, self.b = C(3 * r * r, 4), C(4, 3 * self.up**2)

    def forward(self, x):
        r = self.r
        if self.how == "unshuffle":
            x = F.pixel_unshuffle(x, r)
        elif self.how == "slices":
            x = torch.cat([x[..., i::2, j::2] for j in (0, 1) for i in (0, 1)], 1)
        else:
            n, c, h, w = x.shape
            x = x.view(n, c, h // r, r, w // r, r).permute(0, 3, 5, 1, 2, 4).reshape(n, c * r * r, h // r, w // r)
        return F.pixel_shuffle(self.b(F.relu(self.a(x))), self.up)


# --- A U-Net of poolings whose levels are enlarged with aligned corners
class Aligned(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = C(3, 4), C(4, 4), C(8, 12), C(12, 3)

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(F.max_pool2d(a, 2)))
        b = F.interpolate(b, scale_factor=2, mode="bilinear", align_corners=True)
        y = self.c(torch.cat([b, a], 1))
        y = self.d(F.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True))
        return y + F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


# --- SwinIR
def cut(x, s):
    n, h, w, c = x.shape
    return x.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, s * s, c)


class Layer(nn.Module):
    def __init__(self, c, heads, side, shift, apart):
        super().__init__()
        self.heads, self.side, self.shift, self.apart = heads, side, shift, apart
        self.norm1, self.norm2 = nn.LayerNorm(c), nn.LayerNorm(c)
        self.qkv = nn.ModuleList([nn.Linear(c, c) for _ in range(3)]) if apart else nn.Linear(c, 3 * c)
        self.proj = nn.Linear(c, c)
        self.mlp = nn.Sequential(nn.Linear(c, 2 * c), nn.GELU(), nn.Linear(2 * c, c))
        self.table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")).flatten(1)
        apart = at[:, :, None] - at[:, None, :] + side - 1
        self.register_buffer("index", apart[0] * (2 * side - 1) + apart[1])

    def mask(self, h, w):
        def region(size):
            at = torch.arange(size)
            return (at >= size - self.side).long() + (at >= size - self.shift).long()

        of = cut((3 * region(h)[:, None] + region(w)[None, :]).view(1, h, w, 1).float(), self.side)[..., 0]
        less = of[:, None, :] - of[:, :, None]
        return torch.where(less == 0, 0.0, -100.0)

    def forward(self, x, h, w):
        n, _, c = x.shape
        s, d = self.side, c // self.heads
        y = self.norm1(x).view(n, h, w, c)
        if self.shift:
            y = torch.roll(y, (-self.shift, -self.shift), (1, 2))
        y = cut(y, s)
        if self.apart:
            q, k, v = (part(y).view(-1, s * s, self.heads, d).transpose(1, 2) for part in self.qkv)
        else:
            q, k, v = self.qkv(y).view(-1, s * s, 3, self.heads, d).permute(2, 0, 3, 1, 4)
        a = (q * d**-0.5) @ k.transpose(-2, -1) + self.table[self.index.flatten()].view(s * s, s * s, -1).permute(2, 0, 1)
        if self.shift:
            m = self.mask(h, w)
            a = (a.view(n, len(m), self.heads, s * s, s * s) + m[None, :, None]).view(-1, self.heads, s * s, s * s)
        y = self.proj((a.softmax(-1) @ v).transpose(1, 2).reshape(-1, s * s, c))
        y = y.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        if self.shift:
            y = torch.roll(y, (self.shift, self.shift), (1, 2))
        x = x + y.view(n, h * w, c)
        return x + self.mlp(self.norm2(x))


class Swinir(nn.Module):
    def __init__(self, c=6, heads=3, side=4, apart=False):
        super().__init__()
        self.side = side
        self.first, self.after, self.end = C(3, c), C(c, c), C(c, 12)
        self.layers = nn.ModuleList([Layer(c, heads, side, shift, apart) for shift in (0, side // 2)])
        self.norm = nn.LayerNorm(c)

    def forward(self, x):
        h, w = x.shape[2:]
        s = self.side
        x = F.pad(x, (0, (s - w % s) % s, 0, (s - h % s) % s), "reflect")
        x = self.first(x)
        n, c, tall, wide = x.shape
        y = x.flatten(2).transpose(1, 2)
        for layer in self.layers:
            y = layer(y, tall, wide)
        y = self.norm(y).transpose(1, 2).view(n, c, tall, wide)
        return F.pixel_shuffle(self.end(self.after(y) + x), 2)[:, :, : 2 * h, : 2 * w]


save("nafnet", Nafnet(), [(8, 12), (7, 9)], 17)
save("nafnet_fixed", Nafnet(), [(7, 9), (12, 6)], 18, dynamo=True, open_sizes=False)
save("cunet", Cunet(), [(48, 44)], 17)
save("gathered_unshuffle", Gathered("unshuffle", 4), [(8, 12)], 18, dynamo=True)
save("gathered_slices", Gathered("slices"), [(8, 6), (4, 10)], 13)
save("gathered_view", Gathered("view", 3), [(9, 6)], 13)
save("aligned", Aligned(), [(8, 6), (6, 14)], 17)
save("swinir_shifted", Swinir(), [(8, 12), (13, 9)], 13, open_sizes=False)
save("swinir_padded", Swinir(), [(11, 10), (8, 15)], 18, dynamo=True, open_sizes=False)
save("swinir_apart", Swinir(4, 2, apart=True), [(8, 8)], 17, open_sizes=False)
