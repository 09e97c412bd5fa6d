"""One training step of EDSR-light x4 (batch 4, LR patch 48: forward, L1, backward, Adam, averaged weights) in this
trainer and in PyTorch, turn by turn on the same CPU with the same number of threads; prints the ratio of the medians.

    pip install torch
    cargo bench -p mcir-trainer --bench step --no-run      # prints the path of the program
    python3 trainer/benches/compare.py target/release/deps/step-... --threads 1
"""

import argparse
import os
import statistics
import subprocess
import time

import torch
from torch import nn

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program", help="the compiled benchmark of this crate")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--rounds", type=int, default=15)
args = parser.parse_args()
torch.set_num_threads(args.threads)


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(n, n, 3, padding=1), nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x):
        return x + self.conv2(torch.relu(self.conv1(x)))


class EdsrLight(nn.Module):
    def __init__(self, n=64, blocks=16):
        super().__init__()
        self.first = nn.Conv2d(3, n, 3, padding=1)
        self.body = nn.Sequential(*[Block(n) for _ in range(blocks)], nn.Conv2d(n, n, 3, padding=1))
        up = [nn.Conv2d(n, 4 * n, 3, padding=1), nn.PixelShuffle(2)]
        up += [nn.Conv2d(n, 4 * n, 3, padding=1), nn.PixelShuffle(2)]
        self.tail = nn.Sequential(*up, nn.Conv2d(n, 3, 3, padding=1))

    def forward(self, x):
        x = self.first(x)
        return self.tail(x + self.body(x))


torch.manual_seed(1)
net = EdsrLight()
average = [p.detach().clone() for p in net.parameters()]
adam = torch.optim.Adam(net.parameters(), lr=1e-4)
lr, hr = torch.rand(4, 3, 48, 48), torch.rand(4, 3, 192, 192)


def theirs():
    started = time.perf_counter()
    adam.zero_grad(set_to_none=True)
    loss = (net(lr) - hr).abs().mean()
    loss.backward()
    adam.step()
    torch._foreach_lerp_(average, [p.detach() for p in net.parameters()], 1e-3)
    loss.item()
    return (time.perf_counter() - started) * 1e3


environment = dict(os.environ, RAYON_NUM_THREADS=str(args.threads))
ours = subprocess.Popen(
    [args.program, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
)


def our_step():
    ours.stdin.write("\n")
    ours.stdin.flush()
    return float(ours.stdout.readline())


times = []
for i in range(args.rounds + 2):
    pair = (our_step(), theirs())
    # The first two warm up.
    if i >= 2:
        times.append(pair)
ours.stdin.close()
ours.wait()
a, b = (statistics.median(t[k] for t in times) for k in (0, 1))
low, high = (min(t[k] for t in times) for k in (0, 1))
print(f"PyTorch {torch.__version__}, {args.threads} thread(s), {args.rounds} steps each, turn by turn")
print(f"this trainer: median {a:.0f} ms, fastest {low:.0f} ms")
print(f"PyTorch:      median {b:.0f} ms, fastest {high:.0f} ms")
print(f"ratio of the medians {a / b:.2f}, of the fastest {low / high:.2f}")
