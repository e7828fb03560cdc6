package seed

import (
	"context"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
)

// step is something that happens to an order.
type step uint8

const (
	place step = iota
	reserve
	refuse
	await
	request
	capture
	pay
	issue
	commit
	ship
	deliver
	decline
	expire // the payment
	lapse  // the reservation
	cancelByCustomer
	cancelByStaff
	cancelRefused
	cancelExpired
	cancelLapsed
	release
	giveBack // the goods
	void
	setAside
	refund
	credit
	steps
)

// fate is what becomes of an order, as steps in an order that is possible.
type fate []step

// open is an order that nobody has paid yet.
var open = fate{place, reserve, await, request}

// bought is a paid order whose goods are to be sent.
var bought = with(open, capture, pay, issue, commit)

func with(begin fate, more ...step) fate { return append(begin[:len(begin):len(begin)], more...) }

// fates is how many of a thousand orders have which fate. The rest is delivered.
var fates = []struct {
	orders int
	fate   fate
}{
	{5, open},
	{60, bought},
	{60, with(bought, ship)},
	{60, with(open, cancelByCustomer, release, void)},
	{40, with(bought, cancelByStaff, giveBack, setAside, refund, credit)},
	{50, with(open, decline, expire, cancelExpired, release, void)},
	{60, with(open, expire, cancelExpired, release, void)},
	{15, with(open, lapse, cancelLapsed, void)},
	{30, fate{place, refuse, cancelRefused, void}},
}

var delivered = with(bought, ship, deliver)

// fateOf returns the fate of an order by a number below 1000.
func fateOf(n int) fate {
	for _, f := range fates {
		if n < f.orders {
			return f.fate
		}
		n -= f.orders
	}
	return delivered
}

// life is an order and what was recorded about it so far.
type life struct {
	order
	placed  events.OrderPlaced
	lines   []events.Quantity
	payment events.PaymentID
	numbers [steps]int64 // in the books of receipts and of credit notes
	done    [steps]recorded
	now     time.Time
}

// order is what a customer ordered, and what becomes of it.
type order struct {
	customer  events.UserID
	command   string // id of the command that placed it
	items     []events.OrderItem
	staff     events.UserID // who sends it
	fate      fate
	at        time.Time
	reserved  time.Duration // how long its goods are reserved
	mayBePaid time.Duration // how long it may be paid
	missing   []events.Shortage
	// commandID returns the id of a later command about the order.
	commandID func(step) string
}

func newLife(o order) *life {
	l := &life{order: o, now: o.at}
	l.placed = events.OrderPlaced{OrderID: events.OrderID(eventlog.NewEntityID("ord_", o.command)), CustomerID: o.customer, Items: o.items}
	l.placed.Total.Currency = o.items[0].UnitPrice.Currency
	for _, item := range o.items {
		l.placed.Total.Amount += item.LineTotal.Amount
		l.placed.TotalItems += item.Quantity
	}
	l.lines = events.PerSKU(events.LinesOf(o.items))
	l.payment = events.PaymentFor(l.placed.OrderID)
	return l
}

// delays is how long after the step before a step happens. A reaction takes a moment.
var delays = [steps]time.Duration{capture: 2 * time.Minute, ship: 20 * time.Hour, deliver: 48 * time.Hour, decline: time.Minute,
	cancelByCustomer: 5 * time.Minute, cancelByStaff: time.Hour}

func (l *life) delay(s step) time.Duration {
	switch s {
	case place:
		return 0
	case expire:
		return l.mayBePaid
	case lapse:
		return l.reserved
	}
	return max(delays[s], 2*time.Millisecond)
}

// take records a step.
func (l *life) take(ctx context.Context, w *writer, s step) (err error) {
	l.now = l.now.Add(l.delay(s))
	if s == issue || s == credit {
		w.numbers[s]++
		l.numbers[s] = w.numbers[s]
	}
	c, e := l.step(s)
	l.done[s], err = w.record(ctx, c, e)
	return err
}

