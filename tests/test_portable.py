"""Nothing is imported or called that Windows or macOS do not have, but where the code asks first."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import ctdenoise

PACKAGE = Path(ctdenoise.__file__).parent
#: Modules of Python that Windows does not have.
UNIX_MODULES = {"crypt", "fcntl", "grp", "nis", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}
#: Names in `os`, `signal` and `socket` that Windows, or Windows and macOS, do not have.
ELSEWHERE = {
    "os": {
        *("fchmod", "fchown", "fork", "forkpty", "geteuid", "getgid", "getlogin_r", "getloadavg", "getpgid", "getuid"),
        *("killpg", "mkfifo", "nice", "posix_fadvise", "sched_getaffinity", "sched_setaffinity", "setsid", "setuid"),
        *("statvfs", "sync", "sysconf", "uname", "wait", "O_DIRECTORY", "O_TMPFILE", "O_NOFOLLOW"),
    },
    "signal": {"SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGCHLD", "alarm", "pause"},
    "socket": {"AF_UNIX"},
}


def problems(source: str) -> list[str]:
    """Return what a module uses without asking: `hasattr`, `getattr` with a default, or `sys.platform` before."""
    found = []
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def asks(line: int, name: str) -> bool:
        around = [ast.unparse(f) for f in functions if f.lineno <= line <= (f.end_lineno or line)]
        return any("sys.platform" in text or f"'{name}'" in text for text in around)

    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            for name in names:
                if name.split(".")[0] in UNIX_MODULES and not asks(node.lineno, name):
                    found.append(f"line {node.lineno}: imports {name}")
        elif isinstance(node, ast.Attribute):
            absent = node.attr in ELSEWHERE.get(ast.unparse(node.value), ())
            if absent and not asks(node.lineno, node.attr):
                found.append(f"line {node.lineno}: uses {ast.unparse(node)}")
    return found


def test_the_package_uses_only_what_every_system_has():
    found = {
        str(path.relative_to(PACKAGE)): problems(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")
    }
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("import resource", 1),
        ("def f():\n    from fcntl import flock", 1),
        ("import os\ndef f():\n    return os.getuid()", 1),
        ("import os\ndef f():\n    return os.getuid() if hasattr(os, 'getuid') else 0", 0),
        ("import sys\ndef f():\n    if sys.platform != 'win32':\n        import resource", 0),
    ],
)
def test_what_a_system_lacks_would_be_found(source, wrong):
    assert len(problems(source)) == wrong


def test_text_files_are_opened_with_an_encoding():
    """Windows' own encoding is not UTF-8."""
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            named = {keyword.arg for keyword in node.keywords}
            if node.func.attr == "read_text" and not node.args and "encoding" not in named:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
            if node.func.attr == "write_text" and len(node.args) < 2 and "encoding" not in named:
                wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert wrong == []
