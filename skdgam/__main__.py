"""``python -m skdgam``: the command line."""

from skdgam.cli import main

raise SystemExit(main())
