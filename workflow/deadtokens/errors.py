"""The exceptions for mistakes that the user can mend, and for what a record does not hold."""


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
