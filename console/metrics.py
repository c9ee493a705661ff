"""How an installation stands, as gauges for Prometheus.

They are read from the database at each scrape, so that any web process tells the same, also after a restart.
"""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agents.models import Run
from approvals.models import Approval, Delivery, DeliveryStatus, Halt
from approvals.states import ApprovalStatus
from traces.alerts.breakers import cost_of_last_hour
from traces.audit.sealer import unsealed_count
from traces.models import Breaker


def registry() -> CollectorRegistry:
    """What is exposed."""
    exposed = CollectorRegistry(auto_describe=False)
    exposed.register(Installation())
    return exposed


class Installation(Collector):
    """Reads the gauges; no argument, name or text of anybody's is among them."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All gauges, as they are now."""
        now = timezone.now()
        yield _runs()
        yield from _approvals(now)
        for name, words, value in (
            ("halts_standing", "Emergency stops that hold.", Halt.objects.filter(lifted_at=None).count()),
            ("breakers_open", "Breakers that hold.", Breaker.objects.filter(lifted_at=None).count()),
            (
                "deliveries_dead",
                "Callbacks that were given up, until somebody sends them again.",
                Delivery.objects.filter(status=DeliveryStatus.DEAD).count(),
            ),
            ("events_unsealed", "Events of the audit log that wait for their seal.", unsealed_count()),
            (
                "cost_usd_last_hour",
                "What models cost within the last hour, in USD.",
                cost_of_last_hour(now=now),
            ),
        ):
            yield GaugeMetricFamily(f"gatehouse_{name}", words, value=value)


def _runs() -> GaugeMetricFamily:
    family = GaugeMetricFamily("gatehouse_runs_open", "Runs that are not over.", labels=["status"])
    found = Run.objects.filter(ended_at=None).values_list("status").annotate(Count("pk")).order_by("status")
    for status, count in found:
        family.add_metric([status], count)
    return family


def _approvals(now: datetime) -> Iterator[GaugeMetricFamily]:
    pending = GaugeMetricFamily(
        "gatehouse_approvals_pending", "Requests that wait for a person.", labels=["kind"]
    )
    oldest = GaugeMetricFamily(
        "gatehouse_approvals_oldest_seconds", "For how long the oldest of them waits.", labels=["kind"]
    )
    waiting = Approval.objects.filter(status=ApprovalStatus.PENDING).values_list("kind")
    for kind, count, since in waiting.annotate(Count("pk"), Min("requested_at")).order_by("kind"):
        pending.add_metric([kind], count)
        oldest.add_metric([kind], max(0.0, (now - since).total_seconds()))
    yield from (pending, oldest)