// step returns a step's cause and event.
func (l *life) step(s step) (cause, events.Event) {
	id := l.placed.OrderID
	switch s {
	case place:
		c := from(string(l.customer), l.command, l.placeOrder(), l.now)
		c.unique = false // the order's id is derived from the command's
		return c, l.placed
	case reserve:
		return l.reactTo(place, "inventory-on-orders"), events.StockReserved{Location: events.MainLocation, OrderID: id, Lines: l.lines, ExpiresAt: l.deadline(l.reserved)}
	case refuse:
		return l.reactTo(place, "inventory-on-orders"), events.StockRefused{Location: events.MainLocation, OrderID: id, Shortages: l.missing}
	case await:
		return l.reactTo(reserve, "orders-on-stock"), events.OrderAwaitingPayment{OrderID: id, Amount: l.placed.Total}
	case commit:
		return l.reactTo(pay, "inventory-on-orders"), events.StockCommitted{Location: events.MainLocation, OrderID: id, Lines: l.lines}
	case lapse:
		return l.reactTo(reserve, "inventory-expiry"), l.released(events.ReleasedExpired)
	case release:
		return l.reactTo(l.cancelled(), "inventory-on-orders"), l.released(events.ReleasedCancelled)
	case giveBack:
		return l.reactTo(l.cancelled(), "inventory-on-orders"), events.StockReturned{Location: events.MainLocation, OrderID: id, Lines: l.lines}
	case ship:
		return from(string(l.staff), l.commandID(s), command.ShipOrder{OrderID: id}, l.now), events.OrderShipped{OrderID: id}
	case deliver:
		return from(string(l.staff), l.commandID(s), command.DeliverOrder{OrderID: id}, l.now), events.OrderDelivered{OrderID: id}
	case cancelByCustomer, cancelByStaff, cancelRefused, cancelExpired, cancelLapsed:
		return l.cancel(s)
	case issue:
		return l.reactTo(pay, "receipts-on-orders"), events.ReceiptIssued{Number: l.numbers[issue], OrderID: id, Amount: l.placed.Total}
	case credit:
		return l.reactTo(refund, "receipts-on-payments"), events.ReceiptCredited{Number: l.numbers[credit], OrderID: id, Receipt: l.numbers[issue],
			Refund: l.done[refund].id, Amount: l.placed.Total}
	}
	return l.money(s)
}

// money returns the cause and the event of a step of the payment, or of the order's payment.
func (l *life) money(s step) (cause, events.Event) {
	id, total := l.placed.OrderID, l.placed.Total
	switch s {
	case request:
		return l.reactTo(await, "payments-on-orders"), events.PaymentRequested{PaymentID: l.payment, OrderID: id, Amount: total,
			Provider: "sandbox", URL: "/sandbox/payments/" + string(l.payment), ExpiresAt: l.deadline(l.mayBePaid)}
	case capture:
		return l.settle(s, command.Pay), events.PaymentCaptured{PaymentID: l.payment, OrderID: id, Amount: total}
	case decline:
		return l.settle(s, command.Decline), events.PaymentAttemptFailed{PaymentID: l.payment, OrderID: id, Attempt: 1, Reason: events.AttemptDeclined}
	case expire:
		return l.reactTo(request, "payments-deadline"), events.PaymentExpired{PaymentID: l.payment, OrderID: id}
	case void:
		return l.reactTo(l.cancelled(), "payments-on-orders"), events.PaymentVoided{PaymentID: l.payment, OrderID: id}
	case setAside:
		return l.reactTo(l.cancelled(), "payments-on-orders"), events.PaymentRefundRequested{PaymentID: l.payment, OrderID: id, RefundID: events.RefundFor(id, 1), Amount: total}
	case refund:
		return l.reactTo(setAside, "payments-refunds"), events.PaymentRefunded{PaymentID: l.payment, OrderID: id, RefundID: events.RefundFor(id, 1), Amount: total}
	}
	return l.reactTo(capture, "orders-on-payments"), events.OrderPaid{OrderID: id, PaymentID: l.payment, Amount: total, Lines: l.lines}
}

func (l *life) cancel(s step) (cause, events.Event) {
	e := events.OrderCancelled{OrderID: l.placed.OrderID}
	body := command.CancelOrder{OrderID: e.OrderID}
	switch s {
	case cancelByCustomer:
		e.Reason = events.CancelledByCustomer
		return from(string(l.customer), l.commandID(s), body, l.now), e
	case cancelByStaff:
		e.Reason, e.WasPaid = events.CancelledByStaff, true
		return from(string(l.staff), l.commandID(s), body, l.now), e
	case cancelRefused:
		e.Reason = events.OutOfStock
		return l.reactTo(refuse, "orders-on-stock"), e
	case cancelLapsed:
		e.Reason = events.ReservationExpired
		return l.reactTo(lapse, "orders-on-stock"), e
	}
	e.Reason = events.PaymentHasExpired
	return l.reactTo(expire, "orders-on-payments"), e
}

// cancelled returns the step that cancelled the order.
func (l *life) cancelled() step {
	for s := cancelByCustomer; s <= cancelLapsed; s++ {
		if l.done[s].id != "" {
			return s
		}
	}
	return place // never: fates release only what is cancelled
}

func (l *life) reactTo(s step, consumer string) cause { return reaction(consumer, l.done[s], l.now) }

// settle is a report of the provider, who is nobody.
func (l *life) settle(s step, outcome string) cause {
	return from("", l.commandID(s), command.SettlePayment{PaymentID: l.payment, Outcome: outcome}, l.now)
}

func (l *life) placeOrder() command.PlaceOrder {
	var c command.PlaceOrder
	for _, item := range l.items {
		c.Items = append(c.Items, command.OrderLine{SKU: item.SKU, Quantity: item.Quantity})
	}
	return c
}

func (l *life) released(reason string) events.Event {
	return events.StockReleased{Location: events.MainLocation, OrderID: l.placed.OrderID, Lines: l.lines, Reason: reason}
}

func (l *life) deadline(after time.Duration) time.Time {
	return l.now.UTC().Truncate(time.Microsecond).Add(after)
}
