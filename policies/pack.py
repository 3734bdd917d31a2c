"""The rules as a policy pack of Pulumi: what `pulumi preview --policy-pack policies` starts and asks.

It speaks the engine's analyzer protocol (analyzer.proto of Pulumi 3.272) itself. Pulumi's own SDK for packs takes the
mark off a secret before a policy sees it, which would show rules the value, and reads the whole stack anew for each of
its policies (docs/adr/0041).
"""

# ruff: noqa: N802, ARG002  the protocol gives the names and the arguments

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
from policies.catalogue import rules
from policies.evidence import Judgement, Verdict, judge
from policies.plan import PROJECT, STACK, Plan, Resource, judged, plan_from, resource
from policies.rule import Enforcement, Rule

NAME = PROJECT
VERSION = "0.1.0"
LATER = "known-after-up"
"""The policy under which is told what can't be judged yet."""
LATER_SAYS = "What hangs on a property that only the provider knows is judged by the next preview after pulumi up."

# Seconds to wait for the engine's log.
LOG_SECONDS = 10

_LARGEST_MESSAGE = 400 * 1024 * 1024
"""Bytes; what the CLI itself allows."""


class Pack(analyzer_pb2_grpc.AnalyzerServicer):
    """The analyzer. It is shown each resource with its inputs, then the stack with its outputs, and judges then.

    What is not overridden answers UNIMPLEMENTED, as the protocol asks.
    """

    def __init__(self) -> None:
        self._asked: dict[str, Resource] = {}
        self._engine = ""

    def Handshake(self, request: Any, context: Any) -> Any:
        """Keep the engine's address, to which the estimate of cost is logged."""
        self._engine = request.engine_address
        return analyzer_pb2.AnalyzerHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetAnalyzerInfo(self, request: Any, context: Any) -> Any:
        """Each rule is a policy, which can be listed; its level is the rule's own, and nothing switches it."""
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

    def Analyze(self, request: Any, context: Any) -> Any:
        """One resource with its inputs: kept until the whole is there."""
        self._asked[request.urn] = resource(
            request.urn,
            MessageToDict(request.properties),
            parent=request.options.parent,
            protect=request.options.protect,
            provider=request.provider.name,
        )
        return analyzer_pb2.AnalyzeResponse()

    def AnalyzeStack(self, request: Any, context: Any) -> Any:
        """The whole stack. Of the resources only what there is counts here: their inputs came before."""
        response = analyzer_pb2.AnalyzeResponse()
        plan = self.plan_of(request)
        if plan is None:
            return response
        self._log(plan.urn, cost.text(plan))
        judgements = judge(plan)
        for one in judgements:
            if one.verdict in (Verdict.NOT_APPLICABLE, Verdict.UNKNOWN):  # else the engine would say that it passed
                response.not_applicable.append(
                    analyzer_pb2.PolicyNotApplicable(policy_name=one.rule.name, reason=str(one.verdict))
                )
            response.diagnostics.extend(_diagnostics(one))
        if later := [one.rule.name for one in judgements if one.verdict is Verdict.UNKNOWN]:
            names = textwrap.fill(f"Not judged yet: {', '.join(later)}", 70, break_on_hyphens=False)
            told = f"{LATER_SAYS}\n{names}"
            response.diagnostics.append(_diagnostic(LATER, LATER_SAYS, told, "", analyzer_pb2.ADVISORY))
        return response

    def _log(self, urn: str, message: str) -> None:
        """Have the CLI print a message below the stack. Without an engine, and if it does not answer, nothing is."""
        if not self._engine or not message:
            return
        with grpc.insecure_channel(self._engine) as channel, suppress(grpc.RpcError):
            request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=message, urn=urn)
            engine_pb2_grpc.EngineStub(channel).Log(request, timeout=LOG_SECONDS)

    def plan_of(self, request: Any) -> Plan | None:
        """What the engine showed; None of a program that gave up before it made a stack, of which the engine tells."""
        stack = next((one for one in request.resources if one.type == STACK), None)
        if stack is None:
            return None
        asked = [self._asked[one.urn] for one in request.resources if one.urn in self._asked]
        name, project = stack.urn.split(":", 3)[2], stack.urn.split("::")[1]
        return plan_from(asked, judged(MessageToDict(stack.properties)), project=project, stack=name)


def _policy(name: str, says: str, level: Any) -> Any:
    return analyzer_pb2.PolicyInfo(
        name=name, description=says, enforcementLevel=level, policy_type=analyzer_pb2.POLICY_TYPE_STACK
    )


def _level(rule: Rule) -> Any:
    return analyzer_pb2.MANDATORY if rule.enforcement is Enforcement.MANDATORY else analyzer_pb2.ADVISORY


def _diagnostics(judgement: Judgement) -> Iterator[Any]:
    rule = judgement.rule
    controls = "; ".join(f"{control.framework} {control.id}" for control in rule.controls)
    for finding in judgement.findings:
        if not finding.unknown:
            name = finding.resource.rpartition("::")[2]
            told = f"{rule.sentence}\n{name}: {finding.message}\n({controls})"
            yield _diagnostic(rule.name, rule.sentence, told, finding.resource, _level(rule))


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
    """Until the engine is through. It reads the port from the first line."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # at once: the CLI waits 5 s for a plugin that ignores it
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
