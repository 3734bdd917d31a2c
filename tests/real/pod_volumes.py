"""The volumes of a pod, written and updated as by kubelet's atomic writer.

https://kubernetes.io/docs/concepts/storage/projected-volumes/, pkg/volume/util/atomic_writer.go: a new folder has the
files, one rename moves the link `..data` to it, and each file is a link through `..data`.
"""

import base64
import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lightkube import ApiError, Client
from lightkube.models.authentication_v1 import BoundObjectReference, TokenRequestSpec
from lightkube.models.core_v1 import Container as ContainerSpec
from lightkube.models.core_v1 import KeyToPath, PodSpec, ServiceAccountTokenProjection, Volume, VolumeProjection
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import ConfigMap, Pod, Secret, ServiceAccountToken

from tests.real import pod_process
from tests.real.pod_process import Container, Mount

Files = dict[str, tuple[bytes, int]]  # Path below the volume -> content and mode.
DEFAULT_MODE = 0o644


class NotThereError(Exception):
    """A required object of a volume does not exist yet, so the pod cannot start."""


@dataclass
class Volumes:
    """The volumes of one pod, read with its node's rights."""

    pod: Pod
    folder: Path
    client: Client
    _laid: dict[str, Files] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self) -> None:
        """Write each volume with the API server's current data. Raises NotThereError."""
        for volume in _spec(self.pod).volumes or ():
            if volume.emptyDir is not None:
                self.path(volume.name).mkdir(parents=True, exist_ok=True)
                self.path(volume.name).chmod(0o777)
                continue
            files = self._files(volume)
            if files != self._laid.get(volume.name):
                swap(self.path(volume.name), files, self._group())
                self._laid[volume.name] = files

    def _group(self) -> int | None:
        context = _spec(self.pod).securityContext
        return context.fsGroup if context else None

    def _files(self, volume: Volume) -> Files:
        if volume.secret is not None:
            secret = volume.secret
            mode = secret.defaultMode or DEFAULT_MODE
            return self._keys(Secret, str(secret.secretName), secret.items, mode, optional=bool(secret.optional))
        if volume.configMap is not None:
            config = volume.configMap
            mode = config.defaultMode or DEFAULT_MODE
            return self._keys(ConfigMap, str(config.name), config.items, mode, optional=bool(config.optional))
        assert volume.projected is not None, f"a kind of volume that this stand-in does not know: {volume}"
        mode = volume.projected.defaultMode or DEFAULT_MODE
        files: Files = {}
        for source in volume.projected.sources or ():
            files |= self._projected(source, mode)
        return files

    def _projected(self, source: VolumeProjection, mode: int) -> Files:
        if one := source.secret:
            return self._keys(Secret, str(one.name), one.items, mode, optional=bool(one.optional))
        if other := source.configMap:
            return self._keys(ConfigMap, str(other.name), other.items, mode, optional=bool(other.optional))
        if source.serviceAccountToken:
            return {source.serviceAccountToken.path: (self._token(source.serviceAccountToken).encode(), mode)}
        assert source.downwardAPI, f"a kind of source that this stand-in does not know: {source}"
        files: Files = {}
        for item in source.downwardAPI.items or ():
            assert item.fieldRef
            files[item.path] = (field_of(self.pod, item.fieldRef.fieldPath).encode(), item.mode or mode)
        return files

    def _keys(
        self,
        kind: type[Secret] | type[ConfigMap],
        name: str,
        items: Sequence[KeyToPath] | None,
        mode: int,
        *,
        optional: bool,
    ) -> Files:
        try:
            found = self.client.get(kind, name, namespace=metadata(self.pod).namespace)
        except ApiError as error:
            if error.status.code == 404 and optional:
                return {}
            # The node authorizer learns of a new pod a moment later.
            raise NotThereError(f"{kind.__name__} {name}: {error}") from error
        if isinstance(found, Secret):
            content = {key: base64.b64decode(text) for key, text in (found.data or {}).items()}
        else:
            content = {key: text.encode() for key, text in (found.data or {}).items()}
        if items is None:
            return {key: (value, mode) for key, value in content.items()}
        missing = [item.key for item in items if item.key not in content]
        if missing and not optional:
            raise NotThereError(f"{kind.__name__} {name} has no {', '.join(missing)}")
        return {item.path: (content[item.key], item.mode or mode) for item in items if item.key in content}

    def _token(self, wanted: ServiceAccountTokenProjection) -> str:
        if wanted.path not in self._tokens:
            bound = BoundObjectReference(
                apiVersion="v1", kind="Pod", name=metadata(self.pod).name, uid=metadata(self.pod).uid
            )
            spec = TokenRequestSpec(
                audiences=[wanted.audience] if wanted.audience else [],
                expirationSeconds=wanted.expirationSeconds or 3600,
                boundObjectRef=bound,
            )
            account = _spec(self.pod).serviceAccountName or "default"
            try:
                made = self.client.create(
                    ServiceAccountToken(metadata=ObjectMeta(), spec=spec),
                    account,
                    namespace=metadata(self.pod).namespace,
                )
            except ApiError as error:
                raise NotThereError(f"token of {account}: {error}") from error
            assert made.status and made.status.token
            self._tokens[wanted.path] = made.status.token
        return self._tokens[wanted.path]


