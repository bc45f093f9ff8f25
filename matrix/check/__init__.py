"""Whether an environment can work: what is wrong with it, by which evidence, and what fixes it.

`reading.py` reads a machine, `record.py` a recorded one; `rules/` say what follows from what is
known of it; `nearest.py` finds the tested cell that is most like it. Nothing here imports torch or
a serving engine.
"""
