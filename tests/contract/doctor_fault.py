"""Plant faults for `secretops doctor`. Each fault must be reported, and repaired where possible."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from secretops.check import Level, Result
from secretops.errors import SecretopsError
from secretops.operations.doctor import repairs, run_repair


class Looked(Protocol):
    """A stack that doctor can check. A fault is planted on its live parts."""

    def look(self) -> dict[str, Result]:
        """Return the result of each check, run again."""


Place = TypeVar("Place", bound=Looked)


@dataclass(frozen=True)
class Fault(Generic[Place]):
    plant: Callable[[Place], object]
    check: str  # The check that finds it.
    words: tuple[str, ...]  # Of the message.
    # Start of the repair that makes the check healthy again; empty if only a person, or Pulumi, can.
    mended: str = ""

    @property
    def __name__(self) -> str:
        return f"{getattr(self.plant, '__name__', 'planted')} - {self.check}"


def reported(result: Result) -> str:
    return "\n".join((result.value, result.rule, result.remedy))


def prove(fault: Fault[Place], place: Place) -> None:
    """Plant `fault`. Its check must report it, and offer a repair only if the fault declares one. The repair must
    work."""
    fault.plant(place)
    found = place.look()
    result = found[fault.check]
    assert result.level is Level.ATTENTION, reported(result)
    for words in fault.words:
        assert words in reported(result)
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
    wrong = {name: reported(one) for name, one in after.items() if one.level is not Level.OK}
    assert wrong == {}
