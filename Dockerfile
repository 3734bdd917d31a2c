# One image for both roles: `secretops run`, the launcher of the MCP server, and `secretops tick`, the rotator.
# See docs/operations/image.md. The legacy builder builds it, too: it has no syntax line, no mounts and no optional stage.

# Pin it by its digest, which `docker pull` prints: --build-arg PYTHON_IMAGE=python:3.11.15-slim-bookworm@sha256:…
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm


# The upstream server, unmodified: its modules and its license.
FROM ${PYTHON_IMAGE} AS server
# A folder of the build context that has server.py. If empty, the server is cloned.
ARG UPSTREAM=
ARG UPSTREAM_REPOSITORY=https://github.com/CorefluxCommunity/Coreflux-MQTT-MCP-Server
# The same as in secretops/src/secretops/launcher/checkout.py.
ARG UPSTREAM_COMMIT=0b3cf8d872d8fec54352a2b590eaa8fa68531349
# uv.txt is copied only because COPY requires one source that exists.
COPY tools/wheels/uv.txt ${UPSTREAM:-nothing}* /server/
RUN set -eu; from=/server; home=/opt/coreflux-mcp-server; \
    if [ -z "${UPSTREAM}" ]; then \
        from=/cloned; \
        command -v git >/dev/null || { apt-get update; apt-get install -y --no-install-recommends ca-certificates git; }; \
        git init -q $from; \
        git -C $from fetch -q --depth 1 "${UPSTREAM_REPOSITORY}" "${UPSTREAM_COMMIT}"; \
        git -C $from checkout -q FETCH_HEAD; \
    elif [ ! -f $from/server.py ]; then \
        echo "UPSTREAM=${UPSTREAM}: the build context has no server.py there (see .dockerignore)" >&2; exit 1; \
    fi; \
    mkdir $home; \
    find $from -maxdepth 1 -type f \( -name '*.py' -o -name 'LICENSE*' \) -exec install -m 644 -t $home {} +; \
    python3 -m compileall -q --invalidation-mode unchecked-hash $home


# The packages of launcher and rotator, by the hashes of uv.lock. Only wheels: the image has no compiler.
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_COMPILE=1 PIP_ONLY_BINARY=:all: \
    UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never
WORKDIR /build
COPY tools/wheels/uv.txt ./
RUN python3 -m venv tools && tools/bin/pip install --require-hashes -r uv.txt
COPY pyproject.toml uv.lock ./
COPY secretops/pyproject.toml secretops/
RUN tools/bin/uv export --quiet --frozen --no-dev --no-emit-workspace --package coreflux-secretops \
        --extra cli --extra server --extra kubernetes --extra aws --extra azure --extra swarm --extra vault \
        --format requirements-txt --output-file requirements.txt && \
    python3 -m venv --without-pip /opt/secretops && \
    tools/bin/pip --python /opt/secretops/bin/python install --require-hashes -r requirements.txt
COPY secretops/src secretops/src
RUN tools/bin/uv build --quiet --offline --wheel --out-dir wheel secretops && \
    tools/bin/pip --python /opt/secretops/bin/python install --no-index --no-deps wheel/*.whl && \
    python3 -m compileall -q --invalidation-mode unchecked-hash /opt/secretops/lib


FROM ${PYTHON_IMAGE}
# The official images have no bytecode of the standard library, and a read-only root file system cannot store it.
RUN python3 -c 'import compileall, re, sysconfig; compileall.compile_dir(sysconfig.get_path("stdlib"), \
        quiet=2, workers=0, rx=re.compile(r"/(test|idlelib|lib2to3|ensurepip|site-packages|dist-packages)/"))'
COPY --from=server /opt/coreflux-mcp-server /opt/coreflux-mcp-server
COPY --from=packages /opt/secretops /opt/secretops
ENV PATH=/opt/secretops/bin:/usr/local/bin:/usr/bin:/bin \
    COREFLUX_SERVER_DIR=/opt/coreflux-mcp-server \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# A number, so that Kubernetes can check that it is not root. The user has no entry in /etc/passwd and owns no file.
USER 10001:10001
WORKDIR /
# Not 8000, where the server's own tool expects a verifier (components/kubernetes/mcp_server.py).
EXPOSE 8080
# No HEALTHCHECK: the rotator has no endpoint. docs/operations/image.md has the launcher's.
ENTRYPOINT ["/opt/secretops/bin/secretops"]
CMD ["run", "--from", "files:/etc/coreflux-mcp/secrets", "--transport", "http", "--listen", "0.0.0.0:8080"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="coreflux-mcp-secrets" \
      org.opencontainers.image.description="The Coreflux MCP server under its launcher, and the rotator of its secrets" \
      org.opencontainers.image.revision="${REVISION}"
