"""What has to hold of latent tokens on a backbone, checked by running it."""
