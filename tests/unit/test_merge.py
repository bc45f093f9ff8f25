"""Bundles from elsewhere: what is whole comes in once; what is not is refused by name."""

import bz2
import gzip
import io
import json
import shutil
import stat
import tarfile
import zipfile

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from stores import feature, keep, row

from matrix.engines.archives import Caps
from matrix.incoming import SourceRefused, folder_of, shown
from matrix.merge import merge
from matrix.store import Store


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def away(tmp_path):
    """The results of another machine."""
    return tmp_path / "away"


@pytest.fixture
def take(results):
    def call(*sources):
        return list(merge(map(str, sources), results / "local" / "runs"))

    return call


def bundle(away, run):
    return away / "local" / "runs" / run


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def pack_tar(folder, path, mode="w:gz"):
    with tarfile.open(path, mode) as tar:
        tar.add(folder, arcname="artefact")
    return path


def pack_zip(folder, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in sorted(folder.rglob("*")):
            file.write(name, name.relative_to(folder))
    return path


def memory(folder, path):
    """The same in an object store, by URL."""
    files = fsspec.filesystem("memory")
    files.rm("/", recursive=True) if files.ls("/") else None
    for name, data in tree(folder).items():
        files.pipe(f"/bucket/{name}", data)
    return "memory://bucket"


def memory_tar(folder, path):
    files = fsspec.filesystem("memory")
    files.pipe("/night.tar.xz", pack_tar(folder, path, "w:xz").read_bytes())
    return "memory://night.tar.xz"


@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(lambda folder, _: folder, id="folder"),
        pytest.param(lambda folder, _: folder / "local" / "runs", id="folder-of-runs"),
        pytest.param(pack_tar, id="tar.gz"),
        pytest.param(lambda folder, path: pack_tar(folder, path, "w"), id="tar"),
        pytest.param(lambda folder, path: pack_tar(folder, path, "w:bz2"), id="tar.bz2"),
        pytest.param(pack_zip, id="zip"),
        pytest.param(memory, id="url-of-a-folder"),
        pytest.param(memory_tar, id="url-of-an-archive"),
    ],
)
def test_bundles_come_in_whole_and_once(results, away, take, tmp_path, pack):
    runs = [keep(away, feature("a")), keep(away, feature("b"), night=2)]
    source = pack(away, tmp_path / "night")
    first = take(source)
    assert [(one.run, one.outcome) for one in first] == [(run, "merged") for run in runs]
    assert tree(results / "local" / "runs") == tree(away / "local" / "runs")
    assert [(one.run, one.outcome) for one in take(source)] == [(run, "present") for run in runs]
    assert [row.feature for row in Store(results).rows(Store(results).newest())] == ["b"]


def test_a_run_that_was_killed_comes_in_without_what_it_left_half_done(results, away, take):
    run = keep(away, feature("a"), finish=False)
    half = bundle(away, run) / "cells" / "torch2.6.0-cpu-py3.11" / "venv-cpu" / ".other.1.tmp"
    half.mkdir()
    (half / "rows.parquet").write_bytes(b"half")
    [one] = take(away)
    assert (one.outcome, one.finished, one.suites) == ("merged", False, 1)
    assert not list(results.rglob(".*"))


def edit(path, **changes):
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **changes}))


def suite_of(folder):
    [path] = folder.glob("cells/*/*/feature")
    return path


