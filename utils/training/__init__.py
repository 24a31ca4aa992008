"""What keeps a training run going: seed, checkpoints, log, signals, progress, precision."""
