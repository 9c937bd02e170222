"""Both controllers in the loops that people have: what must not change a step size does not."""

import math
from datetime import timedelta
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from largestep.deep import HoldEdge, LossStabilization

X = torch.randn(64, 5, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] > 0).long()
STEPS = 40
BOTH = pytest.mark.parametrize("kind", [HoldEdge, LossStabilization])


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 2))


def made(kind, model, **settings):
    optimizer = torch.optim.SGD(model.parameters(), **{"lr": 0.01, "momentum": 0.5} | settings)
    more = {"model": model} if kind is HoldEdge else {}
    return optimizer, kind(optimizer, 2 * STEPS, **more)


def batches(steps=STEPS):
    torch.manual_seed(1)
    return [torch.randint(len(X), (16,)) for _ in range(steps)]


def plain(kind, model, loss_of=None, **settings):
    """Return the step sizes of a plain loop."""
    optimizer, controller = made(kind, model, **settings)
    found = []
    for batch in batches():
        loss_of_batch = partial(loss_of or loss_on, model, batch)
        loss = loss_of_batch()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        controller.step(loss, loss_of_batch)
        found += controller.get_last_lr()
    return found


def loss_on(model, batch):
    return functional.cross_entropy(model(X[batch]).float(), Y[batch])


@BOTH
def test_gradients_accumulated_part_by_part(kind):
    model = network()
    optimizer, controller = made(kind, model)
    found = []
    for batch in batches():
        for part in batch.chunk(4):
            loss_of_part = partial(loss_on, model, part)
            loss = loss_of_part()
            (loss / 4).backward()
            if torch.equal(part, batch[-4:]):
                optimizer.step()
                optimizer.zero_grad()
            controller.step(loss, loss_of_part)
        found += controller.get_last_lr()
    assert found == pytest.approx(plain(kind, network()), rel=0.02)


@BOTH
def test_a_closure(kind):
    model = network()
    optimizer, controller = made(kind, model)
    found = []
    for batch in batches():
        loss_of_batch = partial(loss_on, model, batch)

        def closure():
            optimizer.zero_grad()
            loss = loss_of_batch()  # noqa: B023
            loss.backward()
            return loss

        controller.step(optimizer.step(closure), loss_of_batch)
        found += controller.get_last_lr()
    assert found == plain(kind, network())


@BOTH
def test_bf16_autocast(kind):
    def loss_of(model, batch):
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(X[batch])
        assert outputs.dtype == torch.bfloat16
        return functional.cross_entropy(outputs.float(), Y[batch])

    exact, found = plain(kind, network()), plain(kind, network(), loss_of)
    assert math.log(found[-1] / exact[-1]) == pytest.approx(0.0, abs=1.0)


@BOTH
@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_that_skips_steps(kind, fused):
    model = network()
    optimizer, controller = made(kind, model, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    skipped = 0
    for number, batch in enumerate(batches()):
        loss_of_batch = partial(loss_on, model, batch)
        loss = loss_of_batch()
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        if number in (5, 7):
            model[0].weight.grad[0, 0] = math.inf
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e6)
        before = model[0].weight.detach().clone()
        scaler.step(optimizer)
        scaler.update()
        controller.step(loss, loss_of_batch)
        skipped += torch.equal(before, model[0].weight)
    assert skipped == 2
    assert controller.taken == STEPS - 2 * (not fused)  # a fused one takes no notice itself
    assert all(p.isfinite().all() for p in model.parameters())
    assert 0.0 < controller.get_last_lr()[0] < math.inf


@BOTH
def test_a_compiled_model(kind):
    model = network()
    compiled = torch.compile(network(), backend="eager")
    assert plain(kind, compiled) == plain(kind, model)


def test_clipped_gradients_measure_the_step_that_was_taken():
    """The curvature of a step along g is that along g/2 of twice the step size."""
    found = []
    for clipped in (False, True):
        model = network()
        optimizer, controller = made(HoldEdge, model, momentum=0.0, lr=0.01 * (1 + clipped))
        loss_of_batch = partial(loss_on, model, batches()[0])
        loss = loss_of_batch()
        loss.backward()
        if clipped:
            norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
            torch.nn.utils.clip_grad_norm_(model.parameters(), norm / 2)
        optimizer.step()
        controller.step(loss, loss_of_batch)
        found.append(controller.curvature)
    assert found[0] == pytest.approx(found[1], rel=0.01)


