"""How much each character of a written number matters."""

from __future__ import annotations


def place_weights(text: str) -> list[float]:
    """Place value made mild: 1 for the last digit, one more for each place to its left, one more for the sign.

    The paper's ordered penalty (appendix D.2) wants an error in the integer digit to cost more than one in the last
    decimal. It weighs by token index, which shifts with the sign and with merged digits; here the weight belongs to the
    digit's place. The point carries no information and weighs as the place to its right.

    Args:
        text: A number in fixed point, with or without a sign.

    Returns:
        One weight a character.
    """
    places = [position for position, character in enumerate(text) if character.isdigit()]
    weight = {position: float(len(places) - rank) for rank, position in enumerate(places)}
    for position, character in enumerate(text):
        if character in "+-":
            weight[position] = float(len(places) + 1)
        elif character == ".":
            weight[position] = weight[position + 1]
    return [weight[position] for position in range(len(text))]
