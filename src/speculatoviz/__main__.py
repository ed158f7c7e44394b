"""`python -m speculatoviz` is the `speculatoviz` command."""

from speculatoviz.cli.app import main

if __name__ == "__main__":
    main()
