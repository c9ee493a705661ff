"""What agents keep: notes of a run, large results apart, memories over runs, and answers that can be given again."""
