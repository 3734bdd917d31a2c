"""Conditions that any stack must meet after an interrupted rotation."""

from secretops.engine.state import Stage, Versions
from secretops.values import Value
from tests.real.stack import Readers, Stack


def prepare(stack: Stack, readers: Readers, name: str) -> Value:
    """Make a current version, and a previous version that is due for retirement. Return the previous value."""
    replaced = stack.credential(name)
    stack.rotate(name)
    readers.caught_up()
    stack.skip_grace()
    return replaced


def converged(stack: Stack, readers: Readers, name: str, replaced: list[Value]) -> None:
    store = stack.session().store
    replaced = [*replaced, stack.credential(name)]
    assert [one.error for one in stack.tick() if one.error] == []
    versions = store.versions(name)
    assert versions.pending is None
    assert [one.stage for one in versions.all].count(Stage.CURRENT) == 1
    current = versions.current
    assert current and current.verified and current.published
    value = store.read(name, current.id, purpose="test")
    if name == "mqtt":
        assert stack.credential() == value
    assert stack.log_in(value) == "Success"
    readers.caught_up()
    stack.skip_grace()
    assert [one.error for one in stack.tick() if one.error] == []
    for old in replaced:
        if old != value:
            assert stack.log_in(old) != "Success", "a replaced password still logs in"
    assert stack.log_in(stack.credential(name)) == "Success"
    previous = store.versions(name).previous
    assert previous is None or previous.retired or previous.user not in stack.manifest.secret(name).users
    stack.check_delivery(name, current, {one.id for one in store.versions(name).living})


def settled(stack: Stack, name: str = "mqtt") -> Versions:
    """Check that nothing is pending, and the current version is proven and delivered. Return the versions."""
    versions = stack.session().store.versions(name)
    current = versions.current
    assert versions.pending is None and current and current.verified and current.published
    stack.check_delivery(name, current, {one.id for one in versions.living})
    assert stack.log_in(stack.credential(name)) == "Success"
    return versions
