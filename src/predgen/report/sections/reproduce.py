"""The environment, and what to type to get the same."""

from __future__ import annotations

import platform
import shlex
from importlib.metadata import version

from predgen import __version__
from predgen.report.blocks import Code, Paragraph, Section, Table
from predgen.report.material import PART_NAMES, Material
from predgen.report.text import shown
from predgen.training.run_folder import CONFIG

_CUT = 20_000  # characters of the settings


def reproduce_section(material: Material, command: str) -> Section:
    """Commands, settings, versions, fingerprints.

    Args:
        material: What the report is made of.
        command: How this report was asked for.
    """
    record, folder = material.record, material.folder
    path = folder / CONFIG
    settings = path.read_text(encoding="utf-8") if path.exists() else ""
    again = f"predgen fit --config {shlex.quote(str(path))} --out {shlex.quote(str(folder) + '-again')}"
    now = {"predgen": __version__, "python": platform.python_version()}
    now |= {name: version(name) for name in record.versions if name != "predgen"}
    now["scikit-learn"] = version("scikit-learn")
    versions = [(name, record.versions.get(name, "–"), now[name]) for name in now]
    prints = [
        (PART_NAMES[name], shown(str(record.data[name]["source"]), 80), str(record.data[name]["fingerprint"])[:16],
         f"{record.data[name]['rows']:,}")
        for name in ("train", "dev", "test")
    ]  # fmt: skip
    return Section(
        "Environment, and how to reproduce it",
        [
            Code("The run, and this report", f"{again}\n{command}"),
            Paragraph(
                "The same on one computer and these versions; elsewhere rounding differs. This report was made on "
                f"{platform.system()}, {platform.machine()}."
            ),
            Table("Versions", ("", "when trained", "of this report"), versions, words=3),
            Table("Data, by SHA-256", ("part", "source", "fingerprint", "rows"), prints, words=3),
            Table("Base model", ("name", "SHA-256"), [(record.base["name"], record.base["sha256"])], words=2),
            Code("All settings (config.yaml)", shown(settings, _CUT) or "There is no config.yaml.", folded=True),
        ],
    )  # fmt: skip
