"""``python -m hilum`` is the command line."""

from hilum.cli import main

main()
