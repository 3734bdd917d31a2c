"""What a stack tells secretops: where everything is, and never what anything is worth.

The Pulumi program builds one `Manifest` from its settings and hands it on as the stack output `secretops` (for an
operator), and as a file or a variable (for a rotator). It is public: locators, names, cadences.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Model(BaseModel):
    """Frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SecretKind(StrEnum):
    """Who makes a secret's next value, and how it is proven. Not where it is kept."""

    MQTT_USER = "mqtt-user"  # two broker users, alternating; made by secretops
    BROKER_ADMIN = "broker-admin"  # two broker admins, alternating; the first one by the operator
    AGENT_KEY = "agent-key"  # a DigitalOcean agent API key
    X509 = "x509"  # CA certificate, client certificate, client key
    CA = "ca"  # the stack's own CA of client certificates; made by secretops
    SUPPLIED = "supplied"  # by the operator, always

    @property
    def alternates(self) -> bool:
        """Whether secretops makes its values, on two users that take turns."""
        return self in (SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN)


HTTP_TOKEN = ("http-token", "token")
"""The secret, and its one field, by which the launcher knows an MCP client over HTTP (docs/adr/0009)."""


class Reader(StrEnum):
    """Who may read a secret."""

    SERVER = "server"
    ROTATOR = "rotator"


class VaultIssuer(Model):
    """Who signs a certificate: a role of a PKI engine, in the Vault that is the stack's store and by the same login."""

    kind: Literal["vault"] = "vault"
    mount: str
    role: str
    common_name: str
    """Of the client: the one name that the role signs."""
    seconds: int
    """For how long a certificate is asked to be good. The role may say less."""


class AwsPrivateCaIssuer(Model):
    """Who signs a certificate: a CA of AWS Private CA, which whoever runs it has made. Asked by boto3's own chain."""

    kind: Literal["aws-private-ca"] = "aws-private-ca"
    arn: str
    """The CA's. It says the region to ask, which need not be the store's."""
    common_name: str
    """Of the client. The CA signs any name: it is the request that has this one."""
    seconds: int
    """For how long a certificate is asked to be good, whole days. A CA for short-lived ones signs for 7 at most."""

    @property
    def region(self) -> str:
        """The CA's."""
        return self.arn.split(":")[3]

    @property
    def template(self) -> str:
        """What is asked for: no CA, good to log in as a client, and of the request's extensions none.

        https://docs.aws.amazon.com/privateca/latest/userguide/template-definitions.html
        """
        return f"arn:{self.arn.split(':')[1]}:acm-pca:::template/EndEntityClientAuthCertificate/V1"


class PrivateCaIssuer(Model):
    """Who signs a certificate: secretops itself, by a CA whose key is a secret that only the rotator reads."""

    kind: Literal["private-ca"] = "private-ca"
    secret: str
    """The CA: a secret of kind ca."""
    common_name: str
    """Of the client: the name that the CA may certify, and none that does not begin with it."""
    seconds: int
    """For how long a certificate is good."""
    ca_seconds: int
    """For how long the CA is."""


Issuer = Annotated[VaultIssuer | AwsPrivateCaIssuer | PrivateCaIssuer, Field(discriminator="kind")]
"""Who signs the certificates of a secret."""


COPILOT = "https://xtov5ljwjkydusw2zpus4yxe.agents.do-ai.run"
"""The Coreflux Copilot, which upstream's server asks unless it is led elsewhere (its server.py has this address)."""


class ExternalAgent(Model):
    """An agent whose keys somebody else gives out: of the Copilot, the Coreflux dashboard."""

    kind: Literal["external"] = "external"
    url: str = COPILOT
    """Where a key is tested before it is published: https, without a path."""


class OwnedAgent(Model):
    """An agent of the operator's own DigitalOcean account: secretops makes its keys, and deletes them."""

    kind: Literal["owned"] = "owned"
    url: str
    id: str
    """The agent's UUID."""
    prefix: str
    """Begins the name of each key that secretops makes there. What has another name is never touched."""


Agent = Annotated[ExternalAgent | OwnedAgent, Field(discriminator="kind")]
"""What an agent key opens."""

AGENT_ADMIN = ("agent-admin", "token")
"""The secret, and its one field, with which keys of an owned agent are made: a token of DigitalOcean's API."""


class Secret(Model):
    """One named entry of the catalogue. Not a value."""

    name: str
    kind: SecretKind
    fields: tuple[str, ...]
    readers: tuple[Reader, ...]
    cadence_days: int
    """After how many days a new value is due (alternating kinds), or a person is reminded (the others)."""
    users: tuple[str, ...] = ()
    """The two broker users that take turns; empty for kinds that do not alternate."""
    issuer: Issuer | None = None
    """Who signs its certificates, which secretops has made and renews; None: an operator supplies them."""
    agent: Agent | None = None
    """What an agent key opens. None of every other kind, and where nobody says it: then no key is tested."""

    @property
    def is_made(self) -> bool:
        """Whether secretops makes its values by itself."""
        return self.kind.alternates or self.is_issued or isinstance(self.agent, OwnedAgent)

    @property
    def is_begun(self) -> bool:
        """Whether it makes the first one, too: the first admin is an operator's."""
        return self.is_made and self.kind is not SecretKind.BROKER_ADMIN

    @property
    def is_issued(self) -> bool:
        """Whether it is a certificate that secretops has made: it ends by itself, and is renewed before."""
        return self.issuer is not None or self.kind is SecretKind.CA


