#!/bin/sh
# Puts Joulepath into the root file system that NVIDIA's flash.sh writes to a Jetson. It is installed at the first boot.
set -eu

usage() {
    cat <<'TEXT'
usage: apply.sh [--dry-run] [--config FILE] LINUX_FOR_TEGRA     before flash.sh, after apply_binaries.sh
       apply.sh [--dry-run] --undo LINUX_FOR_TEGRA

--config FILE  becomes the board's /etc/joulepath/config.toml
--dry-run      only says what would be done
--undo         takes out again what an earlier apply.sh put in
TEXT
}

refuse() {
    echo "apply.sh: $1" >&2
    exit 1
}

dry=
undo=
config=
tegra=
while [ $# -gt 0 ]; do
    case "$1" in
    --dry-run) dry=yes ;;
    --undo) undo=yes ;;
    --config)
        [ $# -gt 1 ] || refuse "--config needs a file"
        config=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*) refuse "unknown option $1; apply.sh --help lists them" ;;
    *)
        [ -z "$tegra" ] || refuse "one LINUX_FOR_TEGRA folder at a time, not $tegra and $1"
        tegra=$1
        ;;
    esac
    shift
done
if [ -z "$tegra" ]; then
    usage >&2
    exit 2
fi

here=$(dirname "$(readlink -f "$0")")
root=$tegra/rootfs
release=$root/etc/nv_tegra_release
place=$root/opt/joulepath-first-boot
unit=etc/systemd/system/joulepath-first-boot.service
link=etc/systemd/system/multi-user.target.wants/joulepath-first-boot.service

# Says what it does, and does it unless this is a dry run.
step() {
    echo "$*"
    [ -n "$dry" ] || "$@"
}

[ -d "$root" ] || refuse "$root: no such folder; give the Linux_for_Tegra folder of NVIDIA's BSP"
[ -f "$release" ] || refuse "$release: not there, so this is no L4T root file system; unpack NVIDIA's sample root file \
system into $root and run apply_binaries.sh first"
[ -w "$root/etc" ] || [ -n "$dry" ] || refuse "$root belongs to root: run this with sudo"

if [ -n "$undo" ]; then
    step rm -f "$root/$link" "$root/$unit"
    # Only a configuration that --config brought, and that nobody changed since.
    if [ -f "$place/config.toml" ] && cmp -s "$place/config.toml" "$root/etc/joulepath/config.toml"; then
        step rm -f "$root/etc/joulepath/config.toml"
        step rmdir --ignore-fail-on-non-empty "$root/etc/joulepath"
    fi
    step rm -rf "$place"
    exit 0
fi

# "# R36 (release), REVISION: 4.3, GCID: ..." is L4T 36, JetPack 6.
major=$(sed -n 's/^# R\([0-9][0-9]*\) .*/\1/p' "$release" | head -n 1)
[ -n "$major" ] || refuse "$release: its first line names no release"
line=$(grep "^R$major " "$here/packages.txt") || refuse "L4T R$major: there is a package for L4T \
$(cut -d' ' -f1 "$here/packages.txt" | tr '\n' ' ')only (older JetPacks have a Python before 3.10)"
codename=$(echo "$line" | cut -d' ' -f2)
python=$(echo "$line" | cut -d' ' -f3)
package=$here/$(echo "$line" | cut -d' ' -f4)
[ -f "$package" ] || refuse "$package: missing; unpack the overlay again"
grep -qs "^VERSION_CODENAME=$codename\$" "$root/etc/os-release" "$root/usr/lib/os-release" ||
    refuse "$root/etc/os-release: L4T R$major is $codename, and this is another system"
for needed in "usr/bin/$python" bin/systemctl usr/bin/apt-get; do
    [ -e "$root/$needed" ] || refuse "$root/$needed: missing; the package needs it, choose a root file system with it"
done
[ ! -e "$root/var/lib/dpkg/info/joulepath.list" ] || refuse "$root has joulepath installed already; nothing to do"
[ -z "$config" ] || [ -f "$config" ] || refuse "$config: no such file"

echo "L4T R$major ($codename): $(basename "$package")"
step mkdir -p "$place" "$root/$(dirname "$link")"
step cp "$package" "$place/joulepath.deb"
step install -m 0755 "$here/install" "$place/install"
step install -m 0644 "$here/joulepath-first-boot.service" "$root/$unit"
step ln -sfn "/$unit" "$root/$link"
if [ -n "$config" ]; then
    step mkdir -p "$root/etc/joulepath"
    step install -m 0644 "$config" "$place/config.toml"
    step install -m 0644 "$config" "$root/etc/joulepath/config.toml"
fi
[ -n "$dry" ] || echo "done: now flash.sh; the board installs Joulepath at its first boot (journalctl -u joulepath-first-boot)"
