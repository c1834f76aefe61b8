"""`python -m carryall` is `carryall`."""

from carryall.cli.main import main

main()
