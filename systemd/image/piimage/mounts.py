"""What is writable on the running board, and where it lies: /etc/fstab and the folders of the partition JPDATA."""

from __future__ import annotations

from pathlib import Path

from piimage import settings
from piimage.tools import run

DATA_LABEL = "JPDATA"
# Folder on JPDATA -> where it is seen. Everything else that is written lives in memory.
ON_DATA = {
    "lib/joulepath": "/var/lib/joulepath",
    "lib/systemd": "/var/lib/systemd",  # the clock kept, the random seed
    "cache/joulepath": "/var/cache/joulepath",
    "cache/apt": "/var/cache/apt",
    "lib/apt-lists": "/var/lib/apt/lists",
    "home": "/home",
}
IN_MEMORY = {"/tmp": "mode=1777,size=64M", "/var/tmp": "mode=1777,size=32M", "/var/log": "mode=755,size=16M"}
# Few writes: no times of access, times of change kept in memory, a commit each 30 s.
QUIET = "noatime,lazytime,commit=30"
# Mounted before anything looks into it; when it does not come, the boot goes on without.
EARLY = "nofail,x-systemd.before=local-fs.target"
SKELETON = Path("usr/share/joulepath-image/data")


def fstab() -> str:
    """Root and boot read-only, data with a commit each 30 s; a lost data partition does not stop the boot."""
    lines = [
        f"LABEL={settings.ROOT_LABEL} / ext4 ro,noatime 0 1",
        f"LABEL={settings.BOOT_LABEL} /boot/firmware vfat ro,noatime,umask=0077,{EARLY} 0 2",
        # the first boot makes it while this waits
        f"LABEL={DATA_LABEL} /data ext4 rw,{QUIET},nosuid,nodev,{EARLY},x-systemd.device-timeout=10min 0 2",
    ]
    lines += [f"/data/{folder} {target} none bind,{EARLY} 0 0" for folder, target in ON_DATA.items()]
    lines += [f"tmpfs {target} tmpfs nosuid,nodev,{options} 0 0" for target, options in IN_MEMORY.items()]
    return "\n".join(lines) + "\n"


def write_mounts(root: Path) -> None:
    """Write fstab, and the skeleton from which the first boot fills JPDATA: what the image has in those folders."""
    (root / "etc/fstab").write_text(fstab())
    for folder, target in ON_DATA.items():
        there, copy = root / target.lstrip("/"), root / SKELETON / folder
        there.mkdir(parents=True, exist_ok=True)
        copy.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "--archive", there, copy)
