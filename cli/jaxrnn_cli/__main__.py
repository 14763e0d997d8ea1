"""`python -m jaxrnn_cli` is `jaxrnn`."""

from jaxrnn_cli.app import main

main()
