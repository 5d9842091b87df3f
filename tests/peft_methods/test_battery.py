"""What every method must do, one test a property."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM, PreTrainedModel

from predgen.config import PeftConfig, PromptTuningConfig, RocoftConfig, TrainConfig
from predgen.errors import ConfigError
from predgen.peft_methods import METHODS, PeftMethod

from .conftest import IDS, ON_CPU, OURS, WHOLE, logits, stir, stirred

# The tiny Llama's linear layers, (in, out): query, key, value, output, gate, up, down; two of each.
SHAPES = 2 * [(32, 32), (32, 16), (32, 16), (32, 32), (32, 64), (32, 64), (64, 32)]
RANK = 2


def count(name: str, model: PreTrainedModel) -> int:
    """How many parameters should learn at rank 2, by the papers' formulas."""
    both, ins, outs = (sum(map(size, SHAPES)) for size in (sum, lambda s: s[0], lambda s: s[1]))
    layers = len(SHAPES)
    return {
        "lora": RANK * both,
        "rslora": RANK * both,
        "pissa": RANK * both,
        "dora": RANK * both + outs,
        "adalora": 3 * both + 3 * layers,
        "rocoft": RANK * ins,
        "melora": RANK // 2 * both,
        "lora-fa": RANK * outs,
        "lora-fa-corrected": RANK * outs,
        "moslora": RANK * both + layers * RANK**2,
        "propulsion": outs,
        "vera": outs + layers * RANK,
        "ia3": outs + 2 * (64 - 32),  # at the input of the two down projections
        "prompt-tuning": 20 * 32,
        "full": sum(p.numel() for p in model.parameters()),
    }[name]


def test_what_learns_is_as_much_as_the_formula_says(method: PeftMethod, llama: PreTrainedModel) -> None:
    expected = count(method.name, llama)
    adapted = method.build(llama, PeftConfig(rank=RANK), 20)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == expected


def test_in_half_precision_as_much_learns(method: PeftMethod, llama: PreTrainedModel) -> None:
    expected = count(method.name, llama)
    adapted = method.build(llama.bfloat16(), PeftConfig(rank=RANK), 20)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == expected


def test_it_starts_as_the_base(method: PeftMethod, llama: PreTrainedModel) -> None:
    if method.name == "prompt-tuning":
        pytest.skip("it starts as the base behind other tokens")
    before = logits(copy.deepcopy(llama))
    assert torch.allclose(logits(method.build(llama, PeftConfig(rank=RANK), 20)), before, atol=1e-5)