class BrokerKind(StrEnum):
    """Which commands a broker understands for its users. `coreflux` also covers the embedded broker."""

    COREFLUX = "coreflux"
    MOSQUITTO = "mosquitto"


class MqttProtocol(StrEnum):
    """Which MQTT a client speaks to the broker."""

    V5 = "5"
    V311 = "3.1.1"


class Broker(Model):
    """How to reach the MQTT broker, which is the target of the broker users' passwords."""

    kind: BrokerKind
    host: str
    port: int
    protocol: MqttProtocol
    tls: bool
    ca_file: str | None = None
    """PEM bundle that signs the broker's certificate; None trusts the system's."""
    certificate_file: str | None = None
    """PEM of the client's certificate and its chain, for a broker that asks for one; secretops shows it too."""
    key_file: str | None = None
    """PEM of that certificate's key, without a passphrase. A path, never the key."""
    certificate_secret: str | None = None
    """The secret of the stack whose current value is that certificate, where it lies in no file."""
    topics: tuple[str, ...] = ("#", "$SYS/Coreflux/#")
    """Topic filters that the server's user may publish and subscribe to, where the broker's ACL can say so."""
    embedded: bool = False
    """Whether `secretops broker` is this broker."""
    home: str | None = None
    """Folder of the embedded broker's users, log and pid file."""


