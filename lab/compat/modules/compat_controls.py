"""Controls that note when they are called, or end the run."""
try:
    from chaoslib.exceptions import InterruptExecution
except ImportError:
    # Where the original is not installed nobody asks for more than the name.
    class InterruptExecution(Exception):
        """Ends the run."""


def note(context, what, file=None, ends_at=None, raises=False):
    name = context.get("name", context.get("title", "rollbacks")) if isinstance(context, dict) else "list"
    if file:
        with open(file, "a", encoding="utf-8") as notes:
            notes.write(f"{what} {name}\n")
    if raises:
        raise RuntimeError("on purpose")
    if ends_at and what == "before activity" and name == ends_at:
        raise InterruptExecution("on purpose")


def before_experiment_control(context, **arguments):
    note(context, "before experiment", **own(arguments))


def after_experiment_control(context, state=None, **arguments):
    note(context, "after experiment", **own(arguments))


def before_hypothesis_control(context, **arguments):
    note(context, "before hypothesis", **own(arguments))


def after_hypothesis_control(context, state=None, **arguments):
    note(context, "after hypothesis", **own(arguments))


def before_method_control(context, **arguments):
    note(context, "before method", **own(arguments))


def after_method_control(context, state=None, **arguments):
    note(context, "after method", **own(arguments))


def before_rollback_control(context, **arguments):
    note(context, "before rollbacks", **own(arguments))


def after_rollback_control(context, state=None, **arguments):
    note(context, "after rollbacks", **own(arguments))


def before_activity_control(context, **arguments):
    note(context, "before activity", **own(arguments))


def after_activity_control(context, state=None, **arguments):
    note(context, "after activity", **own(arguments))


def own(arguments):
    return {name: value for name, value in arguments.items() if name in ("file", "ends_at", "raises")}
