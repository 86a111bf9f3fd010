"""The one exception that means "the user can fix this": one line that says what to do, exit status 2."""


class UserError(Exception):
    """Bad input from the user. The message is one line and says what to do about it.

    The command line prints it without a stack trace and exits with status 2; flows do not retry it.
    """
