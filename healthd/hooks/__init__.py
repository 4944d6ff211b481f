"""Events to people and programs, never in the way of a weight change. `Announcer` is what the director talks to."""

from healthd.hooks.announcer import Announcer
from healthd.hooks.base import Hook, HookStats
from healthd.hooks.fallback import FallbackCommands
from healthd.hooks.log import LogHook
from healthd.hooks.mail import MailHook
from healthd.hooks.reminders import Missing

__all__ = ["Announcer", "FallbackCommands", "Hook", "HookStats", "LogHook", "MailHook", "Missing"]
