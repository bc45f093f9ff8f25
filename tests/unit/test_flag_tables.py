"""The committed tables of engines' flags, and how `sync` adds releases to them."""

from contextlib import nullcontext

import pytest

from matrix.facts import flags as tables
from matrix.facts import natural, table
from matrix.facts.flags import ENGINES, Flag, flags_of, releases, row_of, spans, stretch_of
from matrix.facts.flagtables import GRAPHS, RELEASES, TABLES, VARIABLES, sync_flags
from matrix.facts.graphdefaults import largest_batch
from matrix.facts.listings import File, Listing, Row, write_table

DAY = "2026-11-23"
SERVER = "class ServerArgs:\n    def add_cli_args(parser):\n"


def committed() -> dict[str, list[Row]]:
    return {name: list(table(name)) for name in TABLES}


def wheel(*flags: str, variables: str = "") -> dict[str, str]:
    calls = [f"        parser.add_argument({flag})\n" for flag in flags]
    return {
        "sglang/srt/server_args.py": SERVER + "".join(calls),
        "sglang/srt/environ.py": f"class Envs:\n    {variables or 'pass'}\n",
    }


def listing(**files: dict[str, str] | None) -> Listing:
    """An index that has these releases (`v0_5_24`), each a wheel of these members or unreadable."""
    names = {
        f"sglang-{v[1:].replace('_', '.')}-py3-none-any.whl": read for v, read in files.items()
    }
    return Listing(
        place="index 1",
        files=tuple(File(filename=name, uploaded="2026-11-20") for name in names),
        members=lambda file: nullcontext((names[file.filename] or {}).get),
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_every_release_has_a_flag_list_of_the_size_that_was_read(engine):
    sizes = {
        row["release"]: int(row["flags"]) for row in table(RELEASES) if row["engine"] == engine
    }
    assert list(sizes) == sorted(sizes, key=natural)
    assert {release: len(flags_of(engine, release)) for release in sizes} == sizes


@pytest.mark.parametrize("engine", ENGINES)
def test_definitions_of_a_flag_do_not_overlap(engine):
    order = {release: place for place, release in enumerate(releases(engine))}
    last: dict[str, int] = {}
    for one in tables.stretches(engine):
        assert order[one.since] <= order[one.until]
        assert last.get(one.flag.name, -1) < order[one.since], one.flag.name
        last[one.flag.name] = order[one.until]


@pytest.mark.parametrize(
    ("flag", "has", "has_not"),
    [
        ("--torchao-config", ["0.4.0", "0.5.17"], ["0.5.18", "0.5.23"]),
        ("--cuda-graph-max-bs", ["0.4.0", "0.5.13", "0.5.19"], ["0.5.20", "0.5.23"]),
        ("--cuda-graph-max-bs-decode", ["0.5.14", "0.5.23"], ["0.5.12", "0.5.13.post1"]),
        ("--attn-dp-size", ["0.5.22"], ["0.5.21"]),
        ("--fp8-gemm-backend", ["0.5.7"], ["0.5.6"]),
    ],
)
def test_flags_came_and_went(flag, has, has_not):
    assert [release for release in has if flag not in flags_of("sglang", release)] == []
    assert [release for release in has_not if flag in flags_of("sglang", release)] == []


def test_a_flag_is_deprecated_before_it_goes():
    flag = flags_of("sglang", "0.5.19")["--cuda-graph-max-bs"]
    assert (flag.status, flag.instead) == ("deprecated", "--cuda-graph-max-bs-decode")
    assert flags_of("sglang", "0.5.13")["--cuda-graph-max-bs"].status == ""


def test_flags_that_only_stop_the_launch_are_refused():
    flag = flags_of("sglang", "0.5.4")["--enable-ep-moe"]
    assert flag.refusal([]) == "`--enable-ep-moe` only stops the launch; use `--ep-size`"


def test_default_graph_sizes_changed_with_0_5_20():
    sizes = [largest_batch(tables.graph_defaults("sglang", release), 32 * 1024, 1)
             for release in ("0.5.3", "0.5.12", "0.5.19", "0.5.20", "0.5.23")]  # fmt: skip
    assert sizes == [16, 24, 24, 48, 48]
    assert tables.graph_defaults("sglang", "0.5.2") == ()


def test_variables_of_a_release():
    assert "SGLANG_USE_AITER" in tables.variables_of("sglang", "0.5.23")
    assert "VLLM_ROCM_USE_AITER" in tables.variables_of("vllm", "0.33.0")
    assert "SGLANG_USE_AITER" not in tables.variables_of("sglang", "0.4.0")


@pytest.mark.parametrize(
    ("flag", "values", "said"),
    [
        (Flag(name="--a", takes="nothing"), [], ""),
        (Flag(name="--a", takes="nothing"), ["1"], "`--a` takes no value, got `1`"),
        (Flag(name="--a"), [], "`--a` needs a value"),
        (Flag(name="--a"), ["1", "2"], "`--a` takes one value, got 2"),
        (Flag(name="--a", number="+", takes="int"), ["1", "2"], ""),
        (Flag(name="--a", number="?"), [], ""),
        (Flag(name="--a", takes="int"), ["1.5"], "`--a` takes a whole number, got `1.5`"),
        (Flag(name="--a", takes="float"), ["x"], "`--a` takes a number, got `x`"),
        (Flag(name="--a", values=("b", "c"), closed=True), ["d"],
         "`--a` does not take `d`; it takes b, c"),
        (Flag(name="--a", values=("b", "c")), ["d"], ""),
    ],
)  # fmt: skip
def test_what_a_flag_refuses(flag, values, said):
    assert flag.refusal(values) == said


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_are_written_as_they_are_read(engine):
    rows = list(table(f"{engine}_flags.csv"))
    again = [row_of(one.flag, one.since, one.until) for one in map(stretch_of, rows)]
    assert again == rows


def test_spans_break_where_a_release_lacks_a_thing():
    by = {"0.9.0": ["a"], "0.10.0": ["a", "b"], "0.11.0": ["b"], "0.11.0.post1": ["a", "b"]}
    assert sorted(spans(by)) == [
        ("a", "0.11.0.post1", "0.11.0.post1"),
        ("a", "0.9.0", "0.10.0"),
        ("b", "0.10.0", "0.11.0.post1"),
    ]


def test_sync_without_news_leaves_the_tables_as_they_are():
    before = committed()
    done = sync_flags("sglang", before, [listing(v0_5_23=None)], DAY)
    assert done.seen == ()
    for name, rows in before.items():
        assert write_table(done.tables[name]) == write_table(rows), name


def test_sync_adds_a_release_and_removes_nothing():
    before = committed()
    new = wheel('"--tp-size", type=int', '"--brand-new"', variables="SGLANG_NEW = EnvBool(False)")
    done = sync_flags("sglang", before, [listing(v0_5_24=new)], DAY)
    added = [row for row in done.tables[RELEASES] if row not in before[RELEASES]]
    assert added == [
        {
            "engine": "sglang",
            "release": "0.5.24",
            "date": "2026-11-20",
            "flags": "2",
            "source": f"sglang-0.5.24-py3-none-any.whl, read {DAY}",
            "status": "observed",
        }
    ]
    flags = {(row["flag"], row["since"], row["until"]) for row in done.tables["sglang_flags.csv"]}
    assert ("--brand-new", "0.5.24", "0.5.24") in flags
    assert ("--torchao-config", "0.4.0", "0.5.17") in flags
    assert done.tables["vllm_flags.csv"] == before["vllm_flags.csv"]
    assert {"engine": "sglang", "name": "SGLANG_NEW", "since": "0.5.24", "until": "0.5.24"} in (
        done.tables[VARIABLES]
    )
    assert len(done.tables[VARIABLES]) == len(before[VARIABLES]) + 1
    assert done.tables[GRAPHS] == before[GRAPHS]


def test_sync_takes_releases_in_any_order():
    both = {"v0_5_25": wheel('"--a"', '"--b"'), "v0_5_24": wheel('"--a"')}
    once = sync_flags("sglang", committed(), [listing(**both)], DAY)
    later = sync_flags("sglang", committed(), [listing(v0_5_25=both["v0_5_25"])], DAY)
    twice = sync_flags("sglang", later.tables, [listing(**both)], DAY)
    assert once.tables == twice.tables


def test_sync_says_of_a_wheel_without_definitions_that_nothing_is_known():
    done = sync_flags("sglang", committed(), [listing(v0_5_24=None)], DAY)
    (seen,) = done.seen
    assert (seen.version, seen.state) == ("0.5.24", "unknown")
    assert done.tables == committed()
