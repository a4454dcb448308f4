"""Settings of the property tests here: no wall-clock deadline, so that a busy machine decides nothing."""

from hypothesis import HealthCheck, settings

settings.register_profile("haetae-passport", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("haetae-passport")
