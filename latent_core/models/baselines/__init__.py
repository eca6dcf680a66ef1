"""Baselines of latents: LoRA, prefix and prompt tuning through PEFT, full fine-tuning.

Each is a `SteeredModel`, so it is trained, decoded and evaluated as latents are. None of them
changes the backbone it is given.
"""