def newer_rows(folder):
    path = suite_of(folder) / "rows.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("schema")
    pq.write_table(table.set_column(place, "schema", pa.array([9] * table.num_rows)), path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def link(folder):
    (suite_of(folder) / "suite.log").symlink_to("/etc/hostname")


def other_place(folder):
    suite = suite_of(folder)
    suite.rename(suite.with_name("throughput"))


def of_another_run(folder):
    path = folder / "run.json"
    executions = json.loads(path.read_text())["executions"]
    edit(path, executions=[{**one, "run": "20260101T000000Z-000001"} for one in executions])


def no_rows(folder):
    path = suite_of(folder) / "rows.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(of_another_run, "run.json names a suite of '20260101T000000Z-000001'",
                     id="suites-of-another-run"),
        pytest.param(no_rows, "rows.parquet has none of the tests that execution.json counts",
                     id="none-of-the-rows"),
        pytest.param(lambda b: cut(b / "run.json"), "run.json is damaged", id="cut-run.json"),
        pytest.param(lambda b: (b / "run.json").write_text("[]"), "run.json is damaged", id="list"),
        pytest.param(lambda b: cut(suite_of(b) / "execution.json"), "execution.json is damaged",
                     id="cut-execution.json"),
        pytest.param(lambda b: cut(suite_of(b) / "rows.parquet"), "rows.parquet: Parquet",
                     id="cut-rows"),
        pytest.param(lambda b: (suite_of(b) / "rows.parquet").unlink(), "rows.parquet: ",
                     id="no-rows"),
        pytest.param(lambda b: shutil.rmtree(b / "cells"), "it holds no suite that ended",
                     id="no-suites"),
        pytest.param(lambda b: edit(b / "run.json", schema=2),
                     "run.json is of schema 2, this version reads 1: update torch-matrix",
                     id="newer-run"),
        pytest.param(lambda b: edit(b / "plan.json", schema=2),
                     "plan.json is of schema 2, this version reads 1", id="newer-plan"),
        pytest.param(lambda b: edit(suite_of(b) / "execution.json", schema=2),
                     "execution.json is of schema 2, this version", id="newer-suite"),
        pytest.param(newer_rows, "it is of schema 9, this version reads 1", id="newer-rows"),
        pytest.param(lambda b: edit(b / "run.json", id="other"), "run.json is of 'other'",
                     id="another-id"),
        pytest.param(lambda b: edit(suite_of(b) / "execution.json", run="other"),
                     "execution.json is of `other`", id="another-run"),
        pytest.param(other_place, "execution.json is of", id="another-place"),
        pytest.param(link, "suite.log': it is no regular file", id="link"),
        pytest.param(lambda b: (b / "a\x1b[2Jb").touch(),
                     "its name has characters that no name needs", id="escape-in-a-name"),
        pytest.param(lambda b: (b / "run.json").write_text("[" * 100_000),
                     "run.json is damaged", id="nested"),
    ],
)  # fmt: skip
def test_what_is_damaged_or_newer_is_refused_by_name_and_the_rest_comes_in(
    results, away, take, damage, reason
):
    whole = keep(away, feature("a"))
    broken = keep(away, feature("b"), night=2)
    damage(bundle(away, broken))
    done = {one.run: one for one in take(away)}
    assert done[whole].outcome == "merged"
    assert done[broken].outcome == "refused"
    assert any(reason in told for told in done[broken].reasons), done[broken].reasons
    assert [path.name for path in (results / "local" / "runs").iterdir()] == [whole]


def test_a_bundle_without_a_suite_that_its_run_lists_is_cut_short(away, take):
    run = keep(away, feature("a"), feature("a", torch="2.7.0"))
    shutil.rmtree(bundle(away, run) / "cells" / "torch2.7.0-cpu-py3.11")
    [one] = take(away)
    assert one.reasons == (
        "it is cut short: torch2.7.0-cpu-py3.11/venv-cpu/feature of run.json is not there",
    )


def test_another_bundle_of_the_same_name_is_refused_and_edits_nothing(results, away, take):
    run = keep(away, feature("a"))
    take(away)
    before = tree(results)
    (suite_of(bundle(away, run)) / "suite.log").write_text("another")
    [one] = take(away)
    assert one.outcome == "refused"
    assert one.reasons[0].startswith("another bundle of this name is there already: `cells/")
    assert tree(results) == before


def hostile_tar(path, name, kind=tarfile.REGTYPE):
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type, member.linkname, member.size = kind, "/etc/passwd", 0
        tar.addfile(member, io.BytesIO())
    return path


def hostile_zip(path, name, mode=stat.S_IFREG):
    with zipfile.ZipFile(path, "w") as file:
        member = zipfile.ZipInfo(name)
        member.external_attr = (mode | 0o644) << 16
        file.writestr(member, b"/etc/passwd")
    return path


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda p: hostile_tar(p, "../x"), "its name leads elsewhere", id="tar-parent"),
        pytest.param(lambda p: hostile_tar(p, "/x"), "its name leads elsewhere", id="tar-root"),
        pytest.param(lambda p: hostile_tar(p, "x", tarfile.SYMTYPE), "it is no regular file",
                     id="tar-link"),
        pytest.param(lambda p: hostile_zip(p, "../x"), "its name leads elsewhere", id="zip-parent"),
        pytest.param(lambda p: hostile_zip(p, "/x"), "its name leads elsewhere", id="zip-root"),
        pytest.param(lambda p: hostile_zip(p, "x", stat.S_IFLNK), "it is no regular file",
                     id="zip-link"),
        pytest.param(lambda p: p.write_bytes(b"PK no zip"), "it is no zip or tar archive",
                     id="no-archive"),
        pytest.param(lambda p: p.write_bytes(b"\x1f\x8b\x08 cut"), "or a broken one",
                     id="cut-gzip"),
        pytest.param(lambda p: p.mkdir(), "no bundle in it", id="empty-folder"),
        pytest.param(lambda _: None, "there is no such file or folder", id="nothing"),
    ],
)  # fmt: skip
def test_a_source_that_is_no_good_is_refused_and_the_others_come_in(
    results, away, take, tmp_path, make, reason
):
    keep(away, feature("a"))
    make(tmp_path / "source")
    bad, good = take(tmp_path / "source", away)
    assert (bad.outcome, bad.run) == ("refused", "")
    assert reason in bad.reasons[0]
    assert good.outcome == "merged"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
