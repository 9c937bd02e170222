"""A residual network learns digits: SGD with momentum, its step size held at the edge.

The two lines that `HoldEdge` takes are marked; the rest is a loop as anybody writes it.
"""

import torch
from torch.nn import functional

from largestep import deep


def main(steps=600, kappa=1.0):
    digits = deep.data.load("digits", train=500)
    x_train, x_test = digits.normalise(digits.x_train), digits.normalise(digits.x_test)
    model = deep.models.build("small_resnet", digits.classes).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    controller = deep.HoldEdge(optimizer, steps, model=model, kappa=kappa)  # one

    def loss_of(x, y):
        return functional.cross_entropy(model(x), y)

    for step in range(steps):
        batch = torch.randint(len(x_train), (32,))
        x, y = x_train[batch], digits.y_train[batch]
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, lambda x=x, y=y: loss_of(x, y))  # two
        if step % 100 == 0:
            found = f"step size {controller.step_size:.2g}, κ {controller.curvature:.2g}"
            print(f"step {step}: loss {loss.item():.2f}, {found}")
    model.eval()
    with torch.no_grad():
        print(f"test error {(model(x_test).argmax(1) != digits.y_test).double().mean():.1%}")


if __name__ == "__main__":
    main()
