"""How a benchmark tells its figures."""

import json
import sys
from collections.abc import Mapping
from typing import Any


def show(figures: Mapping[str, Any]) -> None:
    """Prints them, as one JSON object when the command line asks for that."""
    if "--json" in sys.argv:
        print(json.dumps(figures))
        return
    for name, figure in figures.items():
        print(f"{name:<28} {figure}")
