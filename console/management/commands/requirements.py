"""`python manage.py requirements`: which tests prove which requirement."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console import environment

TESTS = environment.ROOT / "tests"


class Command(BaseCommand):
    """Prints each requirement with the tests that name it in `@pytest.mark.req`, then those that none names."""

    help = "Print each requirement with the tests that prove it, and the requirements that none proves."
    requires_system_checks: list[str] = []

    def handle(self, **options: Any) -> None:
        if not (TESTS / "requirements.txt").exists():
            raise CommandError("The tests are not installed here: run this in a checkout.")
        titles = dict(line.split(" ", 1) for line in (TESTS / "requirements.txt").read_text().splitlines())
        proofs = defaultdict(list)
        for path in sorted(TESTS.rglob("test_*.py")):
            for test, ids in marked_tests(ast.parse(path.read_text())):
                for id_ in ids:
                    proofs[id_].append(f"{path.relative_to(environment.ROOT)}::{test}")
        for id_, title in titles.items():
            self.stdout.write(f"{id_}  {title}")
            for test in proofs[id_]:
                self.stdout.write(f"    {test}")
        unproved = [id_ for id_ in titles if not proofs[id_]]
        self.stdout.write(f"\n{len(titles) - len(unproved)} of {len(titles)} requirements have a test.")
        if unproved:
            self.stdout.write(f"None proves: {', '.join(unproved)}")
        if unknown := sorted(proofs.keys() - titles.keys()):
            raise CommandError(f"Tests name requirements that do not exist: {', '.join(unknown)}.")


def marked_tests(module: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Each test of `module` (`test_x` or `TestY::test_x`) with the requirements that it, its class or its module names."""
    ids = set()
    for node in module.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(to, ast.Name) and to.id == "pytestmark" for to in node.targets
        ):
            ids |= _named_in(node.value)
    yield from _tests_in(module.body, prefix="", ids=ids)


def _tests_in(body: list[ast.stmt], *, prefix: str, ids: set[str]) -> Iterator[tuple[str, set[str]]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            own = ids.union(*map(_named_in, node.decorator_list))
            yield from _tests_in(node.body, prefix=f"{prefix}{node.name}::", ids=own)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name, ids.union(*map(_named_in, node.decorator_list))


def _named_in(mark: ast.expr) -> set[str]:
    return {
        argument.value
        for call in ast.walk(mark)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "req"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
