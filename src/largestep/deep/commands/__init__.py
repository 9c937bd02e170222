"""What the command line does with deep networks: train, measure, compact."""
