"""Profiles of the property tests. Neither looks at a clock.

`fast`, the default, makes the same examples every time, so a red run is red for everybody. HYPOTHESIS_PROFILE=ci makes
many more, new ones every time: that is for looking for mistakes.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("fast", max_examples=100, deadline=None, suppress_health_check=SLOW_IS_FINE, derandomize=True)
settings.register_profile("ci", max_examples=2000, deadline=None, suppress_health_check=SLOW_IS_FINE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
