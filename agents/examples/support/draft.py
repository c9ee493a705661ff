"""An order on paper: what the made-up and the hand-written orders have in common before they become rows."""

from dataclasses import dataclass
from decimal import Decimal

from agents.examples.support.models import Order, Return, Shipment


@dataclass(frozen=True, slots=True)
class Line:
    """A product in an order."""

    sku: str
    title: str
    quantity: int
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Parcel:
    """A parcel; `lines` are places in the order's list, times are days before the data was loaded."""

    status: Shipment.Status
    lines: tuple[int, ...]
    shipped: float
    last_scan: float
    carrier: str = "DHL"

    @property
    def expected(self) -> float:
        """Late parcels were expected four days after they left, others arrive as expected or are still to come."""
        if self.status == Shipment.Status.DELIVERED:
            return self.last_scan
        return self.shipped - 4 if self.status != Shipment.Status.IN_TRANSIT else -2


@dataclass(frozen=True, slots=True)
class GoingBack:
    """Goods on their way back."""

    line: int
    quantity: int
    status: Return.Status
    opened: float


@dataclass(frozen=True, slots=True)
class Refund:
    """Money that was paid back before the agent's time."""

    amount: Decimal
    reason: str
    days: float


@dataclass(frozen=True, slots=True)
class Draft:
    """An order of customer number `customer`, placed `days` before the data was loaded."""

    number: int
    customer: int
    currency: str
    status: Order.Status
    days: float
    lines: tuple[Line, ...]
    shipping_fee: Decimal = Decimal(0)
    charges: int = 1
    parcels: tuple[Parcel, ...] = ()
    returns: tuple[GoingBack, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def total(self) -> Decimal:
        """Lines and shipping."""
        return sum((line.quantity * line.unit_price for line in self.lines), self.shipping_fee)

    @property
    def paid(self) -> Decimal:
        """What the card was charged; nothing for a cancelled order."""
        return Decimal(0) if self.status == Order.Status.CANCELLED else self.total * self.charges
