"""Where everything is."""

from django.contrib import admin
from django.urls import path

from console.api.otlp import take_spans
from console.api.service import api
from console.views import audit, batches, breaker, bulk, care, grants, me, rules, second_factor, undoing
from console.views.attachments import attachment
from console.views.connect import connect
from console.views.decision import decision, edit, preview_page, recall
from console.views.figures import figures
from console.views.halt import halt, lift
from console.views.health import healthz, metrics, readyz
from console.views.home import home, status
from console.views.inbox import card, changed, first, forget, inbox, queue, save, stopped
from console.views.reconciling import lookup
from console.views.reopening import reopen
from console.views.runs import run, runs, steps
from console.views.sign_in import sign_in, sign_in_by_link, sign_out
from console.views.steering import cancel, pause, replay, resume, start
from console.views.traces import span, trace, traces

urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    path("", home),
    path("status", status),
    path("sign-in", sign_in, name="sign-in"),
    path("sign-out", sign_out, name="sign-out"),
    path("halt", halt, name="halt"),
    path("halt/lift", lift, name="lift-halt"),
    path("breakers/<slug:name>/lift", breaker.lift, name="lift-breaker"),
    path("inbox", inbox, name="inbox"),
    path("inbox/bulk", bulk.choose),
    path("inbox/bulk/decision", bulk.decide),
    path("inbox/queue", queue),
    path("inbox/first", first),
    path("inbox/views", save),
    path("inbox/views/<int:view_id>/delete", forget),
    path("inbox/<uuid:approval_id>", card, name="card"),
    path("inbox/<uuid:approval_id>/changed", changed),
    path("inbox/<uuid:approval_id>/stopped", stopped),
    path("inbox/<uuid:approval_id>/edit", edit),
    path("inbox/<uuid:approval_id>/looking", care.looking),
    path("inbox/<uuid:approval_id>/held", care.held),
    path("inbox/<uuid:approval_id>/timeline", care.timeline),
    path("inbox/<uuid:approval_id>/take", care.take),
    path("inbox/<uuid:approval_id>/release", care.release),
    path("inbox/<uuid:approval_id>/give", care.give),
    path("inbox/<uuid:approval_id>/watch", care.watch),
    path("inbox/<uuid:approval_id>/comment", care.comment),
    path("me", me.me, name="me"),
    path("me/second-factor", second_factor.page, name="second-factor"),
    path("me/second-factor/begin", second_factor.begin),
    path("me/second-factor/confirm", second_factor.confirm),
    path("me/second-factor/prove", second_factor.prove),
    path("me/second-factor/codes", second_factor.codes),
    path("me/second-factor/remove", second_factor.remove),
    path("me/settings", me.settings_of_person),
    path("me/browsers", me.add_browser),
    path("push-worker.js", me.push_worker),
    path("me/channels", me.add_channel),
    path("me/channels/<int:channel_id>", me.change_channel),
    path("me/channels/<int:channel_id>/test", me.test_channel),
    path("me/channels/<int:channel_id>/delete", me.delete_channel),
    path("me/duty", me.add_duty),
    path("me/duty/<int:duty_id>/delete", me.delete_duty),
    path("me/away", me.begin_delegation),
    path("me/away/<int:delegation_id>/end", me.end_delegation),
    path("inbox/<uuid:approval_id>/preview", preview_page, name="preview"),
    path("inbox/<uuid:approval_id>/decision", decision, name="decision"),
    path("inbox/<uuid:approval_id>/receipt.json", audit.receipt, name="receipt"),
    path("audit", audit.audit, name="audit"),
    path("audit/export", audit.export),
    path("audit/verify", audit.verify),
    path("inbox/<uuid:approval_id>/recall", recall, name="recall"),
    path("inbox/<uuid:approval_id>/grant", grants.from_card, name="grant"),
    path("rules", rules.overview, name="rules"),
    path("rules/<slug:name>", rules.editor, name="edit-rules"),
    path("grants", grants.page, name="grants"),
    path("grants/propose", grants.from_history, name="propose-grant"),
    path("grants/<uuid:grant_id>/confirm", grants.confirm, name="confirm-grant"),
    path("grants/<uuid:grant_id>/revoke", grants.revoke, name="revoke-grant"),
    path("figures", figures, name="figures"),
    path("inbox/<uuid:approval_id>/lookup", lookup),
    path("inbox/<uuid:approval_id>/reopen", reopen),
    path("sign-in/<str:token>", sign_in_by_link, name="sign-in-by-link"),
    path("runs", runs, name="runs"),
    path("runs/start", start, name="start-run"),
    path("runs/<uuid:run_id>", run, name="run"),
    path("runs/<uuid:run_id>/steps", steps, name="run-steps"),
    path("runs/<uuid:run_id>/attachments/<uuid:attachment_id>", attachment),
    path("runs/<uuid:run_id>/cancel", cancel, name="cancel-run"),
    path("runs/<uuid:run_id>/pause", pause, name="pause-run"),
    path("runs/<uuid:run_id>/resume", resume, name="resume-run"),
    path("runs/<uuid:run_id>/replay", replay, name="replay-run"),
    path("runs/<uuid:run_id>/undo", undoing.all_calls, name="undo-run"),
    path("runs/<uuid:run_id>/calls/<uuid:call_id>/undo", undoing.call, name="undo-call"),
    path("batches", batches.batches, name="batches"),
    path("batches/new", batches.new, name="new-batch"),
    path("batches/<uuid:batch_id>", batches.batch, name="batch"),
    path("batches/<uuid:batch_id>/results", batches.results),
    path("batches/<uuid:batch_id>/<str:what>", batches.steer),
    path("traces", traces, name="traces"),
    path("traces/<str:trace_id>", trace, name="trace"),
    path("traces/<str:trace_id>/spans/<str:span_id>", span, name="span"),
    path("connect", connect, name="connect"),
    path("api/v1/", api.urls),
    path("v1/traces", take_spans),
    path("admin/", admin.site.urls),
]
