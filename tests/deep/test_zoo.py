"""Promises on models that nobody here wrote, made from configurations: `make test-zoo`.

A few of them are tried with the other tests. The whole zoo writes the table in `docs/zoo.md`.
"""

import copy
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel

from largestep.deep import Probe
from largestep.deep.compaction import compact
from largestep.deep.compaction.tracing import Arguments, tensors
from largestep.deep.features import gather
from largestep.deep.sharpness import Hessian

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # what other packages warn of
]
PAGE = Path(__file__).parents[2] / "docs" / "zoo.md"
SMALL = ("BERT, with hidden states", "SegFormer", "GPT-2")
"""What is tried with the other tests."""


@dataclass
class Animal:
    """A model, how its inputs are drawn, and where dead units can be planted."""

    model: nn.Module
    batch: object
    dead: str
    """Pattern of the modules whose every other output is made negative, whatever the input."""
    forms: tuple[str, ...] = ("plain", "bf16 autocast", "accumulation")
    held: object = field(init=False)

    def __post_init__(self):
        self.model.train()

    def drawn(self, seed):
        """Return inputs of the same kind, others for another seed."""
        generator = torch.Generator().manual_seed(seed)

        def draw(name, x):
            if "mask" in name:
                return x
            if x.is_floating_point():
                return torch.randn(x.shape, generator=generator)
            return torch.randint(int(x.max()) + 1, x.shape, generator=generator)

        if isinstance(self.batch, dict):
            return {name: draw(name, x) for name, x in self.batch.items()}
        return draw("", self.batch)


def tokens(n=6, length=7, words=40):
    return torch.arange(n * length).reshape(n, length) % words


def images(n=4, channels=3, size=32):
    return torch.zeros(n, channels, size, size)


