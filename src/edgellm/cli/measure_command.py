"""What `edgellm devices detect --measure` does: time this machine and keep the result for every later prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgellm.cli.console import print_message, print_warning
from edgellm.cli.progress import cancel_on_interrupt, make_progress

if TYPE_CHECKING:
    from edgellm.devices.calibration import Calibration
    from edgellm.devices.health import Health
    from edgellm.progress import CancelToken
    from edgellm.settings import SettingsWithOrigin

__all__ = ["measure_machine"]

_BUSY_SHARE = 0.25  # of the decode threads: more than what a desktop does by itself
_BUSY_S = 0.5
_UNSTEADY_SPREAD = 0.08
_RESULT_BYTES = 64 << 10


def measure_machine(settings: SettingsWithOrigin, health: Health, *, quiet: bool) -> Calibration:
    """Measure for two to six minutes and store the result. What disturbs the measurement is said on stderr.

    Two of these take turns: each would slow down the other. Where the result could not be stored nothing is measured.
    Raises AccessError, NoSpaceError, DoesNotFitError, BackendError and Interrupted; the stored calibration is then as
    before.
    """
    from edgellm.devices.calibration import calibration_path, this_machine, write_calibration
    from edgellm.files import require_free_space
    from edgellm.sources.download import exclusive
    from edgellm_runtimes.calibrate import measure

    require_free_space(settings.paths.state, _RESULT_BYTES, "the result")
    with (
        cancel_on_interrupt() as cancel,
        make_progress(quiet) as progress,
        exclusive(settings.paths.state, "calibration", "measuring this machine", progress, cancel),
    ):
        for reason in _disturbances(health, this_machine().threads, cancel):
            progress.message(f"warning: {reason}")
        found = measure(progress, cancel)
        write_calibration(settings.paths.state, found)
    if not quiet:
        spread = found.measured.spread
        if spread > _UNSTEADY_SPREAD:
            print_warning(f"rounds lay +-{spread:.0%} apart: something else was running; measure again")
        print_message(f"kept in {calibration_path(settings.paths.state)}; remove the file to go back to estimates")
    return found


def _disturbances(health: Health, threads: int, cancel: CancelToken) -> list[str]:
    """Why the figures would be lower than what this machine can do."""
    from edgellm.devices.busy import busy_cores

    reasons = []
    busy = busy_cores(lambda: cancel.wait(_BUSY_S))
    if busy > _BUSY_SHARE * threads:
        reasons.append(f"other programs keep {busy:.1f} cores busy; the figures will be those of a busy machine")
    if health.throttled_now:
        reasons.append("the processor is throttled now; let it cool down first")
    if health.under_voltage_now:
        reasons.append("the supply voltage is too low; use a stronger power supply")
    return reasons
