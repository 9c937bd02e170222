"""A small transformer that reads scikit-learn's digits row by row, watched by a probe.

Its GELU units are never exactly zero, so that they count as active by a rule of thumb.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from largestep.deep import Probe
from largestep.deep.measures import Sparsity
from largestep.figures.probe import draw_probe


class Transformer(nn.Module):
    def __init__(self, width=32):
        super().__init__()
        self.embedding = nn.Linear(8, width)
        self.position = nn.Parameter(0.1 * torch.randn(8, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, rows):
        return self.head(self.encoder(self.embedding(rows) + self.position).mean(1))


def main():
    torch.manual_seed(0)
    images, labels = load_digits(return_X_y=True)
    rows = torch.tensor(images, dtype=torch.float32).reshape(-1, 8, 8) / 16
    labels = torch.tensor(labels)
    x, y, x_test, y_test = rows[:1000], labels[:1000], rows[1000:], labels[1000:]
    model = Transformer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    # A row of the image at a time: each of the 128 units of a block is measured at all of them.
    sparsity = Sparsity(smooth_threshold=0.1)
    probe = Probe(model, x, "encoder.*.gelu", measures=[sparsity], every=50, units="channel")
    for step in range(1200):
        if step == 600:
            optimizer.param_groups[0]["lr"] = 0.03
        batch = torch.randint(len(x), (32,))
        loss = functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        probe.step(loss)
    model.eval()
    error = (model(x_test).argmax(1) != y_test).float().mean().item()
    print(f"test error {error:.1%}; plateau of the loss: {probe.plateau()}")
    print(probe.dataset()[["distinct", "dead", "merged"]].isel(step=-1).to_dataframe())
    draw_probe(probe.dataset()).savefig("digits-transformer.png", dpi=150)


if __name__ == "__main__":
    main()
