"""Chains with the image added, and CARN."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from pairs import C, save, seed, vary


# --- ECBSR expanded
class Seq(nn.Module):
    def __init__(self, t, i, o, mult=2):
        super().__init__()
        self.t = t
        if t == "c":
            m = int(o * mult)
            a = nn.Conv2d(i, m, 1)
            b = nn.Conv2d(m, o, 3)
            self.k0, self.b0, self.k1, self.b1 = a.weight, a.bias, b.weight, b.bias
        else:
            a = nn.Conv2d(i, o, 1)
            self.k0, self.b0 = a.weight, a.bias
            self.scale = nn.Parameter(torch.randn(o, 1, 1, 1) * 0.3)
            self.bias = nn.Parameter(torch.randn(o) * 0.1)
            f = {
                "x": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
                "y": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
                "l": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
            }[t]
            self.mask = nn.Parameter(
                torch.tensor(f, dtype=torch.float32).repeat(o, 1, 1, 1), requires_grad=False
            )

    def forward(self, x):
        y = F.conv2d(x, self.k0, self.b0)
        y = F.pad(y, (1, 1, 1, 1))
        b = self.b0.view(1, -1, 1, 1)
        y[:, :, :1, :] = b
        y[:, :, -1:, :] = b
        y[:, :, :, :1] = b
        y[:, :, :, -1:] = b
        return (
            F.conv2d(y, self.k1, self.b1)
            if self.t == "c"
            else F.conv2d(y, self.scale * self.mask, self.bias, groups=self.k0.shape[0])
        )


class ECB(nn.Module):
    def __init__(self, i, o, act):
        super().__init__()
        self.conv3x3 = C(i, o)
        self.conv1x1_3x3 = Seq("c", i, o)
        self.conv1x1_sbx = Seq("x", i, o)
        self.conv1x1_sby = Seq("y", i, o)
        self.conv1x1_lpl = Seq("l", i, o)
        if act:
            self.act = nn.PReLU(o)
        self.a = act

    def forward(self, x):
        y = (
            self.conv3x3(x)
            + self.conv1x1_3x3(x)
            + self.conv1x1_sbx(x)
            + self.conv1x1_sby(x)
            + self.conv1x1_lpl(x)
        )
        return self.act(y) if self.a else y


class ECBSR(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(ECB(1, 6, True), ECB(6, 6, True), ECB(6, 4, False))

    def forward(self, x):
        return F.pixel_shuffle(self.backbone(x) + x, 2)


seed(1)
n = ECBSR()
vary(n)
save("ecbsr_expanded", n, 1)


# --- AIMET
class Anchor(nn.Module):
    def __init__(self, r, c=3):
        super().__init__()
        self.net = nn.Conv2d(c, c * r * r, 1)
        self.net.weight.data.zero_()
        self.net.bias.data.zero_()
        for i in range(c):
            self.net.weight.data[i * r * r : (i + 1) * r * r, i] = 1

    def forward(self, x):
        return self.net(x)


class CLB(nn.Module):
    def __init__(self, i, o, t, k, act, res=False):
        super().__init__()
        self.conv_expand = nn.Conv2d(i, t, k, padding=k // 2, bias=False)
        self.conv_squeeze = nn.Conv2d(t, o, 1)
        self.activation = {"relu": nn.ReLU, "prelu": nn.PReLU, "id": nn.Identity}[act]()
        self.res = res

    def forward(self, x):
        y = self.conv_squeeze(self.conv_expand(x))
        return self.activation(x + y if self.res else y)


class SESR(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.anchor = Anchor(2)
        self.conv_first = CLB(3, 6, 12, 5, act)
        self.residual_block = nn.Sequential(*[CLB(6, 6, 10, 3, act, True) for _ in range(2)])
        self.conv_last = CLB(6, 12, 14, 5, "id")

    def forward(self, x):
        f = self.conv_first(x)
        return F.pixel_shuffle(self.conv_last(self.residual_block(f) + f) + self.anchor(x), 2)


seed(2)
n = SESR("relu")
vary(n)
n.anchor.net.bias.data.zero_()
save("sesr_expanded", n)
seed(3)
n = SESR("prelu")
vary(n)
n.anchor.net.bias.data.zero_()
save("sesr_prelu", n)


class Col(nn.Module):
    def __init__(self, i, o, k, act):
        super().__init__()
        self.conv_expand = C(i, o, k)
        self.act = act

    def forward(self, x):
        y = self.conv_expand(x)
        return F.relu(y) if self.act else y


class SESRc(nn.Module):
    def __init__(self):
        super().__init__()
        self.anchor = Anchor(2)
        self.conv_first = Col(3, 6, 5, 1)
        self.residual_block = nn.Sequential(Col(6, 6, 3, 1))
        self.conv_last = Col(6, 12, 5, 0)

    forward = SESR.forward


seed(4)
n = SESRc()
vary(n)
save("sesr_collapsed", n)


class Quick(nn.Module):
    def __init__(self, r, ito):
        super().__init__()
        H = lambda: nn.Hardtanh(0.0, 1.0)
        self.cnn = nn.Sequential(C(3, 8), H(), C(8, 8), H())
        self.conv_last = C(8, 3 * r * r)
        self.r = r
        if ito:
            self.anchor = Anchor(r)
        self.ito = ito

    def forward(self, x):
        y = self.conv_last(self.cnn(x))
        y = y + self.anchor(x) if self.ito else y
        return F.pixel_shuffle(y.clamp(0, 1), self.r)


for i, (r, ito) in enumerate([(2, False), (3, True)]):
    seed(5 + i)
    n = Quick(r, ito)
    vary(n)
    save("quicksrnet_" + ("large" if ito else "small"), n)


class ABPN(nn.Module):
    def __init__(self):
        super().__init__()
        self.cnn = nn.Sequential(C(3, 6), nn.ReLU(), C(6, 6), nn.ReLU(), C(6, 12))
        self.anchor = Anchor(2)

    def forward(self, x):
        return F.pixel_shuffle(self.cnn(x) + self.anchor(x), 2)


seed(7)
n = ABPN()
vary(n)
n.anchor.net.bias.data.zero_()
save("abpn", n)


class GB(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential(C(c, c, 3, groups=4), nn.ReLU(), C(c, c, 1))

    def forward(self, x):
        return self.net(x)


class XLSR(nn.Module):
    def __init__(self):
        super().__init__()
        self.residual = C(3, 4)
        self.cnn = nn.Sequential(C(3, 8), nn.ReLU(), C(8, 8, 1), GB(8), GB(8))
        self.tail = nn.Sequential(C(12, 8, 1), nn.ReLU(), C(8, 12))

    def forward(self, x):
        return F.pixel_shuffle(self.tail(torch.cat([self.cnn(x), self.residual(x)], 1)), 2).clamp(0, 1)


seed(8)
n = XLSR()
vary(n)
save("xlsr", n)


# --- CARN, single scale, three blocks of their own
class BB(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.body = nn.Sequential(C(i, o, 1), nn.ReLU())

    def forward(self, x):
        return self.body(x)


class RB(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(C(c, c), nn.ReLU(), C(c, c))

    def forward(self, x):
        return F.relu(self.body(x) + x)


class Shift(nn.Module):
    def __init__(self, sign):
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)
        self.shifter.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.shifter.bias.data = torch.tensor([0.4488, 0.4371, 0.4040]) * sign

    def forward(self, x):
        return self.shifter(x)


def casc(self, x):
    c = [x]
    o = x
    for i in (1, 2, 3):
        c.append(getattr(self, f"b{i}")(o))
        o = getattr(self, f"c{i}")(torch.cat(c, 1))
    return o


class Blk(nn.Module):
    def __init__(self, c):
        super().__init__()
        for i in (1, 2, 3):
            setattr(self, f"b{i}", RB(c))
            setattr(self, f"c{i}", BB(c * (i + 1), c))

    def forward(self, x):
        return casc(self, x)


class Up(nn.Module):
    def __init__(self, c, r, g=1):
        super().__init__()
        m = []
        for _ in range({2: 1, 3: 1, 4: 2}[r]):
            q = 3 if r == 3 else 2
            m += [C(c, q * q * c, 3, groups=g), nn.ReLU(), nn.PixelShuffle(q)]
        self.body = nn.Sequential(*m)

    def forward(self, x):
        return self.body(x)


class UpB(nn.Module):
    def __init__(self, c, r, multi=False):
        super().__init__()
        self.m = multi
        self.r = r
        if multi:
            for q in (2, 3, 4):
                setattr(self, f"up{q}", Up(c, q))
        else:
            self.up = Up(c, r)

    def forward(self, x):
        return getattr(self, f"up{self.r}" if self.m else "up")(x)


class CARN(nn.Module):
    def __init__(self, r, multi):
        super().__init__()
        c = 4
        self.sub_mean = Shift(-1)
        self.add_mean = Shift(1)
        self.entry = C(3, c)
        self.upsample = UpB(c, r, multi)
        self.exit = C(c, 3)
        for i in (1, 2, 3):
            setattr(self, f"b{i}", Blk(c))
            setattr(self, f"c{i}", BB(c * (i + 1), c))

    def forward(self, x):
        return self.add_mean(self.exit(self.upsample(casc(self, self.entry(self.sub_mean(x))))))


seed(9)
n = CARN(4, False)
save("carn_single_x4", n, h=7, w=9)
seed(10)
n = CARN(3, True)
save("carn_multi_x3", n, h=7, w=9)
