"""`carryall users`: who has tokens and files of their own."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from carryall.cli.screen import (
    confirm_or_leave,
    count_text,
    lesson,
    say,
    show,
    show_json,
    show_table,
    size_text,
    when_text,
)

if TYPE_CHECKING:
    from carryall.model.account import User
    from carryall.operations.accounts import NewToken
    from carryall.wiring import House

app = typer.Typer(name="users", no_args_is_help=True, help="Make users, give them tokens, see what they hold.")

Name = Annotated[str, typer.Argument(help="The user's name; an e-mail address is fine.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


@app.command(epilog=lesson("carryall users add alice", then="`carryall users token alice` prints the first token."))
def add(
    name: Name,
    plan: Annotated[str | None, typer.Option(help="The plan that limits them; plans are made with /v1/plans.")] = None,
) -> None:
    """Make a user. Their limits come from the plan, or from the settings (CARRYALL_USER_…) without one."""
    from carryall.cli.setup import in_house

    user = in_house(lambda house: house.context.accounts.add_user(name, plan=plan), may_begin=True)
    say(f"User {user.name} is made. `carryall users token {user.name}` prints a token for them.")


@app.command(
    epilog=lesson(
        "TOKEN=$(carryall users token alice --add)",
        'curl -H "Authorization: Bearer $TOKEN" -F file=@photo.jpg http://127.0.0.1:8000/upload',
        then="give the token to its user by a safe way; `carryall users rotate` replaces it.",
    )
)
def token(
    name: Name,
    add: Annotated[bool, typer.Option("--add", help="Make the user if there is none of that name.")] = False,
) -> None:
    """Give a user a new token and end the one before.

    A user whom ALLOWED_USERS names is made by their first token; with --add, so is any other. The last line of standard
    output is the token, everything else goes to standard error. Only its hash is kept: it can't be shown again.
    """
    from carryall.cli.setup import in_house
    from carryall.model.errors import Missing

    async def give(house: "House") -> "NewToken":
        accounts = house.context.accounts
        if await accounts.user(name) is None and not accounts.is_allowed(name):
            if not add:
                raise Missing(f"There is no user {name}. `carryall users token {name} --add` makes one.")
            await accounts.add_user(name)
        return await accounts.primary_token(name)

    _show_token(name, in_house(give, may_begin=True))


@app.command(epilog=lesson("carryall users rotate alice", then="put the new token wherever the old one was used."))
def rotate(name: Name) -> None:
    """Replace the token of a user who is there. The old one ends at once."""
    from carryall.cli.setup import in_house

    async def replace(house: "House") -> "NewToken":
        await _require(house, name)
        return await house.context.accounts.primary_token(name)

    _show_token(name, in_house(replace))


async def _require(house: "House", name: str) -> None:
    from carryall.model.errors import Missing

    if await house.context.accounts.user(name) is None:
        raise Missing(f"There is no user {name}. `carryall users ls` shows those there are.")


def _show_token(name: str, made: "NewToken") -> None:
    say(f"The token of {name}, shown once; the one before, if there was one, ended just now:")
    show(made.secret)


@app.command("ls", epilog=lesson("carryall users ls", then="`carryall files ls --owner user:alice` shows one's files."))
def list_users(as_json: AsJson = False) -> None:
    """Show every user with what they hold."""
    from carryall.cli.setup import in_house

    async def look(house: "House") -> tuple[list[dict[str, Any]], list[str]]:
        found = [await _described(house, user) for user in await house.context.accounts.users()]
        known = {user["name"] for user in found}
        return found, [name for name in house.settings.allowed_users if name not in known]

    users, waiting = in_house(look)
    if as_json:
        show_json(users)
        return
    show_table(("NAME", "PLAN", "TOKEN", "FILES", "STORED", "MADE"), [_row(user) for user in users])
    if waiting:
        say(f"Allowed by ALLOWED_USERS, and without a token so far: {', '.join(waiting)}.")
    elif not users:
        say("There are no users yet. `carryall users token NAME --add` makes one.")


async def _described(house: "House", user: "User") -> dict[str, Any]:
    context = house.context
    usage = await context.accounts.usage(f"user:{user.name}")
    tokens = await context.accounts.tokens(context.authenticate.admin, user.name)
    return {
        "name": user.name,
        "plan": user.plan,
        "is_disabled": user.is_disabled,
        "has_token": any(token.is_primary and token.revoked_at is None for token in tokens),
        "files": usage.files,
        "stored_bytes": usage.stored_bytes,
        "reserved_bytes": usage.reserved_bytes,
        "open_uploads": usage.open_uploads,
        "created_at": user.created_at,
    }


def _row(user: dict[str, Any]) -> tuple[str, ...]:
    state = "disabled" if user["is_disabled"] else "yes" if user["has_token"] else "none"
    held = (str(user["files"]), size_text(user["stored_bytes"]))
    return (user["name"], user["plan"] or "user", state, *held, when_text(user["created_at"]))


@app.command("rm", epilog=lesson("carryall users rm alice --yes", then="`carryall users ls` shows who is left."))
def remove(name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False) -> None:
    """Remove a user with all tokens and all files. This can't be undone."""
    from carryall.cli.setup import in_house

    async def go(house: "House") -> int:
        await _require(house, name)
        usage = await house.context.accounts.usage(f"user:{name}")
        held = f"{count_text(usage.files, 'file')} ({size_text(usage.stored_bytes)})"
        confirm_or_leave(f"Remove {name} and their {held}?", is_confirmed=yes)
        return await house.context.accounts.remove_user(name)

    gone = count_text(in_house(go), "file")
    say(f"{name} is removed, with {gone}. A running server, or `carryall work --once`, erases the bytes.")
