"""Run the tutorials and show them as pages: text, code, what it prints, its pictures.

A tutorial is a Python script in the percent format. As a program, ``python tutorials.py SCRIPT FOLDER`` runs one.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import traceback
from pathlib import Path

from docs.hooks.cached import REPOSITORY, made

TUTORIALS = REPOSITORY / "docs" / "tutorials"
_CELL = re.compile(r"^# %%(.*)$\n?", re.MULTILINE)


def scripts() -> list[Path]:
    """Return the tutorials; ``phantoms.py`` is what they share."""
    return sorted(path for path in TUTORIALS.glob("*.py") if path.name != "phantoms.py")


def cells(source: str) -> list[tuple[bool, str]]:
    """Return the cells of a script: whether it is text, and the Markdown or the code."""
    pieces = _CELL.split(source)[1:]
    found = []
    for kind, body in zip(pieces[::2], pieces[1::2], strict=True):
        is_text = "[markdown]" in kind
        text = "\n".join(line.removeprefix("#").removeprefix(" ") for line in body.strip().splitlines())
        found.append((is_text, text if is_text else body.strip()))
    return found


def run(script: Path, folder: Path) -> str:
    """Run a tutorial in the working directory, write its pictures into `folder`, and return its page."""
    import matplotlib.pyplot as plt

    sys.path.insert(0, str(script.parent))
    page, names, pictures = [], {"__name__": "__main__"}, 0
    for is_text, body in cells(script.read_text(encoding="utf-8")):
        if is_text:
            page.append(body)
            continue
        page.append(f"```python\n{body}\n```")
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(body, script.name, "exec"), names)
        if printed.getvalue().strip():
            page.append(f"```text\n{printed.getvalue().rstrip()}\n```")
        for number in plt.get_fignums():
            pictures += 1
            name = f"{script.stem}-{pictures}.png"
            plt.figure(number).savefig(folder / name, dpi=110)
            page.append(f"![{script.stem.replace('_', ' ')}, picture {pictures}]({name})")
        plt.close("all")
    return "\n\n".join([*page, f"The script: [{script.name}]({script.name})"]) + "\n"


def rendered(script: Path) -> Path:
    """Return the folder with page and pictures of a tutorial."""
    return made(script.stem, [__file__, script], "", [script, TUTORIALS / "phantoms.py", Path(__file__)])


def on_files(files, config):  # type: ignore[no-untyped-def]
    """Add page and pictures of each tutorial to the site."""
    from mkdocs.structure.files import File

    for script in scripts():
        for path in sorted(rendered(script).iterdir()):
            files.append(File.generated(config, f"tutorials/{path.name}", abs_src_path=str(path)))
    return files


if __name__ == "__main__":
    try:
        text = run(Path(sys.argv[1]), Path(sys.argv[2]))
    except Exception:
        traceback.print_exc()
        sys.exit(1)
    (Path(sys.argv[2]) / f"{Path(sys.argv[1]).stem}.md").write_text(text, encoding="utf-8")
