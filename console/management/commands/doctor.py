"""`python manage.py doctor`: what is sound here, and what to do about the rest."""

import sys
from typing import Any

from django.core.management.base import BaseCommand

from console.services.diagnosis import examine


class Command(BaseCommand):
    """Prints one line per finding; exits with 1 where something must be done."""

    help = "Check settings, services, versions and keys, and say what to do. Exit 1 where something must be done."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        to_do = 0
        for finding in examine():
            mark = "!!" if finding.to_do else "ok"
            self.stdout.write(f"{mark}  {finding.subject}: {finding.found}")
            if finding.to_do:
                self.stdout.write(f"    {finding.to_do}")
                to_do += 1
        if to_do:
            self.stderr.write(f"{to_do} to mend: see the lines marked !!")
            sys.exit(1)
        self.stdout.write("All is well.")
