"""``python -m studies.cli``: the command line where the script `wm` does not do, such as under a debugger."""

from studies.cli import main

if __name__ == "__main__":
    main()
