"""Read the named stores out of the places where names are set."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from pydantic import ValidationError

from carryall.config.fields import Described
from carryall.config.places import Given, Place, look_up, read_named_file, sentence
from carryall.config.stores import (
    BUILT_IN,
    FILE_ENDING,
    KINDS,
    NAME,
    StoreOptions,
    StoreSettings,
    described,
    option_env,
)

# Whether the described systems' names make a store. S3's bucket stands in every one of their examples, whatever the
# backend, and half an account at MEGA is what an example is left with (decision 20).
_MEANT: Mapping[str, Callable[[Collection[str]], bool]] = {
    "s3": lambda given: "access_key" in given or "secret_key" in given,
    "mega": lambda given: "email" in given and "password" in given,
}


@dataclass(frozen=True, slots=True)
class Found:
    """The stores that are set up, what is wrong with them, and what the person should know."""

    stores: dict[str, StoreSettings] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def read_stores(places: Sequence[Place], asked: Collection[str]) -> Found:
    """Return the stores in the order in which they are named first.

    Args:
        asked: the stores that other settings send files to: what is set up by half for one of them is a mistake.
    """
    found = Found()
    named: dict[str, None] = {}
    for place in places:
        for name in place.values:
            if match := NAME.fullmatch(name):
                named.setdefault(match[1].lower())
            elif (store := _store_of(name)) and store not in named and _is_meant(store, places, asked):
                named.setdefault(store)
    for store in named:
        if store == BUILT_IN:
            found.problems.append(
                f"{option_env(store, 'kind')} and the like can't be set: the store local is the built-in folder in "
                "CARRYALL_DATA_DIR. Give another folder another name."
            )
            continue
        _read_store(store, places, found)
    found.problems.extend(_at_one_place(found.stores.values()))
    found.notices.extend(_without_effect(places, found.stores))
    return found


def _at_one_place(stores: Iterable[StoreSettings]) -> Iterator[str]:
    """Say which stores are two names of one place: each would erase the other's files."""
    seen: dict[tuple[object, ...], str] = {}
    for store in stores:
        place = (store.kind, *(str(getattr(store.options, name)).lower() for name in store.options.where))
        other = seen.setdefault(place, store.name)
        if other != store.name:
            yield (
                f"The stores {other} and {store.name} keep their files at one place, and each would erase the other's. "
                f"They must differ in {' or '.join(option_env(store.name, name) for name in store.options.where)}."
            )


def aliases(kind: type[StoreOptions]) -> dict[str, Described]:
    """Return the options that have names in described systems, by each of those names."""
    options = (one for one in described(kind.kind, kind) if one.also)
    return {name: one for one in options for name in _names(one) if not NAME.fullmatch(name)}


def _store_of(name: str) -> str | None:
    return next((store for store in _MEANT if name in aliases(KINDS[store])), None)


def _is_meant(store: str, places: Sequence[Place], asked: Collection[str]) -> bool:
    known = aliases(KINDS[store])
    given = {known[name].name for place in places for name in place.values if name in known}
    return store in asked or _MEANT[store](given)


def _names(one: Described) -> tuple[str, ...]:
    """Return all names of an option; a secret may stand in a file, too."""
    return one.names + tuple(name + FILE_ENDING for name in one.names if one.is_secret)


def _read_store(store: str, places: Sequence[Place], found: Found) -> None:
    kind = _kind(store, places)
    if isinstance(kind, str):
        found.problems.append(kind)
        return
    options = described(store, kind)
    found.problems.extend(_unknown(store, kind, options, places))
    given: dict[str, Given] = {}
    for one in options:
        value, said = _look_up(one, places, found.problems)
        found.notices.extend(said)
        if value is not None:
            given[one.name] = value
    settings = _checked(store, kind, given, found.problems)
    if settings is not None:
        found.stores[store] = settings


