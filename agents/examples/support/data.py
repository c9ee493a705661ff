"""The shop's data: the hand-written cases, and enough ordinary orders around them to look like a shop."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from django.db import transaction
from django.utils import timezone

from agents.examples.support import catalogue
from agents.examples.support.cases import CASES, NOTES
from agents.examples.support.draft import Draft, GoingBack, Line, Parcel, Refund
from agents.examples.support.models import CrmNote, Customer, LedgerEntry, Order, OrderLine, Return, Shipment

NUMBERS = range(1001, 1221)
SEED = 1042

# How an ordinary order went, and how often of a hundred.
FATES = {"delivered": 56, "split": 9, "in_transit": 8, "placed": 6, "cancelled": 4, "delayed": 5, "lost": 4}
FATES |= {"partly_returned": 5, "refunded": 3}


def load_data(*, now: datetime | None = None) -> None:
    """Fill the shop's tables; does nothing where there are customers already.

    The data is the same each time but for its dates, which count back from `now`, so that a parcel which is lost for
    sixteen days is so whenever the shop is opened.
    """
    with transaction.atomic():
        if not Customer.objects.exists():
            _load(now or timezone.now())


def drafts() -> list[Draft]:
    """All orders on paper, by number; the same at every call."""
    by_hand = {draft.number: draft for draft in CASES}
    random = _dice()
    return [by_hand[number] if number in by_hand else _ordinary(random, number) for number in NUMBERS]


def customer_id(number: int) -> str:
    """A customer's number as people write it."""
    return f"C-{number:04d}"


def _dice() -> Random:
    return Random(SEED)  # noqa: S311 - it must give the same each time


def _ordinary(random: Random, number: int) -> Draft:
    customer = random.randint(1, len(catalogue.PEOPLE))
    currency = catalogue.COUNTRIES[catalogue.PEOPLE[customer - 1][2]][1]
    fate = random.choices(list(FATES), weights=list(FATES.values()))[0]
    several = fate in ("split", "partly_returned")
    products = random.sample(catalogue.PRODUCTS, k=random.randint(2, 4) if several else random.randint(1, 2))
    lines = tuple(
        Line(sku, title, random.choice((1, 1, 1, 2, 4)), catalogue.price(euros, currency))
        for sku, title, euros in products
    )
    every = tuple(range(len(lines)))
    carrier = random.choice(catalogue.CARRIERS)
    age = random.randint(25, 300)
    fee = catalogue.price(6, currency) if random.random() < 0.6 else Decimal(0)

    def draft(status: Order.Status, days: float, *parcels: Parcel) -> Draft:
        return Draft(number, customer, currency, status, days, lines, fee, parcels=parcels)

    arrived = Parcel(Shipment.Status.DELIVERED, every, age - 1, age - random.randint(3, 7), carrier)
    match fate:
        case "placed":
            return draft(Order.Status.PLACED, random.randint(0, 2))
        case "cancelled":
            return draft(Order.Status.CANCELLED, age)
        case "in_transit":
            return draft(Order.Status.SHIPPED, 4, Parcel(Shipment.Status.IN_TRANSIT, every, 3, 1, carrier))
        case "delayed":
            return draft(Order.Status.SHIPPED, 12, Parcel(Shipment.Status.DELAYED, every, 10, 5, carrier))
        case "lost":
            seen = random.randint(11, 30)
            return draft(
                Order.Status.SHIPPED, seen + 4, Parcel(Shipment.Status.LOST, every, seen + 3, seen, carrier)
            )
        case "split":
            first = Parcel(Shipment.Status.DELIVERED, every[:1], 6, 2, carrier)
            return draft(
                Order.Status.SHIPPED, 7, first, Parcel(Shipment.Status.IN_TRANSIT, every[1:], 3, 1, carrier)
            )
        case "partly_returned":
            return _with_return(draft(Order.Status.DELIVERED, age, arrived), paid_back=random.random() < 0.6)
        case "refunded":
            whole = draft(Order.Status.DELIVERED, age, arrived)
            return replace(whole, refunds=(Refund(whole.total, "Goodwill: it came too late", age - 12),))
    return draft(Order.Status.DELIVERED, age, arrived)


def _with_return(draft: Draft, *, paid_back: bool) -> Draft:
    status = Return.Status.REFUNDED if paid_back else Return.Status.OPEN
    refund = Refund(draft.lines[0].unit_price, "Goods sent back", draft.days - 20)
    return replace(
        draft, returns=(GoingBack(0, 1, status, draft.days - 10),), refunds=(refund,) if paid_back else ()
    )


