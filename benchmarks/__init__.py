"""Measurements of this project, not part of its wheel; README.md says what each shows."""
