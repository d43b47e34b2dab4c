"""How a benchmark tells its figures."""

import json
import sys
from collections.abc import Mapping


def show(figures: Mapping[str, float]) -> None:
    """Prints them, as one JSON object when the command line asks for that."""
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:<28} {figure}")
