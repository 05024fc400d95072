"""Power cuts (SIGKILL of qemu, so whatever the guest held in memory is gone) while the journal is written.

Twenty of them with our journal's writer alone on a machine that starts in seconds, on one disk that nothing repairs in
between but what a board does itself. The whole service has some of its own (`test_servicecuts.py`).
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cuts import COMMIT_S, REPAIRED, examine, make_disk
from tests.lab.disk import BARE_INIT
from tests.lab.fixtures import installed_system
from tests.lab.machine import Machine, Settings
from tests.lab.subject import COMMIT_INTERVAL_S, PYTHON

pytestmark = [pytest.mark.lab, pytest.mark.timeout(3600)]

SEED = 20
CUTS = 20
FRAMES_PER_S = 50
START = f"""mount -t ext4 /dev/vdb /var/lib/joulepath
exec {PYTHON} -B /mnt/host/guest/logger.py {COMMIT_INTERVAL_S}
"""


@pytest.fixture
def logger(lab_folder: Path) -> Iterator[Machine]:
    """A machine that does nothing but write the journal."""
    system, folder = installed_system("amd64"), lab_folder / "cuts"
    folder.mkdir()
    disk = make_disk(folder / "journal.img")
    words = f"init={BARE_INIT}"
    settings = Settings(memory_mib=512, cache="writeback", data_disks=(disk,), kernel_words=words)
    machine = Machine(system, folder, settings)
    machine.share.mkdir()
    (machine.share / "start").write_text(START)
    with machine:
        yield machine


def test_no_acknowledged_row_is_lost_and_no_more_than_one_interval(logger: Machine, lab_folder: Path) -> None:
    moments = random.Random(SEED)
    lost: list[int] = []
    newest = 0
    for cut in range(CUTS):
        logger.boot()
        time.sleep(moments.uniform(0.2, 2.0 * COMMIT_INTERVAL_S))
        logger.cut_power()
        report = logger.report
        remains = examine(logger.settings.data_disks[0], logger.folder)
        assert remains.integrity == "ok", f"cut {cut}"
        assert remains.repair <= REPAIRED, f"cut {cut}"
        assert remains.newest >= newest, f"cut {cut}: what an earlier run had written"
        if report is not None:
            assert remains.newest >= report["committed"], f"cut {cut}: acknowledged rows are gone"
            lost.append(report["given"] - remains.newest)
        newest = remains.newest
        print(f"cut {cut}: report {report}, {remains}")
    assert len(lost) >= CUTS * 3 // 4
    assert max(lost) <= FRAMES_PER_S * (COMMIT_INTERVAL_S + COMMIT_S)
    assert newest > CUTS * FRAMES_PER_S * COMMIT_INTERVAL_S / 4
    print(f"frames lost in {len(lost)} cuts at {FRAMES_PER_S}/s, interval {COMMIT_INTERVAL_S:g} s: {sorted(lost)}")
