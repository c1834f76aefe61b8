"""Looks into what a client stored, with the master key that only a test has: is all of it as MEGA's clients need it?"""

from collections.abc import Iterator

import cipher
from world import FILE, Account, Node, World


def check(world: World, account: Account, node: Node) -> None:
    """Write down whatever is wrong with a new node: its attributes, its key, its size, its check sum."""
    check_attributes(world, account, node)
    if node.t != FILE or node.content is None:
        return
    on_disk = node.content.stat().st_size
    if on_disk != node.s:
        world.blame("size", [on_disk, node.s], account)
    key, nonce, meta = cipher.unpack(open_key(account, node))
    if account.contents.setdefault(key + nonce, node.content) != node.content:
        world.blame("key used twice", None, account)
    mac = cipher.Mac(key, nonce)
    for plain in plain_chunks(node, key, nonce):
        mac.add(plain)
    if mac.meta() != meta:
        world.blame("mac", node.s, account)


def check_attributes(world: World, account: Account, node: Node) -> None:
    """Write down attributes that nobody could read."""
    try:
        attributes(account, node)
    except ValueError as error:
        world.blame("attributes", str(error), account)


def open_key(account: Account, node: Node) -> bytes:
    """Decrypt a node's own key: 32 bytes for a file, 16 for a folder."""
    return cipher.ecb(account.master, node.k, back=True)


def attributes(account: Account, node: Node) -> dict[str, object]:
    """Decrypt a node's attributes. Raises ValueError."""
    opened = open_key(account, node)
    return cipher.attributes(cipher.unpack(opened)[0] if node.t == FILE else opened, node.a)


def plain_chunks(node: Node, key: bytes, nonce: bytes) -> Iterator[bytes]:
    """Decrypt a file, chunk by chunk. Blocks."""
    assert node.content is not None
    with node.content.open("rb") as content:
        for offset, length in cipher.chunks(node.s):
            yield cipher.counted(key, nonce, content.read(length), offset)
