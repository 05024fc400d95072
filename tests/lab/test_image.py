"""The flashable image boots, sets itself up from its boot partition, serves frames and survives a power cut.

Needs the image: sudo make image (or JOULEPATH_IMAGE=file). What is not here: the Raspberry Pi's own firmware, which
only a real board runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.edge.tiny import write_bundle
from tests.lab.image_boot import Board
from tests.lab.subject import LOG_ROOM_BYTES

pytestmark = [pytest.mark.lab, pytest.mark.image, pytest.mark.timeout(7200)]

DIST = Path(__file__).parents[2] / "dist"
MIB = 1024 * 1024
CARD_BYTES = 4096 * MIB
# Half of a 4 GiB card ends the root, which begins behind 4 MiB and the boot partition's 256 MiB.
ROOT_BYTES = (2048 - 260) * MIB
DATA_BYTES = 2048 * MIB
PASSWORD = "a-test-password"
WAITING = 'bundle = "demo"\ncamera = "/dev/video0"\nboard = "simulated"\n'
# The demo network computes for minutes a frame under emulation; this one is a few thousand operations.
TINY = "/var/lib/joulepath/tiny"
SERVING = f"""\
bundle = "{TINY}"
camera = "synthetic:96x128@10"
board = "simulated"

[camera_process]
freeze_timeout_s = 120.0
open_timeout_s = 120.0
"""
# An emulated start on a busy machine takes longer than the unit allows a board.
PATIENCE = "[Service]\\nTimeoutStartSec=1h\\nWatchdogSec=15min\\n"
BROKEN_WIFI = 'country=DE\nnetwork={\n\tssid="home"\n\tpsk="never-to-be-logged"\n'
DAY_S = 86_400
DAY_LIMIT_BYTES = 200e6


@pytest.fixture(scope="module")
def image() -> Path:
    given = os.environ.get("JOULEPATH_IMAGE")
    found = [Path(given)] if given else sorted(DIST.glob("*-rpi-arm64.img"), key=lambda path: path.stat().st_mtime)
    if not found or not found[-1].exists():
        pytest.skip("no image: sudo make image, or JOULEPATH_IMAGE=file")
    missing = [name for name in ("qemu-system-aarch64", "mcopy", "openssl", "ssh") if shutil.which(name) is None]
    if missing:
        pytest.skip(
            f"missing: {', '.join(missing)}; sudo apt-get install qemu-system-arm mtools openssl openssh-client"
        )
    return found[-1]


@pytest.fixture(scope="module")
def password_hash() -> str:
    done = subprocess.run(["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def board(image: Path, password_hash: str, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """The image on `-M virt` in its first boot, with a user's files, a root shell open. The tests tell one story."""
    with Board(image, tmp_path_factory.mktemp("virt"), "virt", CARD_BYTES) as board:
        board.put("userconf.txt", f"anna:{password_hash}\r\n")
        board.put("authorized_keys", key.with_suffix(".pub").read_text())
        board.put("ssh", "")
        board.put("hostname", "Street-7\r\n")
        board.put("wpa_supplicant.conf", BROKEN_WIFI)
        board.put("joulepath.toml", WAITING)
        board.start()
        board.login("anna", PASSWORD)
        be_patient(board)
        yield board


def be_patient(board: Board) -> None:
    """Give the service the time that emulation needs, for good."""
    folder = "/etc/systemd/system/joulepath.service.d"
    write = f"mkdir -p {folder}; printf '{PATIENCE}' > {folder}/emulation.conf"
    board.out(f'joulepath-writable sh -c "{write}"; systemctl daemon-reload; systemctl restart --no-block joulepath')


def test_root_and_data_have_grown(board: Board) -> None:
    sizes = dict(line.split() for line in board.out("lsblk -brno NAME,SIZE /dev/vda").splitlines())
    assert sizes == {
        "vda": str(CARD_BYTES),
        "vda1": str(256 * MIB),
        "vda2": str(ROOT_BYTES),
        "vda3": str(DATA_BYTES),
    }
    for place, partition_bytes in (("/", ROOT_BYTES), ("/data", DATA_BYTES)):
        size = int(board.out(f"findmnt -bno SIZE {place}"))
        assert 0.9 * partition_bytes < size <= partition_bytes, place
    assert board.out("findmnt -no LABEL /data") == "JPDATA"


def test_user_files_are_in_force_and_gone(board: Board, password_hash: str) -> None:
    assert {"anna", "sudo", "systemd-journal", "joulepath"} <= set(board.out("id -nG anna").split())
    assert board.out("hostname") == "street-7"
    assert board.out("cat /etc/joulepath/config.toml") == WAITING.strip()
    assert board.out("systemctl is-active ssh") == "active"
    left = board.names()
    assert not left & {"userconf.txt", "authorized_keys", "ssh", "hostname", "joulepath.toml"}
    assert "joulepath.toml.applied" in left
    with board.card.open("rb") as card:
        assert password_hash.encode() not in card.read(260 * MIB)  # the boot partition's raw bytes


