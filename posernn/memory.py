"""Memory that must be there before work begins."""


def require_room(size: int) -> None:
    """Ask for memory and give it back, so that the want of it is an error here and not somewhere in native code.

    Args:
        size: bytes. They are not touched, which takes no time.
    Raises:
        MemoryError: a limit leaves less.
    """
    bytearray(size)
