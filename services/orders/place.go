package orders

import (
	"encoding/json"
	"fmt"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
)

// offers are the products that may be ordered, as far as an order asks for them.
type offers map[events.SKU]offer

type offer struct {
	name    string
	price   events.Money
	changed bool // since the order was left for later, if it was
}

// maxPlaced bounds the JSON of a placed order, so that an order with every event
// about it still fits in one message of a megabyte. No order of up to
// alwaysFits lines can be so long, whatever its products are called.
const (
	maxPlaced  = 400_000
	alwaysFits = 200
)

func place(o order, c command.PlaceOrder, known offers, m decider.Meta) (events.Event, error) {
	if err := mayOrder(m.Actor); err != nil {
		return nil, err
	}
	if o.Status != unknown {
		return nil, errs.New(errs.Conflict, "there is an order %s already", m.EntityID)
	}
	placed := events.OrderPlaced{
		OrderID:    events.OrderID(m.EntityID),
		CustomerID: events.UserID(m.Actor.ID),
		Items:      make([]events.OrderItem, 0, len(c.Items)),
	}
	for i, wanted := range c.Items {
		line := fmt.Sprintf("items[%d]", i)
		if err := add(&placed, wanted, known); err != nil {
			return nil, events.In(line, err)
		}
		if changed := known[wanted.SKU].differs(wanted); changed != "" {
			return nil, &errs.Error{Code: errs.Conflict, Detail: changed, Field: line + ".unit_price"}
		}
	}
	return placed, fits(placed)
}

func mayOrder(a eventlog.Actor) error {
	if err := signedIn(a); err != nil {
		return err
	}
	if !a.HasRole(events.Customer, events.Staff, events.Admin) {
		return errs.New(errs.Forbidden, "only customers may order")
	}
	return nil
}

// add puts a line into an order that is being made.
func add(placed *events.OrderPlaced, wanted command.OrderLine, known offers) error {
	on, offered := known[wanted.SKU]
	if !offered {
		return events.Wrong("sku", "is not on offer")
	}
	if len(placed.Items) == 0 {
		placed.Total.Currency = on.price.Currency
	}
	if on.price.Currency != placed.Total.Currency {
		return events.Wrong("sku", "costs %s and the items before it %s; an order has one currency", on.price.Currency, placed.Total.Currency)
	}
	line, ok := on.price.Times(wanted.Quantity)
	if !ok {
		return events.Wrong("quantity", "costs more than an order may")
	}
	if placed.Total, ok = placed.Total.Plus(line); !ok {
		return events.Wrong("quantity", "makes the order cost more than one may")
	}
	if placed.TotalItems += wanted.Quantity; placed.TotalItems > events.MaxQuantity {
		return events.Wrong("quantity", "makes the order larger than %d pieces", int64(events.MaxQuantity))
	}
	placed.Items = append(placed.Items, events.OrderItem{
		SKU: wanted.SKU, Name: on.name, Quantity: wanted.Quantity, UnitPrice: on.price, LineTotal: line,
	})
	return nil
}

// differs tells how the price on offer differs from the one that the customer saw,
// "" when it does not, as far as that is known.
func (o offer) differs(wanted command.OrderLine) string {
	switch {
	case wanted.UnitPrice == nil && o.changed:
		return fmt.Sprintf("the price of %s was set to %s after the order was left; order again at this price", wanted.SKU, o.price)
	case wanted.UnitPrice == nil || *wanted.UnitPrice == o.price:
		return ""
	}
	return fmt.Sprintf("%s costs %s, not %s; order again at this price", wanted.SKU, o.price, *wanted.UnitPrice)
}

// serve reports whether all that an order asks for is on offer, at the prices
// that the customer saw.
func (known offers) serve(c command.PlaceOrder) bool {
	for _, wanted := range c.Items {
		if on, offered := known[wanted.SKU]; !offered || on.differs(wanted) != "" {
			return false
		}
	}
	return true
}

func fits(placed events.OrderPlaced) error {
	if len(placed.Items) <= alwaysFits {
		return nil
	}
	data, err := json.Marshal(placed)
	if err == nil && len(data) > maxPlaced {
		return events.Wrong("items", "are too many for one order; place several")
	}
	return err
}
