"""DICOMweb addresses, tokens and answers that are none; tests/conformance has a real service."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ctdenoise.cli import main
from ctdenoise.errors import InputError
from ctdenoise.service.dicomweb import StowTransport, connect, service_url
from tests.conftest import make_series


class Refusing(BaseHTTPRequestHandler):
    """A service that answers 401 to everything."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        self.send_response(401)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    Refusing.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def run(monkeypatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ctdenoise", "run", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_addresses():
    assert service_url("dicomweb:https://host/dicom-web/") == "https://host/dicom-web"
    for wrong in ("https://host", "dicomweb:ftp://host", "dicomweb:host", "dicomweb:http://user:pass@host"):
        with pytest.raises(InputError) as caught:
            service_url(wrong)
        assert "pass" not in str(caught.value).replace("password", "")


def test_tokens_go_to_the_service_they_are_for(service, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("CTDENOISE_FROM_TOKEN", "from-secret")
    monkeypatch.setenv("CTDENOISE_TO_TOKEN", "to-secret")
    address = f"dicomweb:http://127.0.0.1:{service.server_address[1]}"
    code = run(monkeypatch, "--from", address, "--study", "1.2.3", "-o", tmp_path / "o", "--model", "ct-lowdose-lite")
    assert code == 1
    assert set(Refusing.seen) == {"Bearer from-secret"}
    error = capsys.readouterr().err
    assert "401" in error
    assert "secret" not in error
    assert "1.2.3" not in error


def test_answers_that_are_none_are_problems(service, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = {str(number): path for number, path in enumerate(sorted(make_series(tmp_path / "source").iterdir()))}
    refused = StowTransport(connect(f"http://127.0.0.1:{service.server_address[1]}", None, 5)).send(files)
    assert (refused.accepted, refused.problem) == ([], "HTTP status 401")
    absent = StowTransport(connect("http://127.0.0.1:9", None, 5)).send(files)
    assert absent.accepted == []
    assert "no answer" in absent.problem
    with pytest.raises(InputError, match="ABSENT_TOKEN"):
        connect("http://127.0.0.1:9", "ABSENT_TOKEN", 5)


@pytest.mark.parametrize(
    "arguments",
    [[], ["folder", "--from", "dicomweb:http://h"], ["--from", "dicomweb:http://h"], ["folder", "--study", "1.2"]],
)
def test_usage(arguments, monkeypatch, tmp_path):
    assert run(monkeypatch, *arguments, "-o", tmp_path / "out") == 2


def test_a_wrong_address_is_noticed_first(monkeypatch, tmp_path, capsys):
    assert run(monkeypatch, tmp_path, "-o", tmp_path / "out", "--to", "https://host") == 1
    assert "dicomweb:" in capsys.readouterr().err
