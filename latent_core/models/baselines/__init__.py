"""What latents are compared with: LoRA, prefix and prompt tuning through PEFT, full fine-tuning.

Each is a `SteeredModel`, so that it trains, decodes and is judged as latents are. None of them
changes the backbone it is given.
"""
