"""The rows of all bundles → candidates: what each execution showed, newest evidence first.

Numbers are only taken where they may be compared: times of the same test source under the same
power limit, memory of the same tests.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from matrix import facts
from matrix.guide.candidates import Candidate, Finding
from matrix.query import Database
from matrix.rows import FEWEST_ROUNDS, STEADY
from matrix.series import parameters

PROCESS = "process"
"""The workload that is no throughput: what a new process pays to import torch."""
_Key = tuple[str, str, str, str]
_Line = dict[str, Any]
_Numbers = dict[tuple[str, str, str], float]
_PLACE = "cell, execution, provision, device_model"
_RUNS = "(len($1) = 0 OR list_contains($1, run))"
_ABOUT = ("torch", "variant", "accelerator", "python", "companions")
_TOLD = ", ".join(f"any_value({name}) AS {name}" for name in _ABOUT)
_AT_ONCE = 16
"""Features asked for together: a year of nights has millions of their outcomes."""
_FEATURES = f"SELECT DISTINCT feature FROM rows WHERE feature <> '' AND metric = '' AND {_RUNS}"  # noqa: S608  constants
# `runs` and `nights` are those that passed since a feature last did anything else
_FINDINGS = f"""
WITH told AS (
    SELECT *, time || ' ' || run AS stamp FROM features
    WHERE is_evidence(verdict) AND verdict <> 'skip' AND {_RUNS} AND feature BETWEEN $2 AND $3
), marked AS (
    SELECT *, max(CASE WHEN verdict = 'pass' THEN '' ELSE stamp END)
        OVER (PARTITION BY {_PLACE}, feature) AS lost
    FROM told
), recipes AS (
    SELECT {_PLACE}, feature, recipe, max(stamp) AS stamp, max(time) AS time, {_TOLD},
        arg_max(verdict, stamp) AS verdict, arg_max(reason, stamp) AS reason,
        count(DISTINCT verdict) AS verdicts, bool_or(verdict = 'wrong') AS was_wrong,
        list(DISTINCT run) FILTER (stamp > lost) AS runs,
        list(DISTINCT time[:10]) FILTER (stamp > lost) AS nights
    FROM marked GROUP BY {_PLACE}, feature, recipe
)
SELECT {_PLACE}, feature, {_TOLD}, max(time)[:10] AS verified, max(time) AS time,
    arg_max(by_chance(verdict, verdicts > 1, was_wrong, recipe), stamp) AS verdict,
    arg_max(reason, stamp) AS reason, len(list_distinct(flatten(list(runs)))) AS runs,
    len(list_distinct(flatten(list(nights)))) AS nights
FROM recipes GROUP BY {_PLACE}, feature ORDER BY {_PLACE}, feature
"""  # noqa: S608  constants
# of each number its newest run; what was disturbed, and rounds that repeat what stood out, are no
# numbers; the test's source stands beside its outcome
_NUMBERS = f"""
WITH sources AS (
    SELECT run, {_PLACE}, suite, test, max(source) AS source FROM rows
    WHERE metric = '' AND verdict <> '' AND workload <> '' GROUP BY ALL
), told AS (
    SELECT rows.run, {_PLACE}, workload, params, metric, max(time) AS time,
        median(median) AS value, count(*) AS rounds, max(kind) AS kind,
        coalesce(stddev_samp(median) / avg(median), 0) AS varies,
        max(coalesce(nullif(rows.source, ''), sources.source, '')) AS source,
        coalesce(max(power_limit), 0) AS power
    FROM rows LEFT JOIN sources USING (run, {_PLACE}, suite, test)
    WHERE better = 'lower' AND workload <> '' AND reason = '' AND phase <> 'again' AND median > 0
        AND (metric = 'time' AND unit = 's' OR workload = '{PROCESS}' AND metric = 'import'
            AND unit = 's' OR workload = '{PROCESS}' AND metric = 'host-memory' AND unit = 'B')
        AND (len($1) = 0 OR list_contains($1, rows.run))
    GROUP BY rows.run, {_PLACE}, workload, params, metric
)
SELECT * FROM told
QUALIFY row_number() OVER (
    PARTITION BY {_PLACE}, workload, params, metric ORDER BY time DESC, run DESC) = 1
ORDER BY time, run
"""  # noqa: S608  constants
_SIZES = f"""
WITH told AS (
    SELECT run, max(time) AS time, {_PLACE}, suite, max(driver) AS driver,
        max(install_bytes) AS install, max(image_bytes) AS image, max(peak_rss) AS memory,
        sum(hash(test)) FILTER (metric = '' AND round < 2) AS tests
    FROM rows WHERE provision <> '' AND {_RUNS} GROUP BY run, {_PLACE}, suite
)
SELECT {_PLACE}, arg_max(driver, time) AS driver, arg_max(install, time) AS install,
    arg_max(image, time) AS image, max(time) AS time,
    arg_max(memory, time) FILTER (suite = 'feature') AS memory,
    arg_max(tests, time) FILTER (suite = 'feature' AND memory IS NOT NULL) AS tests
