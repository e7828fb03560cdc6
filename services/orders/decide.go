package orders

import (
	"encoding/json"
	"fmt"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// maxPlaced bounds the JSON of a placed order in bytes, so that an order with every event
// about it still fits in one message of a megabyte. An order of up to alwaysFits lines
// cannot exceed it, whatever its products are called.
const (
	maxPlaced  = 400_000
	alwaysFits = 200
)

func place(o order, c command.PlaceOrder, found quotes, m decider.Meta) (events.Event, error) {
	if err := mayOrder(m.Actor); err != nil {
		return nil, err
	}
	if o.Status != unknown {
		return nil, errs.New(errs.Conflict, "order %s already exists", m.EntityID)
	}
	placed := events.OrderPlaced{
		OrderID:    events.OrderID(m.EntityID),
		CustomerID: events.UserID(m.Actor.ID),
		Items:      make([]events.OrderItem, 0, len(c.Items)),
	}
	for i, line := range c.Items {
		path := fmt.Sprintf("items[%d]", i)
		if err := addLine(&placed, line, found); err != nil {
			return nil, events.InField(path, err)
		}
		if mismatch := found[line.SKU].mismatch(line); mismatch != "" {
			return nil, &errs.Error{Code: errs.Conflict, Detail: mismatch, Field: path + ".unit_price"}
		}
	}
	return placed, checkSize(placed)
}

// addLine adds a line to an order that is being placed. Its errors name the line's fields.
func addLine(placed *events.OrderPlaced, line command.OrderLine, found quotes) error {
	q, ok := found[line.SKU]
	if !ok {
		return events.InvalidField("sku", "is not for sale")
	}
	if len(placed.Items) == 0 {
		placed.Total.Currency = q.price.Currency
	}
	if q.price.Currency != placed.Total.Currency {
		return events.InvalidField("sku", "is priced in %s, but the items before it in %s; an order has one currency", q.price.Currency, placed.Total.Currency)
	}
	total, ok := q.price.Times(line.Quantity)
	if !ok {
		return events.InvalidField("quantity", "makes the line cost more than the maximum of an order")
	}
	if placed.Total, ok = placed.Total.Plus(total); !ok {
		return events.InvalidField("quantity", "makes the order cost more than the maximum")
	}
	if placed.TotalItems += line.Quantity; placed.TotalItems > events.MaxQuantity {
		return events.InvalidField("quantity", "makes the order larger than %d pieces", int64(events.MaxQuantity))
	}
	placed.Items = append(placed.Items, events.OrderItem{
		SKU: line.SKU, Name: q.name, Quantity: line.Quantity, UnitPrice: q.price, LineTotal: total,
	})
	return nil
}

// mismatch describes how the price differs from the one that the customer saw, "" when it
// does not. A line without UnitPrice can differ only in a deferred order.
func (q quote) mismatch(line command.OrderLine) string {
	switch {
	case line.UnitPrice == nil && q.changed:
		return fmt.Sprintf("the price of %s was changed to %s after the order was sent; order again at this price", line.SKU, q.price)
	case line.UnitPrice == nil || *line.UnitPrice == q.price:
		return ""
	}
	return fmt.Sprintf("%s costs %s, not %s; order again at this price", line.SKU, q.price, *line.UnitPrice)
}

func checkSize(placed events.OrderPlaced) error {
	if len(placed.Items) <= alwaysFits {
		return nil
	}
	data, err := json.Marshal(placed)
	if err == nil && len(data) > maxPlaced {
		return events.InvalidField("items", "are too many for one order; place several")
	}
	return err
}

func cancel(o order, c command.CancelOrder, m decider.Meta) (events.Event, error) {
	if err := maySee(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch o.Status {
	case query.Cancelled:
		return nil, nil
	case query.Shipped, query.Delivered:
		return nil, cannotBecome(o, query.Cancelled)
	}
	if o.isOf(m.Actor) {
		return cancelled(o, events.CancelledByCustomer), nil
	}
	return cancelled(o, events.CancelledByStaff), nil
}

// ship needs to know whether the goods are committed: a paid order is still cancelled when
// inventory refuses its goods.
func ship(o order, c command.ShipOrder, goods committed, m decider.Meta) (events.Event, error) {
	if err := staffOnly(o, c.OrderID, m.Actor); err != nil {
		return nil, err
	}
	switch o.Status {
	case query.Shipped:
		return nil, nil
	case query.Paid:
		if !goods {
			return nil, errs.New(errs.Conflict, "the order is paid, but its goods are not yet taken out of stock; try again in a moment")
		}
		return events.OrderShipped{OrderID: c.OrderID}, nil
	}
	return nil, cannotBecome(o, query.Shipped)
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
	return nil, cannotBecome(o, query.Delivered)
}

func cancelled(o order, reason string) events.Event {
	return events.OrderCancelled{OrderID: o.ID, Reason: reason, WasPaid: o.Status == query.Paid}
}

func cannotBecome(o order, status string) error {
	return errs.New(errs.Conflict, "the order is %s and cannot become %s", o.Status, status)
}

func (o order) isOf(a eventlog.Actor) bool { return a.ID != "" && string(o.CustomerID) == a.ID }

// loggedIn is Unauthenticated unless the actor has an id that may be a user's.
func loggedIn(a eventlog.Actor) error {
	if !events.IsToken(a.ID) {
		return errs.New(errs.Unauthenticated, "log in first")
	}
	return nil
}

func mayOrder(a eventlog.Actor) error {
	if err := loggedIn(a); err != nil {
		return err
	}
	if !a.HasRole(events.Customer, events.Staff, events.Admin) {
		return errs.New(errs.Forbidden, "only customers may order")
	}
	return nil
}

// maySee is nil for an order's owner and for staff. For everybody else the order does not
// exist: the error is NotFound.
func maySee(o order, id events.OrderID, a eventlog.Actor) error {
	if err := loggedIn(a); err != nil {
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
