"""The provider process: Pulumi's ResourceProvider protocol (provider.proto of 3.272) on top of a cloud's rules.

It has no state: made-up outputs are in Pulumi's state, or in a local server.
"""

# ruff: noqa: N802, ARG002  names and arguments of the protocol

from __future__ import annotations

import functools
import hashlib
import os
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent import futures
from typing import Any, NoReturn

import grpc  # type: ignore[import-untyped]
from google.protobuf import struct_pb2  # type: ignore[import-untyped]
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from tools.standin import choice, sdk_types, wire
from tools.standin.cloud import Cloud, RefusedError, Resource
from tools.standin.problems import Problem

# Maximum bytes of a message, as in the CLI (rpcutil.GrpcChannelOptions).
LARGEST_MESSAGE = 400 * 1024 * 1024

# Number of digits in an automatic name, as in Pulumi's providers: `secret-1a2b3c4`.
NAME_DIGITS = 7

Method = Callable[[Any, Any, Any], Any]


def refusing(method: Method) -> Method:
    """Return a method that answers a RefusedError with its text, and any other exception as a defect of the
    stand-in."""

    @functools.wraps(method)
    def answered(self: Any, request: Any, context: Any) -> Any:
        try:
            return method(self, request, context)
        except (RefusedError, choice.UnknownModeError) as error:
            _end(context, grpc.StatusCode.FAILED_PRECONDITION, str(error))
        except sdk_types.UnknownTypeError as error:
            _end(
                context,
                grpc.StatusCode.UNIMPLEMENTED,
                f"{error}: the SDK has no resource of this type; check the SDK's version",
            )
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            _end(context, grpc.StatusCode.INTERNAL,
                 f"a defect of the stand-in: {type(error).__name__} at {place.name}:{place.lineno}")  # fmt: skip

    return answered


def _end(context: Any, code: Any, text: str) -> NoReturn:
    context.abort(code, text)
    raise AssertionError("abort raises")


