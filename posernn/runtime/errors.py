class InputError(Exception):
    """An error that a user can fix: in a file, a parameter, a disk.

    The message is one line: `<where>: expected <what>, got <value>; <what to do>`. Stages and commands print it
    without a traceback and exit with code 1. A wrong call inside the library is a ValueError instead.
    """
