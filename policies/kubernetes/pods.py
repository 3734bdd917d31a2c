from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from policies.containers import HAS_CREDENTIAL, UNPINNED, carries_value, drops_all, no_credential, pinned
from policies.controls import controls
from policies.kubernetes.objects import PODS, containers_of, of_kind, pod_of
from policies.matchers import at, each, is_true, judge, not_set, one_of, select
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Each, Expect, Rule

# Mode bits that a secret's file must not have: write, execute, and anything for others.
_TOO_OPEN = 0o227

_AUTOMOUNT = "automountServiceAccountToken"
_ACCOUNT = "kubernetes:*:ServiceAccount"
_VARIABLE = "comes from a Secret, and a variable never changes in a running pod; mount the Secret as files"


def _pod(path: str, ok: Callable[[Any], bool], wrong: str) -> Each:
    def look(one: Resource) -> Iterator[Finding]:
        for entry in select(pod_of(one), path):
            yield from judge(one, entry, ok, f"its pods' {path}", wrong)

    return Each(PODS, look)


def _container(path: str, ok: Callable[[Any], bool], wrong: str, *, or_pod: bool = False) -> Each:
    """Return a check of each container's property at `path`; with `or_pod`, the pod's property is the default."""

    def look(one: Resource) -> Iterator[Finding]:
        for container, name in containers_of(one):
            for entry in select(container, path):
                found = at(pod_of(one), *path.split(".")) if or_pod and entry is None else entry
                yield from judge(one, found, ok, f"{name}: {path}", wrong)

    return Each(PODS, look)


def _look_at_variables(one: Resource) -> Iterator[Finding]:
    for container, name in containers_of(one):
        for entry in each(at(container, "env")):
            yield from carries_value(one, name, at(entry, "name"), at(entry, "value"))


def _is_no_root(user: Any) -> bool:
    return user is None or (isinstance(user, int) and user > 0)


def _is_closed(mode: Any) -> bool:
    return isinstance(mode, int) and not mode & _TOO_OPEN


def _sources(volume: Any) -> list[Any]:
    projected, secret = at(volume, "projected"), at(volume, "secret")
    of_secrets = any(
        source is UNKNOWN or at(source, "secret") is not None or at(source, "serviceAccountToken") is not None
        for source in each(at(projected, "sources"))
    )
    return [*([secret] if secret is not None else []), *([projected] if of_secrets else [])]


def _look_at_secret_files(one: Resource) -> Iterator[Finding]:
    volumes = [(at(volume, "name"), _sources(volume)) for volume in each(at(pod_of(one), "volumes"))]
    for name, sources in volumes:
        for source in sources:
            wrong = "allows others to read the files, or anybody to write them; set defaultMode to 0440"
            yield from judge(one, at(source, "defaultMode"), _is_closed, f"the defaultMode of volume {name}", wrong)
    secret = [name for name, sources in volumes if sources]
    for container, _ in containers_of(one):
        for mount in each(at(container, "volumeMounts")):
            name = at(mount, "name")
            if name in secret or UNKNOWN in (name, *secret):
                wrong = "is set: kubelets never update such a mount; mount the whole volume"
                path = (at(mount, "subPath"), name)
                yield from judge(one, path, lambda pair: pair[0] is None, f"the subPath of a mount of {name}", wrong)


def _look_at_tokens(plan: Plan) -> Iterator[Finding]:
    bound = [
        at(subject, "name") for one in of_kind(plan, "RoleBinding") for subject in each(at(one.properties, "subjects"))
    ]
    for one in (one for kind in PODS for one in of_kind(plan, kind.rpartition(":")[2])):
        mounts, account = at(pod_of(one), _AUTOMOUNT), at(pod_of(one), "serviceAccountName")
        if mounts is False or (account is not UNKNOWN and account in bound):
            continue
        wrong = f"is mounted, but its account has no Role: nothing uses the token; set {_AUTOMOUNT}: false"
        entry = UNKNOWN if UNKNOWN in (mounts, account, *bound) else account
        yield from judge(one, entry, lambda _: False, "the token in its pods", wrong)


IMAGES = (_container("image", pinned, UNPINNED),)

