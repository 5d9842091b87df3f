from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAMS = {
    "import": "import predgen",
    "help": "from typer.testing import CliRunner; from predgen.cli import app; "
    "assert CliRunner().invoke(app, ['--help']).exit_code == 0",
}
CHECK = """
import sys
found = {'torch', 'transformers', 'peft', 'sklearn', 'scipy', 'matplotlib'} & sys.modules.keys()
assert not found, found
"""


@pytest.mark.parametrize("name", PROGRAMS)
def test_importing_and_asking_for_help_load_nothing_heavy(name: str) -> None:
    subprocess.run([sys.executable, "-c", f"{PROGRAMS[name]}\n{CHECK}"], check=True, timeout=60)


def test_every_public_name_can_be_had() -> None:
    import predgen

    assert all(getattr(predgen, name) is not None for name in predgen.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        predgen.nonsense  # noqa: B018
