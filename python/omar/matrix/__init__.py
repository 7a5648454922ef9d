"""The matrix of the paper: tasks x qualities x algorithms x seeds, in cells that are cached and resumable."""
