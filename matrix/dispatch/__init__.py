"""How jobs reach runners."""
