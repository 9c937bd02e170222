"""A stranger's convolutional network on scikit-learn's digits, watched by a probe.

Trains twice, with a small and with a large step size that decays at half; writes two figures.
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional

from largestep.deep import Probe
from largestep.figures.probe import draw_probe


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 32, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(16), nn.BatchNorm2d(32)])
        self.head = nn.Linear(32 * 4 * 4, 10)

    def forward(self, x):
        x = functional.relu(self.norms[0](self.first(x)))
        x = functional.max_pool2d(x, 2)
        x = functional.relu(self.norms[1](self.second(x)))
        return self.head(x.flatten(1))


def train(step_size, x, y, x_test, y_test, steps=800):
    torch.manual_seed(0)
    model = Network()
    optimizer = torch.optim.SGD(model.parameters(), lr=step_size)
    probe = Probe(model, x, every=50)
    for step in range(steps):
        if step == steps // 2:
            optimizer.param_groups[0]["lr"] = step_size / 10
        batch = torch.randint(len(x), (32,))
        loss = functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        probe.step(loss)
    model.eval()
    error = (model(x_test).argmax(1) != y_test).float().mean().item()
    return probe, error


def main():
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    labels = torch.tensor(labels)
    for step_size in (0.05, 0.5):
        probe, error = train(step_size, images[:500], labels[:500], images[1000:], labels[1000:])
        end = probe.dataset().distinct.isel(step=-1)
        layers = ", ".join(f"{name} {value:.2f}" for name, value in end.to_series().items())
        print(f"step size {step_size}: test error {error:.1%}, feature sparsity {layers}")
        probe.save(f"digits-{step_size}.nc")
        draw_probe(probe.dataset()).savefig(f"digits-{step_size}.png", dpi=150)


if __name__ == "__main__":
    main()
