"""A Hub that does not answer, and one that does."""

import json
import logging
import select
import socketserver
import threading

import pytest
from huggingface_hub import constants
from transformers import AutoConfig

from unlearnkit.cli.main import main
from unlearnkit.models.hub import OnHub, find_model, hub_asked_once, is_hub_id

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def answer(content: dict) -> bytes:
    """A response of the Hub in JSON."""
    body = json.dumps({"id": "some/model", **content}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"{head}\r\nConnection: close\r\n\r\n".encode() + body


def listed(files: dict[str, int]) -> dict:
    """Files as the Hub lists them, with their bytes."""
    return {"siblings": [{"rfilename": name, "size": size} for name, size in files.items()]}


@pytest.fixture
def hub(monkeypatch):
    """Starts a Hub that gives each connection the same bytes, and lists the requests."""
    servers = []

    def start(answer: bytes, lingers: float = 0) -> list[bytes]:
        requests = []

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                requests.append(self.rfile.readline())
                closes = False
                while head := self.rfile.readline().strip():
                    closes |= head.lower() == b"connection: close"
                self.wfile.write(answer)
                if not closes:  # Open for so many seconds, and dropped at the next request.
                    select.select([self.connection], [], [], lingers)

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Puts files of a model into a cache of the Hub's library."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))

    def put(repo: str, **files: bytes) -> None:
        folder = tmp_path / f"models--{repo.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True, exist_ok=True)
        (folder / "refs/main").write_text("abc")
        (folder / "snapshots/abc").mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / "snapshots/abc" / name).write_bytes(content)

    return put


INDEX = json.dumps(
    {"weight_map": {"a": "model-00001-of-00002.safetensors",
                    "b": "model-00002-of-00002.safetensors"}}
).encode()  # fmt: skip


def test_a_model_is_in_the_cache_when_all_its_weights_are(cache) -> None:
    assert find_model("some/model") == OnHub(False)
    cache("some/model", **{"config.json": b"{}", "README.md": b"12345"})
    assert not find_model("some/model").cached
    cache("some/model", **{"model.safetensors": b"123", "pytorch_model.bin": b"1234567"})
    assert find_model("some/model") == OnHub(True, 2 + 3)
    assert not find_model("some/model", revision="other").cached


def test_a_model_in_several_files_needs_each_of_them(cache) -> None:
    cache("a/b", **{"config.json": b"{}", "model.safetensors.index.json": INDEX})
    cache("a/b", **{"model-00001-of-00002.safetensors": b"123"})
    assert not find_model("a/b").cached
    cache("a/b", **{"model-00002-of-00002.safetensors": b"1234"})
    assert find_model("a/b") == OnHub(True, 2 + len(INDEX) + 3 + 4)


def test_a_broken_index_is_no_fault(cache) -> None:
    cache("a/b", **{"config.json": b"{}", "model.safetensors.index.json": b"[1"})
    assert not find_model("a/b").cached


def test_of_gguf_one_file_is_read(cache) -> None:
    cache("a/b", **{"q8.gguf": b"12345", "q4.gguf": b"123"})
    assert find_model("a/b", gguf_file="q4.gguf") == OnHub(True, 3)


def test_the_size_comes_from_one_request(hub, cache) -> None:
    files = {
        "config.json": 10, "model.safetensors": 1000, "tokenizer.json": 100,
        "pytorch_model.bin": 9000, "original/model.safetensors": 9000, "logo.png": 9000,
    }  # fmt: skip
    requests = hub(answer({"gated": "manual", **listed(files)}))
    found = find_model("some/model")
    assert found == OnHub(False, 1110, remark="given after consent on its page and a log-in")
    assert len(requests) == 1
    assert b"/api/models/some/model?blobs=" in requests[0]


def test_a_repository_without_weights_has_no_size(hub, cache) -> None:
    hub(answer(listed({"config.json": 10, "pytorch_model.bin": 1000})))
    assert find_model("some/model") == OnHub(False)


def test_a_model_that_the_hub_does_not_have_is_told(hub, cache) -> None:
    hub(NOT_FOUND.replace(b"Content", b"X-Error-Code: RepoNotFound\r\nContent"))
    assert find_model("some/model").remark == (
        "the Hub has none of this name, or shows it after a log-in"
    )


def test_a_hub_that_is_silent_is_asked_for_no_further_size(hub, cache) -> None:
    requests = hub(b"")
    with hub_asked_once():
        assert find_model("some/model") == find_model("some/other") == OnHub(False)
    assert len(requests) == 1


def test_a_hub_that_breaks_off_is_given_up(hub, cache, caplog) -> None:
    # Right for a HEAD; of a GET the body is missing.
    requests = hub(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    with hub_asked_once():
        assert find_model("some/model") == find_model("some/other") == OnHub(False)
        with pytest.raises(OSError, match="cached files"):
            AutoConfig.from_pretrained("some/other")
    assert sum(b"some/model" in each for each in requests) == 1
    assert not any(b"some/other" in each for each in requests)
    assert caplog.text.count("cannot be reached") == 1
    assert constants.HF_HUB_OFFLINE is False


def test_a_connection_that_the_hub_drops_is_no_silence(hub, cache) -> None:
    body = answer(listed({"model.safetensors": 1000})).replace(b"Connection: close\r\n", b"")
    requests = hub(body, lingers=1)
    with hub_asked_once():
        assert find_model("some/model") == OnHub(False, 1000)
    assert [each.split()[0] for each in requests] == [b"HEAD", b"GET"]


def test_offline_it_is_not_asked(hub, cache, monkeypatch) -> None:
    requests = hub(answer(listed({"model.safetensors": 1})))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_model("some/model") == OnHub(False)
    assert requests == []


def test_a_path_is_no_id(here) -> None:
    (here / "some/model").mkdir(parents=True)
    ids = ["gpt2", "other/model", "some/model", "a/b/c", "~/model", "../model", "a model"]
    assert [each for each in ids if is_hub_id(each)] == ["gpt2", "other/model"]
