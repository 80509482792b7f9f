"""One module per command: its row ``COMMAND``, its arguments and its action. Importing them must stay cheap: help lists them all."""