RULES: tuple[Rule, ...] = (
    Rule(
        name="kubernetes-pods-are-isolated",
        sentence="No pod shares its node's network, processes or folders, and every pod has a seccomp profile.",
        controls=controls("CC6.1 2.2.6 164.312(a)(1) 32(1)(b)", "a compromised pod reaches no other secrets"),
        limitation="The rule does not check what the seccomp profile of the container runtime allows.",
        checks=(
            *(
                _pod(key, one_of(None, False), "is on: the pod shares it with the node; remove this field")
                for key in ("hostNetwork", "hostPID", "hostIPC")
            ),
            _pod(
                "volumes[].hostPath",
                one_of(None),
                "mounts a folder of the node, with data of others; remove the volume",
            ),
            _container("ports[].hostPort", not_set, "opens a port of the node; remove the port, and use a Service"),
            _container(
                "securityContext.seccompProfile.type",
                one_of("RuntimeDefault", "Localhost"),
                "allows every system call; set RuntimeDefault",
                or_pod=True,
            ),
        ),
    ),
    Rule(
        name="kubernetes-pods-run-as-non-root",
        sentence="Every container runs as a user other than root.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "a compromised pod reaches no other secrets"),
        limitation="The rule does not check which user a container gets if the stack names none, or whether another "
        "pod of the node runs as that user.",
        checks=(
            _container("securityContext.runAsNonRoot", is_true, "is not true; set it to true", or_pod=True),
            _container(
                "securityContext.runAsUser",
                _is_no_root,
                "is root; set another uid, or none if the platform assigns one",
                or_pod=True,
            ),
        ),
    ),
    Rule(
        name="kubernetes-pods-gain-nothing",
        sentence="Every container drops all capabilities and can't gain privileges.",
        controls=controls("CC6.3 7.2.5 164.312(a)(1) 32(1)(b)", "a compromised pod reaches no other secrets"),
        limitation="The rule does not check whether the node's kernel has a vulnerability that requires no capability.",
        checks=(
            _container(
                "securityContext.privileged",
                one_of(None, False),
                "is on: the container has the node's privileges; remove this field",
            ),
            _container("securityContext.allowPrivilegeEscalation", one_of(False), "is not false; set it to false"),
            _container("securityContext.capabilities.drop", drops_all, "leaves capabilities; set it to [ALL]"),
            _container("securityContext.capabilities.add", not_set, "adds capabilities; remove it"),
        ),
    ),
    Rule(
        name="kubernetes-root-is-read-only",
        sentence="No container can write to its root file system.",
        controls=controls("CC6.8 2.2.6 164.312(c)(1) 32(1)(b)", "nobody adds a program to a running container"),
        limitation="The rule does not check whether a program runs from a folder that is mounted for writing, such as "
        "/tmp.",
        checks=(_container("securityContext.readOnlyRootFilesystem", is_true, "is not true; set it to true"),),
    ),
    Rule(
        name="kubernetes-secret-files-are-closed",
        sentence="Only the pod's user and group can read a secret's file; a new version reaches the mounted file.",
        controls=controls("CC6.3 7.2.5 164.312(c)(1) 32(1)(b)", "a reader can only read"),
        limitation="The rule does not check who may run a command in the pod, and so act as its user.",
        checks=(Each(PODS, _look_at_secret_files),),
    ),
    Rule(
        name="kubernetes-secrets-are-files",
        sentence="No container has a secret value in a variable or a command.",
        controls=controls("CC6.1 8.6.3 164.312(a)(1) 32(1)(b)", "a value can change while its reader runs"),
        limitation="The rule does not check what the program in the container does with a value after reading it.",
        checks=(
            _container("env[].valueFrom.secretKeyRef", one_of(None), _VARIABLE),
            _container("envFrom[].secretRef", one_of(None), _VARIABLE),
            *(_container(what, no_credential, HAS_CREDENTIAL) for what in ("command", "args")),
            Each(PODS, _look_at_variables),
        ),
    ),
    Rule(
        name="kubernetes-tokens-are-used",
        sentence="A pod gets a token for the API server only if a Role is bound to its service account.",
        controls=controls("CC6.1 7.2.5 164.312(d) 32(1)(b)", "no pod has a credential that it does not use"),
        limitation="The rule does not see Roles that others bind to these accounts.",
        checks=(Expect(_ACCOUNT, _AUTOMOUNT, one_of(False), "is not false: every pod gets a token; set false"),),
        across=_look_at_tokens,
        types=PODS,
    ),
)
