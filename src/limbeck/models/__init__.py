"""Networks by name: limbeck's own zoo, timm, torchvision, Transformers, or a Python path."""
