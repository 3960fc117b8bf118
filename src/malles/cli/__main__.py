"""`python -m malles.cli` is the same as `malles`."""

from malles.cli import main

main()
