"""The user's pip configuration in uv's words, and the memory of what indexes offer."""

import json
import os
from pathlib import Path

import pytest

from matrix.indexes import Availability, IndexConfig, pip_files, read_config, requirement


def config(text, tmp_path, **env):
    path = tmp_path / "pip.conf"
    path.write_text(text, encoding="utf-8")
    return read_config(env, [path])


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("[global]\nindex-url = https://m/simple",
                     ("--default-index", "https://m/simple"), id="index"),
        pytest.param("[install]\nindex_url = https://m/simple",
                     ("--default-index", "https://m/simple"), id="install-section-underscores"),
        pytest.param("[global]\nextra-index-url =\n  https://a\n  https://b",
                     ("--index", "https://a", "--index", "https://b",
                      "--index-strategy", "unsafe-best-match"), id="extra-indexes"),
        pytest.param("[global]\nfind-links = /w /x", ("--find-links", "/w", "--find-links", "/x"),
                     id="find-links"),
        pytest.param("[global]\nno-index = true", ("--no-index",), id="no-index"),
        pytest.param("[global]\nno-index = off", (), id="no-index-off"),
        pytest.param("[global]\ntrusted-host = m:80", ("--allow-insecure-host", "m:80"),
                     id="trusted-host"),
        pytest.param("[list]\nformat = columns", (), id="other-sections"),
        pytest.param("[global]\nindex-url = https://u:%41p@m", ("--default-index", "https://u:%41p@m"),
                     id="percent-is-no-interpolation"),
    ],
)  # fmt: skip
def test_pips_settings_become_uvs_arguments(tmp_path, text, arguments):
    assert config(text, tmp_path).arguments == arguments


def test_certificates_proxy_and_timeout_become_variables(tmp_path):
    text = "[global]\ncert = /c.pem\nclient-cert = /k.pem\nproxy = http://p:3128\ntimeout = 9"
    assert config(text, tmp_path).env == {
        "UV_PYTHON_DOWNLOADS": "never",
        "SSL_CERT_FILE": "/c.pem",
        "SSL_CLIENT_CERT": "/k.pem",
        "HTTPS_PROXY": "http://p:3128",
        "HTTP_PROXY": "http://p:3128",
        "UV_HTTP_TIMEOUT": "9",
    }


@pytest.mark.parametrize(
    ("text", "env", "bundle"),
    [
        pytest.param("[global]\ncert = /conf", {"SSL_CERT_FILE": "/ssl"}, "/conf", id="pip-conf"),
        pytest.param("[global]\ncert = /conf", {"PIP_CERT": "/pip"}, "/pip", id="pip-variable"),
        pytest.param("", {"PIP_CERT": "/pip", "SSL_CERT_FILE": "/ssl",
                          "REQUESTS_CA_BUNDLE": "/requests"}, "/pip", id="pips-own-first"),
        pytest.param("", {"SSL_CERT_FILE": "/ssl", "REQUESTS_CA_BUNDLE": "/requests",
                          "CURL_CA_BUNDLE": "/curl"}, "/requests", id="requests-then"),
        pytest.param("", {"CURL_CA_BUNDLE": "/curl"}, "/curl", id="curl"),
        pytest.param("", {"SSL_CERT_FILE": "/ssl"}, None, id="what-uv-reads-itself"),
    ],
)  # fmt: skip
def test_the_certificates_that_pip_would_take_win(tmp_path, text, env, bundle):
    """As pip documents it; uv reads SSL_CERT_FILE alone."""
    assert config(text, tmp_path, **env).env.get("SSL_CERT_FILE") == bundle


def test_pips_proxy_and_client_certificate_win_over_the_environments(tmp_path):
    text = "[global]\nproxy = http://pip:1\nclient-cert = /pip.pem"
    others = {"HTTPS_PROXY": "http://env:2", "SSL_CLIENT_CERT": "/env.pem"}
    found = config(text, tmp_path, **others).env
    assert (found["HTTPS_PROXY"], found["SSL_CLIENT_CERT"]) == ("http://pip:1", "/pip.pem")


def test_uvs_own_timeout_is_left_alone(tmp_path):
    found = config("[global]\ntimeout = 9", tmp_path, UV_HTTP_TIMEOUT="60")
    assert "UV_HTTP_TIMEOUT" not in found.env


def test_variables_win_over_files(tmp_path):
    found = config("[global]\nindex-url = https://file", tmp_path, PIP_INDEX_URL="https://env")
    assert found.arguments == ("--default-index", "https://env")
    assert found.origin == (str(tmp_path / "pip.conf"), "$PIP_INDEX_URL")


def test_uvs_own_index_settings_keep_their_place(tmp_path):
    text = "[global]\nindex-url = https://file\nfind-links = /w"
    found = config(text, tmp_path, UV_INDEX_URL="https://uv")
    assert found.arguments == ("--find-links", "/w")


