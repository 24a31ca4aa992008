"""Expected errors end a program with one sentence: what is wrong, where, and what to do."""

import contextlib
import sys

EXPECTED = (OSError, ValueError)


@contextlib.contextmanager
def one_sentence_errors():
    """Ends the program with the message of an expected error, without its traceback."""
    try:
        yield
    except EXPECTED as error:
        # A loader worker's error arrives as its traceback, whose last line is "Class: message".
        *before, last = str(error).strip().splitlines() or [repr(error)]
        sys.exit("error: " + (last.partition(": ")[2] if before else last))
    except KeyboardInterrupt:
        sys.exit("stopped")
