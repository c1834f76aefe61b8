"""`carryall settings` and `doctor --settings`: what is in effect, where it comes from, and no secrets."""

import json
from typing import Any


def test_values_have_sources_and_no_secrets(place: Any) -> None:
    """Each setting is shown with its value and source; secrets are masked; nothing is made by looking."""
    place.set(AUTH_TOKEN="do-not-show-this", PORT="8100")

    lines = dict(line.split("\t", 1) for line in place.result("settings").splitlines())

    assert "8100\talias PORT" == lines["CARRYALL_PORT"]
    assert "127.0.0.1\tdefault" == lines["CARRYALL_HOST"]
    assert "alias AUTH_TOKEN" in lines["CARRYALL_SERVICE_TOKEN"]
    assert "do-not-show" not in str(lines)
    assert "generated when needed\tdefault" == lines["CARRYALL_ADMIN_TOKEN"]
    assert not place.data.exists()


def test_kept_secrets_are_named_and_masked(place: Any) -> None:
    """A secret that the data folder keeps is said to come from there."""
    place.result("migrate")

    rows = {row["name"]: row for row in json.loads(place.result("settings", "--json"))}

    kept = (place.data / "secrets" / "admin_token").read_text().strip()
    assert ("secrets folder", "••••••") == (rows["admin_token"]["source"], rows["admin_token"]["value"])
    assert kept not in str(rows)


def test_a_mistyped_name_is_status_2(place: Any) -> None:
    """A name of ours that is no setting is said in one sentence with the nearest one; no command runs."""
    place.set(CARRYALL_PROT="8001")

    for words in (["settings"], ["users", "ls"], ["doctor", "--settings"], ["serve"]):
        done = place.run(*words)
        assert (2, "") == (done.returncode, done.stdout)
        assert "CARRYALL_PROT is no setting. The nearest one is CARRYALL_PORT." in done.stderr
        assert "Traceback" not in done.stderr


def test_what_may_be_regretted_is_said(place: Any) -> None:
    """Settings that somebody may regret are said on standard error, and by the doctor as notes; the status is 0."""
    place.set(HOST="192.0.2.1", DATABASE_URL="sqlite://./blob.db")

    said, examined = place.run("settings"), place.run("doctor", "--settings")

    assert (0, 0) == (said.returncode, examined.returncode)
    for word in ("DATABASE_URL is ignored", "takes images from everybody"):
        assert word in said.stderr
        assert word in examined.stdout
    assert 2 == examined.stdout.count("note settings: ")
    assert "Nothing is wrong." in examined.stderr
