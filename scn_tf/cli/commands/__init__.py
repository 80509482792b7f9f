"""One module per command, with its row ``COMMAND``, its arguments and its action.

Help imports all of them, so imports must stay cheap.
"""
