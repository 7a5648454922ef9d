"""What commands share: errors, progress, displays."""
