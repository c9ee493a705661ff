"""Taking back what a run did: one call, or all that can be taken back."""

from collections.abc import Callable
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from agents.exceptions import MissingRun, WrongState
from agents.models import Run
from agents.undoing import undo_call, undo_run
from approvals.exceptions import NotAllowed
from console.people.entry import actor_of, people_only


@require_POST
@people_only
def call(request: HttpRequest, run_id: UUID, call_id: UUID) -> HttpResponse:
    """Have one call taken back, and lead to the run that does it."""
    actor = actor_of(request)
    return _undone(request, run_id, lambda: undo_call(call_id, actor=actor))


@require_POST
@people_only
def all_calls(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Have all taken back that can be, and lead to the run that does it."""
    actor = actor_of(request)
    return _undone(request, run_id, lambda: undo_run(run_id, actor=actor))


def _undone(request: HttpRequest, run_id: UUID, undo: Callable[[], Run]) -> HttpResponse:
    try:
        return redirect("run", run_id=undo().pk)
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from error
    except MissingRun as error:
        raise Http404(str(error)) from error
    except WrongState as error:
        messages.warning(request, str(error))
        return redirect("run", run_id=run_id)
