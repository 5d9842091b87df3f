from __future__ import annotations

from predgen.report.leaks import plain, repeats_of, twins_of


def test_plain_forgets_what_a_reader_does_not_see() -> None:
    assert plain("  The FILM,\n was ｇｏｏｄ!! ") == plain("the film was good") == "the film was good"
    assert plain("good") != plain("goods")
    assert plain("!?") != plain("…")  # of nothing but punctuation, the punctuation counts


def test_leaks_are_found_between_every_two_parts() -> None:
    parts = {
        "training": (["A good film", "Bad.", "alone"], [0, 1, 2]),
        "dev": (["bad", "other"], [3, 4]),
        "test": (["A good film", "a GOOD film!", "other"], [5, 6, 7]),
    }
    found = {(each.earlier, each.later): each for each in twins_of(parts)}
    assert found.keys() == {("training", "dev"), ("training", "test"), ("dev", "test")}
    of_test = found["training", "test"]
    assert (of_test.rows, of_test.alike) == (2, 1)
    assert of_test.examples == [(5, 0, "A good film"), (6, 0, "a GOOD film!")]
    assert found["training", "dev"].alike == 1 and found["dev", "test"].alike == 0


def test_repeats_and_their_disagreements() -> None:
    found = repeats_of(["a b", "A b", "a b!", "c", "c"], ["x", "x", "y", "z", "z"])
    assert found.rows == 3 and found.disagreeing == 1
    assert found.examples == [("a b", ["x", "y"])]
