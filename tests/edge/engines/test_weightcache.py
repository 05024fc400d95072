"""The folder of packed weights: what is found again, what is never trusted, and what survives a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from edge.engines.weightcache import KEEP_FILES, SUFFIX, CacheProblem, WeightCache, cache_folder, cache_key

KEY = "0123456789abcdef" * 2
CONTENT = bytes(range(256)) * 9000  # more than two chunks
INTEL = "vendor_id\t: GenuineIntel\nmodel\t\t: 143\nflags\t\t: fpu avx2 amx_int8\ncpu MHz\t\t: 2000.1\n"


def memory(content: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


@pytest.fixture
def cache(tmp_path: Path) -> WeightCache:
    return WeightCache(tmp_path / "deep" / "weights", KEY)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/joulepath", "HOME": "/home/anna"}, "/var/cache/joulepath/weights"),
        ({"CACHE_DIRECTORY": "/var/cache/a:/var/cache/b"}, "/var/cache/a/weights"),
        ({"XDG_CACHE_HOME": "/scratch", "HOME": "/home/anna"}, "/scratch/joulepath/weights"),
        ({"XDG_CACHE_HOME": "scratch", "HOME": "/home/anna"}, "/home/anna/.cache/joulepath/weights"),
        ({"HOME": "/home/anna"}, "/home/anna/.cache/joulepath/weights"),
        ({"CACHE_DIRECTORY": ""}, None),
    ],
)
def test_where_weights_are_kept(environ: dict[str, str], expected: str | None) -> None:
    assert cache_folder(environ) == (None if expected is None else Path(expected))


def test_key_depends_on_what_packing_depends_on_and_on_nothing_else() -> None:
    key = cache_key("a" * 64, "ai-edge-litert 2.3.0", 1, INTEL)
    assert cache_key("a" * 64, "ai-edge-litert 2.3.0", 1, INTEL.replace("2000.1", "800.0")) == key
    others = {
        cache_key("b" * 64, "ai-edge-litert 2.3.0", 1, INTEL),
        cache_key("a" * 64, "ai-edge-litert 2.4.0", 1, INTEL),
        cache_key("a" * 64, "ai-edge-litert 2.3.0", 2, INTEL),
        cache_key("a" * 64, "ai-edge-litert 2.3.0", 1, INTEL.replace(" amx_int8", "")),
    }
    assert len(others | {key}) == 5


def test_kept_is_found_whole(cache: WeightCache) -> None:
    assert cache.find() is None
    path = cache.keep(memory(CONTENT))
    assert path.name == f"{KEY}-{zlib.crc32(CONTENT):08x}{SUFFIX}"
    assert path.read_bytes() == CONTENT
    assert cache.find() == path
    assert WeightCache(cache.folder, "f" * 32).find() is None
    assert [file.name for file in cache.folder.iterdir()] == [path.name]


@pytest.mark.parametrize("damage", ["byte", "cut", "longer", "empty"])
def test_damaged_is_removed_and_said(cache: WeightCache, damage: str) -> None:
    path = cache.keep(memory(CONTENT))
    wrong = bytearray(CONTENT)
    wrong[1_500_000] ^= 1
    path.write_bytes({"byte": bytes(wrong), "cut": CONTENT[:-1], "longer": CONTENT + b"\0", "empty": b""}[damage])
    with pytest.raises(CacheProblem, match=rf"in {path} were damaged; they are made anew"):
        cache.find()
    assert cache.find() is None
    assert cache.keep(memory(CONTENT)) == path


def test_names_of_others_are_left_alone(cache: WeightCache) -> None:
    cache.folder.mkdir(parents=True)
    odd = cache.folder / f"{KEY}-nothing{SUFFIX}"
    odd.write_bytes(b"x")
    assert cache.find() is None
    assert odd.exists()


def test_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = WeightCache(tmp_path / "file" / "weights", KEY)
    assert cache.find() is None
    with pytest.raises(
        CacheProblem, match=r"are not kept in .*file/weights \(Not a directory\); they are made at each"
    ):
        cache.keep(memory(CONTENT))


def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    # A process that may write no file beyond a megabyte stands for a disk with so much room.
    script = f"""
import os, resource, sys
from pathlib import Path
from edge.engines.weightcache import CacheProblem, WeightCache
fd = os.memfd_create("test")
os.write(fd, bytes(3_000_000))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    WeightCache(Path(sys.argv[1]), "{KEY}").keep(fd)
except CacheProblem as problem:
    print(problem)
"""
    said = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "are not kept in" in said.stdout
    assert "(File too large)" in said.stdout
    assert list(tmp_path.iterdir()) == []


def test_killed_writer_leaves_no_file_that_is_trusted(cache: WeightCache) -> None:
    script = f"""
import os, sys
from pathlib import Path
from edge.engines import weightcache
fd = os.memfd_create("test")
os.write(fd, bytes(range(256)) * 40_000)
chunks = weightcache._chunks
def stalled(fd):
    for number, chunk in enumerate(chunks(fd)):
        if number == 3:
            print("half", flush=True)
            sys.stdin.read()
        yield chunk
weightcache._chunks = stalled
weightcache.WeightCache(Path(sys.argv[1]), "{KEY}").keep(fd)
"""
    with subprocess.Popen(
        [sys.executable, "-c", script, str(cache.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    (leftover,) = cache.folder.iterdir()
    assert leftover.name.endswith(".tmp")
    assert cache.find() is None
    path = cache.keep(memory(CONTENT))
    assert leftover.exists()  # another process may be writing it now
    long_ago = time.time() - 3600
    os.utime(leftover, (long_ago, long_ago))
    cache.keep(memory(CONTENT))
    assert list(cache.folder.iterdir()) == [path]


def test_files_used_longest_ago_make_room(cache: WeightCache) -> None:
    for number in range(KEEP_FILES + 3):
        path = WeightCache(cache.folder, f"{number:032x}").keep(memory(b"x"))
        os.utime(path, (number, number))
    kept = {int(path.name[:32], 16) for path in cache.folder.iterdir()}
    assert kept == set(range(3, KEEP_FILES + 3))