def test_an_archive_that_unpacks_to_too_much_is_refused(away, tmp_path, pack):
    """A few KB may be a disk full of zeros."""
    run = keep(away, feature("a"))
    (bundle(away, run) / "suite.log").write_bytes(b"\0" * (3 << 20))
    source = pack(away, tmp_path / "bomb")
    caps = Caps(file=1 << 20, total=2 << 20, files=100)
    with pytest.raises(SourceRefused, match="MiB"), folder_of(str(source), caps):
        pytest.fail("it came in")


def test_a_log_larger_than_any_is_refused(away, take, monkeypatch):
    run = keep(away, feature("a"))
    (bundle(away, run) / "suite.log").write_bytes(b"\0" * 2000)
    monkeypatch.setattr("matrix.merge.CAPS", Caps(file=1000))
    [one] = take(away)
    assert "suite.log': it is larger than 0 MiB" in " ".join(one.reasons)


@pytest.mark.parametrize("url", ["nonesuch://x/y", "memory://nothing-here.tar"])
def test_a_url_that_gives_nothing_is_refused(take, url):
    [one] = take(url)
    assert one.reasons[0].startswith("it cannot be fetched: ")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("s3://key:secret@bucket/x", "s3://…@bucket/x"),
        ("s3://key:sec@ret@bucket/x", "s3://…@bucket/x"),
        ("https://h/x?X-Amz-Signature=secret&y=secret#secret", "https://h/x?…"),
        ("No file: /key:secret@bucket/x", "No file: /…@bucket/x"),
        ("https://h/x?secret", "https://h/x?…"),
        ("No: b/x?sig=secret at https://h/x#secret there", "No: b/x?… at https://h/x?… there"),
        ("results/local", "results/local"),
    ],
)
def test_passwords_and_signatures_of_urls_are_not_shown(text, seen):
    assert shown(text) == seen


def test_a_secret_is_not_cut_in_a_way_that_shows_it(take):
    [one] = take(f"nonesuch{'x' * 270}://me:{'secret' * 20}@host/x")
    assert "secret" not in str(one)


@pytest.mark.parametrize("kind", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_that_is_unpacked_in_one_piece_is_refused(tmp_path, kind):
    """A thousand bytes of bzip2 may be gigabytes of memory."""
    with zipfile.ZipFile(tmp_path / "bomb", "w", kind) as file:
        file.writestr("x", b"\0" * 5000)
    with pytest.raises(SourceRefused, match="amount of memory"), folder_of(str(tmp_path / "bomb")):
        pytest.fail("it came in")


@pytest.mark.parametrize("opener", [gzip.open, bz2.open])
def test_zeros_without_end_are_refused_for_their_size(tmp_path, opener):
    with opener(tmp_path / "bomb", "wb") as file:
        file.write(b"\0" * (2 << 20))
    with pytest.raises(SourceRefused, match="1 MiB follow"), folder_of(str(tmp_path / "bomb")):
        pytest.fail("it came in")


def test_the_command_says_what_became_of_each(results, away, run_cli, matrix_file, tmp_path):
    matrix_file("")
    good = keep(away, feature("a"), row(torch="2.7.0", verdict="infra", suite="feature"))
    bad = keep(away, feature("b"), night=2)
    cut(bundle(away, bad) / "run.json")
    done = run_cli("merge", away, "--into", tmp_path / "tonight")
    assert done.code == 2
    assert done.out == f"merged   {good} (2 suite(s)) of {away}\n"
    assert done.err == (
        f"refused  {bad} (1 suite(s)) of {away}\n  - run.json is damaged\n"
        f"1 merged into {tmp_path / 'tonight'}, 0 there already, 1 refused\n"
    )
    again = run_cli("merge", bundle(away, good), "--json")
    assert again.code == 0
    assert json.loads(again.out)["bundles"][0]["outcome"] == "merged"
    assert (results / "local" / "runs" / good).is_dir()