def test_the_adapter_moves_and_the_base_does_not(method: PeftMethod, llama: PreTrainedModel) -> None:
    adapted = method.build(llama, PeftConfig(rank=RANK), 20)
    virtual = getattr(adapted, "virtual_ids", torch.zeros(0, dtype=torch.long))
    ids = torch.cat([virtual[None], IDS], dim=1)
    before = {name: parameter.clone() for name, parameter in adapted.named_parameters()}
    optimizer = torch.optim.SGD([p for p in adapted.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # B starts at zero, and holds A's gradient there for one step
        loss = -adapted.train()(input_ids=ids).logits[:, -4:].log_softmax(-1)[:, :, 3].sum()
        loss.backward()
        optimizer.step()
    for name, parameter in adapted.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name
        assert parameter.requires_grad == (parameter.grad is not None), name
    if not method.whole:
        learned = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
        assert not any("base_layer" in name or "lm_head" in name for name in learned)


def test_saved_and_loaded_it_is_the_same(method: PeftMethod, llama: PreTrainedModel, tmp_path: Path) -> None:
    base = copy.deepcopy(llama)
    adapted = stirred(method, llama)
    method.save(adapted, tmp_path, "tiny")
    if method.whole:
        base = type(base).from_pretrained(tmp_path)
    else:
        held = load_file(tmp_path / "adapter_model.safetensors")
        assert not any("base_layer" in name or "embed_tokens" in name for name in held), "only the adapter is kept"
        assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny"
    assert torch.allclose(logits(method.load(base, tmp_path)), logits(adapted), atol=1e-5)


IN_A_FRESH_PROCESS = """
import sys, torch
from pathlib import Path
root, with_predgen = Path(sys.argv[1]), sys.argv[2] == "with"
if with_predgen:
    import predgen.peft_methods
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
ids = torch.tensor([[5, 6, 7, 8]])
found = {}
for folder in sorted((root / "adapters").iterdir()):
    base = AutoModelForCausalLM.from_pretrained(root / "base").eval()
    try:
        with torch.no_grad():
            found[folder.name] = PeftModel.from_pretrained(base, folder)(input_ids=ids).logits[:, -4:].clone()
    except KeyError as problem:
        found[folder.name] = torch.zeros(0)
        assert str(problem).strip("'") == folder.name.upper(), problem
assert with_predgen == ("predgen" in sys.modules)
save_file(found, root / f"{sys.argv[2]}.safetensors")
"""


def test_plain_peft_reads_its_own_and_refuses_ours_until_predgen_is_there(
    llama: PreTrainedModel, tmp_path: Path
) -> None:
    llama.save_pretrained(tmp_path / "base")
    here = {}
    for name in ON_CPU:
        if name != WHOLE:
            adapted = stirred(METHODS[name], copy.deepcopy(llama))
            METHODS[name].save(adapted, tmp_path / "adapters" / name, "tiny")
            here[name] = logits(adapted)[:, -4:]
    for way in ("with", "without"):
        subprocess.run([sys.executable, "-c", IN_A_FRESH_PROCESS, tmp_path, way], check=True, timeout=120)
        found = load_file(tmp_path / f"{way}.safetensors")
        assert found.keys() == here.keys()
        for name, expected in here.items():
            if way == "without" and name in OURS:
                assert not found[name].numel(), f"{name} was loaded as something else"
            else:
                assert torch.allclose(found[name], expected, atol=1e-4), (way, name)


def test_merged_it_answers_the_same(adapter: PeftMethod, llama: PreTrainedModel) -> None:
    if adapter.merge is None:
        pytest.skip("no plain weights can stand for it")
    kind = type(llama)
    adapted = stirred(adapter, llama)
    before = logits(adapted)
    merged = adapter.merge(adapted)
    assert type(merged) is kind and not any("lora" in name for name, _ in merged.named_modules())
    assert torch.allclose(logits(merged), before, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("lora", ("embed_tokens", "q_proj")),
        ("dora", ("embed_tokens",)),
        ("lora", ("lm_head",)),
        ("rocoft", ("lm_head", "q_proj")),
        ("propulsion", ("lm_head",)),
    ],
)
def test_an_output_that_shares_the_inputs_weight_does_not_when_one_of_them_is_merged(
    name: str, targets: tuple[str, ...], llama: PreTrainedModel, tmp_path: Path
) -> None:
    assert llama.get_input_embeddings().weight is llama.get_output_embeddings().weight
    adapted = stirred(METHODS[name], llama, PeftConfig(rank=RANK, target_modules=targets))
    before = logits(adapted)
    merged = METHODS[name].merge(adapted)
    assert torch.allclose(logits(merged), before, atol=1e-4)
    merged.save_pretrained(tmp_path)
    assert torch.allclose(logits(LlamaForCausalLM.from_pretrained(tmp_path)), before, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_ours_can_be_taken_out_again_and_are_not_merged_twice(name: str, llama: PreTrainedModel) -> None:
    adapted = stirred(METHODS[name], llama)
    before = logits(adapted)
    adapted.merge_adapter()
    with pytest.warns(UserWarning, match="already merged|All adapters"):
        adapted.merge_adapter()
    assert torch.allclose(logits(adapted), before, atol=1e-4)
    adapted.unmerge_adapter()
    assert torch.allclose(logits(adapted), before, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_ours_refuse_to_merge_what_is_not_finite(name: str, llama: PreTrainedModel) -> None:
    adapted = METHODS[name].build(llama, PeftConfig(rank=RANK), 20)
    with torch.no_grad():
        next(p for p in adapted.parameters() if p.requires_grad).fill_(float("nan"))
    with pytest.raises(ValueError, match=r"not finite|NaNs detected"):
        adapted.merge_and_unload(safe_merge=True)


def test_switched_off_it_is_the_base(adapter: PeftMethod, llama: PreTrainedModel) -> None:
    if adapter.name in ("prompt-tuning", "pissa"):
        pytest.skip("one is left out by leaving its tokens out; the other has moved the base")
    base = copy.deepcopy(llama)
    adapted = stirred(adapter, llama)
    with adapted.disable_adapter():
        assert torch.allclose(logits(adapted), logits(base), atol=1e-6)
    assert not torch.allclose(logits(adapted), logits(base), atol=1e-3)


def test_a_second_adapter_can_be_added_chosen_and_deleted(adapter: PeftMethod, llama: PreTrainedModel) -> None:
    if adapter.name in ("prompt-tuning", "pissa", "adalora"):
        pytest.skip("peft itself allows these one that learns, or one form of the base")
    base = copy.deepcopy(llama)
    adapted = stirred(adapter, llama)
    first, frozen = logits(adapted), {n for n, p in adapted.named_parameters() if not p.requires_grad}
    settings = copy.deepcopy(adapted.peft_config["default"])
    adapted.add_adapter("second", settings)
    assert torch.allclose(logits(adapted), first, atol=1e-6), "the first one is still active"
    adapted.set_adapter("second")
    if adapter.name not in ("lora-fa", "lora-fa-corrected"):  # plain LoRA to peft, frozen by us alone
        assert torch.allclose(logits(adapted), logits(base), atol=1e-5)
    stir(adapted, seed=1)
    assert not torch.allclose(logits(adapted), first, atol=1e-3)
    adapted.set_adapter("default")
    assert torch.allclose(logits(adapted), first, atol=1e-6)
    still = {n for n, p in adapted.named_parameters() if not p.requires_grad and ".second" not in n}
    assert still == frozen, "what is frozen stays so when adapters are switched"
    adapted.delete_adapter("second")
    assert torch.allclose(logits(adapted), first, atol=1e-6)


def test_a_half_precision_base_stays_one_and_the_adapter_learns_in_float32(
    adapter: PeftMethod, llama: PreTrainedModel
) -> None:
    adapted = stirred(adapter, llama.bfloat16())
    assert {p.dtype for p in adapted.parameters() if p.requires_grad} == {torch.float32}
    virtual = getattr(adapted, "virtual_ids", torch.zeros(0, dtype=torch.long))
    output = adapted(input_ids=torch.cat([virtual[None], IDS], dim=1), output_hidden_states=True)
    assert {state.dtype for state in (*output.hidden_states, output.logits)} == {torch.bfloat16}
    output.logits.float().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in adapted.parameters() if p.requires_grad)


def test_recomputed_activations_give_the_same_gradients(adapter: PeftMethod, llama: PreTrainedModel) -> None:
    adapted = stirred(adapter, llama).train()
    virtual = getattr(adapted, "virtual_ids", torch.zeros(0, dtype=torch.long))
    ids = torch.cat([virtual[None], IDS], dim=1)
    gradients = []
    for again in (False, True):
        if again:
            adapted.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        adapted.zero_grad()
        adapted(input_ids=ids, use_cache=False).logits.square().mean().backward()
        gradients.append({n: p.grad.clone() for n, p in adapted.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


def test_text_can_be_generated(adapter: PeftMethod, llama: PreTrainedModel) -> None:
    adapted = stirred(adapter, llama)
    adapted = getattr(adapted, "adapted", adapted)
    written = adapted.generate(input_ids=IDS, attention_mask=torch.ones_like(IDS), max_new_tokens=3, do_sample=False)
    assert written.shape[0] == 1 and written.shape[1] >= 3


@pytest.mark.parametrize("targets", [("q_proj", "down_proj"), r".*layers\.1\.(self_attn\.q|mlp\.down)_proj"])
def test_targets_go_by_name_or_pattern(
    adapter: PeftMethod, llama: PreTrainedModel, targets: str | tuple[str, ...]
) -> None:
    if adapter.name == "prompt-tuning":
        pytest.skip("it has no targets")
    adapted = adapter.build(llama, PeftConfig(rank=RANK, target_modules=targets), 20)
    touched = {n for n, p in adapted.named_parameters() if p.requires_grad and "vera_A" not in n}
    assert all("q_proj" in name or "down_proj" in name for name in touched)
    assert any("layers.0" in name for name in touched) == isinstance(targets, tuple)
    assert any("layers.1" in name for name in touched)


@pytest.mark.parametrize("name", [*OURS, "lora-fa", "ia3", "vera", "pissa", "prompt-tuning"])
def test_biases_and_transposed_weights(name: str, tiny_model: PreTrainedModel, tmp_path: Path) -> None:
    method = METHODS[name]
    with torch.no_grad():
        for number, (what, parameter) in enumerate(tiny_model.named_parameters()):
            if what.endswith("bias"):
                parameter.fill_(0.1 + 0.01 * number)
    base = copy.deepcopy(tiny_model)
    adapted = stirred(method, tiny_model)
    method.save(adapted, tmp_path, "tiny")
    assert torch.allclose(logits(method.load(base, tmp_path)), logits(adapted), atol=1e-4)
    if method.merge is not None:
        before = logits(adapted)
        assert torch.allclose(logits(method.merge(adapted)), before, atol=1e-4)


def test_what_does_not_go_with_the_corrected_optimizer_is_refused(llama: PreTrainedModel) -> None:
    class Holder(torch.nn.Module):
        def __init__(self, lm: torch.nn.Module) -> None:
            super().__init__()
            self.writer = torch.nn.Module()
            self.writer.lm = lm

    corrected = METHODS["lora-fa-corrected"].optimizer
    for name in ("moslora", "melora", "dora", "adalora", "rocoft"):
        with pytest.raises(ConfigError, match="corrected optimizer"):
            corrected(Holder(METHODS[name].build(copy.deepcopy(llama), PeftConfig(rank=RANK), 20)), TrainConfig())


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [
        ("lora", PeftConfig(rank=17), r"peft.rank=17 is more than .*k_proj can have, which is 32 × 16.*at most 16"),
        ("moslora", PeftConfig(rank=40), r"peft.rank=40 is more than .*q_proj"),
        ("rocoft", PeftConfig(rank=17), r"17 rows of .*k_proj, which has 16"),
        ("rocoft", PeftConfig(rocoft=RocoftConfig(chosen=(3, 40))), r"rows up to 40 of .*q_proj, which has 32"),
        ("rocoft", PeftConfig(rocoft=RocoftConfig(chosen=(3, 3))), "names a number twice"),
        ("melora", PeftConfig(rank=6, melora={"minis": 3}), r"minis=3 does not divide .*q_proj, which is 32 → 32"),
        ("melora", PeftConfig(rank=3), "minis=2 does not divide peft.rank=3"),
        ("lora", PeftConfig(target_modules=("q_pro",)), r"no module is called 'q_pro'; did you mean 'q_proj'"),
        ("lora", PeftConfig(target_modules=("q_proj", "qkv")), r"no module is called 'qkv'; Known: down_proj"),
        (
            "propulsion",
            PeftConfig(target_modules="qproj"),
            r"'qproj' matches no module; did you mean 'q_proj'.*pattern",
        ),
        ("propulsion", PeftConfig(target_modules=("embed_tokens",)), r"cannot wrap model.embed_tokens: .*Embedding"),
        ("rocoft", PeftConfig(target_modules=("norm",)), r"rocoft cannot wrap model.norm: it is a LlamaRMSNorm"),
        ("lora", PeftConfig(target_modules=("norm",)), r"lora cannot wrap model.norm: it is a LlamaRMSNorm"),
        ("ia3", PeftConfig(target_modules=("q_proj",), ia3={"feedforward": ("up_proj",)}), "none of peft.target"),
        ("lora", PeftConfig(target_modules="(q_proj"), "not a pattern"),
    ],
)
def test_settings_that_do_not_fit_the_model(name: str, config: PeftConfig, words: str, llama: PreTrainedModel) -> None:
    with pytest.raises(ConfigError, match=words):
        METHODS[name].build(llama, config, 20)


def test_qlora_without_a_gpu_is_refused() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ConfigError, match=r"needs a GPU.*choose peft.method=lora"):
        METHODS["qlora"].check(PeftConfig())


def test_ours_refuse_lora_settings_they_do_not_have(llama: PreTrainedModel) -> None:
    import peft

    from predgen.peft_methods.moslora import MosloraConfig

    with pytest.raises(ValueError, match="unsupported variant"):
        peft.get_peft_model(llama, MosloraConfig(r=2, use_dora=True, target_modules=["q_proj"]))


def test_another_peft_is_refused() -> None:
    from predgen.peft_methods.registration import check_version

    check_version("0.21.9")
    for other in ("0.20.0", "0.22.0"):
        with pytest.raises(ConfigError, match=rf"peft {other} is installed.*< 0.22"):
            check_version(other)


def test_virtual_tokens_start_from_the_vocabulary_or_from_noise(llama: PreTrainedModel) -> None:
    known = llama.get_input_embeddings().weight.detach().clone()
    config = PeftConfig(prompt_tuning=PromptTuningConfig(tokens=3))
    adapted = METHODS["prompt-tuning"].build(llama, config, 1)
    rows = adapted.adapted.base_model.get_input_embeddings().virtual.weight
    assert rows.shape == (3, 32)
    assert all((row == known).all(dim=1).any() for row in rows)
