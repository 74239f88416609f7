"""Calls functions for a run of Schism: a line of JSON asks, a line of JSON answers."""
import sys

# `python3 -c` looks for modules in the working directory first. The original does not: a file there that is
# called like a module of Python's own takes its place nowhere. PYTHONPATH says where else to look.
if sys.path and sys.path[0] == "":
    del sys.path[0]

import ctypes
import importlib
import inspect
import json
import math
import os
import re
import signal
import subprocess
import threading
import traceback

answers = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
os.dup2(2, 1)
writing = threading.Lock()
MOST = 16 << 20
threads = {}
programs = {}
here = threading.local()


class Stopped(BaseException):
    """Nobody waits for the answer any more."""


class Program(subprocess.Popen):
    """A program, known by the call that started it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        call = getattr(here, "call", None)
        if call is not None:
            programs.setdefault(call, []).append(self)


subprocess.Popen = Program


def plain(value):
    """A value with texts for numbers that JSON does not have. The original writes the bare words, which are none."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return value


def line_of(call, kind, value):
    whole = {"call": call, "kind": kind, "value": value}
    try:
        line = json.dumps(whole, default=str, ensure_ascii=False, allow_nan=False)
    except ValueError:
        line = json.dumps(plain(whole), default=str, ensure_ascii=False, allow_nan=False)
    # Halves of letters are no UTF-8.
    return re.sub("[\ud800-\udfff]", "\ufffd", line)


def answer(call, kind, value):
    try:
        line = line_of(call, kind, value)
    except (TypeError, ValueError, RecursionError) as error:
        line = line_of(call, "failed", f"the output is no JSON: {error}")
    if len(line.encode()) > MOST:
        line = line_of(call, "failed", f"the output is longer than {MOST >> 20} MiB")
    with writing:
        answers.write(line + "\n")
        answers.flush()


def told(error):
    """An error in words, whatever it makes of itself."""
    try:
        return str(error)
    except Exception:
        return type(error).__name__


def fitting(func, given, extra):
    """The arguments, and of the others those that the function has a place for."""
    try:
        parameters = inspect.signature(func).parameters
    except (TypeError, ValueError):
        return given
    every = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values())
    more = {name: value for name, value in extra.items() if name in parameters or (every and name == "state")}
    return {**more, **given}


def call_function(order):
    module = importlib.import_module(order["module"])
    func = getattr(module, order["func"])
    extra = {"configuration": order["configuration"], "secrets": order["secrets"]}
    return func(**fitting(func, order["arguments"], extra))


def lacking(step, exact):
    """Which part of a step is not there or does not fit, and why; None where all is well. The original knows
    functions only, `exact` is to be as it."""
    try:
        module = importlib.import_module(step["module"])
    except Stopped:
        raise
    except BaseException as error:
        return "module", traceback.format_exception_only(type(error), error)[-1].strip()
    func = getattr(module, step["func"], None)
    known = inspect.isfunction(func) or inspect.isbuiltin(func) if exact else callable(func)
    if not known:
        return "func", f"{step['module']} has no such function"
    try:
        signature = inspect.signature(func)
    except (TypeError, ValueError):
        return None
    given = dict.fromkeys(step["arguments"])
    given.update({name: None for name in ("configuration", "secrets") if name in signature.parameters})
    try:
        signature.bind(**given)
    except TypeError as error:
        return "arguments", str(error)
    return None


def look(order):
    return [lacking(step, order["exact"]) for step in order["steps"]]


def call_control(order):
    module = importlib.import_module(order["module"])
    func = getattr(module, order["func"], None)
    if func is None:
        return None
    return func(order["context"], **fitting(func, order["arguments"], order["extra"]))


WORK = {"control": call_control, "function": call_function, "look": look}


def work(order):
    call = order["call"]
    here.call = call
    try:
        value = WORK[order["what"]](order)
        answer(call, "returned", value)
    except Stopped:
        pass
    except BaseException as error:
        names = {one.__name__ for one in type(error).__mro__}
        if "InterruptExecution" in names:
            answer(call, "interrupted", told(error))
        elif isinstance(error, (SystemExit, KeyboardInterrupt)):
            answer(call, "interrupted", repr(error))
        elif "ActivityFailed" in names:
            answer(call, "failed", told(error))
        else:
            last = traceback.format_exception_only(type(error), error)[-1].strip()
            answer(call, "failed", last)
    finally:
        threads.pop(call, None)
        programs.pop(call, None)


def parents():
    """Which process has which parent."""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                found[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            pass
    return found


def end(roots):
    """Kills processes with all that they started: first they are held, so that nobody gets away."""
    held = set()
    while True:
        family = parents()
        new = {pid for pid, parent in family.items() if parent in held | roots} | roots
        new = {pid for pid in new - held if pid in family}
        if not new:
            break
        for pid in new:
            send(pid, signal.SIGSTOP)
        held |= new
    for pid in held:
        send(pid, signal.SIGKILL)


def send(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def stop(call):
    thread = threads.get(call)
    if thread is None or thread.ident is None:
        return
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped))
    roots = {program.pid for program in list(programs.get(call, ())) if program.returncode is None}
    if len(threads) == 1:
        # However they were started: nobody else is there.
        roots |= {pid for pid, parent in parents().items() if parent == os.getpid()}
    if roots:
        end(roots)


for line in sys.stdin:
    order = json.loads(line)
    if order["what"] == "stop":
        stop(order["call"])
        continue
    thread = threading.Thread(target=work, args=(order,), daemon=True)
    threads[order["call"]] = thread
    thread.start()
os._exit(0)
