"""`python -m pipeline.sweep key=value ...`, and `-m` for a grid; see `driver`."""

from pipeline.signals import told_while_loading

if __name__ == "__main__":
    told_while_loading("sweep")
    from pipeline.sweep.driver import main

    main()
