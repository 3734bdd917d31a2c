"""Estimate a stack's cost at rest from its plan and its cloud's list prices. Needs no network.

`make preview` and `python -m policies` print the estimate; the tables on the clouds' pages have the same items. At
rest, nobody calls the server and nothing rotates. Free allowances are ignored, since other programs of the account may
use them. Each cloud's prices are those of one region; other regions differ a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from policies.plan import Plan
from policies.rule import defined

# Hours of a month in the clouds' price calculators.
HOURS = 730
SECONDS = HOURS * 3600
CENT = 0.01
# Polls per month of a launcher for one secret: every 5 minutes (secretops.launcher.polling_source).
POLLS = HOURS * 12


class Source(NamedTuple):
    """A page with list prices, and the date of the copy that was read."""

    page: str
    read: str


@dataclass(frozen=True)
class Item:
    """A monthly cost that does not depend on use."""

    what: str
    usd: float
    """Price of one unit for a month, in US dollars."""
    source: Source
    setting: str
    """The setting that changes how many are billed, in Markdown."""
    quantity: Callable[[Plan], float]


@dataclass(frozen=True, kw_only=True)
class ByUse:
    """A cost that depends on use. It is not in the total."""

    what: str
    usd: float
    source: Source


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """The prices of a cloud: the constant PRICES in a module of the platform's folder."""

    package: str
    """Pulumi package of the cloud's resources."""
    region: str
    """Region of the prices, as in the shipped stack file."""
    items: tuple[Item, ...]
    by_use: tuple[ByUse, ...]
    priced: tuple[str, ...]
    """Prefixes of the resource types that are in `items`."""
    free: tuple[str, ...]
    """Prefixes of resource types that cost nothing at rest, or only cents for requests."""

    def unpriced(self, plan: Plan) -> Iterator[str]:
        for one in {one.type for one in plan.resources if one.type.startswith(f"{self.package}:")}:
            if not one.startswith((*self.priced, *self.free)):
                yield one

    def lines(self, plan: Plan) -> Iterator[Line]:
        return (Line(item=item, quantity=found) for item in self.items if (found := item.quantity(plan)))


@dataclass(frozen=True, kw_only=True)
class Line:
    item: Item
    quantity: float

    @property
    def usd(self) -> float:
        return self.item.usd * self.quantity


@cache
def price_lists() -> tuple[PriceList, ...]:
    return tuple(defined("PRICES"))


def estimate(plan: Plan) -> tuple[Line, ...]:
    """Return each item's cost, the most expensive first; empty for a plan without cloud resources."""
    return tuple(sorted((line for each in price_lists() for line in each.lines(plan)), key=lambda line: -line.usd))


def total(lines: Iterable[Line]) -> float:
    return sum(line.usd for line in lines)


def unpriced(plan: Plan) -> tuple[str, ...]:
    return tuple(sorted(one for each in price_lists() for one in each.unpriced(plan)))


def text(plan: Plan) -> str:
    lines = estimate(plan)
    if not lines:
        return ""
    clouds = [each for each in price_lists() if any(each.lines(plan))]
    regions = ", ".join(sorted(each.region for each in clouds))
    return "\n".join(
        [
            f"Estimated cost at rest: {total(lines):.2f} USD a month (list prices of {regions})",
            *(f"  {line.usd:8.2f}  {line.item.what}: {line.quantity:.3g} x {money(line.item.usd)}" for line in lines),
            *(f"  by use: {money(one.usd)} per {one.what}" for each in clouds for one in each.by_use),
            *(f"  no price known: {one}" for one in unpriced(plan)),
        ]
    )


def money(usd: float) -> str:
    return f"{usd:.2f}" if usd >= CENT else f"{usd:.4f}"


def count(*types: str) -> Callable[[Plan], float]:
    return lambda plan: sum(1 for _ in plan.of_type(*types))


def whole(entry: Any) -> int:
    return entry if isinstance(entry, int) else 1
