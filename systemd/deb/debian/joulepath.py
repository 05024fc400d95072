"""Joulepath's command line; /usr/bin/joulepath runs it with the package's own environment."""

from edge.cli import main

if __name__ == "__main__":
    main()
