from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from predgen.report.charts.bars import bar_chart, histogram
from predgen.report.charts.canvas import Canvas, nice_ticks, padded
from predgen.report.charts.lines import Line, line_chart
from predgen.report.charts.matrix import confusion_chart
from predgen.report.charts.points import scatter_chart
from predgen.report.charts.whiskers import Whisker, whisker_chart

EVIL = "</svg><script>alert(1)</script>"


def parsed(svg: Markup) -> ElementTree.Element:
    """The drawing as XML, in which nothing lies outside it."""
    root = ElementTree.fromstring(str(svg))
    width, height = (float(part) for part in root.attrib["viewBox"].split()[2:])
    for node in root.iter():
        for name, most in (("cx", width), ("cy", height), ("x1", width), ("y1", height), ("x", width), ("y", height)):
            if name in node.attrib:
                assert -1 <= float(node.attrib[name]) <= most + 1, (node.tag, node.attrib)
    return root


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-4.1, 4.1, [-4, -2, 0, 2, 4]), (3.0, 3.0, [3.0]),
     (0.0, 31_000.0, [0, 10_000, 20_000, 30_000])],
)  # fmt: skip
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, 1e6, 1e12])
def test_ticks_are_few_and_within(scale: float) -> None:
    for low, high in ((-0.3, 1.7), (0.0, 0.9), (5.01, 5.02)):
        ticks = nice_ticks(low * scale, high * scale)
        assert 2 <= len(ticks) <= 6 and low * scale <= ticks[0] and ticks[-1] <= high * scale * (1 + 1e-9)


def test_padded_holds_everything() -> None:
    assert padded([1.0, 3.0], 0.5) == (0.0, 4.0)
    low, high = padded([2.0, float("nan")])
    assert low < 2.0 < high
    assert padded([]) == (0.0, 1.0)


def test_data_units_fill_the_area() -> None:
    canvas = Canvas((0, 10), (0, 1))
    assert (canvas.x(0), canvas.x(10)) == (canvas.left, canvas.width - canvas.right)
    assert (canvas.y(1), canvas.y(0)) == (canvas.top, canvas.height - canvas.bottom)


def test_every_chart_is_well_formed_and_escapes_its_texts() -> None:
    lines = [Line(EVIL, [1, 2, 3], [0.1, float("nan"), 0.4], [0, 0, 0], [1, 1, 1], dots=False), Line("b", [2], [0.5])]
    counts = np.array([[3, 1, 0], [0, 2, 2], [1, 0, 9]])
    drawn = [
        line_chart(lines, (EVIL, "y"), EVIL, EVIL, diagonal=True, ring=(2, 0.5), level=0.3),
        bar_chart([EVIL, "b"], [("train", [0.5, 0.5]), ("test", [1.0, 0.0])], EVIL, EVIL),
        histogram([0, 1, 2], [("train", [0.5, 0.5])], EVIL, EVIL, EVIL),
        whisker_chart([Whisker(EVIL, 1, 0.5, 1.5, group=EVIL), Whisker("b", 2, 2, 2, True)], EVIL, EVIL, EVIL, 1.2),
        confusion_chart([EVIL, "a rather long label", "c"], counts, EVIL, EVIL),
        scatter_chart([0, 1, 2], [0, 2, 1], (EVIL, "y"), EVIL, EVIL, square=True, ends=([0, 0, 0], [1, 9, 9])),
        scatter_chart(list(range(30)), list(range(30)), ("x", "y"), EVIL, EVIL, running_mean=True),
    ]  # fmt: skip
    for svg in drawn:
        root = parsed(svg)
        assert root.attrib["role"] == "img"
        assert [child.tag for child in root][:2] == ["title", "desc"] and root[0].text == EVIL
        assert "script" not in {node.tag for node in root.iter()}


def test_a_slices_name_is_made_safe_wherever_it_stands() -> None:
    svg = str(whisker_chart([Whisker("a\ud800\u202eb" + "c" * 500, 1, 0.5, 1.5)], "x", "t", "d"))
    assert "\ud800" not in svg and "\u202e" not in svg and "c" * 100 not in svg


def test_cells_are_shaded_by_the_true_labels_share() -> None:
    svg = parsed(confusion_chart(["a", "b"], np.array([[3, 1], [0, 4]]), "t", "d"))
    cells = [(node.attrib["class"], node.attrib["style"]) for node in svg.iter("rect")]
    assert cells == [
        ("cell right", "--share:0.750"), ("cell wrong", "--share:0.250"),
        ("cell wrong", "--share:0.000"), ("cell right", "--share:1.000"),
    ]  # fmt: skip
