"""Files to deploy, each verified against the live network."""
