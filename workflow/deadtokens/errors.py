"""The exceptions for mistakes that the user can mend, and for what a record does not hold."""

import errno
import os

FAULT = "a fault of the program; please report it with these lines"
# What the system refuses for reasons that lie with it: rights, names, links, disks, limits.
OF_THE_SYSTEM = {
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "ENAMETOOLONG", "ELOOP", "EIO", "ESTALE", "EMFILE", "ENFILE")
}


class UserError(Exception):
    """A sentence that says what is wrong, where, and what to do.

    The command line prints it without a stack trace and exits with status 1; a notebook shows it
    alone.
    """

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in the place of a stack trace."""
        return [f"{type(self).__name__}: {self}"]


class NotInRecord(UserError):
    """A sentence that says what an analysis cannot say of a sound record, and why.

    Of a recording of another training it is a result: the derived file holds the sentence alone.
    """


def refusal_of_the_system(error: BaseException) -> str | None:
    """Return the sentence for a file that the system refuses, where no other was provided for.

    None, if it is something else, which may be a fault of the program.
    """
    if not isinstance(error, OSError) or error.errno not in OF_THE_SYSTEM or not error.filename:
        return None
    path = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return f"{path}: the system refuses it ({error.strerror}); check it and run it again"
