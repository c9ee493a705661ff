#!/usr/bin/env python
"""Gatehouse's command line: `python manage.py help` lists what it can do."""

import os
import sys


def main() -> None:
    """Run one command; where a service does not answer, say so in one line instead of a traceback."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    import kombu.exceptions
    import redis.exceptions
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(str(error))
    except OperationalError as error:
        if "connection" not in str(error):
            raise
        sys.exit(_not_answering("The database", "DATABASE_URL", error))
    except (kombu.exceptions.OperationalError, redis.exceptions.ConnectionError) as error:
        sys.exit(_not_answering("Valkey", "VALKEY_URL", error))
    except KeyboardInterrupt:
        sys.exit(130)


def _not_answering(service: str, variable: str, error: Exception) -> str:
    if os.environ.get(variable):
        reason = str(error).strip().splitlines()[0]
        return f"{service} does not answer ({reason}): check {variable}, and that it runs."
    return f"{service} does not answer: start it with make up, in another shell, and leave that running."


if __name__ == "__main__":
    main()
