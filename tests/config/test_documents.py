"""The documents are made from the fields, so they can't leave one out."""

import re
from pathlib import Path

from carryall.config import SETTINGS, Settings, env_example, load_settings, settings_table
from carryall.config.documents import write_documents
from carryall.config.notices import FOLDER_HINTS
from carryall.config.stores import KINDS, described
from carryall.config.topics import TOPICS

ROOT = Path(__file__).parents[2]
AGAIN = "run `python -m carryall.config` in the project's folder"


def test_the_files_are_up_to_date() -> None:
    """.env.example and docs/settings.md are what the fields say now."""
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), AGAIN
    assert (ROOT / "docs" / "settings.md").read_text(encoding="utf-8") == settings_table(), AGAIN


def test_writing_them_again_gives_the_same(tmp_path: Path) -> None:
    """The command writes exactly the two texts."""
    (tmp_path / "docs").mkdir()

    write_documents(tmp_path)

    assert (tmp_path / ".env.example").read_text(encoding="utf-8") == env_example()
    assert (tmp_path / "docs" / "settings.md").read_text(encoding="utf-8") == settings_table()


def test_every_field_has_its_place() -> None:
    """Each field of Settings stands in exactly one topic."""
    names = [one.name for one in SETTINGS]

    assert sorted(names) == sorted(Settings.model_fields)
    assert len(names) == len(set(names))


def test_every_name_has_one_meaning() -> None:
    """No environment name reaches two settings."""
    names = [name for one in SETTINGS for name in one.names]

    assert len(names) == len(set(names))


def test_every_field_is_described() -> None:
    """Sentences that end, and a unit for every number whose name carries one."""
    units = {"mb": "MiB", "kb": "KiB", "s": "seconds", "hours": "hours", "days": "days", "minute": "per minute"}
    for one in SETTINGS:
        assert re.fullmatch(r"[A-Z].+\.", one.about), one.name
        ending = one.name.rsplit("_", 1)[-1]
        if ending in units and not one.name.endswith("per_s"):
            assert one.unit == units[ending], one.name


def test_both_documents_name_everything() -> None:
    """Canonical name, other names, description, default and unit of each setting; the names without effect."""
    table, example = settings_table(), " ".join(env_example().replace("\n#", "").split())

    for one in SETTINGS:
        assert f"#{one.env}={one.default}\n" in env_example()
        assert f"| `{one.env}` |" in table
        for text in (*one.also, one.about, one.unit):
            assert text in table
            assert text in example
    for name in (*FOLDER_HINTS, "DATABASE_URL", "CACHE_TTL"):
        assert f"`{name}`" in table
    assert all(f"## {topic.title}\n" in table and f"---- {topic.title} ----" in env_example() for topic in TOPICS)


def test_both_documents_name_every_option_of_stores() -> None:
    """Its name with any store's name, its other names, what it takes and does; what is required is said to be."""
    table, example = settings_table(), " ".join(env_example().replace("\n#", "").split())

    for kind in KINDS.values():
        for one in described(kind.kind, kind):
            name = one.env.replace(f"_{kind.kind.upper()}_", "_<NAME>_", 1)
            assert f"| `{name}` |" in table
            assert f"{name}: {one.about}" in example
            assert re.fullmatch(r"[A-Z].+\.|rclone.+\.", one.about), one.name
            for text in (*one.also, one.about, one.wants):
                assert text in table
                assert text in example
        assert f"### {kind.title}\n" in table
    assert "| required |" in table


def test_the_example_changes_nothing(tmp_path: Path) -> None:
    """Copied as it is, or with every line uncommented, it gives the defaults."""
    path = tmp_path / ".env"
    path.write_text(env_example(), encoding="utf-8")
    assert load_settings({}, path).model_dump() == Settings().model_dump()

    path.write_text(re.sub(r"^#(?=[A-Z0-9_]+=)", "", env_example(), flags=re.MULTILINE), encoding="utf-8")
    settings = load_settings({}, path)
    assert settings.model_dump() == Settings().model_dump()
    assert not settings.stores
