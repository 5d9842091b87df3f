from __future__ import annotations

import pytest

from predgen.errors import AnswerError, DataError, Interrupted, ModelError, PredgenError
from predgen.estimators.input_errors import InputError, as_input_errors


@pytest.mark.parametrize("kind", [AnswerError, DataError])
def test_what_is_wrong_with_rows_is_a_value_error_of_the_same_words(kind: type[PredgenError]) -> None:
    with pytest.raises(InputError, match=r"Found\. Wanted\. Do this\.") as caught, as_input_errors():
        raise kind("Found.", "Wanted.", "Do this.")
    assert isinstance(caught.value, ValueError) and isinstance(caught.value.__cause__, kind)


def test_a_stop_ends_a_search_and_other_errors_stay_what_they_are() -> None:
    # A search counts every Exception as a failed fit and goes on; a KeyboardInterrupt is none.
    with pytest.raises(KeyboardInterrupt), as_input_errors():
        raise Interrupted("Stopped.")
    with pytest.raises(ModelError), as_input_errors():
        raise ModelError("No such model.")
