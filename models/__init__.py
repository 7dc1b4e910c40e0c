"""World models as plain `torch.nn.Module`s: their networks, losses, size presets and the types they share.
Imports nothing of this project.
"""
