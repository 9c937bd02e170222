"""A small transformer learns the text of a grammar: AdamW, its step size held at the edge.

The two lines that `HoldEdge` takes are marked; the rest is a loop as anybody writes it.
"""

import torch
from torch.nn import functional

from largestep import deep


def main(steps=400, kappa=1.0):
    text = deep.data.load("text", context=32)
    model = deep.models.build("transformer", text.classes, context=32).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    controller = deep.HoldEdge(optimizer, steps, model=model, kappa=kappa)  # one

    def loss_of(x, y):
        return functional.cross_entropy(model(x).flatten(0, 1), y.flatten())

    for step in range(steps):
        batch = torch.randint(len(text.x_train), (16,))
        x, y = text.x_train[batch], text.y_train[batch]
        loss = loss_of(x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, lambda x=x, y=y: loss_of(x, y))  # two
        if step % 50 == 0:
            found = f"step size {controller.step_size:.2g}, κ {controller.curvature:.2g}"
            print(f"step {step}: loss {loss.item():.2f}, {found}")
    features = deep.gather(model, [text.x_test], "stage*.units", units="channel")
    shares = [f"{float((layer.features > 0).float().mean()):.0%}" for layer in features.values()]
    with torch.no_grad():
        print(f"validation loss {loss_of(text.x_test, text.y_test):.2f}")
    print(f"active units by block: {', '.join(shares)}")


if __name__ == "__main__":
    main()
