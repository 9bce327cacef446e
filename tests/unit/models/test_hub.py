"""A Hub that does not answer, and one that does."""

import logging
import socketserver
import threading

import pytest
from huggingface_hub import constants
from transformers import AutoConfig

from unlearnkit.cli.main import main
from unlearnkit.models.hub import hub_asked_once

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@pytest.fixture
def hub(monkeypatch):
    """Starts a Hub that gives each connection the same bytes, and lists the requests."""
    servers = []

    def start(answer: bytes) -> list[bytes]:
        requests = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                requests.append(self.rfile.readline())
                while self.rfile.readline().strip():
                    pass
                self.wfile.write(answer)

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_address[1]}"
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, where)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", where)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        return requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_hub_that_does_not_answer_is_asked_once(hub, caplog):
    requests = hub(b"")
    with caplog.at_level(logging.WARNING, "unlearnkit"), hub_asked_once():
        for model in ("some/model", "some/other"):
            with pytest.raises(OSError, match="couldn't find them in the cached files"):
                AutoConfig.from_pretrained(model)
    assert len(requests) == 1
    (said,) = [each for each in caplog.messages if "cannot be reached" in each]
    assert constants.ENDPOINT in said
    assert "name a folder in place of a hub id" in said
    assert constants.HF_HUB_OFFLINE is False  # outside it is asked anew


def test_a_hub_that_answers_is_asked_for_the_files(hub, caplog):
    requests = hub(NOT_FOUND)
    with hub_asked_once(), pytest.raises(OSError, match="cached files"):
        AutoConfig.from_pretrained("some/model")
    assert any(b"/some/model/resolve/main/config.json" in each for each in requests)
    assert "cannot be reached" not in caplog.text


def test_validate_tells_of_it_at_once(hub, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    requests = hub(b"")
    assert main(["validate", "-r", "copyright", "--model.base", "some/model"]) == 2
    told = capsys.readouterr().err
    assert told.count("cannot be reached") == 1
    assert "'some/model' is neither a folder nor a model that the hub gives here" in told
    assert len(requests) == 1


def test_what_stands_on_the_disk_asks_nobody(hub):
    requests = hub(b"")
    with hub_asked_once():
        assert main(["validate", "-r", "copyright"]) == 0
    assert requests == []
