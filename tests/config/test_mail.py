"""The keys of mail that belong to its server: what they may be, what goes together, and that secrets stay secret."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from healthd.config.load import load
from healthd.config.problems import render
from healthd.config.schema import MailTls
from tests.config.writing import one, service_of

SERVER = 'to = "ops@example.org"\nserver = "mail.example.org:587"\n'


def loaded(tmp_path, daemon, own="", **options):
    file = tmp_path / "healthd.toml"
    file.write_text(f"include = []\n[mail]\n{daemon}\n{one(own)}")
    return load(file, **options)


def mail_of(tmp_path, daemon, own=""):
    return service_of(loaded(tmp_path, daemon, own)).mail


def test_how_to_reach_the_server(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    mail = mail_of(tmp_path, f'{SERVER}tls = "starttls"\nverify = false\nusername = "ann"\npassword_file = "{secret}"')
    assert (mail.tls, mail.verify, mail.username, mail.password) == (MailTls.STARTTLS, False, "ann", None)
    assert mail.password_file == secret
    assert mail_of(tmp_path, SERVER).tls is MailTls.AUTO


def test_a_sender_may_have_a_name(tmp_path):
    assert mail_of(tmp_path, 'from = "Load balancer 1 <lb1@example.org>"').sender == "Load balancer 1 <lb1@example.org>"


def test_a_service_with_a_server_of_its_own_does_not_send_it_the_daemons_password(tmp_path):
    mail = mail_of(
        tmp_path,
        f'{SERVER}username = "ann"\npassword = "s3cret"\ntls = "tls"\nreminder = 60',
        'mail = { server = "other.example.org" }',
    )
    assert (mail.server, mail.username, mail.password, mail.tls) == ("other.example.org", None, None, MailTls.AUTO)
    assert (mail.to, mail.reminder) == (("ops@example.org",), 60.0)


def test_a_service_without_one_has_the_daemons(tmp_path):
    mail = mail_of(tmp_path, f'{SERVER}username = "ann"\npassword = "s3cret"', 'mail = { to = "shop@example.org" }')
    assert (mail.to, mail.username, mail.password) == (("shop@example.org",), "ann", "s3cret")


@pytest.mark.parametrize(
    ("daemon", "told"),
    [
        ('to = "a@b"\ntls = "starttls"', "tls: only with key 'server'"),
        ('to = "a@b"\npassword = "s3cret"', "password: only with key 'server'"),
        (SERVER + 'tls = "startls"', "did you mean 'starttls'?"),
        (SERVER + 'username = "ann"', "username: needs key 'password' or 'password_file'"),
        (SERVER + 'password = "s3cret"', "password: needs key 'username'"),
        (
            SERVER + 'username = "ann"\npassword = "s3cret"\npassword_file = "/dev/null"',
            "password_file: the password is given already, by key 'password'",
        ),
        (SERVER + 'ca_file = "/no/such/file"', "ca_file: /no/such/file does not exist"),
        (SERVER + 'ca_file = "/etc/passwd"', "ca_file: /etc/passwd has no certificate in PEM form"),
        (SERVER + 'username = "ann"\npassword_file = "/no/such/file"', "password_file: /no/such/file does not exist"),
        (SERVER + 'username = "ann"\npassword = ["s3cret"]', "password: expected a text that is not empty"),
        ('to = ["a@b", "c@d\\r\\nBcc: e@f"]', "to: expected a mail address"),
        ('from = "a@b\\nBcc: c@d"', "from: expected a mail address"),
        ('from = "Ann\\r\\nBcc: c@d <a@b>"', "from: expected a mail address"),
        ('to = ["-oQ/tmp@b"]', "to: expected a mail address"),
    ],
)
def test_mistakes_are_told_and_no_password_is(tmp_path, daemon, told):
    found = loaded(tmp_path, daemon)
    assert found.config is None
    assert told in render(found.problems)
    assert "s3cret" not in render(found.problems)


def test_a_password_in_the_clear_is_a_warning(tmp_path):
    found = loaded(tmp_path, f'{SERVER}tls = "none"\nusername = "ann"\npassword = "s3cret"')
    assert [problem.text for problem in found.problems] == ['tls: with "none" the password is sent as it is']
    assert "s3cret" not in repr(found.config)


def test_files_are_not_looked_for_on_another_machine(tmp_path):
    found = loaded(tmp_path, SERVER + 'ca_file = "/no/such/file"', strict_files=False)
    assert found.problems == ()


WITHOUT_LIBRARY = """\
import sys
sys.modules["aiosmtplib"] = None  # as if it were not installed
from pathlib import Path
from healthd.config.load import load
from healthd.config.problems import render
sys.stdout.write(render(load(Path(sys.argv[1])).problems))
"""


@pytest.mark.parametrize(
    ("daemon", "told"),
    [
        (SERVER, "server: mail by SMTP needs the Python module 'aiosmtplib', which is not installed here"),
        ('server = "mail.example.org"', ""),
    ],
)
def test_a_missing_library_is_told_where_mail_is_wanted(tmp_path, daemon, told):
    loaded(tmp_path, daemon)
    command = [sys.executable, "-c", WITHOUT_LIBRARY, str(tmp_path / "healthd.toml")]
    root = Path(__file__).parents[2]
    said = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told in said
    assert bool(said) is bool(told)
