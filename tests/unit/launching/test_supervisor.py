"""A supervised fake mpirun: when it is started again, when it is given up, and which signals it gets."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from fake_mpirun import wait_until

from adsp_mpi.launching.supervisor import Supervisor, in_words


@pytest.fixture
def supervise_fake(fake):
    """Return a function that supervises the fake through a script, and returns status, lines said and starts."""

    def carry_out(*lines, max_restarts=3, is_open_mpi=False):
        fake.plays(*lines)
        said: list[str] = []
        status = Supervisor([str(fake.program)], fake.folder, 4, max_restarts, is_open_mpi, said.append).run()
        return status, [re.sub(r"after \d+ s", "after 0 s", line) for line in said], len(fake.starts)

    return carry_out


# ---- when it starts again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 2, 130])
def test_what_ends_on_purpose_is_not_started_again(supervise_fake, status):
    assert supervise_fake(f"sys.exit({status})") == (status, [], 1)


@pytest.mark.parametrize(
    ("death", "words"),
    [
        ("die()", "status 137 (killed)"),
        ("sys.exit(9)", "status 9 (killed)"),
        ("sys.exit(137)", "status 137 (killed)"),
        ("sys.exit(11)", "status 11 (SIGSEGV)"),
        ("sys.exit(3)", "status 3 (a rank was silent for too long)"),
        ("sys.exit(1)", "status 1"),
    ],
)
def test_what_dies_is_started_again(supervise_fake, fake, death, words):
    status, said, starts = supervise_fake(f"checkpoint(9); checkpoint(812); {death}", "sys.exit(0)")
    assert (status, starts) == (0, 2)
    assert said == [f"mpirun ended with {words} after 0 s; restart 1 of 3, resuming {fake.folder} from version 812"]


def test_it_gives_up_when_the_restarts_are_used_up(supervise_fake, fake):
    status, said, starts = supervise_fake(*(f"checkpoint({i}); sys.exit(9)" for i in range(3)), max_restarts=2)
    assert (status, starts, len(said)) == (9, 3, 3)
    assert said[-1] == (
        "mpirun ended with status 9 (killed) after 0 s; giving up: all 2 restarts are used up; "
        f"{fake.folder} has a checkpoint of version 2"
    )


def test_it_gives_up_when_two_starts_in_a_row_got_nowhere(supervise_fake):
    lines = ["checkpoint(1); die()", "die()", "checkpoint(2); die()", "die()", "die()", "sys.exit(0)"]
    status, said, starts = supervise_fake(*lines, max_restarts=9)
    assert (status, starts) == (137, 5)
    assert "giving up: two starts in a row have reached no new checkpoint" in said[-1]


def test_a_run_killed_before_its_first_checkpoint_is_begun_again(supervise_fake, fake):
    status, said, _ = supervise_fake("sys.exit(9)", "sys.exit(0)")
    assert (status, said[0].partition("restart ")[2]) == (0, f"1 of 3, beginning {fake.folder}")


def test_what_cannot_begin_is_not_tried_again(supervise_fake):
    status, said, starts = supervise_fake("sys.exit(1)")
    assert (status, starts) == (1, 1)
    assert said[0].endswith("giving up: the run has not begun, and a restart begins it in the same way")


def test_no_restarts_may_be_wanted(supervise_fake):
    assert supervise_fake("checkpoint(1); sys.exit(9)", max_restarts=0)[::2] == (9, 1)


def test_a_death_after_the_summary_is_no_loss(supervise_fake):
    summary = "checkpoint(1); (folder / 'summary.json').write_text('{{\"finished\": {}}}'); die()"
    status, said, starts = supervise_fake(summary.format("false"), summary.format("true"))
    assert (status, starts) == (0, 2)
    assert said[-1].endswith("x was complete")


def test_a_run_on_another_number_of_workers_is_found_beside_the_old_one(supervise_fake, fake):
    beside = fake.folder.with_name("x-on-4")
    line = f"checkpoint(7); folder = Path({str(beside)!r}); checkpoint(3); die()"
    _, said, _ = supervise_fake(line, "sys.exit(0)")
    assert said[0].endswith(f"resuming {beside} from version 3")


@pytest.mark.parametrize(
    ("status", "words"), [(0, "status 0"), (143, "status 143 (SIGTERM)"), (15, "status 15 (SIGTERM)")]
)
def test_statuses_are_put_into_words(status, words):
    assert in_words(status) == words


# ---- signals -------------------------------------------------------------------------------------------------------


def signalled(fake, *numbers):
    """Send this process signals once the fake is ready."""

    def send():
        fake.wait_until_ready()
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.2)

    threading.Thread(target=send).start()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_reaches_mpirun_and_ends_it_all(fake, capfd, number):
    fake.plays(f"checkpoint(1); wait_for({int(number)})")
    signalled(fake, number)
    Supervisor([str(fake.program)], fake.folder, 4, 3).run()
    assert capfd.readouterr().out == f"{number.name}\n"
    assert len(fake.starts) == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGINT, 130)])
def test_under_open_mpi_stopping_goes_by_usr1(fake, capfd, number, status):
    fake.plays("wait_for(signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)")
    signalled(fake, number)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3, is_open_mpi=True).run() == status
    assert capfd.readouterr().out == "SIGUSR1\n"


def test_who_insists_gets_what_he_asks_for(fake, capfd):
    fake.plays("signal.signal(signal.SIGUSR1, signal.SIG_IGN); wait_for(signal.SIGTERM)")
    signalled(fake, signal.SIGTERM, signal.SIGTERM)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3, is_open_mpi=True).run() == 0
    assert capfd.readouterr().out == "SIGTERM\n"


def test_a_death_after_a_request_to_stop_is_no_reason_to_start_again(fake):
    fake.plays("signal.signal(signal.SIGTERM, lambda *args: die()); wait_for()")
    signalled(fake, signal.SIGTERM)
    assert Supervisor([str(fake.program)], fake.folder, 4, 3).run() == 137
    assert len(fake.starts) == 1


def test_handlers_are_those_of_before_afterwards(supervise_fake):
    before = signal.getsignal(signal.SIGTERM)
    supervise_fake("sys.exit(0)")
    assert signal.getsignal(signal.SIGTERM) is before


def test_mpirun_is_told_when_launch_itself_is_killed(fake, tmp_path):
    fake.plays("wait_for(signal.SIGTERM)")
    supervisor = f"Supervisor([{str(fake.program)!r}], Path('x'), 4, 3).run()"
    code = f"from pathlib import Path; from adsp_mpi.launching.supervisor import Supervisor; {supervisor}"
    with (tmp_path / "said").open("w") as said:
        launched = subprocess.Popen([sys.executable, "-c", code], stdout=said)
    fake.wait_until_ready()
    launched.kill()
    launched.wait()
    wait_until(lambda: (tmp_path / "said").read_text() == "SIGTERM\n")
