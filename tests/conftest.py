"""Profiles of the property tests: `fast` by default, `ci` by HYPOTHESIS_PROFILE=ci. Neither looks at a clock."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("fast", max_examples=100, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.register_profile("ci", max_examples=2000, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
