"""Launch flags and variables of a serving engine for the PyTorch environment at hand.

    from matrix.adapt import plan

    for setting in plan(engine="sglang", release="0.5.23", gpu="H200").settings:
        print(setting.text, "#", setting.reason)

Every setting says why, of what kind the statement is and where it comes from; what is not known is
left to the engine, with the reason. An unknown release, flag or GPU is refused.
"""

from matrix.adapt.planning import plan
from matrix.adapt.settings import Left, Plan, Setting

__all__ = ["Left", "Plan", "Setting", "plan"]
