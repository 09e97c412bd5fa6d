"""ESRGAN, MSRResNet, SPAN, PlainUSR, SRResNet and the first small networks."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from pairs import C, save, seed, vary


# --- RRDB in the numbered and the first layout
class RDB(nn.Module):
    def __init__(self, f, g, seq):
        super().__init__()
        for k in range(1, 6):
            c = C(f + (k - 1) * g, g if k < 5 else f)
            setattr(self, f"conv{k}", nn.Sequential(c) if seq else c)

    def forward(self, x):
        a = [x]
        for k in range(1, 6):
            y = getattr(self, f"conv{k}")(torch.cat(a, 1))
            a.append(F.leaky_relu(y, 0.2) if k < 5 else y)
        return x + 0.2 * a[-1]


class RRDB(nn.Module):
    def __init__(self, f, g, seq):
        super().__init__()
        for i in (1, 2, 3):
            setattr(self, f"RDB{i}", RDB(f, g, seq))

    def forward(self, x):
        return x + 0.2 * self.RDB3(self.RDB2(self.RDB1(x)))


class Sub(nn.Module):
    def __init__(self, *m):
        super().__init__()
        self.sub = nn.Sequential(*m)

    def forward(self, x):
        return x + self.sub(x)


class ESR(nn.Module):
    def __init__(self):
        super().__init__()
        U = lambda: nn.Upsample(scale_factor=2, mode="nearest")
        L = lambda: nn.LeakyReLU(0.2)
        self.model = nn.Sequential(
            C(3, 6),
            Sub(RRDB(6, 2, True), RRDB(6, 2, True), C(6, 6)),
            U(),
            C(6, 6),
            L(),
            C(6, 6),
            L(),
            C(6, 3),
        )

    def forward(self, x):
        return self.model(x)


seed(11)
save("esrgan_numbered_x2", ESR(), h=7, w=9)


class ESR2(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv_first = C(3, 6)
        self.RRDB_trunk = nn.Sequential(RRDB(6, 2, False))
        self.trunk_conv = C(6, 6)
        self.upconv1 = C(6, 6)
        self.upconv2 = C(6, 6)
        self.HRconv = C(6, 6)
        self.conv_last = C(6, 3)

    def forward(self, x):
        l = lambda v: F.leaky_relu(v, 0.2)
        f = self.conv_first(x)
        f = f + self.trunk_conv(self.RRDB_trunk(f))
        u = lambda v: F.interpolate(v, scale_factor=2, mode="nearest")
        f = l(self.upconv1(u(f)))
        f = l(self.upconv2(u(f)))
        return self.conv_last(l(self.HRconv(f)))


seed(12)
save("esrgan_trunk_x4", ESR2(), h=7, w=9)


class Dense(RDB):
    def __init__(self):
        super().__init__(4, 2, False)


class Parts(nn.Module):
    def __init__(self):
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = Dense(), Dense(), Dense()

    def forward(self, x):
        return x + 0.2 * self.rdb3(self.rdb2(self.rdb1(x)))


class ESRPlus(nn.Module):
    """Real-ESRGAN's x2: blocks of two by two pixels are channels."""

    def __init__(self):
        super().__init__()
        self.conv_first = C(12, 4)
        self.body = nn.Sequential(Parts())
        self.conv_body = C(4, 4)
        self.conv_up1, self.conv_up2 = C(4, 4), C(4, 4)
        self.conv_hr, self.conv_last = C(4, 4), C(4, 3)

    def forward(self, x):
        l = lambda v: F.leaky_relu(v, 0.2)
        f = self.conv_first(F.pixel_unshuffle(x, 2))
        f = f + self.conv_body(self.body(f))
        u = lambda v: F.interpolate(v, scale_factor=2, mode="nearest")
        f = l(self.conv_up2(u(l(self.conv_up1(u(f))))))
        return self.conv_last(l(self.conv_hr(f)))


seed(13)
save("esrgan_plus_x2", ESRPlus(), h=6, w=8)


class RBN(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = C(c, c)
        self.conv2 = C(c, c)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(x)))


class MSR(nn.Module):
    def __init__(self):
        super().__init__()
        c = 6
        self.conv_first = C(3, c)
        self.body = nn.Sequential(RBN(c), RBN(c))
        self.upconv1 = C(c, 4 * c)
        self.upconv2 = C(c, 4 * c)
        self.conv_hr = C(c, c)
        self.conv_last = C(c, 3)

    def forward(self, x):
        l = lambda v: F.leaky_relu(v, 0.1)
        y = self.body(l(self.conv_first(x)))
        y = l(F.pixel_shuffle(self.upconv1(y), 2))
        y = l(F.pixel_shuffle(self.upconv2(y), 2))
        return self.conv_last(l(self.conv_hr(y))) + F.interpolate(
            x, scale_factor=4, mode="bilinear", align_corners=False
        )


seed(13)
save("msrresnet_x4", MSR(), h=7, w=9)


# --- SPAN as trained, SRGAN's generator, ESPCN, PlainUSR: refused until the engine has their operators
class XC(nn.Module):
    def __init__(self, i, o, g=2):
        super().__init__()
        self.sk = nn.Conv2d(i, o, 1)
        self.conv = nn.Sequential(nn.Conv2d(i, i * g, 1), nn.Conv2d(i * g, o * g, 3), nn.Conv2d(o * g, o, 1))
        self.eval_conv = C(i, o)

    def forward(self, x):
        return self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)


