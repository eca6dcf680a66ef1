"""Files of a trained model: latent tables, baselines, and where they lie."""