def test_a_malformed_file_is_reported_and_stops_nothing(board: Board) -> None:
    reason = "wpa_supplicant.conf: NOT USED: the last block is not closed with '}'"
    log = board.get("joulepath-firstboot.log").decode()
    assert reason in log
    assert "userconf.txt: anna may log in" in log
    assert reason in board.console
    assert "never-to-be-logged" not in log + board.console
    assert "wpa_supplicant.conf" in board.names()


def test_nobody_else_may_log_in(board: Board) -> None:
    hashes = dict(line.split(":")[:2] for line in board.out("cat /etc/shadow").splitlines())
    assert [name for name, word in hashes.items() if word.startswith("$")] == ["anna"]
    assert hashes["root"] == "*"
    assert "permitrootlogin no" in board.out("sshd -T")


def test_root_is_read_only_and_can_be_changed_on_purpose(board: Board) -> None:
    for place in ("/", "/boot/firmware"):
        assert "ro" in board.out(f"findmnt -no OPTIONS {place}").split(","), place
        denied = board.run(f"touch {place}/x")
        assert denied.rc != 0
        assert "Read-only file system" in denied.out
    assert board.run("joulepath-writable sh -c 'touch /etc/joulepath-test; exit 7'").rc == 7
    board.out("test -e /etc/joulepath-test")
    assert "ro" in board.out("findmnt -no OPTIONS /").split(",")
    assert board.out("swapon --noheadings --show") == ""
    assert board.run("ls /var/log/journal").rc != 0
    for timer in ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"):
        assert board.run(f"systemctl is-enabled {timer}").out.strip() == "masked"


def until(check: Callable[[], bool], limit_s: float, what: str) -> None:
    deadline_s = time.monotonic() + limit_s
    while not check():
        assert time.monotonic() < deadline_s, f"not within {limit_s:.0f} s: {what}"
        time.sleep(5)


def frames(board: Board) -> int:
    """Frames of the running daemon; 0 while it does not answer."""
    status = board.run("joulepath status --json 2>/dev/null")
    return int(json.loads(status.out)["frames"]) if status.rc == 0 else 0


def waits_for_camera(board: Board) -> bool:
    """The service is up and says that its camera is not there."""
    shown = board.out("systemctl show -p ActiveState -p StatusText joulepath").splitlines()
    return "ActiveState=active" in shown and any("camera /dev/video0: no such device" in line for line in shown)


def test_service_waits_for_its_camera(board: Board) -> None:
    until(lambda: waits_for_camera(board), 1200, "the service, waiting for its camera")
    assert board.out("systemctl --failed --no-legend --plain") == ""