def _load(now: datetime) -> None:
    people = Customer.objects.bulk_create(_customers(now))
    orders = drafts()
    Order.objects.bulk_create(_order(draft, now) for draft in orders)
    created = OrderLine.objects.bulk_create(
        OrderLine(
            order_id=_order_id(draft),
            sku=line.sku,
            title=line.title,
            quantity=line.quantity,
            unit_price=line.unit_price,
        )
        for draft in orders
        for line in draft.lines
    )
    lines: dict[str, list[OrderLine]] = {}
    for row in created:
        lines.setdefault(row.order_id, []).append(row)
    Shipment.objects.bulk_create(
        _shipment(draft, index, parcel, people[draft.customer - 1], now)
        for draft, index, parcel in _parcels(orders)
    )
    Shipment.lines.through.objects.bulk_create(
        Shipment.lines.through(
            shipment_id=_shipment_id(draft, index), orderline_id=lines[_order_id(draft)][place].pk
        )
        for draft, index, parcel in _parcels(orders)
        for place in parcel.lines
    )
    Return.objects.bulk_create(
        Return(
            id=f"R-{draft.number}-{index}",
            order_id=_order_id(draft),
            line=lines[_order_id(draft)][back.line],
            quantity=back.quantity,
            status=back.status,
            opened_at=_at(draft, back.opened, now),
        )
        for draft in orders
        for index, back in enumerate(draft.returns, start=1)
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(
            kind=LedgerEntry.Kind.REFUND,
            idempotency_key=f"shop:{_order_id(draft)}:{index}",
            customer_id=customer_id(draft.customer),
            order_id=_order_id(draft),
            amount=refund.amount,
            currency=draft.currency,
            text=refund.reason,
            recorded_at=_at(draft, refund.days, now),
        )
        for draft in orders
        for index, refund in enumerate(draft.refunds, start=1)
    )
    CrmNote.objects.bulk_create(
        CrmNote(
            customer_id=customer_id(number),
            author=author,
            text=text,
            idempotency_key=f"shop:note:{index}",
            written_at=_before(now, days),
        )
        for index, (number, author, text, days) in enumerate(NOTES, start=1)
    )


def _customers(now: datetime) -> Iterator[Customer]:
    random = _dice()
    for number, (name, mailbox, country) in enumerate(catalogue.PEOPLE, start=1):
        language, _, cities = catalogue.COUNTRIES[country]
        yield Customer(
            id=customer_id(number),
            name=name,
            email=f"{mailbox}@{random.choice(('example.com', 'example.org', 'example.net'))}",
            country=country,
            language=language,
            city=random.choice(cities),
            since=_before(now, random.randint(310, 2000)).date(),
        )


def _order(draft: Draft, now: datetime) -> Order:
    return Order(
        id=_order_id(draft),
        customer_id=customer_id(draft.customer),
        status=draft.status,
        currency=draft.currency,
        shipping_fee=draft.shipping_fee,
        paid=draft.paid,
        placed_at=_at(draft, draft.days, now),
    )


def _parcels(orders: list[Draft]) -> Iterator[tuple[Draft, int, Parcel]]:
    for draft in orders:
        for index, parcel in enumerate(draft.parcels, start=1):
            yield draft, index, parcel


def _shipment(draft: Draft, index: int, parcel: Parcel, customer: Customer, now: datetime) -> Shipment:
    hub = catalogue.AIRPORT if customer.country in catalogue.OVERSEAS else catalogue.HUB
    scans = [(parcel.shipped, catalogue.WAREHOUSE, "handed to the carrier")]
    if parcel.status == Shipment.Status.DELIVERED:
        scans.append(((parcel.shipped + parcel.last_scan) / 2, hub, "sorted"))
        scans.append((parcel.last_scan, customer.city, "delivered"))
    else:
        scans.append((parcel.last_scan, hub, "sorted"))
    return Shipment(
        id=_shipment_id(draft, index),
        order_id=_order_id(draft),
        carrier=parcel.carrier,
        status=parcel.status,
        shipped_at=_at(draft, parcel.shipped, now),
        expected_at=_at(draft, parcel.expected, now),
        scans=[
            {"at": _at(draft, days, now).isoformat(), "place": place, "event": event}
            for days, place, event in scans
        ],
    )


def _order_id(draft: Draft) -> str:
    return f"O-{draft.number}"


def _shipment_id(draft: Draft, index: int) -> str:
    return f"S-{draft.number}-{index}"


def _at(draft: Draft, days: float, now: datetime) -> datetime:
    """`days` before `now`, at another time of day for each order."""
    return _before(now - timedelta(minutes=draft.number * 97 % 720), days)


def _before(now: datetime, days: float) -> datetime:
    return (now - timedelta(days=days)).replace(microsecond=0)
