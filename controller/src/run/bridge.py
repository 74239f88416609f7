"""Calls functions for a run of Schism: a line of JSON asks, a line of JSON answers."""
import ctypes
import importlib
import inspect
import json
import os
import sys
import threading
import traceback

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
writing = threading.Lock()
threads = {}
sys.path.insert(0, os.getcwd())


class Stopped(BaseException):
    """Nobody waits for the answer any more."""


def answer(call, kind, value):
    try:
        line = json.dumps({"call": call, "kind": kind, "value": value}, default=str)
    except (TypeError, ValueError) as error:
        line = json.dumps({"call": call, "kind": "failed", "value": f"the output is no JSON: {error}"})
    with writing:
        answers.write(line + "\n")
        answers.flush()


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


def call_control(order):
    module = importlib.import_module(order["module"])
    func = getattr(module, order["func"], None)
    if func is None:
        return None
    return func(order["context"], **fitting(func, order["arguments"], order["extra"]))


def work(order):
    call = order["call"]
    try:
        value = call_control(order) if order["what"] == "control" else call_function(order)
        answer(call, "returned", value)
    except Stopped:
        pass
    except BaseException as error:
        names = {one.__name__ for one in type(error).__mro__}
        if "InterruptExecution" in names:
            answer(call, "interrupted", str(error))
        elif isinstance(error, (SystemExit, KeyboardInterrupt)):
            answer(call, "interrupted", repr(error))
        elif "ActivityFailed" in names:
            answer(call, "failed", str(error))
        else:
            last = traceback.format_exception_only(type(error), error)[-1].strip()
            answer(call, "failed", last)
    finally:
        threads.pop(call, None)


for line in sys.stdin:
    order = json.loads(line)
    if order["what"] == "stop":
        thread = threads.get(order["call"])
        if thread is not None and thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident), ctypes.py_object(Stopped)
            )
        continue
    thread = threading.Thread(target=work, args=(order,), daemon=True)
    threads[order["call"]] = thread
    thread.start()
os._exit(0)
