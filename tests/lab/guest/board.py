"""The guest's sensors and camera: load the kernel's drivers, and set what they will read."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

# Addresses on the emulated bus: an INA3221 as on a Jetson, an INA219 and a MAX17040 as on power HATs.
INA3221, INA219, GAUGE = 0x40, 0x41, 0x36
CHIPS = {"ina3221": INA3221, "ina219": INA219, "max17040": GAUGE}
MONITORS = ("ina3221", "ina219")
BATTERY = Path("/sys/module/test_power/parameters")
ZONE = Path("/sys/module/jp_thermal/parameters/temp_mc")
_still = threading.Event()  # set to end the present scatter
VIVID = "vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0"


def load_all() -> dict[str, Any]:
    """Every driver, and a first value for each; returns what was loaded where."""
    load_thermal()
    load_battery()
    load_camera()
    return {"hwmon": load_rails()}


def load_thermal() -> None:
    """A processor's zone, at 45 degrees."""
    _modprobe("jp_thermal ztype=cpu-thermal")
    set_temperature(45.0)


def load_battery() -> None:
    """A battery at 90 %, discharging, and no mains."""
    _modprobe("test_power")
    set_battery(capacity=90, voltage=7_600_000, current=1_000_000, status="discharging", ac_online="off")
    (BATTERY / "usb_online").write_text("off")


def load_camera() -> None:
    """One camera, /dev/video0."""
    _modprobe(VIVID)
    _wait_for(Path("/dev/video0"))


def unload_camera() -> None:
    """Unplug it: waits until nobody holds it any more."""
    _until(lambda: subprocess.run(["rmmod", "vivid"], capture_output=True).returncode == 0, "vivid to unload")


def load_rails() -> dict[str, str]:
    """The chips on their bus, with 5 V and 1.6 A on the first rail; returns hwmon folders by chip."""
    _modprobe("i2c-dev")
    _modprobe(f"i2c-stub chip_addr={INA3221},{INA219},{GAUGE}")
    for driver in ("ina3221", "ina2xx", "max17040_battery"):
        _modprobe(driver)
    for name in CHIPS:
        plug(name)
    for channel in (1, 2, 3):
        set_rail(channel, 5000 if channel == 1 else 0, 1600 if channel == 1 else 0)
    set_monitor(5000, 1600)
    set_gauge(3_800_000, 63)
    return hwmon()


def unplug(name: str) -> None:
    """A chip vanishes from its bus."""
    (_bus() / "delete_device").write_text(f"{CHIPS[name]:#04x}")


def plug(name: str) -> None:
    """It is back, with the registers that it had."""
    (_bus() / "new_device").write_text(f"{name} {CHIPS[name]:#04x}")
    if name in MONITORS:
        _until(lambda: name in hwmon(), name)
    if name == "ina3221":
        _set_shunts()


def _set_shunts() -> None:
    for channel in (1, 2, 3):
        (Path(hwmon()["ina3221"]) / f"shunt{channel}_resistor").write_text("5000")


def hwmon() -> dict[str, str]:
    """hwmon folders by chip."""
    return {path.read_text().strip(): str(path.parent) for path in Path("/sys/class/hwmon").glob("hwmon*/name")}


def set_rail(channel: int, millivolts: int, milliamperes: int) -> None:
    """INA3221: bus voltage in steps of 8 mV, shunt voltage in steps of 40 uV over 5 mOhm; both shifted by three."""
    _write_word(INA3221, 2 * channel - 1, (milliamperes * 5 // 40) << 3)
    _write_word(INA3221, 2 * channel, (millivolts // 8) << 3)


def set_monitor(millivolts: int, milliamperes: int) -> None:
    """INA219 with the driver's 10 mOhm shunt: current in steps of 1 mA, power of 20 mW, voltage of 4 mV."""
    _write_word(INA219, 1, milliamperes)
    _write_word(INA219, 2, (millivolts // 4) << 3)
    _write_word(INA219, 3, millivolts * milliamperes // 20_000)
    _write_word(INA219, 4, milliamperes)


def set_gauge(microvolts: int, percent: int) -> None:
    """MAX17040: cell voltage in steps of 1.25 mV in the upper twelve bits, charge in 1/256 %."""
    _write_word(GAUGE, 2, (microvolts // 1250) << 4)
    _write_word(GAUGE, 4, percent * 256)


def set_battery(**values: Any) -> None:
    """test_power's battery: capacity (%), voltage (uV), current (uA), status; ac_online on or off."""
    for name, value in values.items():
        (BATTERY / (name if name == "ac_online" else f"battery_{name}")).write_text(str(value))


def set_temperature(celsius: float) -> None:
    """The processor's zone, which stands still at that."""
    _still.set()
    ZONE.write_text(str(round(celsius * 1000)))


def set_lively_temperature(celsius: float) -> None:
    """The processor's zone, scattering by 0.02 degrees as real ones do: one that never moves is taken for dead."""
    global _still
    set_temperature(celsius)
    _still = threading.Event()
    threading.Thread(target=_scatter, args=(celsius, _still), daemon=True).start()


def _scatter(celsius: float, still: threading.Event) -> None:
    for off_c in itertools.cycle((0.01, -0.01, 0.02, 0.0, -0.02)):
        if still.wait(0.5):
            return
        ZONE.write_text(str(round((celsius + off_c) * 1000)))


def read(path: str) -> str:
    """A file's text without its line end."""
    return Path(path).read_text().strip()


def _write_word(address: int, register: int, word: int) -> None:
    swapped = (word & 0xFF) << 8 | word >> 8 & 0xFF  # SMBus sends the low byte first, these chips the high one
    bus = _bus().name.removeprefix("i2c-")
    command = ["i2cset", "-f", "-y", bus, f"{address:#04x}", f"{register:#04x}", f"{swapped:#06x}", "w"]
    subprocess.run(command, check=True, capture_output=True)


def _bus() -> Path:
    for name in Path("/sys/bus/i2c/devices").glob("i2c-*/name"):
        if "stub" in name.read_text().lower():
            return name.parent
    raise FileNotFoundError("no i2c-stub bus")


def _modprobe(words: str) -> None:
    done = subprocess.run(["modprobe", *words.split()], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"modprobe {words}: {done.stderr}")


def _wait_for(path: Path) -> None:
    _until(path.exists, str(path))


def _until(condition: Any, what: str, timeout_s: float = 60.0) -> None:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.2)
