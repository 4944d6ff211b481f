"""[http]: where to listen, what must not be left open by accident, and the file of tokens."""

from __future__ import annotations

from hashlib import sha256

import pytest
import trustme

from healthd.config.http import read_tokens
from healthd.config.load import load
from healthd.config.problems import render
from healthd.effective import effective
from tests.config.writing import one

SECRET = "correct-horse-battery-staple"


@pytest.fixture
def tokens(tmp_path):
    """Writes a file of tokens that is nobody else's."""

    def write(text: str, mode: int = 0o640):
        file = tmp_path / "tokens"
        file.write_text(text)
        file.chmod(mode)
        return file

    return write


def loaded(tmp_path, http, **options):
    file = tmp_path / "healthd.toml"
    file.write_text(f"include = []\n[http]\n{http}\n{one()}")
    return load(file, **options)


def settings(tmp_path, http):
    found = loaded(tmp_path, http)
    assert found.config is not None, render(found.problems)
    return found.config.settings.http


def why(tmp_path, http) -> str:
    return "\n".join(problem.text for problem in loaded(tmp_path, http).problems)


def test_nobody_listens_unless_asked(tmp_path):
    assert settings(tmp_path, "").listen == ()


def test_one_address_or_several(tmp_path, tokens):
    file = tokens(f"alice {SECRET} write\n")
    found = settings(tmp_path, f'listen = "127.0.0.1:9180"\ntokens = "{file}"\nwrite = true\nnames = "LB.example.net"')
    assert (found.listen, found.write, found.names) == ((("127.0.0.1", 9180),), True, frozenset({"lb.example.net"}))
    many = settings(tmp_path, 'listen = ["127.0.0.1:9180", "[::1]:9180"]\nanonymous = true')
    assert many.listen == (("127.0.0.1", 9180), ("::1", 9180))


def test_tokens_are_kept_as_digests_only_and_never_shown(tmp_path, tokens):
    digest = sha256(b"another-secret-token").hexdigest()
    file = tokens(f"# who may ask\n\nalice {SECRET} write\nbob sha256:{digest}\n")
    config = loaded(tmp_path, f'listen = "127.0.0.1:9180"\ntokens = "{file}"').config
    alice, bob = config.settings.http.tokens
    assert (alice.name, alice.digest, alice.writes) == ("alice", sha256(SECRET.encode()).digest(), True)
    assert (bob.name, bob.digest.hex(), bob.writes) == ("bob", digest, False)
    for shown in (repr(config.settings.http), str(effective(config))):
        assert SECRET not in shown
        assert digest not in shown


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666, 0o641])
def test_a_file_that_others_can_use_is_refused_with_the_remedy(tmp_path, tokens, mode):
    file = tokens(f"alice {SECRET}\n", mode)
    assert f"chmod 0640 {file}" in why(tmp_path, f'listen = "127.0.0.1:1"\ntokens = "{file}"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice\n", "tokens:1: expected NAME TOKEN"),
        (f"alice {SECRET} read\n", "tokens:1: expected NAME TOKEN"),
        (f"\nalice {SECRET} write more\n", "tokens:2: expected NAME TOKEN"),
        ("alice short\n", "16 or more"),
        (f"alice {SECRET}\u00e9\n", "of ASCII"),
        ("alice sha256:abc\n", "64 digits"),
        (f"root {SECRET}\n", "not 'root'"),
        (f"al!ce {SECRET}\n", "a name of letters"),
        (f"alice {SECRET}\nalice {SECRET}2\n", "tokens:2: a second line of alice"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_without_the_token(tmp_path, tokens, text, said):
    with pytest.raises(ValueError, match="tokens:") as caught:
        read_tokens(tokens(text))
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("http", "said"),
    [
        ('listen = "0.0.0.0:9180"\nanonymous = true', "give 'cert_file', or listen on 127.0.0.1"),
        ('listen = "[2001:db8::1]:9180"\nanonymous = true', "give 'cert_file'"),
        ('listen = "127.0.0.1:9180"', "nobody could ask anything: give 'tokens'"),
        ('listen = "127.0.0.1:9180"\nanonymous = true\nwrite = true', "nobody writes without a name"),
        ('listen = "localhost:9180"\nanonymous = true', "give an address, not a name"),
        ('listen = "127.0.0.1"\nanonymous = true', "the port is missing"),
        ('listen = "224.0.0.1:80"\nanonymous = true', "not the address of one machine"),
        ("anonymous = true", "only with key 'listen'"),
        ('listen = "127.0.0.1:1"\nanonymous = true\nkey_file = "/dev/null"', "key_file: needs key 'cert_file'"),
        ('listen = "127.0.0.1:1"\ntokens = "/nonexistent"', "tokens: /nonexistent does not exist"),
        ('listen = "127.0.0.1:1"\nanonymous = true\nnames = "a b"', "expected a host name"),
    ],
)
def test_what_would_be_open_by_accident_or_of_no_use_is_an_error(tmp_path, http, said):
    assert said in why(tmp_path, http)


def test_a_certificate_lets_it_listen_anywhere(tmp_path, tokens):
    pair = tmp_path / "pair.pem"
    trustme.CA().issue_cert("lb.example.net").private_key_and_cert_chain_pem.write_to_path(pair)
    found = settings(tmp_path, f'listen = "0.0.0.0:9180"\ntokens = "{tokens(f"a {SECRET}")}"\ncert_file = "{pair}"')
    assert found.cert_file == pair


def test_a_file_that_is_no_certificate_is_told_before_it_is_needed(tmp_path):
    file = tmp_path / "x.pem"
    file.write_text("nothing")
    said = why(tmp_path, f'listen = "127.0.0.1:1"\nanonymous = true\ncert_file = "{file}"')
    assert "no certificate and key" in said