def ssh(board: Board, key: Path, command: str, given: bytes = b"") -> str:
    """A command over SSH by the user's key; it must succeed."""
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=120"]
    words = ["ssh", "-p", str(board.ssh_port), "-i", str(key), *(f"-o{option}" for option in options)]
    done = subprocess.run([*words, "anna@127.0.0.1", command], input=given, capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_ssh_lets_the_user_in_by_key_and_the_daemon_answers(board: Board, key: Path) -> None:
    name, _, status = ssh(board, key, "id -un; joulepath status --json").partition("\n")
    assert name == "anna"
    assert json.loads(status)["frames"] == 0


def test_service_serves_frames_of_another_bundle(board: Board, key: Path, tmp_path: Path) -> None:
    """As a user does it: the bundle over SSH, the configuration by joulepath-writable, a restart."""
    write_bundle(tmp_path / "tiny")
    packed = subprocess.run(["tar", "-C", str(tmp_path), "-c", "tiny"], capture_output=True, check=True).stdout
    ssh(board, key, "tar -x", packed)
    board.out(f"cp -r /home/anna/tiny {TINY} && chown -R joulepath:joulepath {TINY}")
    ssh(board, key, "cat > config.toml", SERVING.encode())
    board.out("joulepath-writable cp /home/anna/config.toml /etc/joulepath/config.toml")
    board.out("systemctl restart joulepath")
    until(lambda: frames(board) > 3, 900, "frames")


def log_bytes(board: Board) -> int:
    return int(board.out("stat -c %s /var/lib/joulepath/journal.db-wal"))


def written_bytes(board: Board) -> int:
    """Bytes given to the card since the start (Linux, Documentation/block/stat: field 7, in sectors of 512 bytes)."""
    board.out("sync")
    return int(board.out("cat /sys/block/vda/stat").split()[6]) * 512


def test_a_day_at_ten_frames_a_second_writes_little(board: Board) -> None:
    """Emulation serves no 10 frames a second, so the day has two parts: the system, with the service and without, and
    hours of frames through the journal's own writer on JPDATA, every commit real and only their clock made up."""
    window_s, simulated_s = 240, 4 * 3600
    # What a start writes is no part of a day.
    until(lambda: log_bytes(board) > LOG_ROOM_BYTES, 1200, "the log to have its room")
    before, frames_before = written_bytes(board), frames(board)
    time.sleep(window_s)
    served = frames(board) - frames_before
    system_a_day = (written_bytes(board) - before) / window_s * DAY_S
    assert served > 0

    board.out("systemctl stop joulepath")
    before = written_bytes(board)
    time.sleep(window_s)
    idle_a_day = (written_bytes(board) - before) / window_s * DAY_S
    board.out("mkdir -p /data/lib/joulepath/bench")
    bench = "/usr/lib/joulepath/bin/python3 -I -m edge.bench.journal --day /data/lib/joulepath/bench/day.db"
    before = written_bytes(board)
    board.out(f"{bench} {simulated_s}", 1800)
    journal_a_day = (written_bytes(board) - before) / simulated_s * DAY_S
    board.out("rm -r /data/lib/joulepath/bench; systemctl start joulepath")
    print(
        f"\nwritten a day: {system_a_day / 1e6:.1f} MB with the service at {served / window_s:.2f} frames/s, "
        f"{idle_a_day / 1e6:.1f} MB without it, {journal_a_day / 1e6:.1f} MB by the journal at 10 frames/s"
    )
    assert system_a_day <= DAY_LIMIT_BYTES
    assert idle_a_day + journal_a_day <= DAY_LIMIT_BYTES


def test_a_power_cut_leaves_everything_in_place(board: Board) -> None:
    identity = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub; blkid -s UUID -o value /dev/vda2 /dev/vda3"
    kept_clock_s = int(board.out("sync; stat -c %Y /var/lib/systemd/timesync/clock"))
    before, kept = board.out(identity), journal_frames(board)
    board.cut_power()
    board.start(rtc="2020-01-01")  # as a board without a clock battery
    board.login("anna", PASSWORD)
    assert board.out(identity) == before
    assert int(board.out("date +%s")) > kept_clock_s
    assert "ro" in board.out("findmnt -no OPTIONS /").split(",")
    assert board.run("systemctl show -P ConditionResult joulepath-grow").out.strip() == "no"
    assert board.names() >= {"wpa_supplicant.conf"}
    until(lambda: frames(board) > 0, 900, "a frame after the power cut")
    assert journal_frames(board) >= kept
    assert journal(board, "pragma integrity_check") == "ok"
    assert board.out("systemctl --failed --no-legend --plain") == ""


def journal(board: Board, query: str) -> str:
    """The first value that a query to Joulepath's journal gives."""
    file = "file:/var/lib/joulepath/journal.db?mode=ro"
    program = f"import sqlite3; print(sqlite3.connect('{file}', uri=True).execute('{query}').fetchone()[0])"
    return board.out(f'python3 -c "{program}"')


def journal_frames(board: Board) -> int:
    return int(journal(board, "select count(*) from frame"))


def test_an_orderly_shutdown_and_a_later_change(board: Board) -> None:
    board.shut_down()
    board.put("wpa_supplicant.conf", BROKEN_WIFI + "}\n")
    board.put("hostname", "street-8")
    board.start()
    board.login("anna", PASSWORD)
    assert board.out("hostname") == "street-8"
    assert "psk=" in board.out("cat /etc/wpa_supplicant/wpa_supplicant-wlan0.conf")
    assert "wpa_supplicant.conf" not in board.names()
    board.shut_down()


def test_raspi3b_boots_from_its_card_and_waits_for_a_camera(image: Path, password_hash: str, tmp_path: Path) -> None:
    with Board(image, tmp_path, "raspi3b", CARD_BYTES) as board:
        board.put("userconf.txt", f"anna:{password_hash}\n")
        board.start()
        board.login("anna", PASSWORD)
        assert board.out("tr -d '\\0' </proc/device-tree/model") == "Raspberry Pi 3 Model B"
        assert board.out("findmnt -no SOURCE /") == "/dev/mmcblk0p2"
        assert board.out("test $(date +%s) -gt $(stat -c %Y /usr/lib/clock-epoch) && echo later") == "later"
        assert board.out("lsblk -brno SIZE /dev/mmcblk0p2 /dev/mmcblk0p3").split() == [str(ROOT_BYTES), str(DATA_BYTES)]
        assert board.run("systemctl is-active ssh").out.strip() == "inactive"
        be_patient(board)
        until(lambda: waits_for_camera(board), 1800, "the service, waiting for its camera")
        assert board.out("systemctl --failed --no-legend --plain") == ""
        board.shut_down()
