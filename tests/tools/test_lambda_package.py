"""The package of the Lambda functions: reproducible, minimal and importable."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from components.aws import lambda_package
from tests.real.aws_stack import STEPS, make_aws_stack
from tests.real.lambda_runtime import ARCHITECTURE, PYTHON
from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.real.stack import DEADLINE
from tests.real.strict_secrets_manager import strict

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lambda")
    lambda_package.build(folder / "lambda.zip", python=PYTHON, architecture=ARCHITECTURE)
    task = folder / "task"
    with zipfile.ZipFile(folder / "lambda.zip") as archive:
        archive.extractall(task)
    return task


def run(task: Path, code: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path.insert(0, {str(task)!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env={"PATH": os.defpath, **(environment or {})},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_for_the_runtime_is_the_same_bytes_twice_and_small(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        lambda_package.build(tmp_path / name)
    one, two = ((tmp_path / name).read_bytes() for name in ("one.zip", "two.zip"))
    assert one == two
    assert len(one) <= 10_000_000
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        entries = archive.infolist()
    names = [entry.filename for entry in entries]
    assert names == sorted(names)
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
    assert not [name for name in names if name.endswith(".pyc") or "kube" in name]
    machine = {"arm64": "aarch64"}.get(lambda_package.ARCHITECTURE, lambda_package.ARCHITECTURE)
    tag = f"cpython-{lambda_package.PYTHON.replace('.', '')}-{machine}-linux-gnu.so"
    assert [name for name in names if ".so" in name and not name.endswith((tag, ".abi3.so"))] == []
    assert any(name.endswith(tag) for name in names)


def test_rotation_and_tick_run_from_the_package(unpacked: Path, mosquitto: Mosquitto, moto_environment: Aws) -> None:
    stack = make_aws_stack(mosquitto.broker(), moto_environment)
    stack.put("broker-admin", dict(mosquitto.admin))
    token = stack.begin()
    events = [stack.event(step, token) for step in STEPS]
    with strict(moto_environment) as strictly:
        output = run(
            unpacked,
            "import json, os\n"
            "from secretops.platforms.aws import lambda_handler\n"
            "for event in json.loads(os.environ['EVENTS']): lambda_handler.rotate(event, None)\n"
            "lambda_handler.tick({}, None)\n"
            "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))",
            {
                **strictly.environment,
                "SECRETOPS_MANIFEST_JSON": stack.manifest.model_dump_json(),
                "EVENTS": json.dumps(events),
            },
        )
    assert stack.log_in() == "Success"
    imported = set(json.loads(output.splitlines()[-1]))
    tops = {path.name.partition(".")[0] for path in unpacked.iterdir()} - {"secretops"}
    assert tops <= imported | {"typing_extensions"}, "in the package, and not imported"


def test_package_is_current_until_a_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, path in lambda_package._ours():
        (tmp_path / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "src" / name).write_bytes(path.read_bytes())
    lock, source = tmp_path / "uv.lock", tmp_path / "src/secretops/engine/rotation.py"
    lock.write_bytes(lambda_package.LOCK.read_bytes())
    places = {"SOURCES": tmp_path / "src", "LOCK": lock}
    for name, place in (places | {"ZIP": tmp_path / "d.zip", "RECORD": tmp_path / "d.json"}).items():
        monkeypatch.setattr(lambda_package, name, place)
    monkeypatch.setattr(lambda_package, "build", lambda target: target.write_bytes(b"a stand-in for the zip"))
    assert not lambda_package.is_current(), "there is none"
    assert lambda_package.main() == 0
    assert lambda_package.is_current()
    for path, old, new, current in (
        (source, "import", "#\nimport", False),
        (lock, 'name = "rich"\nversion = "', 'name = "rich"\nversion = "9', True),  # it is not in the package
        (lock, 'name = "boto3"\nversion = "', 'name = "boto3"\nversion = "9', False),
    ):
        text = path.read_text()
        path.write_text(text.replace(old, new, 1))
        assert path.read_text() != text
        assert lambda_package.is_current() is current, new
        path.write_text(text)
