from __future__ import annotations

import pytest
import yaml

from unlearnkit.redact import redacted, redacted_values
from unlearnkit.runs.phases.yaml_text import without_secrets

FORMS = {
    "user and password": "https://me:S3CRET@host/x.jsonl",
    "token as user": "https://S3CRET@host/x.jsonl",
    "password with a slash": "https://me:S3CRET/1#2@host/x.jsonl",
    "password with an @": "https://me:S3CRET@1@host/x.jsonl",
    "s3 keys": "s3://key:S3CRET@bucket/x",
    "database": "postgresql://me:S3CRET@host:5432/db",
    "token in a query": "https://host/x?token=S3CRET",
    "later in a query": "https://host/x?a=1&access_token=S3CRET&b=2",
    "api key in a query": "https://host/x?api_key=S3CRET",
    "api-key in a query": "https://host/x?api-key=S3CRET",
    "apikey in a query": "https://host/x?apikey=S3CRET",
    "key in a query": "https://host/x?key=S3CRET",
    "password in a query": "https://host/x?password=S3CRET",
    "Azure": "https://a.blob.core.windows.net/c/x?sv=2024&sig=S3CRET%3D",
    "Azure account": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=S3CRET;",
    "S3 presigned": "https://b.s3.amazonaws.com/x?X-Amz-Signature=S3CRET",
    "S3 session": "https://b.s3.amazonaws.com/x?X-Amz-Security-Token=S3CRET",
    "S3 credential": "https://b.s3.amazonaws.com/x?X-Amz-Credential=S3CRET/us",
    "S3 old": "https://b.s3.amazonaws.com/x?AWSAccessKeyId=S3CRET",
    "Google": "https://storage.googleapis.com/b/x?X-Goog-Signature=S3CRET",
    "fragment": "https://host/x#access_token=S3CRET",
    "AWS variable": "AWS_SECRET_ACCESS_KEY=S3CRET",
    "W&B variable": "WANDB_API_KEY=S3CRET",
    "HF variable": "HF_TOKEN=S3CRET",
    "bearer": "Bearer S3CRET-S3CRET",
    "basic": "Authorization: Basic S3CRETS3CRET==",
    "HF": "hf_" + "S3CRET" * 6,
    "HF organisation": "api_org_" + "S3CRET" * 6,
    "AWS id": "AKIA" + "S3CRET7890ABCDEF",
    "AWS session id": "ASIA" + "S3CRET7890ABCDEF",
    "W&B": "5ec7e7" + "0" * 34,
    "W&B new": "wandb_v1_" + "S3CRET" * 6,
    "GitHub": "ghp_" + "S3CRET" * 6,
    "GitHub fine-grained": "github_pat_" + "S3CRET" * 6,
    "GitLab": "glpat-" + "S3CRET" * 6,
    "OpenAI": "sk-proj-" + "S3CRET" * 6,
    "Anthropic": "sk-ant-" + "S3CRET" * 6,
    "Slack": "xoxb-" + "S3CRET" * 6,
    "Google key": "AIza" + "S3CRET" * 6,
    "JWT": "eyJhbGciOiJI.S3CRETS3CRET.S3CRETS3CRET",
    "password in prose": "Log in with password: S3CRET, then go on.",
    "password behind words": "the database password is S3CRET1",
    "a word for a password": "Admin password: s3cret",
    "password in quotes": "password = 'S3CRET with words'",
    "passphrase": 'Passphrase: "S3CRET with words"',
    "line of a system text": "You may use these.\ntoken: S3CRET\nBe brief.",
    "api key with a space": "my API key: S3CRET",
    "markdown": "**Password:** S3CRET",
    "pass in a query": "https://host/x?pass=S3CRET",
    "pw in a query": "https://host/x?a=1&pw=S3CRET#b",
    "session in a query": "https://host/x?session_id=S3CRET",
    "short bearer": "curl -H 'Authorization: Bearer S3CRET' https://host",
    "header without a scheme": "Authorization: S3CRET1",
    "own header": "X-Api-Key: S3CRET",
    "JSON": '{"token": "S3CRET", "n": 1}',
    "Python": "{'password': 'S3CRET'}",
    "option in a text": "run it with --token S3CRET please",
    "option with equals": "run it with --api-key=S3CRET please",
    "list as text": "[--token, S3CRET]",
    "list of JSON as text": '["--api-key", "S3CRET"]',
    "private key": "-----BEGIN RSA PRIVATE KEY-----\nS3CRET\n-----END RSA PRIVATE KEY-----",
}
PROSE = [
    "the password is a secret of the house",
    "The password is long, and was never found. What is the password?",
    "Password: must be at least 8 characters",
    "API keys: see the docs. Use --token to give one.",
    "token: the smallest unit of text",
    "The next token is 0, as its limit is; token: 5; max_tokens: 5",
    "Secret: never tell anyone. The secret: love. Secret ingredient: butter",
    "password: {response}", "Token: <pad>", "pad_token: x1", "password: $PASSWORD", "password: ***",
    "Bearer of bad news, and the author's cookie: a small cake",
    "Authorization: required for all. auth: none",
    "model.hub.password: expected a text, found 5",
    "His secret was 'Rosebud', they say, and the token is 'cat'",
]  # fmt: skip
NAMED = [
    "token", "hub_token", "hf_token", "api_key", "apikey", "api-key", "wandb_key", "password",
    "aws_access_key_id", "aws_secret_access_key", "client_secret", "credentials", "private_key",
    "authorization", "PASSWORD",
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_secrets_are_masked_in_any_form(form) -> None:
    value = FORMS[form]
    tree = {"data": {"streams": [{"path": value}]}}
    kept = without_secrets(yaml.safe_dump(tree))
    assert "S3CRET" not in kept.upper()
    assert "5EC7E7" not in kept.upper()
    assert "***" in yaml.safe_load(kept)["data"]["streams"][0]["path"]


@pytest.mark.parametrize("text", PROSE)
def test_prose_and_fields_of_templates_stay(text) -> None:
    assert redacted(text) == text


def test_values_of_options_in_lists_and_of_named_pairs_are_masked() -> None:
    words = ["run", "--token", "S3CRET", "-api-key", "S3CRET", "--password", "--verbose", "--lr", 1]
    kept = ["run", "--token", "***", "-api-key", "***", "--password", "--verbose", "--lr", 1]
    assert redacted_values({"arguments": words}) == {"arguments": kept}
    pairs = [{"name": "API_KEY", "value": "S3CRET"}, {"name": "npo", "value": 3}]
    shown = [{"name": "API_KEY", "value": "***"}, {"name": "npo", "value": 3}]
    assert redacted_values(pairs) == shown
    columns = {"columns": ["token", "label"]}
    assert redacted_values(columns) == columns


@pytest.mark.parametrize("key", NAMED)
def test_values_of_keys_named_for_secrets_are_masked(key) -> None:
    assert redacted_values({"a": [{key: "x1"}]}) == {"a": [{key: "***"}]}


PLAIN = {
    "model": {"base": "org/model@main", "revision": "0123456789" * 4},
    "data": {"max_length": 5, "control_tokens": "text", "pad_token": "<pad>", "token": None},
    "tokenizer": "/data/a=b/key=c.jsonl", "commit": "a" * 40, "path": "https://host/x?page=2&q=a@b",
    "where": {"code": "x", "key": "y"}, "snapshot": "/cache/snapshots/" + "a" * 40,
    "mail": "a@b.org", "keys": ["key", "skill-" + "a" * 30], "max_tokens_per_micro_batch": 4096,
}  # fmt: skip


def test_what_is_no_secret_stays_and_so_does_the_text() -> None:
    text = "# mine\n" + yaml.safe_dump(PLAIN)
    assert without_secrets(text) == text