FROM told GROUP BY {_PLACE} ORDER BY time
"""  # noqa: S608  constants
# the newest word of a suite in a cell that got no further; it may not know its device
_BROKEN = f"""
SELECT cell, execution, suite, {_TOLD}, arg_max(verdict, time) FILTER (test = '') AS verdict,
    arg_max(reason, time) FILTER (test = '') AS reason, max(time)[:10] AS verified
FROM rows
WHERE metric = '' AND verdict <> '' AND is_evidence(verdict) AND suite = 'feature' AND {_RUNS}
GROUP BY cell, execution, suite HAVING max(time) FILTER (test = '') = max(time)
ORDER BY cell, execution
"""  # noqa: S608  constants


def candidates(database: Database, runs: Sequence[str] = ()) -> tuple[Candidate, ...]:
    """All executions with evidence, in these runs or, without any, in all of the database."""

    def lines(sql: str, *values: str) -> list[_Line]:
        return list(database.select(sql, [list(runs), *values]).records())

    findings: dict[_Key, dict[str, Finding]] = {}
    about: dict[_Key, _Line] = {}
    names = sorted(line["feature"] for line in lines(_FEATURES))
    some = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    for line in chain.from_iterable(lines(_FINDINGS, part[0], part[-1]) for part in some):
        findings.setdefault(_key(line), {})[line["feature"]] = _finding(line)
        known = about.setdefault(_key(line), line)
        known["verified"] = max(known["verified"], line["verified"])
    numbers = _comparable(lines(_NUMBERS))
    sizes = _comparable_memory(lines(_SIZES), numbers)
    broken = {(line["cell"], line["execution"]): line for line in lines(_BROKEN)}
    made = [
        _candidate(key, about[key], seen, numbers.get(key, {}), sizes.get(key, {}), broken)
        for key, seen in findings.items()
    ]
    ran = {key[:2] for key in findings}
    nowhere = [(*place, "", "") for place in broken if place not in ran]
    return (*made, *(_candidate(key, broken[key[:2]], {}, {}, {}, broken) for key in nowhere))


def _key(line: _Line) -> _Key:
    return line["cell"], line["execution"], line["provision"], line["device_model"]


def _finding(line: _Line) -> Finding:
    return Finding(**{name: line[name] for name in Finding.__dataclass_fields__})


def _candidate(
    key: _Key,
    about: _Line,
    findings: Mapping[str, Finding],
    numbers: _Numbers,
    sizes: _Line,
    broken: Mapping[tuple[str, str], _Line],
) -> Candidate:
    cell, execution, provision, model = key
    build = facts.builds().get(about["torch"], {}).get(about["variant"])
    end = broken.get((cell, execution))
    return Candidate(
        cell=cell,
        execution=execution,
        provision=provision,
        device_model=model,
        **{name: about[name] for name in _ABOUT},
        driver=sizes.get("driver") or "",
        findings=findings,
        times={(work, params): s for (work, params, what), s in numbers.items() if what == "time"},
        import_seconds=numbers.get((PROCESS, "", "import")),
        install_bytes=sizes.get("install"),
        image_bytes=sizes.get("image"),
        memory_bytes=sizes.get("memory"),
        released=build.released if build and build.published else "",
        verified=about["verified"],
        broken=f"{end['verdict']}: {end['reason']}" if end else "",
    )


def _comparable(lines: Sequence[_Line]) -> dict[_Key, _Numbers]:
    """Numbers by execution, of those taken as the newest on that kind of device was."""
    taken = {_number(line): (line["source"], line["power"]) for line in lines}
    found: dict[_Key, _Numbers] = {}
    for line in lines:
        if taken[_number(line)] == (line["source"], line["power"]) and _is_steady(line):
            name = (line["workload"], parameters(line["params"])[0], line["metric"])
            found.setdefault(_key(line), {})[name] = line["value"]
    return found


def _is_steady(line: _Line) -> bool:
    """Whether processes that measured the same agree."""
    limit = STEADY.get(_device(line)[0], 0.0)
    many = line["rounds"] >= FEWEST_ROUNDS and line["kind"] == "steady"
    return not many or bool(line["varies"] <= limit)


def _device(line: _Line) -> tuple[str, str]:
    return line["execution"].rpartition("-")[2], line["device_model"]


def _number(line: _Line) -> tuple[str, ...]:
    """What is measured where: numbers of one such name are compared."""
    return *_device(line), line["workload"], parameters(line["params"])[0], line["metric"]


def _comparable_memory(
    lines: Sequence[_Line], numbers: Mapping[_Key, _Numbers]
) -> dict[_Key, _Line]:
    """Sizes by execution, with memory as far as it may be compared.

    It is that of a process that only imports torch; where nobody on such a device measured that,
    that of the feature suite, in those that ran the tests that ran last there.
    """
    memory = (PROCESS, "", "host-memory")
    told = {_device(line) for line in lines if memory in numbers.get(_key(line), {})}
    tests = {_device(line): line["tests"] for line in lines if line["tests"]}
    found = {}
    for line in lines:
        own = line["memory"] if line["tests"] == tests.get(_device(line)) else None
        if _device(line) in told:
            own = numbers.get(_key(line), {}).get(memory)
        found[_key(line)] = line | {"memory": own}
    return found
