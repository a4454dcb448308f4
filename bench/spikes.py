"""Spike alerts in a made-up fortnight: recall, false episodes a day, time a window. `python -m bench.spikes`"""

import argparse
import time

from haetae_fds.alerts import Alert, SpikeDetector

from tests.fds.alerts.traffic import Incident, Traffic


def _near(alert: Alert, incident: Incident, after: int) -> bool:
    return incident.start <= alert.minute <= incident.start + incident.minutes + after


def main() -> None:
    """Print one line per seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--routes", type=int, default=200)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--incidents", type=int, default=70)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    for seed in range(1, options.seeds + 1):
        traffic = Traffic(seed=seed, routes=options.routes, days=options.days, incidents=options.incidents)
        detector, spikes, spent, windows = SpikeDetector(), [], 0.0, 0
        for minute, found in traffic:
            started = time.perf_counter()
            alerts = detector.minute(minute, found)
            spent += time.perf_counter() - started
            windows += len(found)
            spikes += [alert for alert in alerts if alert.kind == "spike"]
        material = traffic.material()
        hit = sum(any(_near(alert, incident, 1) for alert in spikes) for incident in material)
        false = sum(not any(_near(alert, incident, 2) for incident in traffic.incidents) for alert in spikes)
        print(
            f"seed {seed}: {hit} of {len(material)} incidents ({hit / len(material):.3f}), "
            f"{false / options.days:.2f} false episodes a day, {1e6 * spent / windows:.1f} us a window"
        )


if __name__ == "__main__":
    main()
