package orders

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

func cancel(o order, c command.CancelOrder, m decider.Meta) (events.Event, error) {
	if err := maySee(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch o.Status {
	case query.Cancelled:
		return nil, nil
	case query.Shipped, query.Delivered:
		return nil, noWay(o, query.Cancelled)
	}
	if o.isOf(m.Actor) {
		return cancelled(o, events.CancelledByCustomer), nil
	}
	return cancelled(o, events.CancelledByStaff), nil
}

// ship needs to know whether the goods are allocated: a paid order may yet be
// cancelled for want of them.
func ship(o order, c command.ShipOrder, goods allocated, m decider.Meta) (events.Event, error) {
	if err := staffOnly(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch o.Status {
	case query.Shipped:
		return nil, nil
	case query.Paid:
		if !goods {
			return nil, errs.New(errs.Conflict, "the order is paid, but its goods are not yet taken off the shelves for it; try again in a moment")
		}
		return events.OrderShipped{OrderID: c.OrderID}, nil
	}
	return nil, noWay(o, query.Shipped)
}

func deliver(o order, c command.DeliverOrder, m decider.Meta) (events.Event, error) {
	if err := staffOnly(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch o.Status {
	case query.Delivered:
		return nil, nil
	case query.Shipped:
		return events.OrderDelivered{OrderID: c.OrderID}, nil
	}
	return nil, noWay(o, query.Delivered)
}

func cancelled(o order, reason string) events.Event {
	return events.OrderCancelled{OrderID: o.ID, Reason: reason, WasPaid: o.Status == query.Paid}
}

func noWay(o order, to string) error {
	return errs.New(errs.Conflict, "the order is %s and cannot become %s", o.Status, to)
}

func (o order) isOf(a eventlog.Actor) bool { return a.ID != "" && string(o.CustomerID) == a.ID }

// signedIn is Unauthenticated unless the actor is somebody.
func signedIn(a eventlog.Actor) error {
	if !events.IsToken(a.ID) {
		return errs.New(errs.Unauthenticated, "sign in first")
	}
	return nil
}

// maySee is nil for an order's owner and for staff. To everybody else the order
// does not exist.
func maySee(o order, id events.OrderID, a eventlog.Actor) error {
	if err := signedIn(a); err != nil {
		return err
	}
	if o.Status == unknown || !o.isOf(a) && !a.HasRole(events.StaffRoles...) {
		return noSuchOrder(id)
	}
	return nil
}

func staffOnly(o order, id events.OrderID, a eventlog.Actor) error {
	if err := maySee(o, id, a); err != nil {
		return err
	}
	return a.Require(events.StaffRoles...)
}

func noSuchOrder(id events.OrderID) error {
	return errs.New(errs.NotFound, "there is no order %s", id)
}
