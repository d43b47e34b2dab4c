"""`python -m neurontab.cli` is `neurontab`."""

from .app import main

main()
