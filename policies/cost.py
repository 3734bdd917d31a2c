"""Estimate what a stack costs at rest, from its plan and the list prices of its cloud. Needs no network.

`make preview` and `python -m policies` print the estimate; the tables on the clouds' pages are made of the same items.
At rest means: nobody calls the server, and nothing rotates. Free allowances of an account are left out, since what else
the account runs may use them. The prices are those of one region per cloud; other regions differ a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from policies.plan import Plan
from policies.rule import defined

# A month, as the clouds' calculators count it.
HOURS = 730
SECONDS = HOURS * 3600
CENT = 0.01
# Polls of a launcher for each secret: every 5 minutes (secretops.launcher.polling_source).
POLLS = HOURS * 12


class Source(NamedTuple):
    """A page with list prices, and the date of the copy of it that a price was read from."""

    page: str
    read: str


@dataclass(frozen=True)
class Item:
    """Something that is billed each month, whatever the stack does."""

    what: str
    usd: float
    """Of one, for a month."""
    source: Source
    setting: str
    """What in the stack file changes the quantity, as Markdown."""
    quantity: Callable[[Plan], float]


@dataclass(frozen=True, kw_only=True)
class ByUse:
    """Something that is billed by use, and therefore in no total."""

    what: str
    usd: float
    source: Source


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """What a cloud bills. A module of the platform's folder has it in PRICES."""

    package: str
    """Pulumi package of the cloud's resources."""
    region: str
    """Region of the prices: that of the shipped stack file."""
    items: tuple[Item, ...]
    by_use: tuple[ByUse, ...]
    priced: tuple[str, ...]
    """Prefixes of the types that an item counts."""
    free: tuple[str, ...]
    """Prefixes of the types that cost nothing, or cents for their requests, while the stack is at rest."""

    def unpriced(self, plan: Plan) -> Iterator[str]:
        """Yield the types of resources that are neither priced nor known to cost nothing at rest."""
        for one in {one.type for one in plan.resources if one.type.startswith(f"{self.package}:")}:
            if not one.startswith((*self.priced, *self.free)):
                yield one

    def lines(self, plan: Plan) -> Iterator[Line]:
        """Yield the items that the plan has any of."""
        return (Line(item=item, quantity=found) for item in self.items if (found := item.quantity(plan)))


@dataclass(frozen=True, kw_only=True)
class Line:
    """An item and its quantity in one plan."""

    item: Item
    quantity: float

    @property
    def usd(self) -> float:
        """US dollars a month."""
        return self.item.usd * self.quantity


@cache
def price_lists() -> tuple[PriceList, ...]:
    """Return the price list of each cloud."""
    return tuple(defined("PRICES"))


def estimate(plan: Plan) -> tuple[Line, ...]:
    """Return the items of the plan, the most expensive first; none without a cloud."""
    return tuple(sorted((line for each in price_lists() for line in each.lines(plan)), key=lambda line: -line.usd))


def total(lines: Iterable[Line]) -> float:
    """Return US dollars a month."""
    return sum(line.usd for line in lines)


def unpriced(plan: Plan) -> tuple[str, ...]:
    """Return the types of cloud resources that are neither priced nor known to cost nothing at rest."""
    return tuple(sorted(one for each in price_lists() for one in each.unpriced(plan)))


def text(plan: Plan) -> str:
    """Return the estimate as text; empty without a cloud."""
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
    """Return an amount with two decimals, or with four if it is less than a cent."""
    return f"{usd:.2f}" if usd >= CENT else f"{usd:.4f}"


def count(*types: str) -> Callable[[Plan], float]:
    """Return the quantity of an item: how many resources of these types a plan has."""
    return lambda plan: sum(1 for _ in plan.of_type(*types))


def whole(entry: Any) -> int:
    """Return a number of the plan; 1 if it is missing or unknown."""
    return entry if isinstance(entry, int) else 1