def _process(rank, folder):
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=2,
        timeout=timedelta(minutes=2),  # should the other one die
    )
    found = []
    for kind in (HoldEdge, LossStabilization):
        model = network()
        parallel = nn.parallel.DistributedDataParallel(model)
        optimizer, controller = made(kind, model)
        for batch in batches():
            loss_of_batch = partial(loss_on, parallel, batch.chunk(2)[rank])
            loss = loss_of_batch()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            controller.step(loss, loss_of_batch)
            found += controller.get_last_lr()
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_step_sizes_of_one(in_two_processes, tmp_path):
    in_two_processes(_process, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert first == second
    alone = plain(HoldEdge, network()) + plain(LossStabilization, network())
    assert first == pytest.approx(alone, rel=0.02)


def bert():
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.BertConfig(
        **small, vocab_size=30, intermediate_size=24, max_position_embeddings=12
    )
    torch.manual_seed(0)
    return transformers.BertForMaskedLM(config)


def segformer():
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    torch.manual_seed(0)
    return transformers.SegformerForSemanticSegmentation(config)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("build", [bert, segformer])
def test_models_that_nobody_here_wrote_are_left_as_they_were(build):
    """Batch norm's statistics, dropout's masks: the next steps are those of a loop without it."""
    import random

    import numpy as np

    ends = []
    for steered in (False, True):
        model = build().train()
        if build is bert:
            x = torch.randint(30, (4, 12), generator=torch.Generator().manual_seed(1))
            inputs = {"input_ids": x, "labels": x}
        else:
            generator = torch.Generator().manual_seed(1)
            inputs = {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator)}
            inputs["labels"] = torch.randint(3, (2, 16, 16), generator=generator)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
        controller = HoldEdge(optimizer, model=model) if steered else None
        if steered:
            controller.bounds = (1e-3, 1e-3)
        torch.manual_seed(2)
        random.seed(2)
        np.random.seed(2)  # noqa: NPY002
        for _ in range(3):
            loss_of_batch = lambda: model(**inputs).loss  # noqa: B023, E731
            loss = loss_of_batch()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if steered:
                controller.step(loss, loss_of_batch)
        assert not steered or controller._measured == 3
        state = {k: v.clone() for k, v in model.state_dict().items()}
        drawn = random.random(), np.random.rand()  # noqa: NPY002
        ends.append((state, torch.get_rng_state(), drawn))
    (first, states, drawn), (second, others, drawn_too) = ends
    assert all(torch.equal(v, second[k]) for k, v in first.items())
    assert torch.equal(states, others)
    assert drawn == drawn_too


def test_muon_has_matrices_only_and_is_steered_too():
    """Another optimizer has the vectors, and a controller of its own."""
    model = network()
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    optimizers = [torch.optim.Muon(matrices, lr=1e-4), torch.optim.AdamW(vectors, lr=1e-4)]
    controllers = [HoldEdge(optimizer, 300, model=model) for optimizer in optimizers]
    losses = []
    for batch in batches(300):
        loss_of_batch = partial(loss_on, model, batch)
        for optimizer, controller in zip(optimizers, controllers, strict=True):
            loss = loss_of_batch()
            model.zero_grad()
            loss.backward()
            optimizer.step()
            controller.step(loss, loss_of_batch)
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < 0.4
    assert all(controller.settled for controller in controllers)


def test_weight_decay_is_part_of_the_step():
    theta = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([theta], lr=1e-3, weight_decay=100.0)
    controller = HoldEdge(optimizer, length=10.0)
    before = theta.item()
    loss = theta.square().sum()
    loss.backward()
    optimizer.step()
    moved = theta.item() - before
    assert moved == pytest.approx(-1e-3 * (1 + 100 * before))
    controller.step(loss, lambda: theta.square().sum())
    assert controller.curvature == pytest.approx(1.9 * 2 * moved**2 / (-2 * before * moved))
