# Cell torch2.13.0-cu126-py3.12, rendered by torch-matrix from cuda.Dockerfile.j2: edit that.
# Context: locks/torch.txt locks/tools.txt (pins with hashes), payload/ (tests).
# TOOLS has /uv and, where a network needs them, /wheels/<layer>, /site (uv/uv.toml, certificates
# that SSL_CERT_FILE names) and /apt (what APT_CONFIG names); below /run/build, not in the image.
ARG BASE=python:3.12-slim-bookworm
ARG TOOLS=ghcr.io/astral-sh/uv:0.8

FROM ${TOOLS} AS tools
# makes what the image lacks: it needs no shell, and a mount needs its source
WORKDIR /apt
WORKDIR /site
WORKDIR /wheels/torch
WORKDIR /wheels/tools

FROM ${BASE}
ENV LANG=C.UTF-8
# cells run without root; caches and some releases ask for the account's name and home; a volume
# for compiled kernels is the account's where the image has its folder
RUN useradd --uid 10001 --create-home matrix \
 && install -d -o matrix -g matrix /results /tmp/torchinductor_matrix

# torch.compile and triton need a compiler and Python's headers; a base that has them stays as it is
ARG APT_CONFIG
# hadolint ignore=DL3008
RUN \
    --mount=type=tmpfs,target=/run/build \
    --mount=type=bind,from=tools,source=/apt,target=/run/build/apt \
    set -eu; \
    include="$(python3.12 -c 'import sysconfig; print(sysconfig.get_path("include"))')"; \
    set --; \
    command -v g++ >/dev/null || set -- g++; \
    test -f "${include}/Python.h" || set -- "$@" python3.12-dev; \
    test "$#" -eq 0 || { \
        apt-get update; \
        apt-get install -y --no-install-recommends "$@"; \
        rm -rf /var/lib/apt/lists/*; \
    }

# arguments, not ENV: they steer this build and stay out of the image
ARG UV_PYTHON_DOWNLOADS=never
RUN \
    --mount=type=tmpfs,target=/run/build \
    --mount=type=bind,from=tools,source=/uv,target=/run/build/uv \
    /run/build/uv venv --no-config --no-cache --python 3.12 /opt/venv
ENV VIRTUAL_ENV=/opt/venv \
    PATH=/opt/venv/bin:${PATH}

# CUDA 12.6: the wheels bring its libraries, the host brings libcuda; a base with CUDA would
# only add a cuDNN, and a mismatched one on the loader's path breaks convolutions (2.13's notes)
# hashes in the locks make a mixed choice of indexes safe; an empty UV_INDEX leaves this one out
ARG UV_INDEX=https://download.pytorch.org/whl/cu126
ARG UV_INDEX_STRATEGY=unsafe-best-match
# a cache mount is another filesystem
ARG UV_LINK_MODE=copy
ARG UV_CACHE_DIR=/run/build/cache
ARG UV_HTTP_TIMEOUT
ARG XDG_CONFIG_DIRS=/run/build/site
ARG SSL_CERT_FILE
ARG SSL_CLIENT_CERT
# torch: torch==2.13.0+cu126, numpy
RUN \
    --mount=type=tmpfs,target=/run/build \
    --mount=type=bind,from=tools,source=/uv,target=/run/build/uv \
    --mount=type=bind,from=tools,source=/site,target=/run/build/site \
    --mount=type=bind,from=tools,source=/wheels/torch,target=/run/build/wheels/torch \
    --mount=type=cache,id=torch-matrix-uv,target=/run/build/cache \
    --mount=type=bind,source=locks/torch.txt,target=/run/build/locks/torch.txt \
    /run/build/uv pip install --no-deps --require-hashes \
        --find-links /run/build/wheels/torch -r /run/build/locks/torch.txt
# tools: pytest, pytest-benchmark
RUN \
    --mount=type=tmpfs,target=/run/build \
    --mount=type=bind,from=tools,source=/uv,target=/run/build/uv \
    --mount=type=bind,from=tools,source=/site,target=/run/build/site \
    --mount=type=bind,from=tools,source=/wheels/tools,target=/run/build/wheels/tools \
    --mount=type=cache,id=torch-matrix-uv,target=/run/build/cache \
    --mount=type=bind,source=locks/tools.txt,target=/run/build/locks/tools.txt \
    /run/build/uv pip install --no-deps --require-hashes \
        --find-links /run/build/wheels/tools -r /run/build/locks/tools.txt

# byte-compiled once here, not by every process of a read-only cell: what `import torch` needs, and
# beside it, on another processor, what torch.compile does; a release may lack some of these folders
# hadolint ignore=DL3003
RUN \
    --mount=type=tmpfs,target=/tmp \
    export HOME=/tmp PYTHONDONTWRITEBYTECODE=''; \
    cd "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || exit; \
    python -m compileall -q -x '/(tests|physics|stats|plotting|diffgeom|crypto|vector|parsing)/' \
        sympy networkx torch/_inductor torch/_dynamo torch/_functorch torch/_higher_order_ops \
        torch/_export torch/export torch/fx >/dev/null 2>&1 & \
    python -c 'import torch' && wait

# what someone installs by hand in a kept cell must not bring another torch
RUN printf '%s\n' 'torch==2.13.0+cu126' > /opt/constraints.txt
ENV PIP_CONSTRAINT=/opt/constraints.txt \
    UV_CONSTRAINT=/opt/constraints.txt \
    PYTHONPATH=/opt/payload \
    HOME=/home/matrix \
    USER=matrix
# a run names its GPUs; `void` keeps a default NVIDIA runtime from giving all of them
ENV NVIDIA_VISIBLE_DEVICES=void \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG BASE
LABEL org.opencontainers.image.title="torch-matrix cell" \
      org.opencontainers.image.source="https://github.com/torch-matrix/torch-matrix" \
      org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.ref.name="torch2.13.0-cu126-py3.12" \
      org.opencontainers.image.version="2.13.0" \
      torch-matrix.cell="torch2.13.0-cu126-py3.12" \
      torch-matrix.variant="cu126" \
      torch-matrix.python="3.12"
USER 10001:10001
WORKDIR /home/matrix

# last: a changed test changes nothing above
COPY payload /opt/payload
