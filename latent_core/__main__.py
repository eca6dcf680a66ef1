"""`python -m latent_core` is the `latent` command."""

from latent_core.cli import main

main()
