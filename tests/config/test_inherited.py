"""What services have from tables of the daemon (mail, maintenance files), and texts of their own."""

import os
from pathlib import Path

import pytest

from healthd.config.files import unappendable
from healthd.config.load import load
from healthd.config.schema import MailSettings, ReloadSettings, Stage
from tests.config.writing import one, service_of

DAEMON = """\
[mail]
to = ["a@example.org", "b@example.org"]
from = "healthd@example.org"
server = "mail.example.org:25"
reminder = "60s"
during = ["running"]
[maintenance]
folder = "/etc/healthd/maintenance"
"""
ALL = MailSettings(
    ("a@example.org", "b@example.org"), "healthd@example.org", "mail.example.org:25", 60.0, frozenset({Stage.RUNNING})
)


def loaded(tmp_path, daemon="", more=""):
    file = tmp_path / "healthd.toml"
    file.write_text(f"include = []\n{daemon}\n{one()}\n{more}")
    return load(file)


def test_a_service_has_the_mail_and_the_maintenance_of_the_daemon(tmp_path):
    service = service_of(loaded(tmp_path, DAEMON))

    assert service.mail == ALL
    assert service.maintenance == Path("/etc/healthd/maintenance")


def test_a_service_lays_its_own_over_them(tmp_path):
    file = tmp_path / "healthd.toml"
    file.write_text(DAEMON + one('maintenance = ""\nmail = { to = ["c@example.org"], reminder = 0 }'))

    service = service_of(load(file))

    assert service.mail.to == ("c@example.org",)
    assert (service.mail.sender, service.mail.server) == (ALL.sender, ALL.server)
    assert service.mail.reminder == 0.0
    assert service.maintenance is None


def test_files_of_services_inherit_the_daemons_mail_too(tmp_path):
    (tmp_path / "healthd.toml").write_text(DAEMON)
    (tmp_path / "services.d").mkdir()
    (tmp_path / "services.d" / "www.toml").write_text(one())

    assert service_of(load(tmp_path)).mail == ALL


def test_nobody_gets_mail_if_nobody_is_named(tmp_path):
    service = service_of(loaded(tmp_path))

    assert service.mail == MailSettings()
    assert service.maintenance is None


def test_a_service_may_have_texts_a_command_and_a_file(tmp_path):
    head = f'title = "The shop"\ncomment = "ask Ann"\nfallback_command = "/bin/x"\nmonitor_file = "{tmp_path}/x"'
    file = tmp_path / "healthd.toml"
    file.write_text(one(head))

    service = service_of(load(file))

    assert (service.title, service.comment) == ("The shop", "ask Ann")
    assert service.fallback_command == "/bin/x"
    assert service.monitor_file == tmp_path / "x"


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("/no/such/folder/x", "monitor_file: there is no folder /no/such/folder"),
        ("/dev", "monitor_file: /dev is a folder"),
    ],
)
def test_a_monitor_file_that_cannot_be_written_is_told_with_its_place(tmp_path, file, told):
    place = tmp_path / "healthd.toml"
    place.write_text(one(f'monitor_file = "{file}"'))

    (problem,) = load(place).problems

    assert (problem.text, problem.source) == (told, f'monitor_file = "{file}"')
    assert load(place, strict_files=False).problems == ()


def test_a_monitor_file_nobody_may_write_is_told(tmp_path):
    (tmp_path / "mine").touch()
    (tmp_path / "mine").chmod(0o400)
    tmp_path.chmod(0o500)
    try:
        told = [unappendable(str(tmp_path / name)) for name in ("mine", "new")]
    finally:
        tmp_path.chmod(0o700)
    everything = os.geteuid() == 0
    assert told == (
        ["", ""] if everything else [f"{tmp_path}/mine cannot be written", f"no file can be made in {tmp_path}"]
    )


@pytest.mark.parametrize(
    ("daemon", "told"),
    [
        ('[mail]\nto = ["a b"]', "to: expected a mail address"),
        ('[mail]\nserver = "a b"', "server: expected a host"),
        ('[mail]\nduring = ["runing"]', "did you mean 'running'?"),
        ('[mail]\nfrm = "a@b"', "unknown key 'frm'; did you mean 'from'?"),
        ('[maintenance]\nfolder = "x"', "folder: expected an absolute path"),
        ('[reload]\ncallback = "/no/such/program"', "callback: /no/such/program does not exist"),
    ],
)
def test_mistakes_are_told(tmp_path, daemon, told):
    problems = loaded(tmp_path, daemon).problems

    assert len(problems) == 1
    assert told in problems[0].text


def test_watching_and_a_callback_are_settings(tmp_path):
    config = loaded(tmp_path, '[reload]\nwatch = true\ncallback = "/bin/true"').config

    assert config.settings.reload == ReloadSettings(True, Path("/bin/true"))
