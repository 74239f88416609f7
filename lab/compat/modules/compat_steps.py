"""Functions that the experiments in this directory call."""
import os


class ActivityFailed(Exception):
    """Has the name that the original gives to what a step is expected to raise."""


def same(value=None):
    return value


def nothing():
    return None


def raises():
    raise RuntimeError("on purpose")


def fails_by_name():
    raise ActivityFailed("on purpose")


def prints():
    print("a line on standard output")
    return True


def with_default(value="default"):
    return value


def configured(configuration=None):
    return dict(configuration or {})


def secret_names(secrets=None):
    return sorted(secrets or {})


def length(text):
    return len(text)


def is_odd(value):
    return value % 2 == 1


def number_while_there():
    return 3 if os.path.exists("here.txt") else None
