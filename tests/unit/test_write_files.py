"""Write public files in an init container, with the command that the image runs."""

import subprocess
import sys
from pathlib import Path

import pytest

from secretops.errors import ExitCode, UsageError
from secretops.platforms.azure import write_files


def test_each_file_has_its_text_to_the_byte(tmp_path: Path) -> None:
    texts = {str(tmp_path / "a.json"): '{"é": 1}\n', str(tmp_path / "b.crt"): "x" * write_files.LIMIT}
    variables = {write_files.variable(at): text for at, text in enumerate(texts.values())}
    command = [sys.executable, "-m", write_files.__name__, *texts]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (ExitCode.DONE, "", "")
    assert {path: Path(path).read_bytes().decode() for path in texts} == texts


@pytest.mark.parametrize(("paths", "message"), [(["/a", "/b"], "FILE_1"), ([], "no path")])
def test_missing_text_is_reported_and_no_file_written(paths: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_files.write_files(paths, {"FILE_0": "text"})
    assert not Path("/a").exists()
