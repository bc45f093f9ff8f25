"""How data is printed."""

import json


def print_json(data: object) -> None:
    """Print data for machines."""
    print(json.dumps(data, indent=1, default=str))
