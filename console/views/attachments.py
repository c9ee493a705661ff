"""Files that tools returned, as people may safely look at them."""

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from agents.hidden import hidden_from
from agents.models import Attachment
from console.people.entry import actor_of, people_only
from console.views.runs import visible_run


@require_safe
@people_only
def attachment(request: HttpRequest, run_id: UUID, attachment_id: UUID) -> HttpResponse:
    """A file in the result of one of the run's calls: a picture as such, anything else to be saved.

    It may show what rules mask in the run's calls, so it is for those who see all of these.
    """
    found = Attachment.objects.filter(pk=attachment_id, call__run=visible_run(request, run_id)).first()
    if found is None:
        raise Http404("This run has no such file.")
    if hidden_from(actor_of(request), [run_id]):
        raise PermissionDenied("Withheld: the file may show what is masked for you in this run.")
    shown = found.is_picture
    response = HttpResponse(
        bytes(found.content), content_type=found.media_type if shown else "application/octet-stream"
    )
    response["Content-Disposition"] = "inline" if shown else f'attachment; filename="{found.pk}"'
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["Cache-Control"] = "private, max-age=3600, immutable"
    return response