class DotenvStore(Model):
    """The dotenv store's place: a folder as the Secret Management Guide draws it."""

    kind: Literal["dotenv"] = "dotenv"
    root: str
    variables: dict[str, dict[str, str]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that carries the value."""
    files: dict[str, dict[str, str]] = Field(default_factory=dict)
    """secret -> field -> path below root of the file that carries the value. With `{version}` in its name a file is
    never rewritten: config/.env moves to the next one together with the secret's other variables, in one rename."""
    file_variables: dict[str, dict[str, str]] = Field(default_factory=dict)
    """secret -> field -> the variable in config/.env that names that file, e.g. MQTT_PASSWORD_FILE."""


class Delivered(Model):
    """The Kubernetes Secret that a secret is delivered in: one, so that no reader sees a torn pair."""

    name: str
    keys: dict[str, str]
    """field -> key. Beside them `<secret>-version` says which version it is."""


class KubernetesStore(Model):
    """The Kubernetes store's place: Secrets of one namespace. None of them is a resource of the stack (docs/adr)."""

    kind: Literal["kubernetes"] = "kubernetes"
    namespace: str
    context: str | None = None
    """Of the operator's kubeconfig; None takes the current one. In a pod its own service account is taken."""
    versions: str
    """The Secret that only the rotator reads: every version kept of every secret, pending ones too."""
    lease: str
    """The Lease (coordination.k8s.io) that whoever rotates holds."""
    instance: str = ""
    """The stack's label app.kubernetes.io/instance, which its Lease carries: a Lease with another is of another stack,
    and so are the Secrets beside it. Empty where no program made the Lease: such a one has no such label."""
    delivered: dict[str, Delivered] = Field(default_factory=dict)
    """secret -> where its readers find it."""
    issued: Delivered | None = None
    """The Secret that an issuer writes the client certificate into, which is in no version of the store."""
    readers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name of a Secret -> who is declared to read it, as the API server's audit log names users and groups."""


class AwsStore(Model):
    """The AWS store's place: secrets of Secrets Manager in one region.

    Where the service answers, and as whom it is asked, is left to boto3's own chain (AWS_PROFILE, a role,
    AWS_ENDPOINT_URL), so that no manifest names a person's profile.
    """

    kind: Literal["aws"] = "aws"
    account: str
    """Whose secrets they are: twelve digits. Another account may have secrets of the same names."""
    region: str
    secrets: dict[str, str]
    """secret -> full name of its secret in Secrets Manager. Not the ARN, which a preview does not know yet."""
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the JSON object that is its value."""
    lease: str
    """Name of the secret whose staging labels say who rotates. It never holds a credential."""
    alerts: str = ""
    """ARN of the topic that the stack's alarms tell; empty where the manifest does not say."""
    readers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name of a secret -> who is declared to read it: names or ARNs of IAM roles."""


class AzureStore(Model):
    """The Azure store's place: secrets of one Key Vault.

    As whom it is asked is left to azure-identity's own chain (`az login`, AZURE_CLIENT_ID in a container), so that no
    manifest names a person.
    """

    kind: Literal["azure"] = "azure"
    tenant: str
    """Id (a GUID) of the Entra tenant that the vault is of. A vault's name is one in the world at a time: once it was
    purged anybody may take it, and a person's login would follow them into their tenant."""
    vault: str
    """The vault's URL, `https://<name>.vault.azure.net`."""
    secrets: dict[str, str]
    """secret -> name of its secret in the vault. The newest version of that one is what every reader gets."""
    pending: dict[str, str]
    """secret -> name of the secret in the vault that holds what is prepared: apart, because Key Vault gives whoever
    asks without a version the newest one, proven or not. Only the rotator reads it."""
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the JSON object that is its value."""
    due_days: dict[str, int] = Field(default_factory=dict)
    """secret -> days from its publication to the expiry that each version of it has in the vault: when the next one is
    due. A certificate's own end comes before it where it is sooner. None for a secret that is not named here."""
    lease: str
    """URL of the blob whose lease whoever rotates holds, `https://<account>.blob.core.windows.net/<container>/<blob>`."""
    workspace: str = ""
    """Id (a GUID) of the Log Analytics workspace that the vault's audit log goes to; empty where there is none."""
    readers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Name of a secret in the vault -> who is declared to read it: object ids of Entra principals."""


class VaultLogin(Model):
    """How a program that nobody started logs in to Vault. Public: a role's name, never a secret id or a token."""

    method: Literal["approle", "jwt", "kubernetes"]
    mount: str
    """Where the method is enabled, without `auth/`."""
    role: str
    """The role's name; for approle its role id, which Vault does not keep secret."""
    file: str
    """Path of what it shows there: a secret id (or the wrapping token of one), a JWT, a service account's token."""
    wrapped: bool = False
    """approle: whether the file has a wrapping token, which is good for one login."""


class VaultStore(Model):
    """The place of a Vault or OpenBao store: one KV v2 mount.

    As whom an operator asks is left to Vault's own chain (VAULT_TOKEN, ~/.vault-token), so that no manifest names a
    person. What runs by itself has a `login`.
    """

    kind: Literal["vault"] = "vault"
    address: str
    """The server's URL, https."""
    namespace: str = ""
    """Of Vault Enterprise or OpenBao; empty is the root."""
    ca_file: str | None = None
    """PEM bundle that signs the server's certificate; None trusts the system's."""
    mount: str
    secrets: dict[str, str]
    """secret -> path in the mount of what every reader gets: the newest version there is the current one."""
    pending: dict[str, str]
    """secret -> path in the mount of what is prepared: apart, because KV gives whoever asks without a version the
    newest one, proven or not. Only the rotator reads it."""
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """secret -> fields that its readers are to find: keys of the document."""
    lease: str
    """Path in the mount of the document that says who rotates, changed by check-and-set. It never holds a value."""
    login: VaultLogin | None = None
    """None: the token of whoever runs secretops."""
    readers: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Path in the mount -> its declared readers as the audit log tells them: `<mount>/<role>` of an auth method."""


class SwarmFile(Model):
    """The file in the server's containers that has one field of a secret."""

    name: str
    """Below /run/secrets, as the Secret Management Guide names it."""
    mode: int = 0o400


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
    prefix: str
    """Begins the name of every secret of the stack: `<prefix>mqtt-v3-password`."""
    book: str
    """Name of the config whose labels say which versions there are, which is current, and who rotates: changed by
    check-and-set on its index. It never holds a value."""
    instance: str
    """The stack's label on all that is made: a book with another is of another stack."""
    service: str
    """The server's service, whose list of secrets is the delivery; the rotator moves it, start-first."""
    delivered: dict[str, dict[str, SwarmFile]] = Field(default_factory=dict)
    """secret -> field -> its file in the server's containers. All fields of a version come with one update."""
    uid: int
    """The launcher's, whose files they are."""
    image: str
    """What a tick runs in: no daemon gives a value back, so whoever needs one runs as a task that has it."""
    networks: tuple[str, ...] = ()
    """Those of that task: where it reaches the broker."""


class Manifest(Model):
    """Everything secretops needs to know of one stack."""

    project: str
    stack: str
    store: Annotated[
        DotenvStore | KubernetesStore | AwsStore | AzureStore | VaultStore | SwarmStore, Field(discriminator="kind")
    ]
    broker: Broker
    secrets: tuple[Secret, ...]
    grace_seconds: int
    """How long readers have to let go of a replaced version before its user is scrambled."""
    replicas: int | None = None
    """How many servers run, each of which reports its version; None where MCP clients start as many as they like."""

    def secret(self, name: str) -> Secret:
        """The secret called `name`. Raises KeyError."""
        for secret in self.secrets:
            if secret.name == name:
                return secret
        raise KeyError(name)

    def of_kind(self, kind: SecretKind) -> Secret | None:
        """The stack's secret of a kind that occurs at most once, or None."""
        return next((secret for secret in self.secrets if secret.kind is kind), None)
