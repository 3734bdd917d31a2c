"""The rules as a Pulumi policy pack: the analyzer of `pulumi up --policy-pack policies`.

It implements the engine's protocol (analyzer.proto of Pulumi 3.272). Pulumi's SDK for packs is not used: it decrypts
secrets before a policy gets them, and reads the whole stack for each policy (docs/adr/0017).
"""

# ruff: noqa: N802, ARG002  the protocol defines the names and arguments

from __future__ import annotations

import signal
import textwrap
from collections.abc import Iterator
from concurrent import futures
from contextlib import suppress
from typing import Any

import grpc  # type: ignore[import-untyped]
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc, engine_pb2, engine_pb2_grpc, plugin_pb2

from policies import cost
from policies.evidence import Judgment, Verdict, judge, judge_resource, unjudged
from policies.plan import (
    PROJECT,
    STACK,
    Plan,
    Resource,
    is_ours,
    judged,
    plan_from,
    resource,
)
from policies.rule import Enforcement, Rule, rules

NAME = PROJECT
VERSION = "0.1.0"
# Name of the policy that reports what can't be judged yet.
LATER = "known-after-up"
LATER_SAYS = "Rules on a property that only the provider knows are judged by the next preview after pulumi up."

# Seconds to wait for the engine's log.
LOG_SECONDS = 10

# Maximum bytes of a message, as in the CLI.
_LARGEST_MESSAGE = 400 * 1024 * 1024


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """The analyzer. It judges each resource by its inputs before the engine creates it, and the whole stack at the
    end."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        self._engine = ""
        self._is_preview = True
        self._reported: set[tuple[str, str, str]] = set()

    def Handshake(self, request: Any, context: Any) -> Any:
        self._engine = request.engine_address
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:
        """Return each rule as a policy with its enforcement level, which users can't change."""
        return analyzer_pb2.AnalyzerInfo(
            name=NAME,
            version=VERSION,
            policies=[
                *(_policy(rule.name, rule.sentence, _level(rule)) for rule in rules()),
                _policy(LATER, LATER_SAYS, analyzer_pb2.ADVISORY),
            ],
        )

    def Configure(self, request: Any, context: Any) -> Any:
        return Empty()

    def ConfigureStack(self, request: Any, context: Any) -> Any:
        self._is_preview = request.dry_run
        self._resources.clear()
        self._reported.clear()
        return analyzer_pb2.AnalyzerStackConfigureResponse()

    def Analyze(self, request: Any, context: Any) -> Any:
        """Judge one resource by the checks that need neither another resource nor the stack's environment."""
        one = self._resources[request.urn] = resource(
            request.urn,
            MessageToDict(request.properties),
            parent=request.options.parent,
            protect=request.options.protect,
            provider=request.provider.name,
        )
        if not is_ours(one, one.urn.split("::")[1]):
            return analyzer_pb2.AnalyzeResponse()
        judgments = judge_resource(one)
        return analyzer_pb2.AnalyzeResponse(diagnostics=[each for one in judgments for each in self._new(one)])

    def AnalyzeStack(self, request: Any, context: Any) -> Any:
        """Judge the whole stack. The request only lists the resources; `Analyze` has saved their inputs."""
        response = analyzer_pb2.AnalyzeResponse()
        plan = self.plan_of(request)
        if plan is None:
            return response
        if self._is_preview:
            self._log(plan.urn, cost.text(plan))
        judgments = judge(plan)
        for one in judgments:
            if one.verdict in (Verdict.NOT_APPLICABLE, Verdict.UNKNOWN):  # otherwise the engine would report success
                response.not_applicable.append(
                    analyzer_pb2.PolicyNotApplicable(policy_name=one.rule.name, reason=str(one.verdict))
                )
            response.diagnostics.extend(self._new(one))
        if later := unjudged(judgments):
            names = textwrap.fill(f"Not judged yet: {'; '.join(later)}", 70, break_on_hyphens=False)
            text = f"{LATER_SAYS}\n{names}"
            response.diagnostics.append(_diagnostic(LATER, LATER_SAYS, text, "", analyzer_pb2.ADVISORY))
        return response

    def _new(self, judgment: Judgment) -> Iterator[Any]:
        rule = judgment.rule
        controls = "; ".join(f"{control.framework} {control.id}" for control in rule.controls)
        for finding in judgment.findings:
            seen = (rule.name, finding.resource, finding.message)
            if finding.unknown or seen in self._reported:
                continue
            self._reported.add(seen)
            name = finding.resource.rpartition("::")[2]
            text = f"{rule.sentence}\n{name}: {finding.message}\n({controls})"
            yield _diagnostic(rule.name, rule.sentence, text, finding.resource, _level(rule))

    def _log(self, urn: str, message: str) -> None:
        """Log a message about `urn` to the CLI. Do nothing if no engine answers."""
        if not self._engine or not message:
            return
        with grpc.insecure_channel(self._engine) as channel, suppress(grpc.RpcError):
            request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn)
            engine_pb2_grpc.EngineStub(channel).Log(request, timeout=LOG_SECONDS)

    def plan_of(self, request: Any) -> Plan | None:
        """Return the plan; None for a program that failed before its stack existed, which the engine reports."""
        stack = next((one for one in request.resources if one.type == STACK), None)
        if stack is None:
            return None
        found = [self._resources[one.urn] for one in request.resources if one.urn in self._resources]
        name, project = stack.urn.split(":", 3)[2], stack.urn.split("::")[1]
        return plan_from(found, judged(MessageToDict(stack.properties)), project=project, stack=name)


def _policy(name: str, says: str, level: Any) -> Any:
    return analyzer_pb2.PolicyInfo(
        name=name, description=says, enforcementLevel=level, policy_type=analyzer_pb2.POLICY_TYPE_STACK
    )


def _level(rule: Rule) -> Any:
    return analyzer_pb2.MANDATORY if rule.enforcement is Enforcement.MANDATORY else analyzer_pb2.ADVISORY


def _diagnostic(name: str, says: str, message: str, urn: str, level: Any) -> Any:
    return analyzer_pb2.AnalyzeDiagnostic(
        policyName=name,
        policyPackName=NAME,
        policyPackVersion=VERSION,
        description=says,
        message=message,
        urn=urn,
        enforcementLevel=level,
    )


def serve(pack: Pack) -> None:
    """Serve until the engine ends this process. Print the port in the first line, for the engine."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # end at once: the CLI waits 5 s for a plugin that ignores the signal
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=4),
        options=[
            ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
            ("grpc.max_send_message_length", _LARGEST_MESSAGE),
        ],
    )
    analyzer_pb2_grpc.add_AnalyzerServicer_to_server(pack, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201  the protocol's first line
    server.wait_for_termination()
