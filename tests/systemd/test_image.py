"""The image's recipe and the programs on it, as far as they go without a board: sizes, tables, texts, user's files."""

from __future__ import annotations

import datetime
import gzip
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

IMAGE = Path(__file__).parents[2] / "systemd" / "image"
ON_BOARD = IMAGE / "root/usr/lib/joulepath-image"
sys.path[:0] = [str(IMAGE), str(ON_BOARD)]

import bootfiles  # noqa: E402
import grow  # noqa: E402
import setup as boot_setup  # noqa: E402
from piimage import base, bootfolder, card, devicetree, drivers, mounts, rootfolder, settings, tools  # noqa: E402

GIB_SECTORS = 2 * 1024 * 1024
HASH = "$6$saltsalt$" + "a" * 86
WIFI = 'country=DE\nnetwork={\n\tssid="home"\n\tpsk="correct horse"\n}\n'


def needs(*commands: str) -> pytest.MarkDecorator:
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    missing = [command for command in commands if shutil.which(command, path=path) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@pytest.fixture(autouse=True)
def _sbin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.environ["PATH"] + ":/usr/sbin:/sbin")


# -- the card ------------------------------------------------------------------------------------------------------


def test_boot_record_names_two_aligned_partitions() -> None:
    partitions = card.layout(card.aligned(900 * settings.MIB + 1))
    record = card.boot_record(partitions)
    assert len(record) == 512
    assert record[510:] == b"\x55\xaa"
    assert struct.unpack_from("<I", record, 440) == (settings.DISK_SIGNATURE,)
    entries = [struct.unpack_from("<B3xB3xII", record, 446 + 16 * number) for number in range(4)]
    assert entries == [
        (0x80, 0x0C, 8192, 256 * 2048),
        (0, 0x83, 8192 + 256 * 2048, 904 * 2048),
        (0, 0, 0, 0),
        (0, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("card_gib", "root_gib", "data_gib"),
    [(4, 2 - 260 / 1024, 2), (8, 4 - 260 / 1024, 4), (32, 4, 28 - 260 / 1024)],
    ids=["half of a small card", "half of 8 GB", "at most 4 GiB of a large one"],
)
def test_plan_shares_the_card(card_gib: int, root_gib: float, data_gib: float) -> None:
    start = (256 + 4) * 2048
    layout = grow.plan(card_gib * GIB_SECTORS, start, 1000 * 2048)
    assert layout.root_sectors == root_gib * GIB_SECTORS
    assert layout.data_sectors == data_gib * GIB_SECTORS
    assert layout.root_start == start
    assert layout.data_start == layout.root_start + layout.root_sectors
    again = grow.plan(card_gib * GIB_SECTORS, layout.root_start, layout.root_sectors)
    assert again == layout  # a first boot that was cut short finds the same plan


def test_plan_keeps_a_root_that_is_larger_than_half() -> None:
    layout = grow.plan(2 * GIB_SECTORS, 260 * 2048, 1500 * 2048)
    assert layout.root_sectors == 1500 * 2048
    assert layout.data_sectors == (2048 - 1760) * 2048


def test_plan_refuses_a_card_without_room_for_data() -> None:
    with pytest.raises(grow.CannotGrow, match="has 1024 MiB, 1084 MiB are needed"):
        grow.plan(1024 * 2048, 260 * 2048, 760 * 2048)


def head(image: Path, offset: int = 0, size: int = 512) -> bytes:
    with image.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@needs("sfdisk")
def test_grow_writes_its_table_and_data_into_an_image_file(tmp_path: Path) -> None:
    image = tmp_path / "card.img"
    partitions = card.layout(64 * settings.MIB)
    with image.open("wb") as file:
        file.truncate(1024 * settings.MIB)
        file.write(card.boot_record(partitions))
    sectors = 1024 * 2048
    layout = grow.write_table(str(image), sectors)
    first = head(image)
    table = grow.read_table(str(image))
    assert [(part["start"], part["size"], part["type"]) for part in table["partitions"]] == [
        (8192, 256 * 2048, "c"),
        (260 * 2048, layout.root_sectors, "83"),
        (layout.data_start, layout.data_sectors, "83"),
    ]
    assert table["id"] == hex(settings.DISK_SIGNATURE)
    assert grow.write_table(str(image), sectors) == layout  # cut short and done again
    assert head(image) == first


@needs("mkfs.ext4", "debugfs")
def test_make_data_labels_and_fills_the_partition(tmp_path: Path) -> None:
    skeleton, device = tmp_path / "skeleton", tmp_path / "data.ext4"
    (skeleton / "lib/joulepath").mkdir(parents=True)
    with device.open("wb") as file:
        file.truncate(64 * settings.MIB)
    grow.make_data(str(device), skeleton)
    shown = subprocess.run(["debugfs", "-R", "ls -p /lib", str(device)], capture_output=True, text=True, check=True)
    assert "/joulepath/" in shown.stdout
    label = subprocess.run(["debugfs", "-R", "stats", str(device)], capture_output=True, text=True, check=True)
    assert "volume name:   JPDATA" in label.stdout.replace("Filesystem volume", "volume")


def test_partitions_are_named_as_the_kernel_names_them(tmp_path: Path) -> None:
    assert grow.partition_name("mmcblk0", 3) == "mmcblk0p3"
    assert grow.partition_name("sda", 3) == "sda3"
    part = tmp_path / "devices/mmcblk0/mmcblk0p2"
    part.mkdir(parents=True)
    (part / "partition").write_text("2\n")
    (tmp_path / "mmcblk0p2").symlink_to(part)
    assert grow.disk_of("mmcblk0p2", tmp_path) == "mmcblk0"
    with pytest.raises(grow.CannotGrow, match="no partition"):
        grow.disk_of("mmcblk0", tmp_path / "devices")


# -- what boots ----------------------------------------------------------------------------------------------------


def fdt(*words: str) -> bytes:
    """A device tree with one node whose `compatible` has these words, and one property more."""
    strings = b"compatible\0model\0"
    value = b"".join(word.encode() + b"\0" for word in words)

    def padded(data: bytes) -> bytes:
        return data + b"\0" * (-len(data) % 4)

    structure = struct.pack(">I", 1) + padded(b"\0")
    structure += struct.pack(">III", 3, 5, 11) + padded(b"Board")
    structure += struct.pack(">I", 1) + padded(b"mmc@7e202000\0")
    structure += struct.pack(">III", 3, len(value), 0) + padded(value)
    structure += struct.pack(">IIII", 2, 4, 2, 9)
    header = struct.pack(">10I", 0xD00DFEED, 0, 40, 40 + len(structure), 40, 17, 16, 0, len(strings), len(structure))
    return header + structure + strings


def test_compatibles_of_a_device_tree() -> None:
    assert devicetree.compatibles(fdt("brcm,bcm2835-sdhost", "other,thing")) == {"brcm,bcm2835-sdhost", "other,thing"}
    with pytest.raises(ValueError, match="not a flattened device tree"):
        devicetree.compatibles(b"\x7fELF" + b"\0" * 60)


def test_early_modules_follow_device_tree_and_dependencies(tmp_path: Path) -> None:
    (tmp_path / "modules.dep").write_text(
        "kernel/drivers/mmc/host/bcm2835.ko: kernel/drivers/mmc/core/mmc_core.ko kernel/drivers/dma/virt.ko\n"
        "kernel/drivers/mmc/core/mmc_core.ko:\nkernel/drivers/dma/virt.ko:\n"
        "kernel/drivers/media/cam.ko:\nkernel/fs/ext4/ext4.ko: kernel/fs/jbd2/jbd2.ko\nkernel/fs/jbd2/jbd2.ko:\n"
        "kernel/drivers/mmc/host/other.ko:\nkernel/drivers/usb/storage/usb-storage.ko:\n"
    )
    (tmp_path / "modules.alias").write_text(
        "# Aliases\nalias of:N*T*Cbrcm,bcm2835-sdhostC* bcm2835\nalias of:N*T*Cbrcm,bcm2835-sdhost bcm2835\n"
        "alias of:N*T*Cbrcm,cam cam\nalias of:N*T*Cother,mmc other\nalias usb:v1 usb_storage\n"
    )
    assert drivers.early_modules(tmp_path, {"brcm,bcm2835-sdhost", "brcm,cam"}) == [
        "kernel/drivers/dma/virt.ko",
        "kernel/drivers/mmc/core/mmc_core.ko",
        "kernel/drivers/mmc/host/bcm2835.ko",
        "kernel/drivers/usb/storage/usb-storage.ko",
        "kernel/fs/jbd2/jbd2.ko",
        "kernel/fs/ext4/ext4.ko",
    ]


def test_command_line_and_init_agree_on_the_root() -> None:
    words = bootfolder.CMDLINE.split()
    assert f"root=LABEL={settings.ROOT_LABEL}" in words
    assert "ro" in words
    assert "rw" not in words
    assert bootfolder.CMDLINE.endswith("\n")
    assert bootfolder.CMDLINE.count("\n") == 1  # the firmware reads one line
    assert len(settings.BOOT_LABEL) <= 11
    assert settings.BOOT_LABEL.isupper()


@pytest.mark.parametrize("script", ["initrd-init", "root/usr/sbin/joulepath-writable"])
def test_shell_scripts_are_plain_sh(script: str) -> None:
    subprocess.run(["sh", "-n", str(IMAGE / script)], check=True)
    assert os.access(IMAGE / script, os.X_OK)


def test_joulepath_writable_without_a_command_says_how() -> None:
    done = subprocess.run(["sh", str(IMAGE / "root/usr/sbin/joulepath-writable")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: joulepath-writable COMMAND")


# -- what is writable ----------------------------------------------------------------------------------------------


def test_only_data_is_writable_on_the_card() -> None:
    entries = [line.split() for line in mounts.fstab().splitlines()]
    assert all(len(entry) == 6 for entry in entries)
    on_card = {entry[1]: entry[3].split(",") for entry in entries if entry[0].startswith("LABEL=")}
    assert {place for place, options in on_card.items() if "ro" in options} == {"/", "/boot/firmware"}
    assert "commit=30" in on_card["/data"]
    assert all("noatime" in options for options in on_card.values())
    assert "nofail" in on_card["/data"]  # a dead card still lets one log in
    in_memory = {entry[1] for entry in entries if entry[2] == "tmpfs"}
    assert in_memory == {"/tmp", "/var/tmp", "/var/log"}
    bound = {entry[1]: entry[0] for entry in entries if entry[2] == "none"}
    assert bound["/var/lib/joulepath"] == "/data/lib/joulepath"
    assert not any(entry[2] == "swap" for entry in entries)


def test_log_stays_in_memory_and_timers_that_write_are_off() -> None:
    journald = (IMAGE / "root/etc/systemd/journald.conf.d/joulepath-image.conf").read_text()
    assert "Storage=volatile" in journald
    assert "RuntimeMaxUse=16M" in journald
    assert {"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer"} <= set(settings.UNITS_MASKED)


def test_every_file_name_of_setup_wakes_its_unit() -> None:
    unit = (IMAGE / "root/etc/systemd/system/joulepath-setup.service").read_text()
    names = {name for several, _ in boot_setup.FILES for name in several}
    woken = {line.rpartition("/")[2] for line in unit.splitlines() if line.startswith("ConditionPathExists=|/boot")}
    assert woken == names
    assert all(
        name in (IMAGE / "boot/README.txt").read_text() for several, _ in boot_setup.FILES for name in several[:1]
    )


@needs("systemd-analyze")
@pytest.mark.parametrize("unit", ["joulepath-grow.service", "joulepath-setup.service"])
def test_units_are_sound(unit: str, tmp_path: Path) -> None:
    # the commands and the manual page are on the image alone: put them where verify looks
    copy = tmp_path / unit
    text = (IMAGE / "root/etc/systemd/system" / unit).read_text()
    copy.write_text(text.replace("/usr/sbin/joulepath-writable /usr/bin/python3", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(copy)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


# -- the recipe's own steps ----------------------------------------------------------------------------------------


def test_mirrors_come_from_either_format(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# deb http://old.example/debian x main\ndeb http://a.example/debian b main\n"
    )
    (tmp_path / "sources.list.d/x.sources").write_text(
        "Types: deb\nURIs: http://b.example/debian/ http://c.example/debian-security\nSuites: bookworm\n"
    )
    assert base.mirrors(tmp_path) == {
        "debian": "http://a.example/debian",
        "debian-security": "http://c.example/debian-security",
    }


def test_the_image_names_debian_s_own_archives() -> None:
    hosts = {line.split()[1].split("/")[2] for line in settings.PUBLIC_SOURCES.splitlines()}
    assert hosts == {"deb.debian.org", "security.debian.org"}


def test_holds_finds_words_over_the_edges_of_its_pieces(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"\0" * ((4 << 20) - 3) + b"mirror.example" + b"\0" * 100)
    assert tools.holds(file, ["mirror.example", "other.example"]) == {"mirror.example"}


def test_lay_over_and_clean(tmp_path: Path) -> None:
    files, root = tmp_path / "files", tmp_path / "root"
    (files / "usr/sbin").mkdir(parents=True)
    (files / "usr/sbin/tool").write_text("#!/bin/sh\n")
    (files / "usr/sbin/tool").chmod(0o775)
    (files / "usr/text").write_text("x")
    (files / "usr/text").chmod(0o600)
    (root / "etc/ssh").mkdir(parents=True)
    (root / "etc/ssh/ssh_host_rsa_key").write_text("secret")
    (root / "etc/ssh/sshd_config").write_text("kept")
    (root / "var/log/apt").mkdir(parents=True)
    rootfolder.lay_over(files, root)
    rootfolder.clean(root)
    assert (root / "usr/sbin/tool").stat().st_mode & 0o777 == 0o755
    assert (root / "usr/text").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (root / "etc/ssh").iterdir()) == ["sshd_config"]
    assert list((root / "var/log").iterdir()) == []


@needs("mke2fs", "debugfs")
def test_root_file_system_is_the_same_bytes_twice(tmp_path: Path) -> None:
    made = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        for name in ("b", "a", "c")[:: 1 if number == 1 else -1]:  # another order on the host's disk
            (folder / name).mkdir(parents=True)
            (folder / name / "file").write_bytes(gzip.compress(name.encode(), mtime=0))
        rootfolder.clamp_times(folder, 1_000_000_000)
        image = tmp_path / f"{number}.ext4"
        card.make_root(folder, image, 1_000_000_000)
        made.append(image.read_bytes())
    assert made[0] == made[1]


@needs("mkfs.vfat", "mcopy", "mdir")
def test_boot_file_system_is_the_same_bytes_twice(tmp_path: Path) -> None:
    folder = tmp_path / "boot"
    folder.mkdir()
    (folder / "cmdline.txt").write_text(bootfolder.CMDLINE)
    (folder / "a-longer-name.example").write_text("x")
    images = [tmp_path / "1.vfat", tmp_path / "2.vfat"]
    for image in images:
        card.make_boot(folder, image, 1_767_225_600, 40 * settings.MIB)
    assert images[0].read_bytes() == images[1].read_bytes()
    listing = subprocess.run(["mdir", "-i", str(tmp_path / "1.vfat"), "::"], capture_output=True, text=True, check=True)
    assert "a-longer-name.example" in listing.stdout
    assert "JOULEPATH" in listing.stdout


def test_assemble_puts_both_behind_the_table(tmp_path: Path) -> None:
    boot, root, target = tmp_path / "boot", tmp_path / "root", tmp_path / "card.img"
    boot.write_bytes(b"B" * 4096)
    root.write_bytes(b"R" + b"\0" * (5 * settings.MIB - 2) + b"E")
    card.assemble(boot, root, target)
    assert target.stat().st_size == (4 + 256 + 8) * settings.MIB
    assert head(target, 4 * settings.MIB, 4097) == b"B" * 4096 + b"\0"
    assert head(target, 260 * settings.MIB, 5 * settings.MIB) == root.read_bytes()


# -- the user's files ----------------------------------------------------------------------------------------------


def test_text_as_any_editor_saves_it() -> None:
    assert bootfiles.as_text(b"\xef\xbb\xbfa\r\nb\r") == "a\nb\n"
    with pytest.raises(bootfiles.Malformed, match="byte 1 is not UTF-8"):
        bootfiles.as_text(b"a\xff")
    with pytest.raises(bootfiles.Malformed, match="zero bytes"):
        bootfiles.as_text("utf-16".encode("utf-16-le"))
    with pytest.raises(bootfiles.Malformed, match="65537 bytes"):
        bootfiles.as_text(b"x" * 65537)


def test_user_needs_a_name_and_a_hash() -> None:
    assert bootfiles.user(f"\n anna:{HASH} \n") == bootfiles.User("anna", HASH)
    assert bootfiles.user("pi:$y$j9T$abc./$defghijkl").name == "pi"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "one line, name:hash"),
        ("anna", "one line, name:hash"),
        (f"a:{HASH}\nb:{HASH}", "one line, name:hash"),
        (f"Anna:{HASH}", "small letters"),
        (f"an:na:{HASH}", "a password hash is needed"),
        ("anna:secret123", "a password hash is needed"),
        (f"anna:{HASH}:0:0", "a password hash is needed"),
        (f"../x:{HASH}", "small letters"),
    ],
)
def test_user_malformed(text: str, says: str) -> None:
    with pytest.raises(bootfiles.Malformed, match=says) as caught:
        bootfiles.user(text)
    assert "secret123" not in str(caught.value)


def test_hostname() -> None:
    assert bootfiles.hostname(" Street-7\n") == "street-7"
    for bad in ("", "a b", "-a", "a-", "a.b", "x" * 64, "ä"):
        with pytest.raises(bootfiles.Malformed, match="1 to 63"):
            bootfiles.hostname(bad)


def test_authorized_keys() -> None:
    key = "ssh-ed25519 " + "A" * 68 + " me@pc"
    assert bootfiles.authorized_keys(f"# mine\n\n{key}\n") == key + "\n"
    for bad in ("", "-----BEGIN OPENSSH PRIVATE KEY-----", 'command="rm -rf /" ' + key):
        with pytest.raises(bootfiles.Malformed, match="public key"):
            bootfiles.authorized_keys(bad)


def test_wifi_as_imager_and_people_write_it() -> None:
    assert bootfiles.wifi(WIFI) == WIFI
    hidden = (
        "ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev\nupdate_config=1\n# home\nnetwork={\nssid=686f6d65\n"
    )
    assert bootfiles.wifi(hidden + f"scan_ssid=1\npsk={'0a' * 32}\n}}").endswith("}\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("country=DE\n", "no block network="),
        (WIFI.replace("}", ""), "not closed"),
        (WIFI + "}\n", "line 6: '}' closes nothing"),
        (WIFI.replace('"correct horse"', '"short"'), "line 4: a quoted psk has 8 to 63 characters"),
        (WIFI.replace('"correct horse"', "correct horse"), "line 4: psk is a quoted password or 64"),
        (WIFI.replace('"home"', '"home'), "line 3: ssid has an opening quote"),
        (WIFI.replace('ssid="home"\n', "\n"), "line 5: .* no ssid"),
        (WIFI.replace("DE", "Germany"), "line 1: country is two capital letters"),
        ("network={\nnetwork={\n", "line 2: a block begins before"),
        ("hello", "line 1: a setting is written name=value"),
    ],
)
def test_wifi_malformed(text: str, says: str) -> None:
    with pytest.raises(bootfiles.Malformed, match=says) as caught:
        bootfiles.wifi(text)
    assert "correct horse" not in str(caught.value)


