"""Breaks torch in every process that finds this on its path, as named in ``MATRIX_MUTANTS``.

Python imports this module by itself when it starts; torch is broken the moment it is imported.
"""

import importlib.machinery
import os
import sys

import mutants

NAMES = tuple(filter(None, os.environ.get("MATRIX_MUTANTS", "").split(",")))


class AfterTorch(importlib.machinery.PathFinder):
    """Finds torch where it is, and breaks it once it is there."""

    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        spec = super().find_spec(fullname, path, target) if fullname == "torch" else None
        if spec is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                for name in NAMES:
                    mutants.MUTANTS[name].apply(module)

            spec.loader.exec_module = exec_module
        return spec


if NAMES:
    sys.meta_path.insert(0, AfterTorch)
