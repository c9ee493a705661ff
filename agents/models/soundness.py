"""What must always hold of rows that are written often, as one function of the database for each table.

The server reads and parses the text of every check at every write. With a list of states in each, that was a fifth of
its work for a run; a call of a function is short. What the functions say stands in migration 0004.
"""

from django.db import models
from django.db.models import Func


def sound(name: str, *fields: str) -> models.CheckConstraint:
    """The constraint `name`, which the function `agents_<name>` checks on these fields."""
    condition = Func(*fields, function=f"agents_{name}", output_field=models.BooleanField())
    return models.CheckConstraint(condition=condition, name=name)
