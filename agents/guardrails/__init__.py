"""What is checked around the model, in code and without another model."""
