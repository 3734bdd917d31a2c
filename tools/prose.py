"""Check the project's English: `python -m tools.prose`.

Vale applies the rules of tools/vale/styles to Markdown, comments, docstrings, and strings of three words or more;
textstat measures the pages. Exit code 0: clean. 1: findings, a line each. 2: a checker could not run.

With paths, as pre-commit calls it, only the rules are applied, to those files. `--counts` prints the figures instead:
words that the rules refuse, by folder, and the words of docstrings. `--sample SEED` prints docstrings, messages and
names of pages for a person to read.
"""

from __future__ import annotations

import argparse
import ast
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import textstat

from tools.steps import SetupError
from tools.toolchain.gobuild import cached_binary

ROOT = Path(__file__).resolve().parent.parent
VALE = ROOT / "tools/vale"
# Written by `python -m tools.pages` from the code and from tables, or without prose of their own.
GENERATED = ("docs/reliability.md", "docs/settings.md", "docs/compliance/", "docs/commands.md", "docs/messages.md")

# Words for each sentence on average, and Flesch reading ease: of a page, and of the README.
SENTENCE, EASE, README_EASE = 18, 45, 50
# Words of a string that is checked: a shorter one is a name or a value.
WORDS = 3
# Words that a sampled message has more than: most shorter ones are parts of one.
MESSAGE = 5
# Words of all docstrings outside of tests.
DOCSTRINGS = 50_000

# Files with text for a person. Vale reads those of _NATIVE; of the others and of Python it gets copies of their texts.
FILES = ("*.md", "*.py", "*.html", "*.css", "*.js", "*.cjs", "*.yaml", "*.yml", "*.toml", "*.sh", ".ci/run")
FILES += ("Makefile", "Dockerfile", "*CODEOWNERS")
_NATIVE = {".md", ".py", ".html", ".css", ".js", ".cjs"}
# Not in the project's own words.
UPSTREAM = re.compile(r"upstream|tests/unit/(broken|unusual)_stack_files")

# A comment; a text in double quotes; the text of a step or of a description.
_REMARK = re.compile(
    r'(?:^|\s)#+ (?P<comment>.*)|"(?P<text>(?:[^"\\]|\\.)*)"|\b(?:name|description): (?P<plain>[^\s"].*)'
)

# A string with these is part of a query, of a page or of a script: no message to sample.
_CODE = re.compile(r"[=|<>$]|^[#-]|\w\(|[,{(]$")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.prose", description="Check the project's English.")
    parser.add_argument("--counts", action="store_true", help="print figures, and check nothing")
    parser.add_argument("--sample", type=int, metavar="SEED", help="print texts drawn at random, and check nothing")
    parser.add_argument("paths", nargs="*", type=Path, help="files to check; all and their totals if absent")
    args = parser.parse_args()
    if args.counts:
        print_counts()
        return 0
    if args.sample is not None:
        print_sample(random.Random(args.sample))  # noqa: S311 - no secret
        return 0
    try:
        named = [path.resolve() for path in args.paths if any(path.match(pattern) for pattern in FILES)]
        found = [*of_rules(named if args.paths else tracked(*FILES))]
    except SetupError as error:
        print(error, file=sys.stderr)
        return 2
    if args.paths:
        sys.stdout.writelines(f"{line}\n" for line in found)
        return 1 if found else 0
    found += of_pages()
    if (words := docstring_words()) > DOCSTRINGS:
        found.append(f"docstrings: {words:,} words of at most {DOCSTRINGS:,}")
    print("\n".join([*found, f"{len(found)} findings"]))
    return 1 if found else 0


def of_rules(files: list[Path]) -> Iterator[str]:
    """Yield each finding of Vale in `files` as path:line:column:rule:message. Raises SetupError."""
    vale = cached_binary("vale", VALE, "github.com/vale-cli/vale/v3/cmd/vale", cgo=True)
    files = [path for path in files if not UPSTREAM.search(path.as_posix())]
    with tempfile.TemporaryDirectory() as folder:
        for path in files:
            if path.suffix == ".py" or path.suffix not in _NATIVE:
                copy = Path(folder, f"{path.relative_to(ROOT)}.md")
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_text(texts(path))
        pages = [str(path) for path in files if path.suffix in _NATIVE]
        done = subprocess.run(
            [vale, "--config", VALE / "vale.ini", "--output", "line", *pages, folder],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )
    if done.returncode not in (0, 1):
        raise SetupError("vale", done.stderr, "run it by hand")
    for line in sorted(set(done.stdout.splitlines())):
        copied = line.startswith(f"{folder}/")
        yield line.removeprefix(f"{folder}/").replace(".md:", ":", 1) if copied else line.removeprefix(f"{ROOT}/")


def tracked(*patterns: str) -> list[Path]:
    """Return the files of the repository that match."""
    listed = subprocess.run(["git", "ls-files", *patterns], capture_output=True, text=True, check=True, cwd=ROOT)
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def texts(path: Path) -> str:
    """Return the texts of a file as list items of Markdown, on the lines that they have there.

    They are the strings of Python, except docstrings; of other files, also the comments.
    """
    source = path.read_text()
    lines = [""] * (source.count("\n") + 1)
    if path.suffix == ".py":
        for line, text in strings(source):
            lines[line - 1] += f"- {text} "
        return "\n".join(lines)
    for number, line in enumerate(source.splitlines()):
        for found in _REMARK.finditer(line):
            text = found["comment"] or found["text"] or found["plain"] or ""
            alone = found["comment"] and not line[: found.start()].strip()
            if alone or _is_prose(text):
                lines[number] += f"{' ' if alone and lines[number - 1] else '-'} {text} "
    return "\n".join(lines)


