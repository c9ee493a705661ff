"""What watches the figures of the whole system."""