def zoo():
    import transformers as hf

    text = {
        "vocab_size": 40,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
    }
    vit = {k: v for k, v in text.items() if k != "vocab_size"} | {"image_size": 32, "patch_size": 8}
    gpt = {"vocab_size": 40, "n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 16}
    masked = {"input_ids": tokens(), "attention_mask": (tokens() % 7 < 5).long()}
    checkpointed = ("plain", "bf16 autocast", "accumulation", "checkpointing")
    plain = {"input_ids": tokens()}
    norms = r".*(normalization|bn\d?|norm\d?)$"

    def made(kind, config, **settings):
        return getattr(hf, kind)(getattr(hf, config)(**settings))

    return {
        "ResNet": lambda: Animal(
            made("ResNetForImageClassification", "ResNetConfig", embedding_size=8,
                 hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic"),
            images(), norms),
        "RegNet": lambda: Animal(
            made("RegNetForImageClassification", "RegNetConfig", embedding_size=8,
                 hidden_sizes=[8, 16], depths=[1, 1], groups_width=8),
            images(), norms),
        "MobileNetV2": lambda: Animal(
            made("MobileNetV2ForImageClassification", "MobileNetV2Config", depth_multiplier=0.25,
                 image_size=32),
            images(), norms),
        "ConvNeXt": lambda: Animal(
            made("ConvNextForImageClassification", "ConvNextConfig", hidden_sizes=[8, 16],
                 depths=[1, 1], num_stages=2),
            images(), r".*pwconv1$"),
        "ConvNeXtV2": lambda: Animal(
            made("ConvNextV2ForImageClassification", "ConvNextV2Config", hidden_sizes=[8, 16],
                 depths=[1, 1], num_stages=2),
            images(), r".*pwconv1$"),
        "ViT": lambda: Animal(
            made("ViTForImageClassification", "ViTConfig", **vit), {"pixel_values": images()},
            r".*mlp\.fc1$|.*intermediate\.dense$", checkpointed),
        "DeiT": lambda: Animal(
            made("DeiTForImageClassification", "DeiTConfig", **vit), {"pixel_values": images()},
            r".*mlp\.fc1$|.*intermediate\.dense$"),
        "Swin": lambda: Animal(
            made("SwinForImageClassification", "SwinConfig", image_size=32, patch_size=4,
                 embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4),
            {"pixel_values": images()}, r".*mlp\.fc1$|.*intermediate\.dense$"),
        "SegFormer": lambda: Animal(
            made("SegformerForSemanticSegmentation", "SegformerConfig", hidden_sizes=[8, 16],
                 depths=[1, 1], num_encoder_blocks=2, num_attention_heads=[1, 2],
                 sr_ratios=[2, 1], strides=[4, 2], patch_sizes=[7, 3], mlp_ratios=[2, 2],
                 decoder_hidden_size=16),
            {"pixel_values": images()}, r".*mlp\.dense1$"),
        "BERT, with hidden states": lambda: Animal(
            made("BertForSequenceClassification", "BertConfig", output_hidden_states=True, **text),
            masked, r".*intermediate\.dense$", checkpointed),
        "DistilBERT": lambda: Animal(
            made("DistilBertForSequenceClassification", "DistilBertConfig", vocab_size=40, dim=32,
                 n_layers=2, n_heads=2, hidden_dim=64),
            masked, r".*ffn\.lin1$"),
        "GPT-2": lambda: Animal(
            made("GPT2LMHeadModel", "GPT2Config", **gpt), plain, r".*c_fc$",
            (*checkpointed, "compile")),
        "OPT": lambda: Animal(
            made("OPTForCausalLM", "OPTConfig", vocab_size=40, hidden_size=32, ffn_dim=64,
                 num_hidden_layers=2, num_attention_heads=2, word_embed_proj_dim=32,
                 max_position_embeddings=32),
            masked, r".*fc1$"),
        "Llama": lambda: Animal(
            made("LlamaForCausalLM", "LlamaConfig", **text), plain, r".*gate_proj$", checkpointed),
        "Qwen3-MoE": lambda: Animal(
            made("Qwen3MoeForCausalLM", "Qwen3MoeConfig", num_experts=4, num_experts_per_tok=2,
                 moe_intermediate_size=16, mlp_only_layers=[0], head_dim=16,
                 num_key_value_heads=2, **text),
            plain, r".*gate_proj$"),
        "Mamba": lambda: Animal(
            made("MambaForCausalLM", "MambaConfig", vocab_size=40, hidden_size=16, state_size=4,
                 num_hidden_layers=2),
            plain, ""),
        "T5": lambda: Animal(
            made("T5ForConditionalGeneration", "T5Config", vocab_size=40, d_model=32, d_kv=16,
                 d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0),
            plain | {"decoder_input_ids": tokens(length=3)}, r".*\.wi$"),
        "Whisper": lambda: Animal(
            made("WhisperForConditionalGeneration", "WhisperConfig", vocab_size=40, d_model=32,
                 encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                 decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
                 num_mel_bins=8, max_source_positions=10, max_target_positions=8, pad_token_id=0,
                 bos_token_id=1, eos_token_id=2, decoder_start_token_id=1),
            {"input_features": torch.zeros(4, 8, 20), "decoder_input_ids": tokens(4, 3)},
            r".*fc1$"),
        "Wav2Vec2": lambda: Animal(
            made("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", conv_dim=(8, 8),
                 conv_kernel=(10, 3), conv_stride=(5, 2), num_feat_extract_layers=2,
                 num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
                 apply_spec_augment=False, classifier_proj_size=8, **text),
            {"input_values": torch.zeros(4, 400)}, r".*intermediate_dense$"),
        "torch.nn.TransformerEncoder": lambda: Animal(
            nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, batch_first=True), 2),
            torch.zeros(6, 5, 16), r".*linear1$"),
        "LSTM with a head": lambda: Animal(Recurrent(), torch.zeros(6, 5, 8), r".*first$"),
        "MONAI DenseNet": lambda: Animal(
            monai("DenseNet", spatial_dims=2, in_channels=3, out_channels=3, init_features=8,
                  growth_rate=4, block_config=(2, 2)),
            images(), norms),
        "MONAI UNet": lambda: Animal(
            monai("UNet", spatial_dims=2, in_channels=3, out_channels=3, channels=(8, 16, 32),
                  strides=(2, 2), num_res_units=1, norm="batch", act="relu"),
            images(), r".*adn\.N$"),
        "MONAI SegResNet": lambda: Animal(
            monai("SegResNet", spatial_dims=2, in_channels=3, init_filters=8, blocks_down=(1, 1),
                  blocks_up=(1,)),
            images(), norms),
        "x-transformers encoder": lambda: Animal(
            x_transformer(), torch.zeros(6, 7, 16), r".*ff\.0\.0$"),
    }  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.first, self.act = (
            nn.LSTM(8, 12, batch_first=True),
            nn.Linear(12, 16),
            nn.ReLU(),
        )
        self.second = nn.Linear(16, 3)

    def forward(self, x):
        return self.second(self.act(self.first(self.lstm(x)[0][:, -1])))


