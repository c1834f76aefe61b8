"""kill -9 at random moments, under eight clients over all protocols: nothing acknowledged is lost (fault 1, I1 to I7).

`make crash` kills 200 times with one process and 200 times with two workers. CRASH_KILLS is another number,
CRASH_SECONDS the most time that each may take; the reports go to the folder that CRASH_REPORT names, else to a
temporary one.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.crash.campaign import Campaign
from tests.crash.victim import Victim

KILLS = int(os.environ.get("CRASH_KILLS", "200"))
LONG_S = float(os.environ.get("CRASH_SECONDS", "7000"))
SHORT_S = 25.0


def torment(tmp_path: Path, *, workers: int, seed: int, kills: int, within_s: float) -> dict[str, Any]:
    """Run a campaign; write its report, and give it."""
    campaign = Campaign(Victim(tmp_path, workers=workers), seed)
    try:
        report = campaign.run(kills=kills, within_s=within_s)
    finally:
        if campaign.victim.is_alive():
            campaign.victim.kill()
    folder = Path(os.environ.get("CRASH_REPORT", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = f"crash-{workers}-{seed}"
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2), "utf-8")
    text = summary(report)
    (folder / f"{name}.txt").write_text(text, "utf-8")
    print(f"\n{text}")
    assert [] == campaign.report.surprises, campaign.victim.log[-2000:]
    assert ([], []) == (campaign.report.lost, campaign.report.wrong)
    return report


def summary(report: dict[str, Any]) -> str:
    """Say in a few lines what came of a campaign."""
    kills = ", ".join(f"{number} of {what}" for what, number in report["kills"].items())
    restart = report["restart_s"]
    return (
        f"{sum(report['kills'].values())} kills ({kills}), {report['workers']} worker(s), seed {report['seed']}, "
        f"{report['seconds']} s\n"
        f"{report['files_acknowledged']} files acknowledged, {report['bytes_acknowledged']} bytes; "
        f"{report['resumed']} requests resumed; {report['deleted_or_replaced']} files deleted or replaced\n"
        f"lost: {report['lost']}; otherwise wrong: {report['wrong']}; surprises: {report['surprises']}\n"
        f"serving again after {restart['min']} / {restart['median']} / {restart['max']} s (least, median, most)\n"
    )


@pytest.mark.timeout(240)
@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost(tmp_path: Path, workers: int) -> None:
    """Half a minute of kills: every acknowledged file is byte-identical, counters are exact, events are single."""
    report = torment(tmp_path, workers=workers, seed=workers, kills=1000, within_s=SHORT_S)

    assert report["files_acknowledged"] > 20  # the kills met real work
    assert sum(report["kills"].values()) >= 1


@pytest.mark.crash_long
@pytest.mark.timeout(LONG_S + 600)
@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_acknowledged_is_lost_in_200_kills(tmp_path: Path, workers: int) -> None:
    """The same at 200 random moments."""
    report = torment(tmp_path, workers=workers, seed=100 + workers, kills=KILLS, within_s=LONG_S)

    assert KILLS == sum(report["kills"].values())
