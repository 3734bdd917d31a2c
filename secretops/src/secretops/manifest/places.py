"""Where a store of each platform keeps what it keeps, by names alone. A new platform is one more class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import (
    AbsolutePath,
    AwsAccount,
    AwsLogGroup,
    AwsRegion,
    AwsSecretName,
    BlobUrl,
    Context,
    Days,
    DeliveredFile,
    FieldName,
    FileMode,
    Guid,
    GuidOrEmpty,
    Image,
    KeyVaultName,
    KeyVaultUrl,
    KubernetesKey,
    KubernetesName,
    KubernetesNamespace,
    Label,
    ReaderName,
    RootFolder,
    SecretName,
    ServerUrl,
    SwarmFileName,
    SwarmName,
    TableArn,
    TopicArn,
    UserId,
    Variable,
    VaultNamespace,
    VaultPath,
    VaultRole,
)
from secretops.manifest.model import Model

# The server's variables that `pulumi up` writes into config/.env (components/core/broker.py), and no other.
PublicVariable = Annotated[
    str, Field(pattern=r"^(MQTT_BROKER|MQTT_PORT|MQTT_USE_TLS|MQTT_PROTOCOL|MQTT_CA_CERT|DO_AGENT_URL|LOG_LEVEL)$")
]
PublicText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]


class DotenvStore(Model):
    """The dotenv store's place: a folder as the Secret Management Guide draws it."""

    kind: Literal["dotenv"] = "dotenv"
    root: RootFolder
    variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that carries the value."""
    files: dict[SecretName, dict[FieldName, DeliveredFile]] = Field(default_factory=dict)
    """secret -> field -> path below root of the file that carries the value. With `{version}` in its name a file is
    never rewritten: config/.env moves to the next one together with the secret's other variables, in one rename."""
    file_variables: dict[SecretName, dict[FieldName, Variable]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that names that file, e.g. MQTT_PASSWORD_FILE."""
    lines: dict[PublicVariable, PublicText] = Field(default_factory=dict)
    """variable -> its text: the public lines of config/.env, which `pulumi up` writes and doctor compares."""


class Delivered(Model):
    """The Kubernetes Secret that a secret is delivered in: one, so that no reader sees a torn pair."""

    name: KubernetesName
    keys: dict[FieldName, KubernetesKey]
    """field -> key. Beside them `<secret>-version` says which version it is."""


class KubernetesStore(Model):
    """The Kubernetes store's place: Secrets of a namespace, none of them a resource of the stack (docs/adr/0005)."""

    kind: Literal["kubernetes"] = "kubernetes"
    namespace: KubernetesNamespace
    context: Context | None = None
    """Of the operator's kubeconfig; None takes the current one. In a pod its own service account is taken."""
    versions: KubernetesName
    """The Secret that only the rotator reads: every version kept of every secret, pending ones too."""
    lease: KubernetesName
    """The Lease (coordination.k8s.io) that whoever rotates holds."""
    instance: Label = ""
    """The stack's label app.kubernetes.io/instance, which its Lease carries: a Lease with another is of another stack,
    and so are the Secrets beside it. Empty where no program made the Lease: such a one has no such label."""
    delivered: dict[SecretName, Delivered] = Field(default_factory=dict)
    """secret -> where its readers find it."""
    issued: Delivered | None = None
    """The Secret that an issuer writes the client certificate into, which is in no version of the store."""
    readers: dict[KubernetesName, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Name of a Secret -> who is declared to read it, as the API server's audit log names users and groups."""


class AwsStore(Model):
    """The AWS store's place: secrets of Secrets Manager in one region.

    Where the service answers, and as whom it is asked, is left to boto3's own chain (AWS_PROFILE, a role,
    AWS_ENDPOINT_URL), so that no manifest names a person's profile.
    """

    kind: Literal["aws"] = "aws"
    account: AwsAccount
    """Whose secrets they are: twelve digits. Another account may have secrets of the same names."""
    region: AwsRegion
    secrets: dict[SecretName, AwsSecretName]
    """secret -> full name of its secret in Secrets Manager. Not the ARN, which a preview does not know yet."""
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the JSON object that is its value."""
    lease: TableArn
    """ARN of the DynamoDB table whose one item says who rotates."""
    alerts: TopicArn = ""
    """ARN of the topic that the stack's alarms tell; empty where the manifest does not say."""
    log_group: AwsLogGroup = ""
    """Name of CloudTrail's log group, which the stack's alarms read; empty in manifests of earlier programs."""
    readers: dict[AwsSecretName, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Name of a secret -> who is declared to read it: names or ARNs of IAM roles."""


class AzureStore(Model):
    """The Azure store's place: secrets of one Key Vault.

    As whom it is asked is left to azure-identity's own chain (`az login`, AZURE_CLIENT_ID in a container), so that no
    manifest names a person.
    """

    kind: Literal["azure"] = "azure"
    tenant: Guid
    """Id (a GUID) of the Entra tenant that the vault is of. A vault's name is one in the world at a time: once it was
    purged anybody may take it, and a person's login would follow them into their tenant."""
    vault: KeyVaultUrl
    """The vault's URL, `https://<name>.vault.azure.net`."""
    secrets: dict[SecretName, KeyVaultName]
    """secret -> name of its secret in the vault. The newest version of that one is what every reader gets."""
    pending: dict[SecretName, KeyVaultName]
    """secret -> name of the secret in the vault that holds what is prepared: apart, because Key Vault gives whoever
    asks without a version the newest one, proven or not. Only the rotator reads it."""
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the JSON object that is its value."""
    due_days: dict[SecretName, Days] = Field(default_factory=dict)
    """secret -> days from its publication to the expiry that each version of it has in the vault: when the next one is
    due. A certificate's own end comes before it where it is sooner. None for a secret that is not named here."""
    lease: BlobUrl
    """URL of the blob whose lease whoever rotates holds, `https://<account>.blob.core.windows.net/<container>/<blob>`."""
    workspace: GuidOrEmpty = ""
    """Id (a GUID) of the Log Analytics workspace that the vault's audit log goes to; empty where there is none."""
    readers: dict[KeyVaultName, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Name of a secret in the vault -> who is declared to read it: object ids of Entra principals."""


class VaultLogin(Model):
    """How a program that nobody started logs in to Vault. Public: a role's name, never a secret id or a token."""

    method: Literal["approle", "jwt", "kubernetes"]
    mount: VaultPath
    """Where the method is enabled, without `auth/`."""
    role: VaultRole
    """The role's name; for approle its role id, which Vault does not keep secret."""
    file: AbsolutePath
    """Path of what it shows there: a secret id (or the wrapping token of one), a JWT, a service account's token."""
    wrapped: bool = False
    """approle: whether the file has a wrapping token, which is good for one login."""


class VaultStore(Model):
    """The place of a Vault or OpenBao store: one KV v2 mount.

    As whom an operator asks is left to Vault's own chain (VAULT_TOKEN, ~/.vault-token), so that no manifest names a
    person. What runs by itself has a `login`.
    """

    kind: Literal["vault"] = "vault"
    address: ServerUrl
    """The server's URL, https."""
    namespace: VaultNamespace = ""
    """Of Vault Enterprise or OpenBao; empty is the root."""
    ca_file: AbsolutePath | None = None
    """PEM bundle that signs the server's certificate; None trusts the system's."""
    mount: VaultPath
    secrets: dict[SecretName, VaultPath]
    """secret -> path in the mount of what every reader gets: the newest version there is the current one."""
    pending: dict[SecretName, VaultPath]
    """secret -> path in the mount of what is prepared: apart, because KV gives whoever asks without a version the
    newest one, proven or not. Only the rotator reads it."""
    fields: dict[SecretName, tuple[FieldName, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the document."""
    lease: VaultPath
    """Path in the mount of the document that says who rotates, changed by check-and-set. It never holds a value."""
    login: VaultLogin | None = None
    """None: the token of whoever runs secretops."""
    readers: dict[VaultPath, tuple[ReaderName, ...]] = Field(default_factory=dict)
    """Path in the mount -> its declared readers as the audit log tells them: `<mount>/<role>` of an auth method."""


class SwarmFile(Model):
    """The file in the server's containers that has one field of a secret."""

    name: SwarmFileName
    """Below /run/secrets, as the Secret Management Guide names it."""
    mode: FileMode = 0o400


SWARM_INSTANCE = "coreflux-mcp-secrets.instance"
"""Label of all that a stack has in a Swarm: whose it is, as SwarmStore.instance has it."""


def version_file(secret: str) -> str:
    """The file, beside those of the fields, that says which version they are of; the launcher reads it."""
    return f"{secret}-version"


class SwarmStore(Model):
    """The place of a Docker Swarm store: the secrets of one Swarm, which only its containers can read.

    Which daemon is asked is left to Docker's own chain (DOCKER_HOST, the current context); a manager's.
    """

    kind: Literal["swarm"] = "swarm"
    prefix: SwarmName
    """Begins the name of every secret of the stack: `<prefix>mqtt-v3-password`."""
    book: SwarmName
    """Name of the config whose labels say which versions there are, which is current, and who rotates: changed by
    check-and-set on its index. It never holds a value."""
    instance: SwarmName
    """The stack's label on all that is made: a book with another is of another stack."""
    service: SwarmName
    """The server's service, whose list of secrets is the delivery; the rotator moves it, start-first."""
    delivered: dict[SecretName, dict[FieldName, SwarmFile]] = Field(default_factory=dict)
    """secret -> field -> its file in the server's containers. All fields of a version come with one update."""
    uid: UserId
    """The launcher's, whose files they are."""
    image: Image
    """What a tick runs in: no daemon gives a value back, so whoever needs one runs as a task that has it."""
    networks: tuple[SwarmName, ...] = ()
    """Those of that task: where it reaches the broker."""


StoreLocation = DotenvStore | KubernetesStore | AwsStore | AzureStore | VaultStore | SwarmStore
