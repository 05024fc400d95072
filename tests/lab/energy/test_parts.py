"""The lab's yardstick itself, without a machine: exact energies, the score, device trees."""

from __future__ import annotations

import struct

import pytest

from tests.lab.energy.devicetree import Node, power_monitor, text, with_node
from tests.lab.energy.truth import Truth, bursts, knot, ramps, rippled, score, steps

S = 1_000_000_000


def test_the_energy_of_a_course_is_exact() -> None:
    # 5 V: a second at 1 A, a jump to 3 A, then a second down to 1 A, which is 5, 0 and 10 J.
    course = [(0.0, 5_000_000, 1_000_000), (1.0, 5_000_000, 1_000_000), (1.0, 5_000_000, 3_000_000)]
    truth = Truth([*course, (2.0, 5_000_000, 1_000_000)], start_ns=7 * S)
    assert truth.energy_uj(7 * S, 8 * S) == pytest.approx(5e6)
    assert truth.energy_uj(8 * S, 9 * S) == pytest.approx(10e6)
    assert truth.energy_uj(8 * S, 8 * S + S // 2) == pytest.approx(6.25e6)
    assert truth.power_w(8 * S + S // 2) == pytest.approx(10.0)
    with pytest.raises(ValueError, match="outside the course"):
        truth.energy_uj(6 * S, 8 * S)


def test_voltage_that_sags_makes_power_a_parabola() -> None:
    truth = Truth([(0.0, 6_000_000, 0), (1.0, 3_000_000, 3_000_000)], start_ns=0)
    # (6 - 3t) * 3t W over a second: 9 - 3 = 6 J.
    assert truth.energy_uj(0, S) == pytest.approx(6e6)


@pytest.mark.parametrize("make", [steps, bursts, ramps])
def test_a_course_lasts_and_its_times_never_fall(make: object) -> None:
    course = make(5.0, 1, 0.5, 1.5, (0.05, 0.2))  # type: ignore[operator]
    times = [at_s for at_s, _, _ in course]
    assert times == sorted(times)
    assert times[0] == 0.0
    assert times[-1] >= 5.0
    fine = rippled(course, 2, 0.1)
    assert [at_s for at_s, _, _ in fine] == sorted(at_s for at_s, _, _ in fine)
    mean = Truth(course, 0).energy_uj(0, 5 * S)
    assert Truth(fine, 0).energy_uj(0, 5 * S) == pytest.approx(mean, rel=0.01)


def test_the_score_counts_what_is_covered() -> None:
    truth = Truth([knot(0.0, 1.0), knot(4.0, 1.0)], 0)
    second_uj = round(truth.energy_uj(0, S))
    frames = [
        (0, S, second_uj + 10, 20),
        (S, 2 * S, second_uj + 30, 20),
        (2 * S, 3 * S, second_uj - 20, 20),
        (3 * S, 4 * S, None, None),
    ]
    found = score(frames, truth)
    assert (found.frames, found.unavailable) == (3, 1)
    assert found.coverage == pytest.approx(2 / 3)
    assert found.median_error_uj == pytest.approx(20, abs=1)
    assert found.sum_error == pytest.approx(20 / (3 * second_uj), rel=0.1)


def empty_tree() -> bytes:
    body = struct.pack(">II", 1, 0) + struct.pack(">II", 2, 9)
    reserved = bytes(16)
    at_struct = 40 + len(reserved)
    sizes = (at_struct + len(body), at_struct, at_struct + len(body), 40, 17, 16, 0, 0, len(body))
    return struct.pack(">10I", 0xD00DFEED, *sizes) + reserved + body


def test_a_node_is_added_to_a_device_tree() -> None:
    once = with_node(empty_tree(), Node("first", {"label": text("VDD_IN")}))
    tree = with_node(once, power_monitor(("VDD_IN", "VDD_SOC"), 5000, single_shot=True))
    magic, size, at_struct, at_strings, _, _, _, _, strings_size, struct_size = struct.unpack_from(">10I", tree)
    assert (magic, size, at_strings + strings_size) == (0xD00DFEED, len(tree), len(tree))
    names, strings = _walk(tree[at_struct : at_struct + struct_size], tree[at_strings:])
    assert names == ["", "first", "lab-i2c", "power-monitor@40", "input@0", "input@1"]
    assert strings["label"] == [b"VDD_IN\0", b"VDD_IN\0", b"VDD_SOC\0"]
    assert strings["shunt-resistor-micro-ohms"] == [struct.pack(">I", 5000)] * 2
    assert strings["ti,single-shot"] == [b""]
    with pytest.raises(ValueError, match="not a flattened device tree"):
        with_node(b"\0" * 64, Node("x"))


def _walk(body: bytes, strings: bytes) -> tuple[list[str], dict[str, list[bytes]]]:
    names: list[str] = []
    found: dict[str, list[bytes]] = {}
    at, depth = 0, 0
    while True:
        (token,) = struct.unpack_from(">I", body, at)
        at += 4
        if token == 1:
            end = body.index(b"\0", at)
            names.append(body[at:end].decode())
            at, depth = (end + 4) // 4 * 4, depth + 1
        elif token == 2:
            depth -= 1
        elif token == 3:
            length, name_at = struct.unpack_from(">II", body, at)
            name = strings[name_at : strings.index(b"\0", name_at)].decode()
            found.setdefault(name, []).append(body[at + 8 : at + 8 + length])
            at += 8 + (length + 3) // 4 * 4
        else:
            assert (token, depth, at) == (9, 0, len(body))
            return names, found
