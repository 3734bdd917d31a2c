"""A small Python language host for the Pulumi CLI, for machines without the official one, which is in no package
registry.

It starts a plugin, or a program by Pulumi's executor, in an existing environment, and reports the exit. It installs no
dependencies, finds no plugins, and generates no code. The CLI reads its port from the first line, and speaks
LanguageRuntime (language.proto of Pulumi 3.272) over gRPC on loopback.
"""

# ruff: noqa: N802, ARG002  names and arguments of the protocol

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from concurrent import futures
from importlib.metadata import distributions
from pathlib import Path
from typing import IO, Any


def _skip_the_sdk() -> None:
    # Importing the SDK would double the start time of 0.3 s.
    spec = importlib.util.find_spec("pulumi")
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"{sys.executable} has no pulumi package: run `make setup`")
    root = Path(spec.submodule_search_locations[0])
    for name, folder in (("pulumi", root), ("pulumi.runtime", root / "runtime")):
        module = types.ModuleType(name)
        module.__path__ = [str(folder)]
        sys.modules.setdefault(name, module)


_skip_the_sdk()

import grpc  # type: ignore[import-untyped]  # noqa: E402
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]  # noqa: E402
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2  # noqa: E402

# The executor has printed the error (pulumi-language-python-exec).
SHOWN_TO_THE_USER = 32

# Maximum bytes of a message, as in the CLI (rpcutil.GrpcChannelOptions).
LARGEST_MESSAGE = 400 * 1024 * 1024

_children: list[subprocess.Popen[Any]] = []


class PythonHost(language_pb2_grpc.LanguageRuntimeServicer):
    """LanguageRuntime for programs and plugins in an existing environment. `engine` is the CLI's address. Other methods
    answer UNIMPLEMENTED."""

    def __init__(self, *, engine: str, executor: Path) -> None:
        self._engine = engine
        self._executor = executor

    def Handshake(self, request: Any, context: Any) -> Any:
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version="")

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:
        """Return no packages, because the CLI would download them. Programs request providers with their resources."""
        return language_pb2.GetRequiredPackagesResponse()

    def InstallDependencies(self, request: Any, context: Any) -> Iterator[Any]:
        yield language_pb2.InstallDependenciesResponse(stdout=b"Dependencies are installed by `make setup`.\n")

    def RuntimeOptionsPrompts(self, request: Any, context: Any) -> Any:
        return language_pb2.RuntimeOptionsResponse()

    def Template(self, request: Any, context: Any) -> Any:
        return language_pb2.TemplateResponse()

    def About(self, request: Any, context: Any) -> Any:
        version = sys.version.split(maxsplit=1)[0]
        return language_pb2.AboutResponse(executable=interpreter(request.info)[0], version=version)

    def GetProgramDependencies(self, request: Any, context: Any) -> Any:
        """Return the packages in this environment, which is the program's. Direct dependencies are not
        distinguished."""
        dependencies = sorted({(found.name, found.version) for found in distributions()})
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in dependencies]
        )

    def Cancel(self, request: Any, context: Any) -> Any:
        return Empty()

    def Run(self, request: Any, context: Any) -> Any:
        python, environment = interpreter(request.info)
        arguments = {
            "--project": request.project,
            "--stack": request.stack,
            "--organization": request.organization,
            "--pwd": request.info.program_directory,
            "--root_directory": request.info.root_directory,
            "--dry_run": "true" if request.dryRun else "false",
            "--parallel": str(request.parallel),
            "--monitor": request.monitor_address,
            "--engine": self._engine,
        }
        child = subprocess.Popen(
            [
                *(python, "-u", self._executor),
                *(word for pair in arguments.items() for word in pair),
                request.info.entry_point or ".",
                *request.args,
            ],
            cwd=request.pwd or None,
            env={
                **environment,
                "PULUMI_CONFIG": json.dumps(dict(request.config)),
                "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
            },
        )
        _end_with_the_call(child, context)
        code = child.wait()
        if code == SHOWN_TO_THE_USER:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"the program ended with exit code {code}" if code else "")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:
        """Run a component provider or policy pack, and forward its output, whose first line is its port."""
        python, environment = interpreter(request.info)
        requested = dict(pair.split("=", 1) for pair in request.env if "=" in pair)
        child = subprocess.Popen(
            [python, "-u", request.info.program_directory, *request.args],
            cwd=request.pwd or None,
            env={**environment, **requested},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        _end_with_the_call(child, context)
        for kind, written in _written_by(child):
            yield language_pb2.RunPluginResponse(**{kind: written})  # type: ignore[arg-type]
        yield language_pb2.RunPluginResponse(exitcode=child.wait())


def interpreter(info: Any) -> tuple[str, dict[str, str]]:
    """Return the Python and the environment for a program or plugin.

    `virtualenv` is relative to its Pulumi.yaml. By default it is .venv if the toolchain is uv, or else this host's
    environment.
    """
    options = dict(info.options)
    folder = options.get("virtualenv") or (".venv" if options.get("toolchain") == "uv" else "")
    if not folder:
        return sys.executable, dict(os.environ)
    venv = Path(info.root_directory) / str(folder)
    path = f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return str(venv / "bin/python"), {**os.environ, "VIRTUAL_ENV": str(venv), "PATH": path}


def _end_with_the_call(child: subprocess.Popen[Any], context: Any) -> None:
    _children.append(child)
    if not context.add_callback(lambda: _end(child)):  # the CLI has already cancelled the call
        _end(child)


def _end(child: subprocess.Popen[Any]) -> None:
    if child.poll() is None:
        child.terminate()


def _exit(*_: object) -> None:
    # The CLI waits 5 s for a plugin that ignores its signal, and grpc's stop waits for open calls.
    for child in _children:
        _end(child)
    os._exit(0)


def _written_by(child: subprocess.Popen[bytes]) -> Iterator[tuple[str, bytes]]:
    written: queue.Queue[tuple[str, bytes]] = queue.Queue()

    def pass_on(kind: str, pipe: IO[bytes]) -> None:
        while part := os.read(pipe.fileno(), 65536):
            written.put((kind, part))
        written.put((kind, b""))

    pipes = {kind: pipe for kind, pipe in (("stdout", child.stdout), ("stderr", child.stderr)) if pipe}
    for kind, pipe in pipes.items():
        threading.Thread(target=pass_on, args=(kind, pipe), daemon=True).start()
    still_open = len(pipes)
    while still_open:
        kind, part = written.get()
        if part:
            yield kind, part
        else:
            still_open -= 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Python language host; started by the Pulumi CLI.")
    parser.add_argument("--executor", type=Path, required=True, help="pulumi-language-python-exec of the SDK")
    parser.add_argument("engine", nargs="?", default="", help="address of the engine")
    known, _ = parser.parse_known_args()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _exit)

    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=32),
        options=[
            ("grpc.max_receive_message_length", LARGEST_MESSAGE),
            ("grpc.max_send_message_length", LARGEST_MESSAGE),
        ],
    )
    host = PythonHost(engine=known.engine, executor=known.executor)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