@pytest.fixture
def machine(tmp_path: Path) -> boot_setup.Machine:
    """A root folder with the accounts of a fresh image, and an empty boot partition."""
    root, boot = tmp_path / "root", tmp_path / "boot"
    boot.mkdir()
    for folder in ("etc/ssh", "etc/skel", "home", "etc/wpa_supplicant", "etc/joulepath"):
        (root / folder).mkdir(parents=True)
    (root / "etc/skel/.profile").write_text("# skel\n")
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n")
    (root / "etc/shadow").write_text("root:*:20000::::::\ndaemon:*:20000::::::\n")
    (root / "etc/shadow").chmod(0o600)
    groups = ("root:x:0:", "daemon:x:1:", "sudo:x:27:", "video:x:44:", "users:x:100:", "joulepath:x:900:")
    (root / "etc/group").write_text("\n".join(groups) + "\n")
    (root / "etc/gshadow").write_text("".join(f"{group.split(':')[0]}:*::\n" for group in groups))
    (root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (root / "etc/joulepath/config.toml").write_text('camera = "/dev/video0"\n')
    return boot_setup.Machine(root, boot, lambda path: f"{path}: refused" if "wrong" in path.read_text() else None)


as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: accounts and owners are changed")


@as_root
@needs("useradd", "usermod")
def test_files_are_applied_and_taken_away(machine: boot_setup.Machine) -> None:
    key = "ssh-ed25519 " + "A" * 68
    for name, text in {
        "userconf.txt": f"anna:{HASH}\r\n",
        "authorized_keys": key + "\n",
        "hostname": "Street-7\r\n",
        "wpa_supplicant.conf": WIFI,
        "ssh": "",
        "joulepath.toml": 'camera = "synthetic"\n',
    }.items():
        (machine.boot / name).write_bytes(text.encode())
    outcomes = boot_setup.apply_all(machine)
    assert [(outcome.file, outcome.ok) for outcome in outcomes] == [
        ("userconf.txt", True),
        ("authorized_keys", True),
        ("hostname", True),
        ("wpa_supplicant.conf", True),
        ("ssh", True),
        ("joulepath.toml", True),
    ], [str(outcome) for outcome in outcomes]
    root = machine.root
    shadow = dict(line.split(":")[:2] for line in (root / "etc/shadow").read_text().splitlines())
    assert shadow == {"root": "*", "daemon": "*", "anna": HASH}
    groups = {entry[0]: entry[3] for entry in machine.entries("group")}
    assert groups["sudo"] == groups["video"] == groups["joulepath"] == "anna"
    person = next(entry for entry in machine.entries("passwd") if entry[0] == "anna")
    keys = root / "home/anna/.ssh/authorized_keys"
    assert keys.read_text() == key + "\n"
    assert (keys.stat().st_mode & 0o777, keys.stat().st_uid) == (0o600, int(person[2]))
    assert (root / "etc/hostname").read_text() == "street-7\n"
    wifi = root / "etc/wpa_supplicant/wpa_supplicant-wlan0.conf"
    assert wifi.read_text() == WIFI
    assert wifi.stat().st_mode & 0o777 == 0o600
    assert (root / "etc/ssh/joulepath-enabled").exists()
    assert (root / "etc/joulepath/config.toml").read_text() == 'camera = "synthetic"\n'
    assert [path.name for path in machine.boot.iterdir()] == ["joulepath.toml.applied"]
    assert not list(root.rglob("*.new"))


@as_root
@needs("useradd", "usermod")
def test_a_second_userconf_changes_the_password(machine: boot_setup.Machine) -> None:
    other = "$5$saltsalt$" + "b" * 43
    for password_hash in (HASH, other):
        (machine.boot / "userconf").write_text(f"anna:{password_hash}\n")
        assert [outcome.ok for outcome in boot_setup.apply_all(machine)] == [True]
    shadow = dict(line.split(":")[:2] for line in (machine.root / "etc/shadow").read_text().splitlines())
    assert shadow["anna"] == other


def test_one_bad_file_stops_no_other(machine: boot_setup.Machine, tmp_path: Path) -> None:
    files = {
        "userconf.txt": f"root:{HASH}",
        "authorized_keys": "ssh-ed25519 " + "A" * 68,
        "hostname": "two words",
        "wpa_supplicant.conf": WIFI.replace("}", ""),
        "ssh": "",
        "joulepath.toml": "wrong = 1\n",
    }
    for name, text in files.items():
        (machine.boot / name).write_text(text)
    outcomes = boot_setup.apply_all(machine)
    assert {outcome.file for outcome in outcomes if outcome.ok} == {"ssh"}
    said = {outcome.file: outcome.message for outcome in outcomes}
    assert "account of the system" in said["userconf.txt"]
    assert "no user yet" in said["authorized_keys"]
    assert said["joulepath.toml"] == "refused"
    # what was refused stays, to be corrected; what was in force stays in force
    assert {path.name for path in machine.boot.iterdir()} == set(files) - {"ssh"}
    assert (machine.root / "etc/joulepath/config.toml").read_text() == 'camera = "/dev/video0"\n'
    assert not (machine.root / "etc/joulepath/config.toml.tried").exists()
    assert not (machine.root / "etc/hostname").exists()

    log, kernel_log = tmp_path / "log", tmp_path / "kmsg"
    kernel_log.touch()
    boot_setup.report(outcomes, log, kernel_log, datetime.datetime(2026, 1, 2, 3, 4, 5))
    lines = log.read_text().splitlines()
    assert len(lines) == 6
    assert lines[2].startswith("2026-01-02 03:04:05 hostname: NOT USED: a host name is")
    assert HASH not in log.read_text()
    assert kernel_log.read_text().startswith("<2>joulepath: boot partition: ")


@needs("ssh-keygen", "systemd-machine-id-setup")
def test_identity_is_made_once(machine: boot_setup.Machine) -> None:
    (machine.root / "etc/machine-id").write_text("")
    made = boot_setup.identify(machine)
    assert [outcome.file for outcome in made] == ["ssh host keys", "machine id"]
    assert (machine.root / "etc/ssh/ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600
    assert len((machine.root / "etc/machine-id").read_text().strip()) == 32
    assert boot_setup.identify(machine) == []
