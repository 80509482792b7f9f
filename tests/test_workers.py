"""Processes that read untrusted files: they are replaced, limited, and never shared with a forked child."""

import json
import os
import sys

import pytest

from scn_tf.data import workers

SERVING = "import json, os, time; from scn_tf.data.workers import serve; serve(lambda request: {}, 2**31)"
ANSWERING = SERVING.format("[json.dumps([request, os.getpid()]).encode() + b'\\n']")


def received(stream):
    return json.loads(stream.readline())


def ask(request=None, program=ANSWERING, receive=received, seconds=20):
    return workers.ask(program, request, receive, seconds=seconds)


def test_a_process_answers_again_and_is_replaced_after_it_died():
    texts = ["\udcff ä\n", [1.5, None]]
    (first, process), (second, same) = map(ask, texts)
    assert [first, second] == texts
    assert same == process != os.getpid()
    os.kill(process, 9)
    assert ask()[1] != process


@pytest.mark.parametrize(
    ("does", "seconds"),
    [("os.abort()", 20), ("[bytes(2**31)]", 20), ("[b'\\n']", 20), ("[b'[1, ']", 2), ("time.sleep(60)", 2)],
    ids=["crash", "memory", "empty", "half", "hangs"],
)
def test_without_a_whole_answer_there_is_none_and_nothing_is_kept(does, seconds):
    program = SERVING.format(does)
    assert ask(program=program, seconds=seconds) is None
    assert not workers._idle.get(program)


def test_both_pipes_of_a_killed_process_are_closed():
    process = workers.started(ANSWERING, 20)
    process.kill()
    process.wait()
    process.stdin.write(b"a request that nobody reads")
    workers.end(process)
    assert process.stdin.closed
    assert process.stdout.closed


def test_what_a_library_prints_is_no_part_of_an_answer():
    assert ask(program=SERVING.format("print('noise', flush=True) or [b'[1]\\n']")) == [1]


def test_only_a_few_processes_are_kept(monkeypatch):
    monkeypatch.setattr(workers, "MAX_IDLE", 1)
    monkeypatch.setattr(workers, "_idle", {})

    def meanwhile(stream):
        inner.append(ask()[1])
        return received(stream)

    inner = []
    outer = ask(receive=meanwhile)[1]
    assert outer != inner[0]
    assert [process.pid for process in workers._idle[ANSWERING]] == inner
    with pytest.raises(ProcessLookupError):
        os.kill(outer, 0)
    workers._end_all()
    assert not workers._idle[ANSWERING]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork: this system has none")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_takes_no_process_of_its_parent():
    process = ask()[1]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"%d" % len(workers._idle))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 9) == b"0"
    os.close(reading)
    os.close(writing)
    assert ask()[1] == process


@pytest.mark.parametrize(
    ("program", "reason"), [("/bin/true", "does not start"), ("/bin/no_such_program", "No such file or directory, so no process")]
)
def test_a_process_that_cannot_be_started_is_told_from_a_bad_file(monkeypatch, program, reason):
    monkeypatch.setattr(sys, "executable", program)
    monkeypatch.setattr(workers, "_idle", {})
    with pytest.raises(ChildProcessError, match=reason):
        ask()
