"""What the two test places of the Kubernetes store share: a namespace of a real API server, and one in memory."""

from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation

KEYS = {"username": "it-user", "password": "it-password", "ca.crt": "ca.crt"}


class OfAServer:
    """A place whose server writes the access records itself, so that the store writes none."""

    def records(self) -> list[dict[str, str]]:
        return []


class InNamespace(OfAServer):
    """A namespace. `data` and `set` read and change its Secrets."""

    VERSIONS, DELIVERED, LEASE = "versions", "delivered", "rotator"

    @property
    def name(self) -> str:
        return "plant"

    @property
    def location(self) -> KubernetesStoreLocation:
        delivered = {"it": Delivered(name=self.DELIVERED, keys=KEYS)}
        return KubernetesStoreLocation(
            namespace=self.name, versions=self.VERSIONS, lease=self.LEASE, delivered=delivered
        )

    def data(self, secret: str) -> dict[str, bytes]:
        """Return the content of a Secret; empty if there is none."""
        raise NotImplementedError

    def set(self, secret: str, changes: dict[str, bytes | None]) -> None:
        """Set keys of a Secret by hand, remove those that are None, and create it if needed."""
        raise NotImplementedError

    def delivered(self) -> dict[str, str | None]:
        data = self.data(self.DELIVERED)
        return {name: data[key].decode() if key in data else None for name, key in KEYS.items()}

    def edit(self, old: str, new: str) -> None:
        holding = {key: value for key, value in self.data(self.DELIVERED).items() if old.encode() in value}
        assert holding, "it is not delivered"
        self.set(self.DELIVERED, {key: value.replace(old.encode(), new.encode()) for key, value in holding.items()})

    def clear(self) -> None:
        self.set(self.DELIVERED, dict.fromkeys(self.data(self.DELIVERED)))
