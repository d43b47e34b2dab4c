"""Colours of activations, the same on a terminal and on a page."""

HIGH, LOW = (230, 159, 0), (86, 180, 233)  # above 0, below 0; told apart by all colour vision
FAINT = 0.1  # of the strongest activation, below which a token is not shaded


def shade(activation: float, strongest: float) -> str | None:
    """`#rrggbb` on white, the fuller the stronger; None where it is faint."""
    share = abs(activation) / (strongest or 1.0)
    if share < FAINT:
        return None
    colour = (round(255 - share * (255 - c)) for c in (HIGH if activation > 0 else LOW))
    return "#{:02x}{:02x}{:02x}".format(*colour)
