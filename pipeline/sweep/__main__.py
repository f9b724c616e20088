"""`python -m pipeline.sweep key=value ...`, and `-m` for a grid; see `driver`."""

from pipeline.sweep.driver import main

if __name__ == "__main__":
    main()
