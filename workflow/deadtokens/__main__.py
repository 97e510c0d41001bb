"""``python -m deadtokens COMMAND ...``, where the console script is not installed."""

from deadtokens.cli import deadtokens

if __name__ == "__main__":
    deadtokens()
