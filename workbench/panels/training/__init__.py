"""Training panel: train an adapter and watch it learn."""
