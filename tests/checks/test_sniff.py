"""Binary content is recognised by its bytes; names only choose between kinds that look the same."""

import bz2
import gzip
import io
import lzma
import sqlite3
import struct
import tarfile
import wave
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carryall.checks.sniff import sniff
from carryall.ports.sniffer import Sniffed, Sniffer


def png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0\xff\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp() -> bytes:
    dimensions = struct.pack("<IiiHHIIiiII", 40, 1, 1, 1, 24, 0, 4, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 58, 0, 0, 54) + dimensions + b"abc\0"


def box(major: bytes, *compatible: bytes) -> bytes:
    brands = major + b"\0\0\0\0" + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0\0\0\x08mdat"


def riff(kind: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 24) + kind + b"xxxx\x0c\0\0\0" + b"\0" * 12


def wav() -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 10)
    return out.getvalue()


def ogg(first_packet: bytes) -> bytes:
    page = b"OggS\0\x02" + b"\0" * 8 + b"\x01\0\0\0" + b"\0" * 8
    return page + b"\x01" + bytes([len(first_packet)]) + first_packet


def ebml(doctype: bytes) -> bytes:
    head = b"\x42\x86\x81\x01\x42\x82" + bytes([0x80 | len(doctype)]) + doctype
    return b"\x1a\x45\xdf\xa3" + bytes([0x80 | len(head)]) + head


def zipped(*names: str, first: tuple[str, str | bytes] | None = None) -> bytes:
    """A zip of packed entries, after one that isn't packed."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        if first:
            archive.writestr(zipfile.ZipInfo(first[0]), first[1])
        for name in names:
            archive.writestr(name, "<x/>" * 50)
    return out.getvalue()


def streamed_zip(*names: str) -> bytes:
    """A zip written to a pipe: sizes stand behind the data, not before it."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]
            return len(bytes(data))  # type: ignore[call-overload]

    out = Pipe()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:  # type: ignore[arg-type]
        for name in names:
            archive.writestr(name, "<x/>" * 50)
    return out.data


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 5
        archive.addfile(entry, io.BytesIO(b"hello"))
    return out.getvalue()


def sqlite(folder: Path) -> bytes:
    database = sqlite3.connect(folder / "x.db")
    database.execute("create table t (a)")
    database.close()
    return (folder / "x.db").read_bytes()


def windows_program() -> bytes:
    return b"MZ" + b"\0" * 58 + struct.pack("<I", 64) + b"PE\0\0\x64\x86" + b"\0" * 50


def ole(stream: str = "") -> bytes:
    return b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 1000 + stream.encode("utf-16-le") + b"\0" * 100


WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
SLIDES = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
ODT = "application/vnd.oasis.opendocument.text"
APK = "application/vnd.android.package-archive"
WINDOWS = "application/vnd.microsoft.portable-executable"
MP3 = b"\xff\xfb\x90\x64" + b"\0" * 413

