"""The one exception for mistakes that the user can mend."""


class UserError(Exception):
    """A sentence that says what is wrong, where, and what to do.

    The command line prints it without a stack trace and exits with status 1.
    """
