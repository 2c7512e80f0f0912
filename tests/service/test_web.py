"""Health and metrics."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest

from ctdenoise.service.settings import HttpSection
from ctdenoise.service.web import Web, prometheus_text


def get(port: int, path: str) -> tuple[int, str]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def problems() -> list[str]:
    return []


@pytest.fixture
def web(problems):
    served = Web(HttpSection(port=0), lambda: problems, lambda: {"associations": {"": 3.0}})
    yield served
    served.stop()


def test_health_and_metrics(web, problems):
    status, body = get(web.port, "/healthz")
    assert (status, json.loads(body)) == (200, {"status": "ok", "problems": []})
    problems.append("disk full")
    status, body = get(web.port, "/healthz")
    assert (status, json.loads(body)["problems"]) == (503, ["disk full"])
    status, body = get(web.port, "/metrics")
    assert status == 200
    assert "ctdenoise_node_associations 3\n" in body
    assert get(web.port, "/spool")[0] == 404


def test_text_format():
    text = prometheus_text({"series": {"ready": 2.0}, "free_bytes": {"": 12345678901.0}})
    lines = text.splitlines()
    assert 'ctdenoise_node_series{state="ready"} 2' in lines
    assert "ctdenoise_node_free_bytes 12345678901" in lines
    assert all(line.startswith(("# HELP ", "# TYPE ", "ctdenoise_node_")) for line in lines)