def strings(source: str) -> Iterator[tuple[int, str]]:
    """Yield each line of a string that may be prose, with its number, except docstrings."""
    tree = ast.parse(source)
    apart = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    apart |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in apart:
            for number, line in enumerate(text_of(node).splitlines()):
                if _is_prose(line):
                    yield node.lineno + (number if node.end_lineno != node.lineno else 0), " ".join(line.split())


def _is_prose(text: str) -> bool:
    """Return whether it has some words, and no backslash as in a pattern or in quoted code."""
    return len(text.split()) >= WORDS and "\\" not in text


def last_name(node: ast.AST) -> str:
    """Return the last name, also of `errors.StoreError`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def text_of(node: ast.AST | None, names: Callable[[ast.expr], str] = lambda _: "`x`") -> str:
    """Return a text, with `names` of its expressions; nothing for another value."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr():
            return "".join(text_of(part, names) for part in node.values)
        case ast.FormattedValue():
            return names(node.value)
        case ast.BinOp(op=ast.Add()):
            return text_of(node.left, names) + text_of(node.right, names)
        case ast.IfExp():
            return " / ".join(text_of(part, names) or "…" for part in (node.body, node.orelse))
    return ""


def of_pages() -> Iterator[str]:
    """Yield each page whose sentences are too long or too hard."""
    for path in pages():
        text, name = prose(path.read_text()), path.relative_to(ROOT).as_posix()
        ease = README_EASE if name == "README.md" else EASE
        if (length := textstat.words_per_sentence(text)) > SENTENCE:
            yield f"{name}: {length:.1f} words for each sentence on average; at most {SENTENCE}"
        if (found := textstat.flesch_reading_ease(text)) < ease:
            yield f"{name}: reading ease {found:.0f}; at least {ease}"


def pages() -> list[Path]:
    """Return the pages that people write."""
    found = tracked("README.md", "docs/*.md")
    return [path for path in found if not path.relative_to(ROOT).as_posix().startswith(GENERATED)]


def prose(page: str) -> str:
    """Return the paragraphs and list items of a page, without code, tables, headings and links' targets."""
    page = re.sub(r"^```.*?^```", "", re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL), flags=re.DOTALL | re.MULTILINE)
    blocks: list[str] = []
    for line in page.splitlines():
        if line.startswith(("#", "|", "    ", ">", "---")) or not line.strip():
            blocks.append("")
        elif re.match(r"\s*([-*]|\d+\.) ", line):
            blocks += ["", re.sub(r"^\s*([-*]|\d+\.) ", "", line)]
        elif blocks and blocks[-1]:
            blocks[-1] += f" {line.strip()}"
        else:
            blocks.append(line.strip())
    kept = [re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", block) for block in blocks if block]
    kept = [re.sub(r"`[^`]*`", "it", block).replace("*", "") for block in kept]
    return "\n".join(block if block.endswith((".", "?", "!")) else f"{block.rstrip(':;,')}." for block in kept)


def docstring_words() -> int:
    """Return the number of words of docstrings outside of tests."""
    return sum(len(text.split()) for text in docstrings())


def docstrings() -> Iterator[str]:
    """Yield texts that are statements, which document what is before them, outside of tests."""
    for path in tracked("*.py"):
        if "tests" not in path.parts:
            statements = (node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Expr))
            yield from (one.value for one in statements if isinstance(one, ast.Constant) and isinstance(one.value, str))


def print_sample(draw: random.Random) -> None:
    """Print 100 docstrings, 40 messages and the names of 20 pages."""
    texts = [text for path in tracked("*.py") if "tests" not in path.parts for _, text in strings(path.read_text())]
    for title, number, drawn in (
        ("docstrings", 100, [" ".join(text.split()) for text in docstrings()]),
        ("messages", 40, [text for text in texts if len(text.split()) > MESSAGE and not _CODE.search(text)]),
        ("pages", 20, [path.relative_to(ROOT).as_posix() for path in pages()]),
    ):
        print(f"{title}:", *draw.sample(drawn, number), sep="\n")


def print_counts() -> None:
    """Print the words that the rules refuse, by folder, with code and identifiers; docstrings and pages."""
    swaps = re.findall(r"^  '(.+)':", (VALE / "styles/Plain/Words.yml").read_text(), re.MULTILINE)
    refused = re.compile("|".join(swaps), re.IGNORECASE)
    found = Counter[str]()
    for path in tracked(*FILES):
        parts = path.relative_to(ROOT).parts
        found[parts[0] if len(parts) > 1 else "."] += (
            0 if path.is_relative_to(VALE) else len(refused.findall(path.read_text()))
        )
    for folder, number in sorted(found.items()):
        print(f"{folder:12} {number:6} refused words")
    print(f"{'docstrings':12} {docstring_words():6,} words outside of tests")
    for path in pages():
        text = prose(path.read_text())
        length, ease = textstat.words_per_sentence(text), textstat.flesch_reading_ease(text)
        print(f"{path.relative_to(ROOT).as_posix():60} {length:5.1f} words a sentence, ease {ease:3.0f}")


if __name__ == "__main__":
    sys.exit(main())
