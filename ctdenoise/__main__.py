"""``python -m ctdenoise``."""

from ctdenoise.cli import main

if __name__ == "__main__":
    main()