def monai(name, **settings):
    return getattr(pytest.importorskip("monai.networks.nets"), name)(**settings)


def x_transformer():
    return pytest.importorskip("x_transformers").Encoder(dim=16, depth=2, heads=2)


def made(name):
    torch.manual_seed(0)
    return zoo()[name]()


def loss_of(model, batch):
    return sum(part.float().square().mean() for part in tensors(Arguments.of(batch)(model)))


def trained(name, form, probed):
    """Return the losses and weights of a few steps, with a probe or without."""
    animal = made(name)
    model = animal.model
    if form == "checkpointing":
        model.gradient_checkpointing_enable()
    run = torch.compile(model, backend="aot_eager") if form == "compile" else model
    settings = {"units": "channel", "every": 1, "max_inputs": 4}
    # Modules that are built on the first call are built with or without a probe.
    torch.manual_seed(1)
    probe = Probe(run, [animal.drawn(5)], layers(animal), **settings) if probed else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(3):
        for part in range(2 if form == "accumulation" else 1):
            with torch.autocast("cpu", torch.bfloat16, enabled=form == "bf16 autocast"):
                loss = loss_of(run, animal.drawn(10 * step + part))
            loss.backward()
            if probe is not None and part == 0:
                probe.measure()
        optimizer.step()
        optimizer.zero_grad()
        if probe is not None:
            probe.step(loss)
        losses.append(loss.item())
    kept = len(tensors(Arguments.of(animal.drawn(9))(model)))
    return losses, {k: v.clone() for k, v in model.state_dict().items()}, kept


def layers(animal):
    """Return the layers to watch: what is found, or the last module if that is nothing."""
    model = copy.deepcopy(animal.model)
    try:
        gather(model, [animal.drawn(0)], units="channel")
    except ValueError:
        return next(n for n, m in reversed([*model.named_modules()]) if isinstance(m, nn.Linear))
    return "auto"


def untouched(name):
    """Return in which forms of training a probe changes nothing."""
    kept = []
    for form in made(name).forms:
        alone, watched = (trained(name, form, probed) for probed in (False, True))
        assert alone[0] == watched[0], form
        assert alone[2] == watched[2], form
        for key, value in alone[1].items():
            assert torch.equal(value, watched[1][key]), (form, key)
        kept.append(form)
    return kept


def planted(animal):
    """Make every other output of the named modules negative, and so dead behind a rectifier."""
    model, count = animal.model.eval(), 0
    for name, module in model.named_modules():
        if not animal.dead or not re.fullmatch(animal.dead, name) or not hasattr(module, "weight"):
            continue
        with torch.no_grad():
            if type(module).__name__ == "Conv1D":
                module.weight[:, ::2] = 0
            else:
                module.weight[::2] = 0
            if getattr(module, "bias", None) is not None:
                # Zero behind what is smooth at zero too.
                module.bias[::2] = 0
        count += 1
    return count


def compacted(name):
    """Return coverage and parameters left of a model with planted units, or why it is refused."""
    animal = made(name)
    count = planted(animal)
    first, second = animal.drawn(0), animal.drawn(1)
    try:
        smaller, report = compact(animal.model, [first], held_out=[second])
    except ValueError as error:
        return f"refused: {str(error).split(';')[-1].split('.')[0].strip()[:60]}", None
    assert report.held_out.largest <= report.rounding * report.scale
    found, wanted = (tensors(Arguments.of(second)(m)) for m in (smaller, animal.model))
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert float((one - other).abs().max()) <= 1e-4 * report.scale
    left = report.parameters_after / report.parameters_before
    if count and report.coverage > 0.05:
        assert left < 1.0
    return f"{report.coverage:.0%}", left