def swap(volume: Path, files: Files, group: int | None) -> None:
    """Replace the content of `volume` with `files` in one step. With an fsGroup, the group owns and may read them."""
    volume.mkdir(parents=True, exist_ok=True)
    fresh = volume / f"..{secrets.token_hex(6)}"
    fresh.mkdir(mode=0o755)
    for name, (content, mode) in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        path.chmod(mode)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(mode | 0o440)
    data = volume / "..data"
    before = data.resolve() if data.is_symlink() else None
    new = volume / "..data_tmp"
    new.symlink_to(fresh.name)
    new.replace(data)
    tops = {Path(name).parts[0] for name in files}
    for top in tops:
        with contextlib.suppress(FileExistsError):
            (volume / top).symlink_to(Path("..data") / top)
    for link in volume.iterdir():
        if not link.name.startswith("..") and link.name not in tops:
            link.unlink()
    if before:
        shutil.rmtree(before)


def field_of(pod: Pod, path: str) -> str:
    about, spec = metadata(pod), _spec(pod)
    fields = {
        "metadata.name": about.name,
        "metadata.namespace": about.namespace,
        "metadata.uid": about.uid,
        "spec.nodeName": spec.nodeName,
        "spec.serviceAccountName": spec.serviceAccountName,
    }
    assert path in fields, f"a field that this stand-in does not know: {path}"
    return fields[path] or ""


def metadata(pod: Pod) -> ObjectMeta:
    assert pod.metadata
    return pod.metadata


def _spec(pod: Pod) -> PodSpec:
    assert pod.spec
    return pod.spec


# A Pod as a process gets it: arguments, environment, mounts and rights

ENTRYPOINT = ["secretops"]  # The image's.
EVERY_ADDRESS = "0.0.0.0:"


def container_of(pod: Pod) -> ContainerSpec:
    assert pod.spec and len(pod.spec.containers) == 1 and not pod.spec.initContainers
    return pod.spec.containers[0]


def as_container(volumes: Volumes, client: Client, *, own: Mapping[str, str], port: int, log: Path) -> Container:
    """Return the container of a pod. `own` has the variables of the image and of kubelet. Servers listen on `port`.

    Raises ApiError if a ConfigMap of its environment is missing.
    """
    pod, spec = volumes.pod, container_of(volumes.pod)
    assert pod.spec and pod.spec.enableServiceLinks is False, "every Service of the namespace would set variables"
    mine, whole = spec.securityContext, pod.spec.securityContext
    assert mine and mine.allowPrivilegeEscalation is False and mine.capabilities and mine.readOnlyRootFilesystem
    assert mine.capabilities.drop == ["ALL"] and not mine.capabilities.add, "every container here runs restricted"
    environment = _environment(pod, client, own)
    words = [_expanded(word, environment) for word in (*(spec.command or ENTRYPOINT), *(spec.args or ()))]
    group = whole.fsGroup if whole else None
    return Container(
        argv=[f"127.0.0.1:{port}" if word.startswith(EVERY_ADDRESS) else word for word in words],
        environment=environment,
        mounts=_mounts(volumes, pod.spec, spec),
        log=log,
        user=mine.runAsUser or (whole and whole.runAsUser) or pod_process.USER,
        groups=[group] if group else [],
    )


def _environment(pod: Pod, client: Client, own: Mapping[str, str]) -> dict[str, str]:
    environment, spec = dict(own), container_of(pod)
    for source in spec.envFrom or ():
        assert source.configMapRef, "values are files, never variables"
        config = client.get(ConfigMap, str(source.configMapRef.name), namespace=metadata(pod).namespace)
        environment |= {f"{source.prefix or ''}{key}": text for key, text in (config.data or {}).items()}
    for variable in spec.env or ():
        if variable.valueFrom is None:
            environment[variable.name] = _expanded(variable.value or "", environment)
            continue
        assert variable.valueFrom.fieldRef, "of what is not written out, this stand-in knows fieldRef"
        environment[variable.name] = field_of(pod, variable.valueFrom.fieldRef.fieldPath)
    return environment


def _mounts(volumes: Volumes, pod: PodSpec, spec: ContainerSpec) -> list[Mount]:
    scratch = {volume.name for volume in pod.volumes or () if volume.emptyDir is not None}
    mounts = []
    for mount in spec.volumeMounts or ():
        assert not mount.subPath, "a subPath is never brought up to date"
        writable = mount.name in scratch and not mount.readOnly
        mounts.append(Mount(volumes.path(mount.name), mount.mountPath, writable))
    return mounts


def _expanded(text: str, environment: Mapping[str, str]) -> str:
    return re.sub(
        r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)",
        lambda found: "$" if found[0] == "$$" else environment.get(found[1], found[0]),
        text,
    )
