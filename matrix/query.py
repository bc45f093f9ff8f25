"""SQL over the rows of all bundles, with DuckDB: it reads those, and nothing else there is.

Bundles and the statement are untrusted: one SELECT, no files, no extensions, no settings.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from matrix.errors import InputError
from matrix.longtable import LongTable
from matrix.process import Stopped
from matrix.recipes import PARTS
from matrix.rows import BAD, NOT_EVIDENCE
from matrix.verdicts import ACCEPTED, FLAKY, LOUDNESS, WANTS_DEVICES, rank

if TYPE_CHECKING:
    import duckdb

VIEWS = ("rows", "features", "newest", "metrics", "executions", "runs")
MEMORY = "768MB"
_AGAIN = "delete the folders `rows` and `months` in `results/local`: bundles make them again"
BATCH = 1000
"""Lines that are held at a time where an answer is read in parts."""
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": MEMORY,
    "temp_directory": "",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a SELECT gives: names of columns, and lines of plain values in their order."""

    columns: tuple[str, ...]
    lines: tuple[tuple[Any, ...], ...]

    def records(self) -> Iterator[dict[str, Any]]:
        """The lines by column."""
        return (dict(zip(self.columns, line, strict=True)) for line in self.lines)


class Database:
    """The views over one long table; made by `opened`. `left_out` says what could not be read."""

    def __init__(
        self,
        connection: "duckdb.DuckDBPyConnection",
        stop: threading.Event,
        left_out: Sequence[str] = (),
    ) -> None:
        self._connection = connection
        self._stop = stop
        self.left_out = tuple(left_out)

    def select(self, sql: str, values: Sequence[object] = ()) -> Answer:
        """Answer one SELECT; raises `InputError` in one line that names the columns there are."""
        with self._explained(sql):
            columns = self._execute(sql, values)
            return Answer(columns=columns, lines=tuple(self._connection.fetchall()))

    def parts(self, sql: str) -> Iterator[Answer]:
        """Answer one SELECT of any length, `BATCH` lines at a time; raises as `select` does.

        The first part is there also where the answer has no line.
        """
        with self._explained(sql):
            columns = self._execute(sql)
            yield Answer(columns=columns, lines=tuple(self._connection.fetchmany(BATCH)))
            while lines := self._connection.fetchmany(BATCH):
                if self._stop.is_set():  # what is fetched already cannot be interrupted
                    raise Stopped
                yield Answer(columns=columns, lines=tuple(lines))

    def _execute(self, sql: str, values: Sequence[object] = ()) -> tuple[str, ...]:
        """Begin a SELECT and return its columns; its lines are fetched from the connection."""
        import duckdb  # noqa: PLC0415  as in `opened`

        statements = duckdb.extract_statements(sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            problem = "it reads: one SELECT and nothing else"
            raise InputError(f"`{_short(sql)}` is no query:", [problem])
        done = self._connection.execute(statements[0], list(values))
        return tuple(str(column[0]) for column in done.description or ())

    @contextmanager
    def _explained(self, sql: str) -> Iterator[None]:
        """Raise DuckDB's errors as ours."""
        import duckdb  # noqa: PLC0415  as in `opened`

        try:
            yield
        except duckdb.InterruptException as error:
            raise Stopped from error
        except duckdb.OutOfMemoryException as error:
            problem = "ask for fewer rows or columns, with WHERE before joins and ORDER BY"
            raise InputError(f"`{_short(sql)}` needs more than {MEMORY}:", [problem]) from error
        except duckdb.Error as error:
            # what it makes of a statement has a class of its own; of a broken file, mostly none
            if type(error) is duckdb.Error or isinstance(error, duckdb.IOException):
                raise _damaged(error) from error
            first = str(error).partition("\n")[0].partition("Error: ")[2] or str(error)
            raise InputError(f"`{_short(sql)}`: {first}", [self._there_is(sql)]) from error

    def _there_is(self, sql: str) -> str:
        """The columns of the views that a statement names, else the views."""
        named = [view for view in VIEWS if re.search(rf"\b{view}\b", sql, re.IGNORECASE)]
        if not named:
            return f"there are the views {', '.join(VIEWS)}"
        return "; ".join(f"`{view}` has {', '.join(self.columns(view))}" for view in named)

    def columns(self, view: str) -> list[str]:
        """The columns of one of `VIEWS`."""
        return [str(line[0]) for line in self._connection.execute(f"DESCRIBE {view}").fetchall()]


@contextmanager
def opened(table: LongTable, stop: threading.Event) -> Iterator[Database]:
    """A database in memory over these files; `stop` ends what it is busy with."""
    import duckdb  # noqa: PLC0415  a fifth of a second that other commands do not need

    with duckdb.connect(":memory:", config=_SETTINGS) as connection:
        try:
            _set_up(connection, table)
        except duckdb.Error as error:
            raise _damaged(error) from error
        done = threading.Event()
        guard = threading.Thread(target=_interrupt, args=(connection, stop, done), daemon=True)
        guard.start()
        try:
            yield Database(connection, stop, table.complaints)
        finally:
            done.set()
            guard.join()


def _damaged(error: Exception) -> InputError:
    why = str(error).partition("\n")[0].strip(" :")
    return InputError(f"the rows of all runs, put together, are damaged ({why}):", [_AGAIN])


def _set_up(connection: "duckdb.DuckDBPyConnection", table: LongTable) -> None:
    """Make the views, and allow nothing but them."""
    names = ", ".join(_quoted(str(path)) for path in table.files)
    connection.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet([{names}])")  # noqa: S608  quoted
    for statement in _macros():
        connection.execute(statement)
    connection.execute((files(__package__) / "views.sql").read_text(encoding="utf-8"))
    # the views are read later, so their files stay allowed, and a SELECT writes none
    connection.execute(f"SET allowed_paths = [{names}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def _interrupt(
    connection: "duckdb.DuckDBPyConnection", stop: threading.Event, done: threading.Event
) -> None:
    while not done.wait(0.05):
        if stop.is_set():
            connection.interrupt()


def _macros() -> Iterator[str]:
    """The words of `verdicts` for SQL."""
    words = sorted([*LOUDNESS, *(word + ACCEPTED for word in LOUDNESS)], key=rank)
    ranks = ", ".join(map(_quoted, words))
    bad = ", ".join(map(_quoted, sorted(BAD)))
    accepted = _quoted(ACCEPTED)
    yield (
        "CREATE MACRO verdict_of(verdict, waiver) AS "
        f"CASE WHEN waiver <> '' THEN verdict || {accepted} ELSE verdict END"
    )
    yield (
        f"CREATE MACRO loudness(verdict) AS coalesce(list_position([{ranks}], verdict), "
        f"list_position([{ranks}], 'fail'))"
    )
    yield (
        "CREATE MACRO by_chance(verdict, differ, was_wrong, recipe) AS CASE "
        f"WHEN NOT differ OR recipe = '' OR verdict = 'skip' OR ends_with(verdict, {accepted}) "
        f"THEN verdict WHEN was_wrong THEN 'wrong' ELSE {_quoted(FLAKY)} END"
    )
    # the last one that is shown is what counts; one that was skipped for want of devices, least;
    # one that never ran, not at all
    silent = ", ".join(map(_quoted, sorted(NOT_EVIDENCE)))
    yield f"CREATE MACRO is_evidence(verdict) AS verdict NOT IN ({silent})"
    yield (
        "CREATE MACRO stamp_of(verdict, reason, is_shown, moment, run) AS CASE "
        "WHEN NOT is_evidence(verdict) THEN '' ELSE CASE "
        f"WHEN verdict = 'skip' AND regexp_full_match(reason, {_quoted(WANTS_DEVICES)}) THEN '0 ' "
        "WHEN is_shown THEN '2 ' ELSE '1 ' END || moment || ' ' || run END"
    )
    hashes, place = "string_split(recipe, '-')", PARTS.index("settings") + 1
    yield (
        f"CREATE MACRO settings_of(recipe) AS CASE WHEN len({hashes}) = {len(PARTS)} "
        f"THEN {hashes}[{place}] ELSE recipe END"
    )
    # `2.10.0` after `2.9.1`
    yield (
        "CREATE MACRO release(torch) AS list_transform("
        "regexp_extract_all(torch, '[0-9]+'), lambda n: try_cast(n AS BIGINT))"
    )
    yield f"CREATE MACRO is_bad(verdict) AS verdict IN ({bad})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= 100 else f"{line[:97]}…"  # noqa: PLR2004
