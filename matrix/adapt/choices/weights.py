"""Quantization of the weights and of the KV cache: by hardware, toolkit, torch, and measurement."""

from matrix.adapt.evidence import Evidence, Measured, same
from matrix.adapt.gates import Gate, chosen
from matrix.adapt.settings import Left, Setting
from matrix.adapt.situation import Situation
from matrix.errors import InputError

_FEATURES = {"fp8": "fp8-scaled-mm", "int8": "int8-matmul", "fp4": "nvfp4-scaled-mm"}
"""Wish → the feature of the suite that proves the product it needs."""
_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}
_BAD = frozenset({"wrong", "fail", "crash", "timeout", "oom"})


def quantization(situation: Situation, evidence: Evidence) -> Setting | Left:
    """What `--quantization` or `--dtype` says; raises `InputError` for a wish that cannot be met.

    A measured pass makes the statement measured; a measured failure forbids what a gate allows.
    """
    wish = situation.served.weights
    if wish == "auto":
        return _own(situation, evidence)
    if wish in _DTYPES:
        return _plain(situation, _DTYPES[wish])
    found = chosen(situation, "quantization", wish)
    if isinstance(found, Left):
        raise InputError("cannot adapt to this:", [_refusal(situation, wish, found)])
    measured = evidence.feature(_FEATURES[wish], situation.gpu)
    here = same(measured, situation.torch.version)
    if bad := [one for one in here if one.verdict in _BAD | {"unsupported"}]:
        what = f"{wish} on {situation.gpu} with torch {situation.torch.version}"
        problem = f"{what}: `{_FEATURES[wish]}` was measured as {bad[0].verdict} ({bad[0].where})"
        raise InputError("cannot adapt to this:", [problem])
    return _decided(situation, found, wish, measured, here)


def _own(situation: Situation, evidence: Evidence) -> Left:
    """The checkpoint's own weights, with what would be possible."""
    found = chosen(situation, "quantization", "fp8")
    reason = "the checkpoint's own"
    if isinstance(found, Gate):
        measured = evidence.feature(_FEATURES["fp8"], situation.gpu)
        said = _said(situation, "fp8", measured, same(measured, situation.torch.version))
        reason += f"; FP8 would be possible (`--dtype fp8`): {said}"
    else:
        reason += f"; no FP8 here: {situation.architecture.note or found.reason}"
    return Left(choice="quantization", reason=reason, kind="declared",
                source="the engines read the checkpoint's quantization_config")  # fmt: skip


def _decided(
    situation: Situation, gate: Gate, wish: str, measured: list[Measured], here: list[Measured]
) -> Setting:
    needs = f"; the checkpoint must be {gate.weights}" if gate.weights else ""
    said = _said(situation, wish, measured, here)
    setting = gate.setting(situation, f"{gate.why}{needs}; {said}")
    if not here:
        return setting
    return Setting(
        choice=setting.choice,
        name=setting.name,
        values=setting.values,
        reason=setting.reason,
        kind="measured",
        source=f"{here[0].where}; gate: {gate.source}",
    )


def _said(situation: Situation, wish: str, measured: list[Measured], here: list[Measured]) -> str:
    """What was measured of the product this needs, in words."""
    what = f"`{_FEATURES[wish]}`"
    if here:
        return f"{what} measured as pass on {situation.gpu} with torch {here[0].torch}"
    torch = situation.torch.version or "the engine's torch"
    text = f"{what} not measured on {situation.gpu} with {'torch ' * torch[0].isdigit()}{torch}"
    if measured:
        text += f" (newest there: torch {measured[-1].torch}, {measured[-1].verdict})"
    return text


def _refusal(situation: Situation, wish: str, found: Left) -> str:
    where = situation.architecture
    why, source = lacking(situation, wish) or (found.reason, found.source)
    kind = f"{wish} weights on {situation.gpu} ({where.arch}) with {situation.engine} "
    text = f"{kind}{situation.release}: {why} (gated; source: {source})"
    if found.kind == "unknown":
        return text
    return f"{text}; use `{'fp8' if where.fp8 and wish != 'fp8' else 'bf16'}`"


def lacking(situation: Situation, wish: str) -> tuple[str, str] | None:
    """(what the architecture lacks for a wish, source), or None if it is not the architecture."""
    where = situation.architecture
    if (wish == "fp8" and not where.fp8) or (wish == "fp4" and not where.fp4):
        note = where.note if wish == "fp8" else ""
        return note or f"{where.arch} has no {wish.upper()} in its matrix units", where.source
    return None


def _plain(situation: Situation, dtype: str) -> Setting:
    flag = situation.flags.first(["--dtype"])
    if flag is None or flag.refusal([dtype]):
        message = f"{situation.engine} {situation.release} has no `--dtype {dtype}`"
        raise InputError("cannot adapt to this:", [message])
    return Setting(
        choice="quantization",
        name=flag.name,
        values=(dtype,),
        reason="weights and activations as asked for; nothing is quantized",
        kind="given",
        source="--dtype of the command",
    )


def kv_cache(situation: Situation) -> Setting | Left:
    """What `--kv-cache-dtype` says; raises `InputError` for a wish that cannot be met."""
    wish = situation.served.kv
    if wish == "auto":
        found = chosen(situation, "kv cache", "fp8")
        possible = isinstance(found, Gate)
        reason = "as the activations"
        reason += "; FP8 halves it, but may cost accuracy: `--kv-dtype fp8`" if possible else ""
        return Left(choice="kv cache", reason=reason, kind="declared", source=found.source)
    found = chosen(situation, "kv cache", wish)
    if isinstance(found, Left):
        where = f"{wish} KV cache on {situation.gpu} ({situation.architecture.arch})"
        why, source = lacking(situation, wish) or (found.reason, found.source)
        problem = f"{where}: {why} (gated; source: {source})"
        raise InputError("cannot adapt to this:", [problem])
    return found.setting(situation)
