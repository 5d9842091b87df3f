"""Each method's formula restated with dense matrices: output, and the gradients of everything that learns."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from predgen.config import PeftConfig
from predgen.peft_methods import METHODS

from .conftest import logits, stir, stirred

Parts = dict[str, Tensor]
RANK, ALPHA = 4, 16.0


def parts_of(adapted: torch.nn.Module, module: str) -> Parts:
    """The parameters of one layer of an adapted model by their short names; W and b are the base's."""
    (name,) = (n for n, _ in adapted.named_modules() if n.endswith(f"layers.0.{module}"))
    layer = adapted.get_submodule(name)
    found = {"W": layer.base_layer.weight.detach(), "layer": layer}
    if layer.base_layer.bias is not None:
        found["b"] = layer.base_layer.bias.detach()
    for path, parameter in layer.named_parameters():
        if "base_layer" not in path:
            found[path.split(".")[0]] = parameter
    return found


def lora(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ (p["W"] + ALPHA / RANK * p["lora_B"] @ p["lora_A"]).T


def rslora(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ (p["W"] + ALPHA / RANK**0.5 * p["lora_B"] @ p["lora_A"]).T


def dora(p: Parts) -> Callable[[Tensor], Tensor]:
    moved = p["W"] + ALPHA / RANK * p["lora_B"] @ p["lora_A"]
    # The paper's cheaper form, which peft has: no gradient through the norm.
    return lambda x: x @ (p["lora_magnitude_vector"][:, None] * moved / moved.detach().norm(dim=1, keepdim=True)).T


def adalora(p: Parts) -> Callable[[Tensor], Tensor]:
    initial = 3 * RANK // 2
    return lambda x: x @ (p["W"] + ALPHA / initial * p["lora_B"] @ (p["lora_E"] * p["lora_A"])).T


def rocoft_rows(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ torch.cat([p["W"][:RANK] + p["rocoft_delta"], p["W"][RANK:]]).T


def rocoft_columns(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ torch.cat([p["W"][:, :RANK] + p["rocoft_delta"], p["W"][:, RANK:]], dim=1).T


def rocoft_chosen_rows(p: Parts) -> Callable[[Tensor], Tensor]:
    rows = [p["W"][row] for row in range(p["W"].shape[0])]
    for place, row in enumerate((7, 2)):
        rows[row] = rows[row] + p["rocoft_delta"][place]
    return lambda x: x @ torch.stack(rows).T


def rocoft_chosen_columns(p: Parts) -> Callable[[Tensor], Tensor]:
    columns = [p["W"][:, column] for column in range(p["W"].shape[1])]
    for place, column in enumerate((7, 2)):
        columns[column] = columns[column] + p["rocoft_delta"][:, place]
    return lambda x: x @ torch.stack(columns, dim=1).T


def melora(p: Parts) -> Callable[[Tensor], Tensor]:
    (out, inner), mini = p["W"].shape, RANK // 2

    def forward(x: Tensor) -> Tensor:
        halves = []
        for i in range(2):
            a = p["lora_A"][i * mini : (i + 1) * mini]
            b = p["lora_B"][i * out // 2 : (i + 1) * out // 2]
            halves.append(ALPHA / mini * x[..., i * inner // 2 : (i + 1) * inner // 2] @ a.T @ b.T)
        return x @ p["W"].T + torch.cat(halves, dim=-1)

    return forward


def moslora(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ (p["W"] + ALPHA / RANK * p["lora_B"] @ p["lora_mixer"] @ p["lora_A"]).T


def propulsion(p: Parts) -> Callable[[Tensor], Tensor]:
    scale = torch.stack([p["propulsion_scale"]] * 15).prod(dim=0)
    return lambda x: torch.einsum("...i,oi,o->...o", x, p["W"], scale)


def propulsion_of_degree_2(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ p["W"].T * p["propulsion_scale"] * p["propulsion_scale"]


def vera(p: Parts) -> Callable[[Tensor], Tensor]:
    layer, (out, inner) = p["layer"], p["W"].shape
    a, b = layer.vera_A["default"][:, :inner], layer.vera_B["default"][:out]
    return lambda x: x @ (p["W"] + p["vera_lambda_b"].diag() @ b @ p["vera_lambda_d"].diag() @ a).T


def ia3_outputs(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ p["W"].T @ p["ia3_l"].flatten().diag()


def ia3_inputs(p: Parts) -> Callable[[Tensor], Tensor]:
    return lambda x: x @ p["ia3_l"].flatten().diag() @ p["W"].T


CASES = [
    ("lora", {}, "mlp.up_proj", lora),
    ("lora-fa", {}, "mlp.up_proj", lora),
    ("lora-fa-corrected", {}, "mlp.up_proj", lora),
    ("pissa", {}, "mlp.up_proj", lora),  # around the residual weight
    ("rslora", {}, "mlp.up_proj", rslora),
    ("dora", {}, "mlp.up_proj", dora),
    ("adalora", {}, "mlp.up_proj", adalora),
    ("rocoft", {}, "self_attn.k_proj", rocoft_rows),
    ("rocoft", {"rocoft": {"axis": "columns"}}, "self_attn.k_proj", rocoft_columns),
    ("rocoft", {"rocoft": {"chosen": (7, 2)}}, "self_attn.k_proj", rocoft_chosen_rows),
    ("rocoft", {"rocoft": {"chosen": (7, 2), "axis": "columns"}}, "self_attn.k_proj", rocoft_chosen_columns),
    ("melora", {}, "mlp.down_proj", melora),
    ("moslora", {}, "mlp.down_proj", moslora),
    ("propulsion", {}, "mlp.down_proj", propulsion),
    ("propulsion", {"propulsion": {"degree": 2}}, "mlp.down_proj", propulsion_of_degree_2),
    ("vera", {}, "self_attn.k_proj", vera),
    ("ia3", {}, "self_attn.k_proj", ia3_outputs),
    ("ia3", {}, "mlp.down_proj", ia3_inputs),
]


@pytest.mark.parametrize(("name", "settings", "module", "formula"), CASES)
def test_output_and_gradients_are_those_of_the_formula(
    name: str,
    settings: dict[str, object],
    module: str,
    formula: Callable[[Parts], Callable[[Tensor], Tensor]],
    llama: PreTrainedModel,
) -> None:
    adapted = stirred(METHODS[name], llama, PeftConfig(rank=RANK, alpha=ALPHA, **settings)).train()
    parts = parts_of(adapted, module)
    layer = parts["layer"]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, parts["W"].shape[1], generator=generator, requires_grad=True)
    weights = torch.randn(2, 3, parts["W"].shape[0], generator=generator)
    learned = [p for n, p in layer.named_parameters() if p.requires_grad]
    assert learned

    output = layer(x)
    gradients = torch.autograd.grad((output * weights).sum(), [x, *learned])
    dense = formula(parts)(x)
    expected = torch.autograd.grad((dense * weights).sum(), [x, *learned])
    assert torch.allclose(output, dense, atol=1e-4)
    for one, other in zip(gradients, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=1e-4)


def test_prompt_tuning_is_the_base_behind_its_embeddings(llama: PreTrainedModel) -> None:
    embedding = llama.get_input_embeddings()
    adapted = stirred(METHODS["prompt-tuning"], llama)
    ids = torch.tensor([[5, 6, 7]])
    found = logits(adapted, ids)
    virtual = adapted.adapted.prompt_encoder["default"].embedding.weight
    llama.set_input_embeddings(embedding)
    with torch.no_grad():
        expected = llama(inputs_embeds=torch.cat([virtual[None], embedding(ids)], dim=1)).logits
    assert torch.allclose(found, expected, atol=1e-5)


def test_pissa_splits_the_weight_and_leaves_its_largest_directions_to_learn(llama: PreTrainedModel) -> None:
    weight = llama.model.layers[0].mlp.up_proj.weight.detach().clone()
    adapted = METHODS["pissa"].build(llama, PeftConfig(rank=RANK, alpha=ALPHA), 20)
    parts = parts_of(adapted, "mlp.up_proj")
    u, s, v = torch.linalg.svd(weight)
    largest = u[:, :RANK] @ s[:RANK].diag() @ v[:RANK]
    assert torch.allclose(ALPHA / RANK * parts["lora_B"] @ parts["lora_A"], largest, atol=1e-5)
    assert torch.allclose(parts["W"], weight - largest, atol=1e-5)


def test_pissa_of_an_output_leaves_the_embeddings_whose_weight_it_shares(
    llama: PreTrainedModel, tmp_path: Path
) -> None:
    base, config = copy.deepcopy(llama), PeftConfig(rank=RANK, target_modules=("lm_head",))
    before = logits(base)
    adapted = METHODS["pissa"].build(llama, config, 20)
    assert torch.allclose(logits(adapted), before, atol=1e-5)
    stir(adapted)
    METHODS["pissa"].save(adapted, tmp_path, "tiny")
    assert torch.allclose(logits(METHODS["pissa"].load(base, tmp_path)), logits(adapted), atol=1e-5)


def test_rocofts_biases_and_norms_learn_if_asked_for(tiny_model: PreTrainedModel) -> None:
    config = PeftConfig(rank=RANK, rocoft={"train_bias": True, "train_norms": True})
    before = {name: p.clone() for name, p in tiny_model.named_parameters()}
    adapted = stirred(METHODS["rocoft"], tiny_model, config)
    biased = sum("bias" in n and p.requires_grad for n, p in adapted.named_parameters())
    linear_biases = sum(n.endswith("bias") and "norm" not in n and "ln_" not in n for n in before)
    norm_biases = sum(n.endswith("bias") and ("norm" in n or "ln_" in n) for n in before)
    assert biased == linear_biases + norm_biases
    norms = [n for n in before if n.endswith("weight") and ("norm" in n or "ln_" in n)]
    assert sum("rocoft_weight" in n for n, _ in adapted.named_parameters()) == len(norms) > 0
    found = logits(adapted)
    # The same model with the differences written into its own weights, by hand.
    deltas = {n.replace("base_model.model.", ""): p for n, p in adapted.named_parameters() if "rocoft" in n}
    plain = adapted.unload()
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            module, _, what = name.rpartition(".")
            kind = {"bias": "rocoft_bias", "weight": "rocoft_weight"}[what]
            if (delta := deltas.get(f"{module}.{kind}.default")) is not None:
                parameter.add_(delta)
            elif what == "weight" and (delta := deltas.get(f"{module}.rocoft_delta.default")) is not None:
                rows = parameter.T if tiny_model.config.model_type == "gpt2" else parameter
                rows[:RANK] += delta
    assert torch.allclose(logits(plain), found, atol=1e-4)


@pytest.mark.parametrize("start", ["kaiming", "orthogonal", "identity"])
def test_moslora_mixers_start_as_asked_for(start: str, llama: PreTrainedModel) -> None:
    adapted = METHODS["moslora"].build(llama, PeftConfig(rank=RANK, moslora={"mixer": start}), 20)
    mixer = parts_of(adapted, "mlp.up_proj")["lora_mixer"]
    product = mixer @ mixer.T
    if start == "kaiming":  # uniform within ±1/√r
        assert mixer.abs().max() <= RANK**-0.5 and mixer.std() > 0.1
    else:
        assert torch.allclose(product, torch.eye(RANK), atol=1e-5)
    assert torch.equal(mixer, torch.eye(RANK)) == (start == "identity")


def test_a_mixer_of_identity_is_lora(llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS["moslora"], llama, PeftConfig(rank=RANK, moslora={"mixer": "identity"}))
    parts = parts_of(adapted, "mlp.up_proj")
    with torch.no_grad():
        parts["lora_mixer"].copy_(torch.eye(RANK))
    x = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(parts["layer"](x), lora(parts)(x), atol=1e-5)


def saved_for_backward(adapted: torch.nn.Module, module: str, x: Tensor) -> list[Tensor]:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        parts_of(adapted, module)["layer"](x)
    return kept


@pytest.mark.parametrize(
    ("name", "settings", "keeps_input"),
    [
        ("lora", {}, True),
        ("lora-fa", {}, False),
        ("lora-fa-corrected", {}, False),
        ("rocoft", {}, True),
        ("rocoft", {"rocoft": {"axis": "columns"}}, False),
        ("rocoft", {"rocoft": {"axis": "columns", "chosen": (7, 2)}}, False),
        ("propulsion", {}, False),
    ],
)
def test_whether_a_layer_keeps_its_input_for_the_backward_pass(
    name: str, settings: dict[str, object], keeps_input: bool, llama: PreTrainedModel
) -> None:
    adapted = stirred(METHODS[name], llama, PeftConfig(rank=RANK, **settings)).train()
    x = torch.randn(5, 7, 32, requires_grad=True)
    inputs = x * 1.0  # as from a layer before: no leaf
    storages = {tensor.untyped_storage().data_ptr() for tensor in saved_for_backward(adapted, "mlp.up_proj", inputs)}
    assert (inputs.untyped_storage().data_ptr() in storages) == keeps_input


def test_lora_fa_keeps_less_of_a_whole_model_than_lora(llama: PreTrainedModel) -> None:
    import copy

    sizes = {}
    for name in ("lora", "lora-fa"):
        adapted = stirred(METHODS[name], copy.deepcopy(llama), PeftConfig(rank=RANK)).train()
        weights = {p.untyped_storage().data_ptr() for p in adapted.parameters()}
        kept: dict[int, int] = {}

        def keep(tensor: Tensor, kept: dict[int, int] = kept, weights: set[int] = weights) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = adapted(input_ids=torch.arange(5, 69).reshape(2, 32), use_cache=False).logits
        sizes[name] = sum(kept.values())
        del output
    assert sizes["lora-fa"] < 0.95 * sizes["lora"]
