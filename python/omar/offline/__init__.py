"""Offline training: settings, minibatches, the training itself."""
