"""Generate the cost tables of AWS and Azure, from their price lists and a shipped stack file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from policies import cost
from tests.unit.policy_plans import shipped


@cache
def table(cloud: str, stack: str) -> str:
    return "\n".join([*_at_rest(cloud, stack), "", *_by_use(cloud), ""])


def _at_rest(cloud: str, stack: str) -> Iterator[str]:
    plan = shipped(stack)
    prices = _prices(cloud)
    yield f"| at rest, in {prices.region} | USD each | `{stack}` has | USD a month | changes with | price list |"
    yield "|---|---|---|---|---|---|"
    for item in prices.items:
        line = cost.Line(item=item, quantity=item.quantity(plan))
        yield (
            f"| {item.what} | {cost.money(item.usd)} | {line.quantity:.4g} | {line.usd:.2f} | {item.setting} "
            f"| {_source(item.source)} |"
        )
    yield f"| **total** | | | **{cost.total(cost.estimate(plan)):.2f}** | | |"


def _by_use(cloud: str) -> Iterator[str]:
    yield "| by use, not in the total | USD each | price list |"
    yield "|---|---|---|"
    for one in _prices(cloud).by_use:
        yield f"| {one.what} | {cost.money(one.usd)} | {_source(one.source)} |"


def _prices(cloud: str) -> cost.PriceList:
    return next(each for each in cost.price_lists() if each.package == cloud)


def _source(source: cost.Source) -> str:
    service = source.page.rstrip("/").removesuffix("/pricing").rpartition("/")[2]
    return f"[{service}]({source.page}), {source.read}"
