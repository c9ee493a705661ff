"""The shop's own tables: what the example's tools read, and the ledger of what they did."""

from datetime import datetime
from decimal import Decimal

from django.db import models
from django.db.models import Q, Sum


class Customer(models.Model):
    """Somebody who buys; `id` is what people call the customer by, as in C-0017."""

    id = models.CharField(primary_key=True, max_length=12)
    name = models.CharField(max_length=120)
    email = models.EmailField(unique=True)
    country = models.CharField(max_length=2)
    language = models.CharField(max_length=2)
    city = models.CharField(max_length=80)
    since = models.DateField()

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class Order(models.Model):
    """What a customer bought at one time; `id` as in O-1042."""

    class Status(models.TextChoices):
        PLACED = "placed"  # paid, nothing packed yet
        SHIPPED = "shipped"  # at least one parcel is under way
        DELIVERED = "delivered"  # every parcel has arrived
        CANCELLED = "cancelled"  # nothing was charged

    id = models.CharField(primary_key=True, max_length=12)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="orders")
    status = models.CharField(max_length=10, choices=Status.choices)
    currency = models.CharField(max_length=3)
    shipping_fee = models.DecimalField(max_digits=12, decimal_places=2, default=Decimal(0))
    # What the customer's card was charged: twice the total where the charge was doubled by mistake.
    paid = models.DecimalField(max_digits=12, decimal_places=2)
    placed_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(paid__gte=0), name="support_order_paid_not_negative")
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def total(self) -> Decimal:
        """What the order costs: its lines and the shipping fee."""
        return sum((line.unit_price * line.quantity for line in self.lines.all()), self.shipping_fee)

    @property
    def refunded(self) -> Decimal:
        """What the ledger says was paid back so far."""
        total: Decimal | None = self.ledger.filter(kind=LedgerEntry.Kind.REFUND).aggregate(sum=Sum("amount"))[
            "sum"
        ]
        return total or Decimal(0)

    @property
    def refundable(self) -> Decimal:
        """What can still be paid back."""
        return self.paid - self.refunded


class OrderLine(models.Model):
    """One product in an order."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="lines")
    sku = models.CharField(max_length=20)
    title = models.CharField(max_length=120)
    quantity = models.PositiveSmallIntegerField()
    unit_price = models.DecimalField(max_digits=12, decimal_places=2)

    def __str__(self) -> str:
        return f"{self.quantity} x {self.title}"


class Shipment(models.Model):
    """A parcel of an order; a split order has several. `id` as in S-1042-1."""

    class Status(models.TextChoices):
        IN_TRANSIT = "in_transit"
        DELAYED = "delayed"  # past its expected date, last scanned less than ten days ago
        LOST = "lost"  # not scanned for ten days or more
        DELIVERED = "delivered"

    id = models.CharField(primary_key=True, max_length=16)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="shipments")
    carrier = models.CharField(max_length=20)
    status = models.CharField(max_length=10, choices=Status.choices)
    lines = models.ManyToManyField(OrderLine, related_name="shipments")
    shipped_at = models.DateTimeField()
    expected_at = models.DateTimeField()
    scans = models.JSONField(default=list)  # oldest first: {"at": ISO 8601, "place": str, "event": str}

    def __str__(self) -> str:
        return self.id

    @property
    def last_scan_at(self) -> datetime:
        """When the carrier last saw the parcel; when it was handed over, if never."""
        return datetime.fromisoformat(self.scans[-1]["at"]) if self.scans else self.shipped_at


class Return(models.Model):
    """One product of an order that is on its way back, or is back; `id` as in R-1042-1."""

    class Status(models.TextChoices):
        OPEN = "open"  # the customer has a label, nothing has come yet
        RECEIVED = "received"  # the goods are back and not yet paid back
        REFUNDED = "refunded"  # paid back

    id = models.CharField(primary_key=True, max_length=16)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="returns")
    line = models.ForeignKey(OrderLine, on_delete=models.PROTECT, related_name="returns")
    quantity = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=10, choices=Status.choices)
    opened_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.id


class CrmNote(models.Model):
    """What somebody wrote down about a customer. Can be deleted, so writing one is reversible."""

    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="notes")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="notes", null=True)
    author = models.CharField(max_length=80)
    text = models.TextField()
    idempotency_key = models.CharField(max_length=200, unique=True)
    written_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.text[:60]


class LedgerEntry(models.Model):
    """A refund that was paid or an e-mail that went out.

    Rows are only ever added: a trigger in the database refuses to change or delete one. The same idempotency key
    can't be entered twice.
    """

    class Kind(models.TextChoices):
        REFUND = "refund"
        EMAIL = "email"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    idempotency_key = models.CharField(max_length=200, unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="ledger")
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="ledger", null=True)
    amount = models.DecimalField(max_digits=12, decimal_places=2, null=True)
    currency = models.CharField(max_length=3, blank=True)
    subject = models.CharField(max_length=200, blank=True)  # of the e-mail
    text = models.TextField()  # why it was refunded, or the e-mail's body
    run_id = models.CharField(max_length=64, blank=True)
    recorded_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ledger entries"
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="email", order=None, amount=None) & ~Q(subject="")
                | Q(kind="refund", order__isnull=False, amount__gt=0) & ~Q(currency=""),
                name="support_ledger_entry_is_whole",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.idempotency_key}"
