"""Sensors, cameras, and what slows a board down."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator

from boards.board import Board, Quantity
from boards.raspberry_pi import is_raspberry_pi
from boards.roots import Roots
from boards.sensor import Reading, SensorLost
from boards.sysfs import numbered, read_once_int, read_once_word
from edge.board import open_named_board
from edge.cameras.frame import SourceSyntaxError
from edge.cameras.source import parse_source
from edge.config import PowerModesConfig
from edge.doctor.finding import Finding
from edge.errors import UsageError
from edge.power_modes import PowerModeError, knobs
from edge.probe import CameraFinding, find_cameras

_HOT_C = 80.0


def board_findings(spec: str, roots: Roots) -> Iterator[Finding]:
    """The board: energy, each sensor that gives nothing, heat, supply, and what the board's own code has to say."""
    try:
        board = open_named_board(spec, roots=roots)
    except UsageError as error:
        yield Finding("wrong", "board", str(error), "correct --board, or board in the configuration")
        return
    try:
        yield Finding("ok", "board", f"{board.info.model} ({board.info.name}), {len(board.channels)} channels")
        yield _energy(board)
        if board.energy_channel is None and is_raspberry_pi(roots):
            yield _bus(roots)
        yield from _channels(board)
        for name, text in board.info.details.items():
            if name != "energy":
                yield Finding("note", f"board, {name}", text)
    finally:
        board.close()


def _energy(board: Board) -> Finding:
    if board.energy_channel is None:
        why = board.info.details.get("energy", "no sensor tells what the board draws")
        remedy = "measure once with a meter and let Joulepath model it: joulepath calibrate --help"
        return Finding("warning", "energy", why, remedy)
    channel = next(one for one in board.channels if one.name == board.energy_channel)
    rails = ", ".join(board.info.rails_included) or channel.name
    return Finding("ok", "energy", f"{channel.method.name.lower()}, from {channel.name} ({rails})")


def _bus(roots: Roots) -> Finding:
    """Why a HAT's monitor or gauge may not be seen: the bus is off until it is asked for, and chips do not say what
    they are."""
    on_it = list((roots.sys / "bus/i2c/devices").glob("1-*"))
    if on_it:
        chips = ", ".join(sorted(read_once_word(chip / "name") or chip.name for chip in on_it))
        return Finding("note", "i2c", f"bus 1 has {chips}; none of them tells what the board draws")
    if (roots.sys / "bus/i2c/devices/i2c-1").exists():
        remedy = "for a power HAT name its chip: docs/boards-raspberry-pi.md (dtoverlay=i2c-sensor, or new_device)"
        return Finding("note", "i2c", "bus 1 is on, and no chip on it has a driver", remedy)
    remedy = "for a power HAT: dtparam=i2c_arm=on in /boot/firmware/config.txt, then start anew"
    return Finding("note", "i2c", "bus 1 is off, so a HAT's power monitor or battery gauge is not seen", remedy)


def _channels(board: Board) -> Iterator[Finding]:
    for channel in board.channels:
        try:
            reading = channel.sensor.read()
        except SensorLost as error:
            remedy = ""
            if "ermission" in str(error):
                remedy = f"give this user read access to {channel.path}; the package's udev rules and drop-ins do that"
            yield Finding("warning", channel.name, f"gives no value: {error}", remedy)
            continue
        yield from _state(channel.name, channel.quantity, reading)


def _state(name: str, quantity: Quantity, reading: Reading) -> Iterator[Finding]:
    raised = quantity is Quantity.FLAG and reading.value >= 0.5
    if name == "undervoltage" and raised:
        yield Finding(
            "warning", name, "the supply sags under the load", "use a stronger supply, or a shorter, thicker cable"
        )
    elif name == "throttled" and raised:
        yield Finding(
            "warning",
            name,
            "the processor is being held back",
            "cool the board; look at its temperature and its supply",
        )
    elif quantity is Quantity.TEMPERATURE and reading.value >= _HOT_C:
        yield Finding("warning", name, f"{reading.value:.1f} °C", "cool the board: boards throttle from about 80 °C")


def camera_findings(wanted: str | None, roots: Roots) -> Iterator[Finding]:
    """Video nodes, and whether this user may use them."""
    cameras = find_cameras(roots)
    if wanted is not None:
        yield from _wanted_camera(wanted, cameras, roots)
    elif not cameras:
        yield Finding("note", "camera", "no camera under /dev/video*", "plug one in, or name a file or `synthetic`")
    for camera in cameras:
        if camera.permitted:
            yield Finding("ok", "camera", f"{camera.path}: {camera.name}")
        else:
            yield Finding("wrong", "camera", f"{camera.path}: no permission", _group_remedy(camera))


def _wanted_camera(wanted: str, cameras: list[CameraFinding], roots: Roots) -> Iterator[Finding]:
    try:
        spec = parse_source(wanted)
    except SourceSyntaxError as error:
        yield Finding("wrong", "camera", str(error), "correct camera in the configuration")
        return
    path = roots.dev / spec.path.removeprefix("/dev/")
    if spec.kind == "v4l2" and not path.exists() and str(path) not in {camera.path for camera in cameras}:
        remedy = "plug it in (the service waits for it); list what is there: joulepath probe"
        yield Finding("warning", "camera", f"{path}, which the configuration names, is not there", remedy)


def _group_remedy(camera: CameraFinding) -> str:
    try:
        group = grp.getgrgid(os.stat(camera.path).st_gid).gr_name
    except (OSError, KeyError):
        group = "video"
    if group == "root":
        return f"no group owns {camera.path}: a udev rule must give it to the group video"
    return f"sudo usermod -aG {group} $USER, then log in anew; the service's user is in `video` from the start"


def power_mode_findings(config: PowerModesConfig, roots: Roots) -> Iterator[Finding]:
    """Whether the clocks and power modes that the configuration wants set can be set by this user."""
    if config.when == "never":
        return
    try:
        chosen = knobs(config, roots)
    except PowerModeError as error:
        yield Finding("wrong", "power modes", str(error), "take [power_modes] out of the configuration")
        return
    for knob in chosen:
        problem = knob.problem()
        if problem is None:
            yield Finding("ok", "power modes", f"{knob.name}: {knob.read()} now, {knob.wanted} when saving")
        else:
            remedy = "permit it as docs/controller.md shows, or take it out of [power_modes]"
            yield Finding("wrong", "power modes", problem, remedy)


def pace_findings(roots: Roots) -> Iterator[Finding]:
    """What makes latencies vary: the frequency governor, and swap in use."""
    for folder in numbered(roots.sys / "devices/system/cpu/cpufreq", "policy"):
        governor = read_once_word(folder / "scaling_governor")
        most, allowed = read_once_int(folder / "cpuinfo_max_freq"), read_once_int(folder / "scaling_max_freq")
        if governor == "powersave" and read_once_word(folder / "scaling_driver") != "intel_pstate":
            remedy = f"echo schedutil | sudo tee {folder}/scaling_governor"
            yield Finding("warning", "processor", f"{folder.name} keeps its lowest frequency ({governor})", remedy)
        if most and allowed and allowed < most:
            text = f"{folder.name} is capped at {allowed / 1e6:.2f} of {most / 1e6:.2f} GHz"
            yield Finding("note", "processor", text, "a power mode (nvpmodel on Jetsons) or an administrator set it")
