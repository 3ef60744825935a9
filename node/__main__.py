"""`python -m node` is the command line, as `corridor` is."""

from node.cli import main

if __name__ == "__main__":
    main()