class Standin(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol's server for a `Cloud`. `engine` is the CLI's address, which the handshake may also contain."""

    def __init__(self, cloud: Cloud, *, engine: str = "") -> None:
        self._cloud = cloud
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:
        self._engine = request.engine_address or self._engine
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=self._cloud.version)

    def GetSchema(self, request: Any, context: Any) -> Any:
        return provider_pb2.GetSchemaResponse(
            schema=f'{{"name":"{self._cloud.package}","version":"{self._cloud.version}"}}'
        )

    @refusing
    def CheckConfig(self, request: Any, context: Any) -> Any:
        given = wire.inputs(request.news)
        found = sdk_types.configuration_problems(self._cloud.package, given)
        return provider_pb2.CheckResponse(inputs=request.news, failures=_failures(list(found), request.news))

    @refusing
    def DiffConfig(self, request: Any, context: Any) -> Any:
        changed = _changed(request.old_inputs or request.olds, request.news)
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(changes=some, diffs=changed)

    @refusing
    def Configure(self, request: Any, context: Any) -> Any:
        prefix = f"{self._cloud.package}:config:"
        variables = {name.removeprefix(prefix): text for name, text in request.variables.items()}
        self._cloud.configure({**variables, **wire.inputs(request.args)})
        self._warn()
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    @refusing
    def Check(self, request: Any, context: Any) -> Any:
        token = _token(request.urn)
        news = struct_pb2.Struct()
        news.CopyFrom(request.news)
        self._name(request, token, news)
        given = wire.inputs(news)
        found = [*sdk_types.problems(token, given), *self._cloud.problems(token, given)]
        return provider_pb2.CheckResponse(inputs=news, failures=_failures(found, news))

    @refusing
    def Diff(self, request: Any, context: Any) -> Any:
        olds, token = request.old_inputs, _token(request.urn)
        changed = _changed(olds, request.news)
        replaced = set(self._cloud.replaced_by(token)) & set(changed)
        kinds = provider_pb2.PropertyDiff
        detailed = {}
        for name in changed:
            kind = "ADD" if name not in olds.fields else "DELETE" if name not in request.news.fields else "UPDATE"
            kind += "_REPLACE" if name in replaced else ""
            detailed[name] = kinds(kind=kinds.Kind.Value(kind), inputDiff=True)
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            replaces=sorted(replaced),
            deleteBeforeReplace=bool(replaced) and self._keeps_a_given_name(token, request.news, replaced),
            hasDetailedDiff=True,
            detailedDiff=detailed,
        )

    @refusing
    def Create(self, request: Any, context: Any) -> Any:
        outputs = struct_pb2.Struct()
        outputs.CopyFrom(request.properties)
        token = _token(request.urn)
        if request.preview:
            outputs.update(dict.fromkeys(sdk_types.computed_types(token), wire.UNKNOWN))
            self._answer(token, request.properties, outputs)
            return provider_pb2.CreateResponse(properties=outputs)
        self._may_deploy()
        resource_id, computed = self._cloud.create(_resource(request.urn, request.properties))
        outputs.update({name: value for name, value in computed.items() if name not in outputs.fields})
        self._answer(token, request.properties, outputs)
        return provider_pb2.CreateResponse(id=resource_id, properties=outputs)

    @refusing
    def Update(self, request: Any, context: Any) -> Any:
        outputs = struct_pb2.Struct()
        outputs.CopyFrom(request.olds)
        token = _token(request.urn)
        for name in sdk_types.input_types(sdk_types.arguments_class(token)):
            outputs.fields.pop(name, None)
        outputs.MergeFrom(request.news)
        self._answer(token, request.news, outputs)
        if not request.preview:
            self._may_deploy()
            self._cloud.update(_resource(request.urn, request.news, request.old_inputs), request.id)
        return provider_pb2.UpdateResponse(properties=outputs)

    @refusing
    def Delete(self, request: Any, context: Any) -> Any:
        self._may_deploy()
        self._cloud.delete(_resource(request.urn, request.properties), request.id)
        return Empty()

    @refusing
    def Read(self, request: Any, context: Any) -> Any:
        if not request.properties.fields:
            raise RefusedError(f"{request.id}: the stand-in can only read resources that it created for a stack")
        if not self._cloud.exists(_token(request.urn), request.id, wire.inputs(request.properties)):
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=request.properties, inputs=request.inputs)

    @refusing
    def Invoke(self, request: Any, context: Any) -> Any:
        answer = self._cloud.invoke(request.tok, wire.inputs(request.args))
        return provider_pb2.InvokeResponse(**{"return": wire.struct(answer)})

    def Cancel(self, request: Any, context: Any) -> Any:
        return Empty()

    def _name(self, request: Any, token: str, news: Any) -> None:
        arguments = sdk_types.arguments_class(token)
        name = self._cloud.auto_named(token)
        if not name or name not in sdk_types.input_types(arguments) or name in sdk_types.required(arguments):
            return
        if name in news.fields or f"{name}Prefix" in news.fields:
            return
        if name in _defaults(request.olds) and name in request.olds.fields:
            news.fields[name].CopyFrom(request.olds.fields[name])
        else:
            seed = request.randomSeed or os.urandom(16)
            logical = request.urn.rpartition("::")[2]
            news.update({name: f"{logical}-{hashlib.sha256(seed).hexdigest()[:NAME_DIGITS]}"})
        news.update({wire.DEFAULTS: [name]})

    def _answer(self, token: str, given: Any, outputs: Any) -> None:
        # Secret inputs make secret outputs.
        hidden = {path.partition(".")[0].partition("[")[0] for path in wire.secret_paths(given)}
        for name, value in self._cloud.answered(token, wire.inputs(given)).items():
            outputs.update({name: {wire.SIGNATURE: wire.SECRET, "value": value} if name in hidden else value})

    def _keeps_a_given_name(self, token: str, news: Any, changed: set[str]) -> bool:
        name = self._cloud.auto_named(token)
        return bool(name) and name in news.fields and name not in _defaults(news) and name not in changed

    def _may_deploy(self) -> None:
        if choice.mode() != "up":
            raise RefusedError(
                f"this is the stand-in for {self._cloud.package}: it deploys nothing; provide credentials and run "
                f"`make up` again, or set {choice.VARIABLE}=up to try the stack without an account"
            )

    def _warn(self) -> None:
        text = (
            f"STAND-IN for {self._cloud.package} {self._cloud.version}: no account is reached and nothing is deployed. "
            f"Inputs are checked against the SDK's types and the cloud's published rules. {self._cloud.disclaimer}."
        )
        if self._engine:
            with grpc.insecure_channel(self._engine) as channel:
                warning = engine_pb2.LogRequest(severity=engine_pb2.WARNING, message=text)
                engine_pb2_grpc.EngineStub(channel).Log(warning)


def _token(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2]


def _resource(urn: str, properties: Any, before: Any = None) -> Resource:
    found = wire.inputs(before) if before is not None else {}
    return Resource(
        urn=urn, token=_token(urn), name=urn.split("::", 3)[3], inputs=wire.inputs(properties), before=found
    )


def _defaults(struct: Any) -> list[str]:
    return wire.plain(struct.fields[wire.DEFAULTS]) or [] if wire.DEFAULTS in struct.fields else []


def _changed(olds: Any, news: Any) -> list[str]:
    old, new = wire.inputs(olds), wire.inputs(news)
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _failures(found: list[Problem], given: Any) -> list[Any]:
    secret = wire.secret_paths(given)
    first = {problem.at: problem for problem in reversed(found)}
    return [
        provider_pb2.CheckFailure(property=problem.property, reason=problem.text(secret))
        for problem in sorted(first.values(), key=lambda problem: problem.at)
    ]


def serve(cloud: Cloud, engine: str) -> None:
    """Serve until the engine ends this process. Print the loopback port in the first line, for the engine."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number, lambda *_: os._exit(0)
        )  # exits at once: the CLI waits 5 s for a plugin that ignores its signal
    options = [("grpc.max_receive_message_length", LARGEST_MESSAGE), ("grpc.max_send_message_length", LARGEST_MESSAGE)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Standin(cloud, engine=engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    threading.Event().wait()
