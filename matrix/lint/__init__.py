"""Mistakes of code that must work with more than one torch, found without running it.

| rule | what it finds |
|---|---|
| `version-as-text` | the order of a version that is plain text: `"12.10" >= "12.3"` is False; and \
`startswith("2.1")`, which is how 2.10 begins, too |
| `version-label` | `torch.__version__ == "2.9.1"`: a wheel says `2.9.1+cu128`, which is not equal |
| `absent-flag` | a flag of a launch command that the engine's release lacks or deprecates: the \
one that the file names for it, otherwise the target |
| `private-api` | a note: a name of torch that begins with `_`, without a guard or an upper bound |
| `ignore` | a `# matrix: ignore[rule]` that names no rule, or gives no reason |

`torch.__version__ < "2.11.0"` is no mistake: since 1.10 it is a `TorchVersion`, which compares with
text by version (torch/torch_version.py). `torch.version.cuda` and `torch.__version__.split("+")[0]`
are plain text.
"""