def measured(name):
    """Return how many layers are measured, by channel, and how many are passed over with a word."""
    animal = made(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = gather(animal.model, [animal.drawn(0)], units="channel")
        except ValueError:
            return "none found"
    passed = [str(w.message) for w in caught if "passed over" in str(w.message)]
    return f"{len(found)} layers" + (", experts passed over" if passed else "")


def curved(name):
    """Hold a product with the Hessian against derivatives taken forwards of gradients."""
    for dtype, tolerance in ((torch.float64, 1e-4), (torch.float32, 1e-2)):
        animal = made(name)
        batch = Arguments.of(animal.drawn(0)).to(torch.device("cpu"), dtype)
        loss = Wrapped(animal.model.to(dtype).eval(), batch)
        try:
            with sdpa_kernel(SDPBackend.MATH):
                return _curved(loss, torch.arange(len(batch), dtype=dtype), tolerance)
        except RuntimeError as error:
            refused = error  # some kernels know single precision only
    raise refused


def _curved(loss, index, tolerance):
    hessian = Hessian(loss, lambda outputs, _: outputs, [(index, index)])
    held = {n: p.detach().requires_grad_() for n, p in loss.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(3)
    vector = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in held.items()}
    for name, module in loss.named_modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is not None:
            # Backwards PyTorch gives these rows no gradient, whatever the loss.
            vector[f"{name}.weight"][module.padding_idx] = 0
    with forward_ad.dual_level():
        duals = {n: forward_ad.make_dual(p, vector[n]) for n, p in held.items()}
        try:
            value = functional_call(loss, duals, (index,))
            gradients = torch.autograd.grad(
                value, [*duals.values()], create_graph=True, materialize_grads=True
            )
            pushed = [forward_ad.unpack_dual(gradient).tangent for gradient in gradients]
        except NotImplementedError:
            return _backwards_twice(hessian, loss, index, held, vector)
    expected = torch.cat(
        [
            (torch.zeros_like(p) if t is None else t).detach().flatten()
            for p, t in zip(held.values(), pushed, strict=True)
        ]
    ).double()
    found = torch.from_numpy(hessian @ torch.cat([v.flatten() for v in vector.values()]).numpy())
    apart = float((found - expected).norm())
    assert apart <= tolerance * float(expected.norm()) + 1e-8, (apart, float(expected.norm()))
    return "agrees"


def _backwards_twice(hessian, loss, index, held, vector):
    """Hold the product against derivatives of gradients, where none is taken forwards."""
    gradients = torch.autograd.grad(
        functional_call(loss, held, (index,)), [*held.values()], create_graph=True,
        materialize_grads=True,
    )  # fmt: skip
    pairs = zip(gradients, vector.values(), strict=True)
    along = sum((gradient * v).sum() for gradient, v in pairs)
    products = torch.autograd.grad(along, [*held.values()], materialize_grads=True)
    found = hessian @ torch.cat([v.flatten() for v in vector.values()]).numpy()
    expected = torch.cat([part.flatten() for part in products]).double()
    assert float((torch.from_numpy(found) - expected).norm()) <= 1e-3 * float(expected.norm())
    return "agrees, backwards twice"


class Wrapped(nn.Module):
    """The loss of one batch, as a model of nothing."""

    def __init__(self, model, batch):
        super().__init__()
        self.model, self.arguments = model, batch

    def forward(self, _):
        outputs = self.arguments(self.model)
        return sum(part.square().mean() for part in tensors(outputs))


@pytest.mark.parametrize("name", SMALL)
def test_a_probe_leaves_no_trace(name):
    untouched(name)


def test_planted_units_of_a_language_model_go():
    coverage, left = compacted("GPT-2")
    assert coverage == "61%"
    assert left < 0.8


def write(name, row):
    """Write a model's row of the table into the page, in the order of the zoo."""
    head, _, rest = PAGE.read_text().partition("<!-- zoo -->\n")
    held, _, tail = rest.partition("<!-- end -->\n")
    cells = ([cell.strip() for cell in line.split("|")[1:-1]] for line in held.splitlines()[2:])
    rows = {first: others for first, *others in cells} | {name: row}
    columns = ["model", "probe", "compact understands", "parameters left", "measure", "curvature"]
    lines = [columns, ["---"] * len(columns)]
    lines += [[known, *rows[known]] for known in zoo() if known in rows]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    PAGE.write_text(f"{head}<!-- zoo -->\n{table}<!-- end -->\n{tail}")


@pytest.mark.zoo
@pytest.mark.parametrize("name", list(zoo()))
def test_every_promise(name):
    kept = untouched(name)
    coverage, left = compacted(name)
    remaining = "–" if left is None else f"{left:.0%}"
    write(name, [", ".join(kept), coverage, remaining, measured(name), curved(name)])