# name: (bytes, media type, family)
SAMPLES: dict[str, tuple[bytes, str, str]] = {
    "a.png": (png(), "image/png", "image"),
    "a.jpg": (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0", "image/jpeg", "image"),
    "a.gif": (b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff;", "image/gif", "image"),
    "old.gif": (b"GIF87a\x01\0\x01\0\x80\0\0;", "image/gif", "image"),
    "a.webp": (riff(b"WEBP"), "image/webp", "image"),
    "a.bmp": (bmp(), "image/bmp", "image"),
    "intel.tiff": (b"II*\0\x08\0\0\0\0\0", "image/tiff", "image"),
    "motorola.tif": (b"MM\0*\0\0\0\x08\0\0", "image/tiff", "image"),
    "a.ico": (b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0", "image/x-icon", "image"),
    "a.avif": (box(b"avif", b"avif", b"mif1", b"miaf"), "image/avif", "image"),
    "other.avif": (box(b"mif1", b"mif1", b"avif", b"miaf"), "image/avif", "image"),
    "a.heic": (box(b"heic", b"mif1", b"heic"), "image/heic", "image"),
    "other.heic": (box(b"mif1", b"mif1", b"heic"), "image/heic", "image"),
    "a.heif": (box(b"mif1", b"mif1"), "image/heif", "image"),
    "a.jxl": (b"\xff\x0a\xfa\x1f\x41\x91\x08\x06\x01\0", "image/jxl", "image"),
    "boxed.jxl": (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "image/jxl", "image"),
    "a.psd": (b"8BPS\0\x01" + b"\0" * 20, "image/vnd.adobe.photoshop", "image"),
    "a.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "application/pdf", "document"),
    "indented.pdf": (b"\n  %PDF-1.4\n", "application/pdf", "document"),
    "a.ps": (b"%!PS-Adobe-3.0\n%%Pages: 1\n", "application/postscript", "document"),
    "a.rtf": (b"{\\rtf1\\ansi hello}", "application/rtf", "document"),
    "tagged.mp3": (b"ID3\x03\0\0\0\0\0\x0a" + b"\0" * 20, "audio/mpeg", "audio"),
    "a.mp3": (MP3, "audio/mpeg", "audio"),
    "a.wav": (wav(), "audio/wav", "audio"),
    "a.flac": (b"fLaC\0\0\0\x22\x10\0\x10\0", "audio/flac", "audio"),
    "a.ogg": (ogg(b"\x01vorbis\0\0\0\0\x02"), "audio/ogg", "audio"),
    "a.opus": (ogg(b"OpusHead\x01\x02"), "audio/ogg", "audio"),
    "a.ogv": (ogg(b"\x80theora\x03\x02"), "video/ogg", "video"),
    "a.ogx": (ogg(b"fishead\0"), "application/ogg", "audio"),
    "a.m4a": (box(b"M4A ", b"M4A ", b"mp42", b"isom"), "audio/mp4", "audio"),
    "a.aac": (b"\xff\xf1\x50\x80\x02\x1f\xfc\0", "audio/aac", "audio"),
    "a.aiff": (b"FORM\0\0\0\x20AIFFCOMM\0\0\0\x12", "audio/aiff", "audio"),
    "a.mid": (b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk", "audio/midi", "audio"),
    "a.amr": (b"#!AMR\n\x3c\x08", "audio/amr", "audio"),
    "a.mp4": (box(b"isom", b"isom", b"iso2", b"avc1", b"mp41"), "video/mp4", "video"),
    "new.mp4": (box(b"zzzz", b"yyyy"), "video/mp4", "video"),
    "a.mov": (box(b"qt  ", b"qt  "), "video/quicktime", "video"),
    "old.mov": (b"\0\0\0\x08wide\0\0\x10\0mdat", "video/quicktime", "video"),
    "a.3gp": (box(b"3gp4", b"3gp4", b"isom"), "video/3gpp", "video"),
    "a.webm": (ebml(b"webm"), "video/webm", "video"),
    "a.mkv": (ebml(b"matroska"), "video/x-matroska", "video"),
    "a.avi": (riff(b"AVI "), "video/x-msvideo", "video"),
    "a.flv": (b"FLV\x01\x05\0\0\0\x09", "video/x-flv", "video"),
    "a.mpg": (b"\0\0\x01\xba\x44\0\x04\0", "video/mpeg", "video"),
    "a.ts": ((b"G\x40\0\x10" + b"\xff" * 184) * 4, "video/mp2t", "video"),
    "a.wmv": (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\0\xaa", "video/x-ms-asf", "video"),
    "a.zip": (zipped("a.txt", "b/c.txt"), "application/zip", "archive"),
    "empty.zip": (zipped(), "application/zip", "archive"),
    "a.gz": (gzip.compress(b"hello"), "application/gzip", "archive"),
    "a.bz2": (bz2.compress(b"hello"), "application/x-bzip2", "archive"),
    "a.xz": (lzma.compress(b"hello"), "application/x-xz", "archive"),
    "a.zst": (b"\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello", "application/zstd", "archive"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + b"\0" * 24, "application/x-7z-compressed", "archive"),
    "a.rar": (b"Rar!\x1a\x07\x01\0\x33\x92", "application/vnd.rar", "archive"),
    "a.tar": (tar(), "application/x-tar", "archive"),
    "a.docx": (
        zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"),
        WORD,
        "document",
    ),
    "a.xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), SHEET, "document"),
    "a.pptx": (
        zipped("_rels/.rels", "docProps/app.xml", "ppt/presentation.xml"),
        SLIDES,
        "document",
    ),
    "streamed.docx": (
        streamed_zip("[Content_Types].xml", "word/document.xml"),
        WORD,
        "document",
    ),
    "hidden.xlsx": (zipped("[Content_Types].xml"), SHEET, "document"),
    "a.odt": (
        zipped("content.xml", first=("mimetype", ODT)),
        ODT,
        "document",
    ),
    "a.epub": (
        zipped("META-INF/container.xml", first=("mimetype", "application/epub+zip")),
        "application/epub+zip",
        "document",
    ),
    "a.apk": (
        zipped("META-INF/MANIFEST.MF", "AndroidManifest.xml", "classes.dex"),
        APK,
        "program",
    ),
    "a.jar": (zipped("META-INF/", "META-INF/MANIFEST.MF", "a/B.class"), "application/java-archive", "program"),
    "words.zip": (zipped("word/list.txt"), "application/zip", "archive"),
    "lying.zip": (zipped(first=("mimetype", "text/html")), "application/zip", "archive"),
    "nested.zip": (
        zipped(first=("a.docx", zipped("[Content_Types].xml", "word/d.xml"))),
        "application/zip",
        "archive",
    ),
    "a.elf": (b"\x7fELF\x02\x01\x01\0" + b"\0" * 8, "application/x-elf", "program"),
    "a.exe": (windows_program(), WINDOWS, "program"),
    "dos.com": (b"MZ\x90\0\x03\0\0\0", "application/x-dosexec", "program"),
    "macho": (b"\xcf\xfa\xed\xfe\x07\0\0\x01", "application/x-mach-binary", "program"),
    "fat": (b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07", "application/x-mach-binary", "program"),
    "A.class": (b"\xca\xfe\xba\xbe\0\0\0\x3d\0\x1d", "application/java-vm", "program"),
    "a.wasm": (b"\0asm\x01\0\0\0", "application/wasm", "program"),
    "a.swf": (b"FWS\x09\x20\0\0\0\x78\0", "application/x-shockwave-flash", "program"),
    "packed.swf": (b"CWS\x0a\x20\0\0\0" + zlib.compress(b"\0" * 50), "application/x-shockwave-flash", "program"),
    "a.woff": (b"wOFF\0\x01\0\0", "font/woff", "font"),
    "a.woff2": (b"wOF2\0\x01\0\0", "font/woff2", "font"),
    "a.ttf": (b"\0\x01\0\0\0\x0c\0\x80", "font/ttf", "font"),
    "a.otf": (b"OTTO\0\x0b\0\x80", "font/otf", "font"),
    "b.doc": (ole("WordDocument"), "application/msword", "document"),
    "a.xls": (ole(), "application/vnd.ms-excel", "document"),
    "wrong.doc": (ole("Workbook"), "application/vnd.ms-excel", "document"),
    "a.ole": (ole(), "application/x-ole-storage", "document"),
    "empty.png": (b"", "application/x-empty", "unknown"),
    "noise": (b"\x01\x02\x03\x04", "application/octet-stream", "unknown"),
    "noise.png": (b"\x01\x02\x03\x04", "application/octet-stream", "unknown"),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_recognised(name: str) -> None:
    """Each sample is what it is."""
    data, media_type, family = SAMPLES[name]
    assert Sniffed(media_type, family) == sniff(data, name)


def test_sqlite_is_recognised(tmp_path: Path) -> None:
    """A real database file is one."""
    assert Sniffed("application/vnd.sqlite3", "data") == sniff(sqlite(tmp_path), "catalog.db")


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in {"a.xls", "hidden.xlsx"}])
def test_names_do_not_disguise(name: str) -> None:
    """What bytes prove doesn't change with the name, whatever it says."""
    data, media_type, family = SAMPLES[name]
    found = {sniff(data, disguise) for disguise in ("holiday.png", "x.html", "x", "")}
    assert found == {Sniffed(media_type, family)}


@pytest.mark.parametrize("markup", [b"<html><script>alert(1)</script>", b"<svg onload=x>", b"%PDF-1.7"])
def test_picture_with_markup_inside_is_a_picture(markup: bytes) -> None:
    """Polyglots are what they begin as; `nosniff` does the rest."""
    assert sniff(png() + markup, "x.html").media_type == "image/png"
    assert sniff(b"GIF89a/*" + markup + b"*/=1;alert(1)", "x.js").media_type == "image/gif"


@given(
    data=st.binary(max_size=600) | st.sampled_from([data for data, _, _ in SAMPLES.values()]), cut=st.integers(0, 600)
)
def test_any_bytes_give_an_answer(data: bytes, cut: int) -> None:
    """Whatever the bytes are, and wherever they are cut, there is an answer in the promised form."""
    found = sniff(data[:cut], "x.bin")
    assert found.media_type.count("/") == 1
    assert found.family in {
        "image", "audio", "video", "font", "text", "markup", "document", "archive", "program", "data", "unknown"
    }  # fmt: skip


def test_the_function_is_a_sniffer() -> None:
    """The plug fits its port."""
    plug: Sniffer = sniff
    assert plug(b"", "x") == Sniffed("application/x-empty", "unknown")
