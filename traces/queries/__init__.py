"""What people and programs read of traces."""
