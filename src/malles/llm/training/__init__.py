"""Post-training of language models on choices: losses, loop, checkpoints."""
