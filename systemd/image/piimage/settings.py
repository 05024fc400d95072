"""What the image is made of: names, sizes, packages. No step decides these for itself."""

from __future__ import annotations

SUITE = "bookworm"
ARCHITECTURE = "arm64"
# What the finished image's apt uses. The build itself takes the machine's own mirrors (see base.py).
PUBLIC_SOURCES = (
    "deb http://deb.debian.org/debian bookworm main non-free-firmware\n"
    "deb http://deb.debian.org/debian bookworm-updates main non-free-firmware\n"
    "deb http://security.debian.org/debian-security bookworm-security main non-free-firmware\n"
)

# 2026-01-01: times inside the image when SOURCE_DATE_EPOCH is not set, and the earliest time that a board believes.
DEFAULT_EPOCH_S = 1_767_225_600

MIB = 1024 * 1024
SECTOR_BYTES = 512
ALIGN_BYTES = 4 * MIB
BOOT_BYTES = 256 * MIB
ROOT_SPARE_BYTES = 64 * MIB
BOOT_LABEL = "JOULEPATH"
ROOT_LABEL = "JPROOT"
# Fixed, so that two builds of the same packages give the same bytes.
DISK_SIGNATURE = 0x4A50_4931
BOOT_VOLUME_ID = 0x4A50_4C31
ROOT_UUID = "4a6f756c-6570-4174-8000-000000000001"
ROOT_HASH_SEED = "4a6f756c-6570-4174-8000-000000000002"

PACKAGES = (
    # the system
    "systemd", "systemd-sysv", "systemd-timesyncd", "systemd-resolved", "udev", "dbus", "kmod", "login", "sudo",
    "procps", "tzdata", "ca-certificates", "nano", "python3", "busybox-static",
    # disks: the first boot partitions and formats
    "fdisk", "e2fsprogs", "dosfstools",
    # network
    "iproute2", "iputils-ping", "openssh-server", "wpasupplicant", "wireless-regdb",
    # the board
    "linux-image-arm64", "raspi-firmware", "firmware-brcm80211", "v4l-utils", "i2c-tools",
)  # fmt: skip

# Kept as they are by apt on the device: the boot partition is written by this recipe, not by the packages' hooks.
HELD_PACKAGES = ("linux-image-arm64", "raspi-firmware")

# Left out when packages are unpacked: what none of the three boards has. Upgrades on the device leave it out too.
NOT_UNPACKED = (
    "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*", "/usr/share/info/*",
    "/usr/lib/linux-image-*",
    *(f"/lib/modules/*/kernel/{folder}/*" for folder in (
        "drivers/ata", "drivers/infiniband", "drivers/md", "drivers/mtd", "drivers/nvme", "drivers/target",
        "drivers/xen", "drivers/gpu/drm/amd", "drivers/gpu/drm/msm", "drivers/gpu/drm/nouveau",
        "drivers/gpu/drm/radeon",
        "drivers/media/dvb-frontends", "drivers/media/pci", "drivers/media/tuners",
        "drivers/media/usb/dvb-usb", "drivers/media/usb/dvb-usb-v2",
        "drivers/net/ethernet/cavium", "drivers/net/ethernet/chelsio", "drivers/net/ethernet/hisilicon",
        "drivers/net/ethernet/intel", "drivers/net/ethernet/mellanox", "drivers/net/ethernet/qlogic",
        "drivers/net/ethernet/sfc", "drivers/net/wireless/intel",
        "fs/btrfs", "fs/f2fs", "fs/gfs2", "fs/nfsd", "fs/ocfs2", "fs/xfs", "sound/pci",
    )),
)  # fmt: skip
UNPACKED_AFTER_ALL = ("/usr/share/doc/*/copyright", "/usr/lib/linux-image-*/broadcom/*")

# A USB camera; the boards' network, card, screen and heat; the partitions; a virtual machine's disk and network.
NEEDED_MODULES = (
    "uvcvideo", "brcmfmac", "genet", "smsc95xx", "lan78xx", "bcm2835", "sdhci-iproc", "vc4", "bcm2835_thermal",
    "bcm2711_thermal", "vfat", "ext4", "virtio_net", "virtio_blk",
)  # fmt: skip

# Boards whose device tree goes onto the boot partition; the firmware picks by name.
DEVICE_TREES = (
    "bcm2711-rpi-4-b.dtb", "bcm2711-rpi-400.dtb", "bcm2711-rpi-cm4-io.dtb",
    "bcm2837-rpi-3-a-plus.dtb", "bcm2837-rpi-3-b.dtb", "bcm2837-rpi-3-b-plus.dtb", "bcm2837-rpi-cm3-io3.dtb",
    "bcm2837-rpi-zero-2-w.dtb",
)  # fmt: skip
FIRMWARE = ("bootcode.bin", "start.elf", "fixup.dat", "start4.elf", "fixup4.dat")

UNITS_ENABLED = (
    "joulepath.service", "joulepath-grow.service", "joulepath-setup.service", "systemd-networkd.service",
    "systemd-resolved.service", "systemd-timesyncd.service", "ssh.service",
)  # fmt: skip
# Timers and helpers that would write, or wait for a network that may never come.
UNITS_MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "systemd-networkd-wait-online.service", "wpa_supplicant.service",
)  # fmt: skip
