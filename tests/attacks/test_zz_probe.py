"""Probe."""
import importlib.util, sys
import pytest
def test_probe(target, doors):
    """P."""
    spec = importlib.util.spec_from_file_location("n", "tests/attacks/test_names.py"); m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)
    for door in m.DOORS:
        out = []
        for n in m.NASTY + m.NAUGHTY[:0]:
            data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"x" * 20
            s = doors[door](data, n + (".png" if door == "gallery" else ""))
            if not s.is_stored: out.append((n, s.answer.status, s.answer.json()["code"]))
        print(door, len(out), out)
    s = doors["v1-raw"](b"x", "a/..\\b\u202e\r\n.html"); print(target.ask("GET", s.path, s.who).raw)
    s = doors["blobs-form"](b"x", "a/b.html"); print(s.name, target.ask("GET", s.path, s.who).raw)
