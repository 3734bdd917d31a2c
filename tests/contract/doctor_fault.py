"""What all planted faults of `secretops doctor` have in common: how one is told, found, and mended where it can be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from secretops.check import Level, Result
from secretops.errors import SecretopsError
from secretops.operations.doctor import repairs, run_repair


class Looked(Protocol):
    """A stack that doctor can look at. A fault is planted on what is live of it."""

    def look(self) -> dict[str, Result]:
        """What each check finds, asked anew."""


Place = TypeVar("Place", bound=Looked)


@dataclass(frozen=True)
class Fault(Generic[Place]):
    """One thing that is not as it should be."""

    plant: Callable[[Place], object]
    check: str  # The one that finds it.
    words: tuple[str, ...]  # Of what it says.
    mended: str = ""
    """How the words of the repair begin that makes the check well again; empty where only a person, or Pulumi, can."""

    @property
    def __name__(self) -> str:
        return f"{getattr(self.plant, '__name__', 'planted')} - {self.check}"


def told(result: Result) -> str:
    return "\n".join((result.value, result.rule, result.remedy))


def prove(fault: Fault[Place], place: Place) -> None:
    """Plant it; its check finds it and says so; a repair is offered just where one is declared, and makes it well."""
    fault.plant(place)
    found = place.look()
    result = found[fault.check]
    assert result.level is Level.ATTENTION, told(result)
    for words in fault.words:
        assert words in told(result)
    assert result.rule and result.remedy
    offered = result.repair
    assert (offered.description if offered else "").startswith(fault.mended) and bool(offered) is bool(fault.mended), (
        offered
    )
    if offered is None:
        return
    for repair in repairs(list(found.items())):
        came = run_repair(repair)
        assert not isinstance(came, SecretopsError), came
    after = place.look()
    wrong = {name: told(one) for name, one in after.items() if one.level is not Level.OK}
    assert wrong == {}
