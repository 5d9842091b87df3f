"""``python -m predgen``, which launchers of several processes can start."""

from __future__ import annotations

from predgen.cli import main

if __name__ == "__main__":
    main()
