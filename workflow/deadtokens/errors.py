"""The exceptions for mistakes that the user can mend, and for what a record does not hold."""


class UserError(Exception):
    """A sentence that says what is wrong, where, and what to do.

    The command line prints it without a stack trace and exits with status 1.
    """


class NotInRecord(UserError):
    """A sentence that says what an analysis cannot say of a sound record, and why.

    Of a recording of another training it is a result: the derived file holds the sentence alone.
    """