def test_a_file_that_cannot_be_read_is_said_and_skipped(tmp_path):
    found = config("no section", tmp_path)
    assert found.arguments == ()
    assert found.origin == (f"{tmp_path / 'pip.conf'} (unreadable: MissingSectionHeaderError)",)


def test_later_files_win_key_by_key(tmp_path):
    for name, url in (("a", "https://a"), ("b", "https://b")):
        (tmp_path / name).write_text(f"[global]\nindex-url = {url}\n")
    (tmp_path / "a").write_text("[global]\nindex-url = https://a\nfind-links = /w\n")
    found = read_config({}, [tmp_path / "a", tmp_path / "b"])
    assert found.arguments == ("--default-index", "https://b", "--find-links", "/w")


def test_pips_files_are_read_weakest_first(tmp_path):
    env = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": "/x", "PIP_CONFIG_FILE": "/mine.conf"}
    files = pip_files(env, prefix="/venv")
    assert files == [
        Path("/x/pip/pip.conf"),
        Path("/etc/pip.conf"),
        tmp_path / ".pip/pip.conf",
        tmp_path / ".config/pip/pip.conf",
        Path("/venv/pip.conf"),
        Path("/mine.conf"),
    ]


def test_pips_way_to_read_no_file_is_honoured():
    assert pip_files({"PIP_CONFIG_FILE": os.devnull}) == []


def test_a_registry_build_is_asked_for_exactly():
    """`===` keeps a `+cpu` wheel of the same release from taking its place."""
    assert requirement("2.6.0", "cu124", default=True) == "torch===2.6.0"
    assert requirement("2.6.0", "cpu", default=False) == "torch==2.6.0+cpu"


OWN = IndexConfig(arguments=("--no-index",), env={}, origin=())


def availability(tmp_path, answers):
    asked = []

    def ask(wanted, python, arguments):
        asked.append((wanted, python, arguments))
        return answers.pop(0)

    return Availability(tmp_path / "a" / "availability.json", OWN, "https://pt/whl", ask), asked


def test_the_users_indexes_are_asked_first_then_the_pytorch_index(tmp_path):
    known, asked = availability(tmp_path, ["not here", ""])
    assert known.offers("2.6.0", "cpu", "3.11") == ""
    assert [arguments for _, _, arguments in asked] == [
        ("--no-index",),
        ("--no-index", "--index", "https://pt/whl/cpu", "--index-strategy", "unsafe-best-match"),
    ]


def test_an_index_that_does_not_answer_is_asked_once(tmp_path):
    known, asked = availability(tmp_path, ["no 2.6.0", "cannot be reached (dns)", "no 2.7.0"])
    known.offers("2.6.0", "cpu", "3.11")
    assert known.offers("2.7.0", "cpu", "3.11") == (
        "your indexes: no 2.7.0; https://pt/whl/cpu: cannot be reached (dns)"
    )
    assert len(asked) == 3


def test_an_answer_is_remembered_in_a_file(tmp_path):
    known, _ = availability(tmp_path, ["no", "not there either"])
    reason = "your indexes: no; https://pt/whl/cpu: not there either"
    assert known.offers("2.6.0", "cpu", "3.11") == reason
    again, asked = availability(tmp_path, [])
    assert again.offers("2.6.0", "cpu", "3.11") == reason
    assert asked == []


@pytest.mark.parametrize(
    ("answer", "age"),
    [
        pytest.param("no", 90_000, id="after-a-day"),
        pytest.param("cannot be reached (dns)", 1_000, id="silence-after-a-quarter-of-an-hour"),
    ],
)
def test_an_old_answer_is_asked_for_again(tmp_path, answer, age):
    known, _ = availability(tmp_path, ["no", answer])
    known.offers("2.6.0", "cpu", "3.11")
    cache = tmp_path / "a" / "availability.json"
    data = json.loads(cache.read_text())
    cache.write_text(json.dumps({k: {**v, "at": v["at"] - age} for k, v in data.items()}))
    again, asked = availability(tmp_path, [""])
    assert again.offers("2.6.0", "cpu", "3.11") == ""
    assert len(asked) == 1


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("{", id="cut"),
        pytest.param("[]", id="a-list"),
        pytest.param('{"2.6.0 cpu 3.11": 1}', id="other-values"),
    ],
)
def test_a_damaged_memory_costs_a_question(tmp_path, content):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "availability.json").write_text(content)
    known, asked = availability(tmp_path, [""])
    assert known.offers("2.6.0", "cpu", "3.11") == ""
    assert len(asked) == 1


def test_a_memory_that_cannot_be_written_costs_nothing_else(tmp_path):
    (tmp_path / "a").write_text("a file where the folder should be")
    known, _ = availability(tmp_path, [""])
    assert known.offers("2.6.0", "cpu", "3.11") == ""
