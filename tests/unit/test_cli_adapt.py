"""The command `adapt`: what goes where, and how it ends."""

import json

import pytest

from matrix.cli import main
from matrix.cli.parser import build_parser
from matrix.cli.quick import QUICK, quick_parser

H200 = ["adapt", "--engine", "sglang", "--release", "0.5.23", "--gpu", "H200", "--results", "none"]


def test_args_go_to_stdout_and_reasons_to_stderr(capsys):
    assert main([*H200, "--dtype", "fp8", "--explain"]) == 0
    out, err = capsys.readouterr()
    assert out == "--quantization fp8 --attention-backend fa3 --cuda-graph-max-bs-decode 256\n"
    assert err.startswith("sglang 0.5.23 on 1 x H200 (sm_90, 141 GiB each), torch 2.14.1 with CUDA")
    assert "--quantization fp8\n      gated: FP8 tensor cores" in err
    assert "left to the engine\n  kv cache\n      declared: as the activations" in err


def test_a_card_that_is_two_devices_is_told(capsys):
    assert main([*H200[:-3], "MI250", "--results", "none", "--explain"]) == 0
    assert "MI250: one card is two devices of 64 GiB each; count devices" in capsys.readouterr().err


def test_json_has_every_setting_with_its_reason(capsys):
    assert main([*H200, "--json", "--model-params", "8b", "--heads", "32", "--kv-heads", "8"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["args"] == [
        word for one in data["settings"] for word in [one["name"], *one["values"]]
    ]
    assert data["model"]["parameters"] == 8e9
    assert data["torch"] == {
        "version": "2.14.1",
        "toolkit": "13.0",
        "source": "sglang 0.5.23 requires torch==2.14.1 (PyPI wheel METADATA)",
    }
    for one in [*data["settings"], *data["left"]]:
        assert one["reason"]
        assert one["source"]
        assert one["kind"] in {"declared", "gated", "measured", "given", "unknown"}


def test_mistakes_are_one_message_and_code_2(capsys):
    assert main([*H200, "--dtype", "fp9", "--json", "--", "--torchao-config", "int8dq"]) == 2
    out, err = capsys.readouterr()
    assert err.startswith("matrix: cannot adapt to this:\n  - dtype `fp9`: did you mean")
    assert json.loads(out)["error"]["code"] == 2


def test_more_gpus_than_any_launch_has_are_a_mistake(capsys):
    assert main([*H200, "--gpus", "9" * 20]) == 2
    assert f"GPUs: 1 to 4096, got {'9' * 20}" in capsys.readouterr().err


def test_variables_are_told_where_only_flags_are_printed(capsys):
    """Quoted for a shell there, and refused in a file that a shell would read otherwise."""
    assert main([*H200, "--cache", "/a b"]) == 0
    out, err = capsys.readouterr()
    assert "/a b" not in out
    assert "set in the environment too: TORCHINDUCTOR_CACHE_DIR='/a b/" in err
    assert main([*H200, "--cache", "/a b", "--emit", "env"]) == 2
    assert main([*H200, "--cache", "/a", "--emit", "env"]) == 0


def test_words_after_two_dashes_are_the_engines(capsys):
    assert main([*H200, "--", "--host", "0.0.0.0", "--cuda-graph-max-bs-decode", "32"]) == 0
    assert capsys.readouterr().out == (
        "--attention-backend fa3 --host 0.0.0.0 --cuda-graph-max-bs-decode 32\n"
    )


@pytest.mark.parametrize("text", ["", "x", "-1", "0", "1e99", "70q", "nan", "inf"])
def test_a_number_of_parameters_is_a_number(text, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*H200, "--model-params", text])
    assert stopped.value.code == 2
    assert "--model-params" in capsys.readouterr().err


def test_a_check_is_read_and_another_file_refused(tmp_path, capsys):
    path = tmp_path / "check.json"
    command = ["adapt", "--engine", "sglang", "--from-check", str(path), "--results", "none"]
    card = {"name": "NVIDIA H200", "capability": "9.0", "memory_gib": 140.4}
    torch = {"version": "2.11.0+cu130", "cuda": "13.0"}
    found = {"gpus": [card], "torch": torch, "packages": {"sglang": "0.5.12"}}
    path.write_text(json.dumps(found))
    assert main(command) == 0
    assert capsys.readouterr().out == "--attention-backend fa3 --cuda-graph-max-bs 256\n"
    broken = [{"gpus": 3}, {"gpus": [3]}, {"torch": 1}, {"packages": {"sglang": 5}},
              {"gpus": [{**card, "memory_gib": "x"}]}, {"gpus": [{**card, "name": 3}]}]  # fmt: skip
    for text in ("[]", "{", *(json.dumps({**found, **part}) for part in broken)):
        path.write_text(text)
        assert main(command) == 2, text
        assert "check" in capsys.readouterr().err
    path.unlink()
    assert main(command) == 2


def test_the_whole_command_line_has_the_quick_commands_too(capsys):
    for name in QUICK:
        helps = []
        for parser in (build_parser(), quick_parser(name)):
            with pytest.raises(SystemExit):
                parser.parse_args([name, "--help"])
            helps.append(capsys.readouterr().out)
        assert helps[0] == helps[1]