def _kind(store: str, places: Sequence[Place]) -> type[StoreOptions] | str:
    """Return the kind of a store, or what is wrong. It may be left out where the store is called like its kind."""
    name = option_env(store, "kind")
    kinds = ", ".join(KINDS)
    for place in places:
        if name in place.values:
            kind = place.values[name]
            return KINDS.get(kind.lower(), f"{place.call(name)} is {kind[:80]!r}: it must be one of {kinds}.")
    if store in KINDS:
        return KINDS[store]
    return f"{name} is not set; it must be one of {kinds}. (A store's name has letters and digits, and nothing else.)"


def _unknown(store: str, kind: type[StoreOptions], options: Sequence[Described], places: Sequence[Place]) -> list[str]:
    known = {option_env(store, "kind"), *(name for one in options for name in _names(one))}
    own = sorted(name for name in known if NAME.fullmatch(name))
    problems = []
    for place in places:
        for name in sorted(place.names - known):
            match = NAME.fullmatch(name)
            if match and match[1].lower() == store:
                nearest = get_close_matches(name, own, n=1, cutoff=0)[0]
                problems.append(
                    f"{place.call(name)} is no setting of a store of kind {kind.kind}. The nearest one is {nearest}."
                )
    return problems


def _look_up(one: Described, places: Sequence[Place], problems: list[str]) -> tuple[Given | None, list[str]]:
    """Return what was given for an option, out of a file where one was named."""
    value, overlooked = look_up(one, places)
    if not one.is_secret:
        return value, overlooked
    in_file, _ = look_up(_in_file(one), places)
    if in_file is None:
        return value, overlooked
    if value is not None:
        problems.append(f"{value.called} and {in_file.called} are both set; set one of them.")
        return value, overlooked
    text, problem = read_named_file(in_file, "a file with the secret and nothing else")
    if problem is not None:
        problems.append(problem)
    # Where it can't be read, something stands for it, so that it isn't said to be missing as well.
    return Given(text.strip() or "?", f"The file that {in_file.called} names", in_file.source), overlooked


def _in_file(one: Described) -> Described:
    return replace(one, env=one.env + FILE_ENDING, also=tuple(name + FILE_ENDING for name in one.also))


def _checked(
    store: str, kind: type[StoreOptions], given: Mapping[str, Given], problems: list[str]
) -> StoreSettings | None:
    options = {one.name: one for one in described(store, kind)}
    said = [
        f"{_call(options[missing])} is not set, but {given[present].called} is; they go together."
        for present, missing in kind.together
        if present in given and missing not in given
    ]
    try:
        checked = kind(**{name: one.value for name, one in given.items()})
    except ValidationError as exc:
        for error in exc.errors():
            one = options[str(error["loc"][0])]
            if one.name in given:
                said.append(sentence(one, given[one.name], error))
            else:
                said.append(f"{_call(one)} is not set, and store {store} needs it: {one.wants}.")
        checked = None
    problems.extend(said)
    if checked is None or said:
        return None
    called, sources = ({name: getattr(one, what) for name, one in given.items()} for what in ("called", "source"))
    return StoreSettings(store, checked, called, sources)


def _call(one: Described) -> str:
    return f"{one.env} (or {' or '.join(one.also)})" if one.also else one.env


def _without_effect(places: Sequence[Place], stores: Mapping[str, StoreSettings]) -> list[str]:
    """Say of names of described systems that they make no store, and what would."""
    said = []
    for store, reason in _REASONS.items():
        known = aliases(KINDS[store])
        names = dict.fromkeys(name for place in places for name in place.values if name in known)
        if names and (store not in stores or stores[store].kind != store):
            said.append(f"Without effect: {', '.join(names)}. {reason}")
    return said


_REASONS = {
    "s3": "They make the store s3 when S3_ACCESS_KEY and S3_SECRET_KEY are set, or files are sent to s3.",
    "mega": "They make the store mega when both MEGA_EMAIL and MEGA_PASSWORD are set.",
}
