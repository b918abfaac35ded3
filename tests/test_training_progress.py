"""The line of progress: when it speaks, what is left of it, and who watches."""

import io
import multiprocessing
import sys
import threading
from types import SimpleNamespace

import pytest

from skdgam.training import progress
from skdgam.training.progress import Progress


class Time:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(progress, "time", time)
    return time


def after(time, seconds):
    time.now = 100.0 + seconds


def on_screen(text):
    """What a terminal shows of one line that was written to it."""
    shown, column = [], 0
    for character in text:
        assert character != "\n"
        if character == "\r":
            column = 0
            continue
        shown[column : column + 1] = [character]
        column += 1
    return "".join(shown).rstrip()


# --- the line ---


def test_nothing_is_said_for_two_seconds(time, capsys):
    line = Progress(100)
    for seconds in (0.0, 0.5, 1.9):
        after(time, seconds)
        line.update(0, {"loss": 1.0})
    line.close()
    assert capsys.readouterr() == ("", "")


def test_after_two_seconds_epoch_time_left_and_losses_are_shown(time, capsys):
    line = Progress(100)
    line.update(0, {})
    after(time, 20)
    line.update(9, {"foreground": 1.25, "guide": 0.5})  # ten epochs are done, ninety are left
    assert on_screen(capsys.readouterr().err) == (
        "epoch 10/100, 3:00 left  foreground 1.250  guide 0.500"
    )


def test_the_time_left_counts_from_where_a_training_went_on(time, capsys):
    line = Progress(100)
    line.update(50, {})
    after(time, 20)
    line.update(59, {})  # ten epochs in twenty seconds, forty are left
    assert on_screen(capsys.readouterr().err) == "epoch 60/100, 1:20 left"


def test_nothing_goes_to_standard_output(time, capsys):
    line = Progress(100)
    after(time, 20)
    line.update(9, {"loss": 1.0})
    line.close()
    assert capsys.readouterr().out == ""


def test_updates_are_written_over_each_other(time, capsys):
    line = Progress(1000)
    after(time, 3)
    line.update(8, {"a_long_name_of_a_term": 1.0})
    after(time, 4)
    line.update(9, {"loss": 1.0})  # a shorter line, behind which nothing is left
    assert on_screen(capsys.readouterr().err).endswith("left  loss 1.000")


def test_updates_that_follow_too_soon_are_not_written(time, capsys):
    line = Progress(1000)
    after(time, 3)
    line.update(0, {})
    capsys.readouterr()
    after(time, 3.1)
    line.update(1, {})
    assert capsys.readouterr().err == ""
    after(time, 3.3)
    line.update(2, {})
    assert "epoch 3/1000" in capsys.readouterr().err


def test_only_losses_that_fit_the_terminal_are_shown(time, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    line = Progress(10)
    line.update(0, {})
    time.now += 10
    line.update(4, {"foreground": 1.0, "background": 2.0, "guide": 3.0})
    assert on_screen(capsys.readouterr().err) == "epoch 5/10, 0:10 left  foreground 1.000"


def test_the_line_is_erased_at_the_end(time, capsys):
    line = Progress(1000)
    after(time, 3)
    line.update(0, {"loss": 1.0})
    line.close()
    text = capsys.readouterr().err
    assert on_screen(text) == ""
    assert text.endswith("\r")  # what comes next begins at the left


def test_the_last_epoch_has_nothing_left(time, capsys):
    line = Progress(10)
    after(time, 3)
    line.update(9, {})
    assert on_screen(capsys.readouterr().err) == "epoch 10/10, 0:00 left"


# --- who watches ---


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watched_on(monkeypatch, stderr, **modules):
    """Whether progress is watched with this standard error; that of pytest is no terminal."""
    with monkeypatch.context() as changed:
        changed.delitem(sys.modules, "ipykernel", raising=False)
        for name, module in modules.items():
            changed.setitem(sys.modules, name, module)
        changed.setattr(sys, "stderr", stderr)
        return Progress.is_watched()


def test_a_terminal_is_watched(monkeypatch):
    assert watched_on(monkeypatch, Terminal())


def test_a_file_is_not_watched(monkeypatch):
    assert not watched_on(monkeypatch, io.StringIO())


def test_without_standard_error_nobody_watches(monkeypatch):
    assert not watched_on(monkeypatch, None)  # as in a program without a console


def test_a_notebook_is_watched(monkeypatch):
    assert watched_on(monkeypatch, io.StringIO(), ipykernel=SimpleNamespace())


def test_a_worker_process_is_not_watched(monkeypatch):
    worker = SimpleNamespace(name="LokyProcess-1")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: worker)
    assert not watched_on(monkeypatch, Terminal())


def test_a_worker_thread_is_not_watched(monkeypatch):
    found = []
    thread = threading.Thread(target=lambda: found.append(watched_on(monkeypatch, Terminal())))
    thread.start()
    thread.join()
    assert found == [False]
