"""``python -m likewise``, which launchers such as ``accelerate launch -m likewise`` use."""

from likewise.cli import main

if __name__ == "__main__":
    main()
