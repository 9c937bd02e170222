"""How much of a transformer's MLPs large steps leave over, and what compaction makes of it.

A small transformer reads scikit-learn's digits row by row. It is trained at several step sizes,
compacted exactly and closely, and held against magnitude pruning (torch-pruning) to as many hidden
units. Prints a table in Markdown; takes a few minutes on one core.
"""

import statistics
import time
import warnings
from copy import deepcopy

import torch
import torch_pruning
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from largestep.deep import compact

STEPS = 1500
HIDDEN = 128


class Block(nn.Module):
    def __init__(self, width, activation):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.act, self.down = (
            nn.Linear(width, HIDDEN),
            activation(),
            nn.Linear(HIDDEN, width),
        )

    def forward(self, x):
        q, k, v = self.attention(self.norm1(x)).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + self.out(mixed)
        return x + self.down(self.act(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, activation, width=32):
        super().__init__()
        self.embedding, self.head = nn.Linear(8, width), nn.Linear(width, 10)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        self.blocks = nn.Sequential(Block(width, activation), Block(width, activation))

    def forward(self, rows):
        return self.head(self.blocks(self.embedding(rows) + self.position).mean(1))


def trained(activation, step_size, x, y):
    """Train with the step size for the first half, and a tenth of it for the second."""
    torch.manual_seed(0)
    model = Transformer(activation)
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size)
    for step in range(STEPS):
        if step == STEPS // 2:
            optimizer.param_groups[0]["lr"] = step_size / 10
        batch = torch.randint(len(x), (32,))
        loss = functional.cross_entropy(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def hidden(report):
    """Return the hidden units of the MLPs that are left."""
    return sum(layer.after for layer in report.layers if layer.before == HIDDEN)


def pruned(model, units, example):
    """Return the model with the hidden units of least weight pruned, until so many are left."""
    model = deepcopy(model)
    rows = [block.up for block in model.blocks]
    sizes = [block.up.weight.norm(dim=1) * block.down.weight.norm(dim=0) for block in model.blocks]
    count = len(rows) * HIDDEN - units
    least = torch.cat(sizes).argsort()[:count]
    graph = torch_pruning.DependencyGraph().build_dependency(model, example)
    for number, layer in enumerate(rows):
        own = [int(k) - number * HIDDEN for k in least if k // HIDDEN == number]
        if own:
            cut = torch_pruning.prune_linear_out_channels
            graph.get_pruning_group(layer, cut, idxs=own).prune()
    return model


def error(model, x, y):
    with torch.no_grad():
        return (model(x).argmax(1) != y).float().mean().item()


def times(models, x):
    """Return the median milliseconds of each model for a batch, measured in turns."""
    taken = [[] for _ in models]
    with torch.no_grad():
        for _ in range(30):
            for model, seconds in zip(models, taken, strict=True):
                start = time.perf_counter()
                model(x)
                seconds.append(time.perf_counter() - start)
    return [1e3 * statistics.median(seconds) for seconds in taken]


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    images, labels = load_digits(return_X_y=True)
    rows = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16
    labels = torch.tensor(labels)
    # To train and calibrate on, to hold out for the tolerance, to test on.
    (x, held, test), (y, _, y_test) = (part.split([1000, 400, 397]) for part in (rows, labels))
    print(
        "| units | step size | hidden units left, exact | close | parameters left, close ", end=""
    )
    print("| test error before → exact → close | pruned to as many | ms before → close |")
    print("|---|---|---|---|---|---|---|---|")
    for activation, step_sizes in ((nn.ReLU, (0.05, 0.1, 0.2, 0.3, 0.4)), (nn.GELU, (0.1, 0.3))):
        for step_size in step_sizes:
            model = trained(activation, step_size, x, y)
            if not model(held).isfinite().all():
                print(f"| {activation.__name__} | {step_size:g} | diverged | | | | | |", flush=True)
                continue
            exact, one = compact(model, x, held_out=held)
            close, other = compact(
                model, x, held_out=held, tolerance=0.1, correlation_threshold=0.9
            )
            fewer = pruned(model, hidden(other), x[:2])
            errors = [error(m, test, y_test) for m in (model, exact, close, fewer)]
            before, after = times([model, close], test)
            print(
                f"| {activation.__name__} | {step_size:g} | {hidden(one) / (2 * HIDDEN):.0%} "
                f"| {hidden(other) / (2 * HIDDEN):.0%} "
                f"| {other.parameters_after / other.parameters_before:.0%} "
                f"| {errors[0]:.1%} → {errors[1]:.1%} → {errors[2]:.1%} | {errors[3]:.1%} "
                f"| {before:.1f} → {after:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
