"""What waits for a receiver, and where it is kept."""

from __future__ import annotations

import pytest

from healthd.config.schema import Config, Settings, Webhook
from healthd.hooks.messenger import Messenger, nobody_knows
from healthd.hooks.webhook import Client
from healthd.state import StateStore

from .messages import BRISK


@pytest.fixture
async def store(tmp_path):
    found = await StateStore.open(tmp_path / "state.db")
    yield found
    await found.close()


@pytest.fixture
async def make():
    """Makes messengers that are closed after the test."""
    client, made = Client(), []

    def make(url: str, shelf=None, pace=BRISK, stands=nobody_knows, **changes) -> Messenger:
        settings = Webhook("test", url=url, group=0.05, **changes) if "group" not in changes else None
        settings = settings or Webhook("test", url=url, **changes)
        messenger = Messenger(settings, client.send, shelf, pace, stands)
        messenger.configure(Config(Settings(hooks=(settings,))))
        made.append(messenger)
        return messenger

    yield make
    for messenger in made:
        await messenger.close(1)
    await client.close()
