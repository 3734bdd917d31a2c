"""`python -m policies`: the results for previews, their order, and the evidence file."""

import json
from pathlib import Path

import pytest

from policies import command
from policies.rule import rules
from secretops.values import new_password
from tests.unit.policy_plans import SECRET, broken, changed, events, shipped

BROKER = "secretops", "broker", "tls"


def ran(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = command.main([str(one) for one in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def previews(tmp_path: Path) -> Path:
    path = tmp_path / "kept.json"
    path.write_text("\n".join(events(shipped("staging"))))
    return path


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    path = tmp_path / "torn.json"
    path.write_text("\n".join(events(broken(shipped("staging"), "", BROKER, False))))
    return path


def test_command_lists_broken_then_pending_then_kept_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    early = tmp_path / "early.json"
    early.write_text("\n".join(events(changed("", *BROKER, to=False)(shipped("prod-azure", preview=True)))))
    code, out, err = ran(capsys, early)
    assert (code, err) == (1, "")
    found = [out.index(words) for words in ("1 broken", "BROKEN stack-speaks-tls", "judged after pulumi up:", "kept: ")]
    assert found == sorted(found)
    assert max(map(len, out.splitlines())) <= command.WIDTH
    assert "coreflux-mcp-secrets-prod-azure: " in out
    assert "set broker.tls" in " ".join(out.split())


def test_no_preview_is_named_and_no_verdict(previews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digest.json").write_text('{\n  "steps": []\n}\n')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name in ("digest.json", "bytes.json", "absent.json"):
        code, out, err = ran(capsys, previews, tmp_path / name)
        assert (code, out) == (2, "")
        assert err.startswith(str(tmp_path / name))
        assert len(err.splitlines()) == 1


def test_evidence_is_complete_and_alone_on_stdout(torn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ran(capsys, "--json", "-", "--at", "2026-11-26T10:00:00Z", "--commit", "0123abc", torn)
    made = json.loads(out)
    assert code == 1
    assert "BROKEN" in err
    assert (made["at"], made["commit"], made["source"]) == ("2026-11-26T10:00:00Z", "0123abc", "preview")
    (stack,) = made["stacks"]
    assert set(stack["verdicts"]) == {rule.name for rule in rules()} == set(made["rules"])
    assert stack["verdicts"]["stack-speaks-tls-to-the-broker"] == "broken"
    assert stack["verdicts"]["aws-keys-rotate"] == "not applicable"
    assert stack["findings"]["stack-speaks-tls-to-the-broker"]["broken"] == [
        "urn:pulumi:staging::coreflux-mcp-secrets::pulumi:pulumi:Stack::coreflux-mcp-secrets-staging"
    ]
    assert "SOC 2 CC6.7" in made["rules"]["stack-speaks-tls-to-the-broker"]["controls"]


def test_no_value_is_in_the_evidence_or_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    value = new_password()
    plan = broken(shipped("staging"), "kubernetes:core/v1:ConfigMap", ("data", "motd"), value)
    plan = broken(plan, "namespace", ("metadata", "annotations", "api-token"), {**SECRET, "value": value})
    (tmp_path / "leaks.json").write_text("\n".join(events(plan)))
    code, out, err = ran(capsys, "--json", tmp_path / "evidence.json", tmp_path / "leaks.json")
    assert code == 1
    assert "stack-holds-no-value" in out
    assert value not in out + err + (tmp_path / "evidence.json").read_text()