class SPAB(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c1_r = XC(c, c)
        self.c2_r = XC(c, c)
        self.c3_r = XC(c, c)

    def forward(self, x):
        o1 = F.silu(self.c1_r(x))
        o3 = self.c3_r(F.silu(self.c2_r(o1)))
        return (o3 + x) * (torch.sigmoid(o3) - 0.5), o1


class SPAN(nn.Module):
    def __init__(self):
        super().__init__()
        c = 4
        self.conv_1 = XC(3, c)
        self.conv_2 = XC(c, c)
        self.conv_cat = C(4 * c, c, 1)
        self.upsampler = nn.Sequential(C(c, 12))
        for i in range(1, 7):
            setattr(self, f"block_{i}", SPAB(c))

    def forward(self, x):
        x = (x - torch.tensor([0.4488, 0.4371, 0.4040]).view(1, 3, 1, 1)) * 255
        f = self.conv_1(x)
        b1, _ = self.block_1(f)
        y = b1
        for i in range(2, 7):
            y, o = getattr(self, f"block_{i}")(y)
        return F.pixel_shuffle(self.upsampler(self.conv_cat(torch.cat([f, self.conv_2(y), b1, o], 1))), 2)


seed(14)
n = SPAN()
for k, p in n.named_parameters():
    if k.startswith("conv_1."):
        p.data *= 0.01
save("span_trained", n)


class Blk1(nn.Module):
    def __init__(self, c, att):
        super().__init__()
        m = [C(c, c), nn.LeakyReLU(0.05), C(c, c)]
        if att:
            m.append(Att(c))
        self.body = nn.Sequential(*m)

    def forward(self, x):
        return self.body(x)


class Att(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.body = nn.Sequential(C(c, c), nn.Sigmoid())

    def forward(self, x):
        return x * torch.sigmoid(x[:, :1]) * self.body(x)


class PUSR(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = C(3, 9)
        self.block1 = Blk1(6, False)
        self.blockm = Blk1(4, True)
        self.block2 = Blk1(6, False)
        self.tail = nn.Sequential(C(9, 12))

    def forward(self, x):
        x = self.head(x)
        x = torch.cat([self.block1(x[:, :6]), x[:, 6:]], 1)
        x = torch.cat([self.blockm(x[:, :4]), x[:, 4:]], 1)
        x = torch.cat([self.block2(x[:, :6]), x[:, 6:]], 1)
        return F.pixel_shuffle(self.tail(x), 2)


seed(15)
save("plainusr_ultra", PUSR())


class RBS(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1 = C(c, c)
        self.bn1 = nn.BatchNorm2d(c)
        self.prelu = nn.PReLU()
        self.conv2 = C(c, c)
        self.bn2 = nn.BatchNorm2d(c)

    def forward(self, x):
        return x + self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))


class UB(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = C(c, 4 * c)
        self.prelu = nn.PReLU()

    def forward(self, x):
        return self.prelu(F.pixel_shuffle(self.conv(x), 2))


class Gen(nn.Module):
    def __init__(self):
        super().__init__()
        c = 6
        self.block1 = nn.Sequential(C(3, c, 9), nn.PReLU())
        for i in range(2, 7):
            setattr(self, f"block{i}", RBS(c))
        self.block7 = nn.Sequential(C(c, c), nn.BatchNorm2d(c))
        self.block8 = nn.Sequential(UB(c), C(c, 3, 9))

    def forward(self, x):
        a = self.block1(x)
        y = a
        for i in range(2, 7):
            y = getattr(self, f"block{i}")(y)
        return (torch.tanh(self.block8(a + self.block7(y))) + 1) / 2


seed(16)
n = Gen()
vary(n)
save("srgan_x2", n, h=7, w=9)


class ESP(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = C(1, 6, 5)
        self.conv2 = C(6, 6)
        self.conv3 = C(6, 4)
        self.conv4 = C(4, 9)

    def forward(self, x):
        return F.pixel_shuffle(self.conv4(F.relu(self.conv3(F.relu(self.conv2(F.relu(self.conv1(x))))))), 3)


seed(17)
save("espcn_example_x3", ESP(), 1)


class FS(nn.Module):
    def __init__(self):
        super().__init__()
        P = nn.PReLU
        self.feature_extraction = nn.Sequential(C(1, 6, 5), P(6))
        self.shrink = nn.Sequential(C(6, 4, 1), P(4))
        self.map = nn.Sequential(C(4, 4), P(4), C(4, 4), P(4))
        self.expand = nn.Sequential(C(4, 6, 1), P(6))
        self.deconv = nn.ConvTranspose2d(6, 1, 9, 3, 4, 2)

    def forward(self, x):
        return self.deconv(self.expand(self.map(self.shrink(self.feature_extraction(x)))))


seed(18)
n = FS()
vary(n)
save("fsrcnn_x3", n, 1)


class CompRelu(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(C(3, 6), nn.ReLU(), C(6, 6), nn.ReLU(), C(6, 3))

    def forward(self, x):
        return self.body(x) + x


seed(19)
save("compact_x1", CompRelu())
