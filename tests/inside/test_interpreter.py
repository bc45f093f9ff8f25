"""What is read of an interpreter before torch is imported."""

import json

from matrix.inside import interpreter


def put(folder, name, text, **files):
    info = folder / name
    info.mkdir(parents=True)
    (info / "METADATA").write_text(text, encoding="utf-8")
    for file, content in files.items():
        (info / file.replace("__", ".")).write_text(content, encoding="utf-8")


def test_distributions_are_read_from_the_heads_of_their_metadata(tmp_path):
    text = "Name: Flash_Attn\nVersion: 2.8.3\nRequires-Dist: torch\n\nRequires-Dist: text\n"
    origin = json.dumps({"url": "https://x.example/flash_attn-2.8.3+cu12torch2.9-cp311.whl"})
    put(tmp_path, "flash_attn-2.8.3.dist-info", text, WHEEL="Tag: cp311-cp311-linux_x86_64\n",
        direct_url__json=origin)  # fmt: skip
    found, twice = interpreter.distributions([str(tmp_path), str(tmp_path / "none")])
    one = found["flash-attn"]
    assert (one["version"], one["requires"]) == ("2.8.3", ["torch"])
    assert one["tags"] == ["cp311-cp311-linux_x86_64"]
    assert one["origin"] == "flash_attn-2.8.3+cu12torch2.9-cp311.whl"
    assert twice == {}


def test_the_first_folder_on_the_path_wins(tmp_path):
    put(tmp_path / "a", "torch-2.9.1.dist-info", "Name: torch\nVersion: 2.9.1\n")
    put(tmp_path / "b", "torch-2.8.0.dist-info", "Name: torch\nVersion: 2.8.0\n")
    found, twice = interpreter.distributions([str(tmp_path / "a"), str(tmp_path / "b")])
    assert found["torch"]["version"] == "2.9.1"
    assert twice == {}


def test_one_folder_that_has_it_twice_was_half_upgraded(tmp_path):
    for version in ("2.14.1", "2.15.0"):
        put(tmp_path, f"torch-{version}.dist-info", f"Name: torch\nVersion: {version}\n")
    assert interpreter.distributions([str(tmp_path)])[1] == {"torch": ["2.14.1", "2.15.0"]}


def test_what_an_egg_requires_is_not_known(tmp_path):
    (tmp_path / "old-1.0.egg-info").write_text("Name: old\nVersion: 1.0\n", encoding="utf-8")
    assert interpreter.distributions([str(tmp_path)])[0]["old"]["requires"] is None


def test_a_metadata_that_is_not_there_leaves_name_and_version(tmp_path):
    (tmp_path / "kernel-1.0+cu12.dist-info").mkdir()
    one = interpreter.distributions([str(tmp_path)])[0]["kernel"]
    assert (one["version"], one["requires"]) == ("1.0+cu12", None)


def test_libraries_of_accelerators_are_told_by_their_files(tmp_path):
    maps = tmp_path / "maps"
    maps.write_text(
        "7f0-7f1 r-xp 00000000 08:01 1 /env/nvidia/nccl/lib/libnccl.so.2\n"
        "7f1-7f2 r--p 00000000 08:01 1 /env/nvidia/nccl/lib/libnccl.so.2\n"
        "7f2-7f3 r-xp 00000000 08:01 2 /usr/lib/libc.so.6\n7f3-7f4 rw-p 00000000 00:00 0 [heap]\n",
        encoding="utf-8",
    )
    assert interpreter.loaded(str(maps)) == ["/env/nvidia/nccl/lib/libnccl.so.2"]
    assert interpreter.loaded(str(tmp_path / "none")) == []
