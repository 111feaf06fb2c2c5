"""`python -m limbeck`, which is also what `torchrun` and `accelerate launch` start."""

from limbeck.cli import main

if __name__ == "__main__":
    main()
