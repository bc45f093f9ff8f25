"""pip's configuration reaches a build: indexes, wheels of local folders, certificates, proxies."""

import tomllib

import pytest

from matrix.engines import tools
from matrix.indexes import IndexConfig
from matrix.locks import Pin

ENV = {"PIP_CONFIG_FILE": "/dev/null", "HOME": "/nowhere"}
CP311 = "torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl"


def config(*arguments, **env):
    return IndexConfig(arguments=arguments, env=env, origin=())


def pin(name, version, origin):
    return Pin(name=name, text=f"{name}=={version} \\\n    --hash=x\n", parents=(), origin=origin)


def test_remote_indexes_are_uvs_configuration():
    made = tools.uv_toml(
        config("--default-index", "https://m.example/simple", "--index", "https://b.example/s",
               "--index-strategy", "unsafe-best-match", "--allow-insecure-host", "m.example",
               "--find-links", "https://f.example/w", "--find-links", "/opt/wheels"), {},
    )  # fmt: skip
    assert tomllib.loads(made) == {
        "index-strategy": "unsafe-best-match",
        "allow-insecure-host": ["m.example"],
        "find-links": ["https://f.example/w"],
        "index": [
            {"url": "https://m.example/simple", "default": True}, {"url": "https://b.example/s"},
        ],
    }  # fmt: skip


def test_local_indexes_are_not_looked_for_in_a_build():
    made = tools.uv_toml(config("--index", "file:///srv/simple", "--index", "/srv/more"), {})
    assert tomllib.loads(made) == {}


def test_a_registry_that_is_replaced_by_a_folder_is_not_asked():
    made = tomllib.loads(tools.uv_toml(config("--default-index", "file:///srv/simple"), {}))
    assert made == {"no-index": True}


def test_uvs_own_variables_count_too():
    env = {"UV_DEFAULT_INDEX": "https://d.example/s", "UV_INDEX": "a=https://a.example/s",
           "UV_INDEX_STRATEGY": "unsafe-best-match"}  # fmt: skip
    assert tomllib.loads(tools.uv_toml(config(), env)) == {
        "index-strategy": "unsafe-best-match",
        "index": [
            {"url": "https://d.example/s", "default": True}, {"url": "https://a.example/s"},
        ],
    }  # fmt: skip


def test_a_value_cannot_leave_its_string():
    url = 'https://x.example/"\nno-index = false\n'
    made = tomllib.loads(tools.uv_toml(config("--index", url), {}))
    assert made == {"index": [{"url": url}]}


def test_certificates_and_proxies_come_along(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CA")
    files, arguments = tools.site_files(
        config(SSL_CERT_FILE=str(bundle), HTTPS_PROXY="http://p.example:1"), ENV
    )
    assert files["site/ssl_cert_file.pem"] == b"CA"
    assert arguments == {
        "SSL_CERT_FILE": "/run/build/site/ssl_cert_file.pem", "HTTPS_PROXY": "http://p.example:1",
    }  # fmt: skip


def test_without_settings_nothing_is_steered():
    files, arguments = tools.site_files(config(), ENV)
    assert (list(files), arguments) == (["site/uv/uv.toml"], {})


def test_apts_own_variable_names_its_configuration(tmp_path):
    path = tmp_path / "apt.conf"
    path.write_text("x")
    assert tools.apt_files({"APT_CONFIG": str(path)}) == (
        {"apt/apt.conf": b"x"}, {"APT_CONFIG": "/run/build/apt/apt.conf"},
    )  # fmt: skip
    assert tools.apt_files({}) == ({}, {})


@pytest.fixture
def places(tmp_path):
    """A wheel folder and an index of files, as a lock names them."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in (CP311, CP311.replace("cp311", "cp312"), "torch-2.12.0+cpu-cp311-cp311-x.whl",
                 "torch-2.13.0+cpu-cp311-cp311-win_amd64.whl", "README"):  # fmt: skip
        (wheels / name).write_bytes(b"w")
    page = tmp_path / "simple" / "my-pkg"
    page.mkdir(parents=True)
    (tmp_path / "files").mkdir()
    for name in ("my_pkg-1.0-py3-none-any.whl", "my_pkg-1.0.tar.gz", "my_pkg-2.0.tar.gz"):
        (tmp_path / "files" / name).write_bytes(b"w")
    links = "".join(
        f'<a href="../../files/{name}#sha256=ab">{name}</a>'
        for name in ("my_pkg-1.0-py3-none-any.whl", "my_pkg-1.0.tar.gz", "my_pkg-2.0.tar.gz")
    )
    (page / "index.html").write_text(links + '<a href="https://x.example/my_pkg-1.0.zip">')
    return tmp_path


def test_only_files_of_the_lock_travel_each_with_its_layer(places):
    layers = {
        "torch": [pin("torch", "2.13.0+cpu", f"file://{places}/wheels")],
        "tools": [
            pin("my-pkg", "1.0", f"file://{places}/simple"),
            pin("pytest", "9.0", "https://x.example/simple"),
        ],
    }
    files, missing = tools.wheel_files(layers, "3.11")
    assert sorted(files) == [
        "wheels/tools/my_pkg-1.0-py3-none-any.whl",
        "wheels/tools/my_pkg-1.0.tar.gz",
        f"wheels/torch/{CP311}",
    ]
    assert missing == ()


def test_a_folder_that_lost_its_wheel_is_named(places):
    layers = {"torch": [pin("torch", "2.14.0+cpu", f"file://{places}/wheels")]}
    assert tools.wheel_files(layers, "3.11") == ({}, ("torch",))


def test_the_tag_changes_with_the_content_and_only_with_it(tmp_path):
    uv = tmp_path / "uv"
    uv.write_bytes(b"binary")
    first = tools.request(uv, {}, {"site/uv/uv.toml": b"a"}, {})
    assert first.tag == tools.request(uv, {}, {"site/uv/uv.toml": b"a"}, {}).tag
    assert first.tag != tools.request(uv, {}, {"site/uv/uv.toml": b"b"}, {}).tag
    assert first.tag != tools.request(uv, {"wheels/torch/a.whl": uv}, {}, {}).tag


def test_folders_are_layers_of_the_tools(tmp_path):
    """Cells of one release share its wheel even where their tools differ."""
    uv = tmp_path / "uv"
    uv.write_bytes(b"binary")
    made = tools.request(
        uv, {"wheels/torch/a.whl": uv, "wheels/tools/b.whl": uv},
        {"site/uv/uv.toml": b""}, {"apt/apt.conf": b""},
    )  # fmt: skip
    assert made.files["Dockerfile"].decode().splitlines() == [
        "FROM scratch", "COPY uv /uv", "COPY apt /apt", "COPY site /site",
        "COPY wheels/tools /wheels/tools", "COPY wheels/torch /wheels/torch",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("indexes", "env", "network"),
    [
        pytest.param((), {}, "", id="the-engines-default"),
        pytest.param(("--index", "http://127.0.0.1:9/s"), {}, "host", id="loopback-mirror"),
        pytest.param((), {"HTTPS_PROXY": "http://localhost:1"}, "host", id="loopback-proxy"),
        pytest.param(("--index", "http://localhost/s"), {"MATRIX_BUILD_NETWORK": "mine"}, "mine",
                     id="the-user-decides"),
    ],
)  # fmt: skip
def test_the_machines_own_network_is_taken_only_where_it_is_needed(indexes, env, network):
    assert tools.network(config(), indexes, env) == network
