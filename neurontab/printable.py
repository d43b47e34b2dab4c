"""Text that cannot steer a terminal, whoever wrote it."""


def printable(text: str) -> str:
    """The text with every character that is not to be printed written out, but line ends."""
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
