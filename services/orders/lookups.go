package orders

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// quotes holds the present price of each product that an order asks for. A product that
// cannot be ordered is missing.
type quotes map[events.SKU]quote

type quote struct {
	name    string
	price   events.Money
	changed bool // the price was set after the order was deferred; false for one that was not
}

// lookUpPrices finds the prices of what an order asks for. Before it returns quotes for
// which the order would be rejected, it lets the view catch up with the log: the price that
// a customer saw may be newer than the view.
func lookUpPrices(pricesView *projection.View) func(context.Context, command.PlaceOrder) (quotes, error) {
	return func(ctx context.Context, c command.PlaceOrder) (quotes, error) {
		found, err := readPrices(ctx, pricesView, c)
		if err != nil || found.satisfy(c) {
			return found, err
		}
		if err := pricesView.CatchUp(ctx); err != nil {
			return nil, err
		}
		return readPrices(ctx, pricesView, c)
	}
}

// readPrices reads the prices from the view. The rows of an older program, which serve until
// the view is rebuilt, have no column "since", so it is read only for a deferred order.
func readPrices(ctx context.Context, pricesView *projection.View, c command.PlaceOrder) (quotes, error) {
	skus := make([]events.SKU, len(c.Items))
	for i, line := range c.Items {
		skus[i] = line.SKU
	}
	wanted, err := json.Marshal(skus)
	if err != nil {
		return nil, err
	}
	changed, args := "0", []any{string(wanted)}
	if deferredAt := service.DeferredAt(ctx); !deferredAt.IsZero() {
		changed, args = "since > ?2", append(args, deferredAt.UnixMicro())
	}
	read := make(quotes, len(c.Items))
	err = pricesView.Each(ctx, `SELECT sku, name, amount, currency, `+changed+` FROM json_each(?1) wanted CROSS JOIN offers ON sku = wanted.value AND listed = 1`,
		args, func(scan func(...any) error) error {
			var sku events.SKU
			var q quote
			err := scan(&sku, &q.name, &q.price.Amount, &q.price.Currency, &q.changed)
			read[sku] = q
			return err
		})
	return read, err
}

// satisfy reports whether all that an order asks for can be ordered, at the prices that the
// customer saw.
func (found quotes) satisfy(c command.PlaceOrder) bool {
	for _, line := range c.Items {
		if q, ok := found[line.SKU]; !ok || q.mismatch(line) != "" {
			return false
		}
	}
	return true
}

// committed reports whether inventory has committed an order's goods. Inventory takes them
// back only for a cancellation. So for an order that is paid, true holds however old the
// view is that it was read from.
type committed bool

// commitTimeout is how long a command waits for the goods of an order that was paid a moment
// ago. Inventory commits them within milliseconds unless it is down.
const commitTimeout = 3 * time.Second

// lookUpCommitted finds out whether an order's goods are committed. It returns false only
// when the view has caught up with the log.
func lookUpCommitted(ordersView *projection.View) func(context.Context, command.ShipOrder) (committed, error) {
	return func(ctx context.Context, c command.ShipOrder) (committed, error) {
		var status string
		var found bool
		read := func() (done bool, err error) {
			_, err = ordersView.Get(ctx, `SELECT `+statusText("o.status")+`, EXISTS (SELECT 1 FROM positions f WHERE f.order_id = o.id AND f.stream = ? AND f.status = ?)
				FROM placed_orders o WHERE o.id = ?`, []any{slices.Index(streams, "INVENTORY"), commits, orderKey(c.OrderID)}, &status, &found)
			return found || status != query.Paid, err
		}
		if _, err := read(); err != nil || found {
			return committed(found), err
		}
		if err := ordersView.CatchUp(ctx); err != nil {
			return false, err
		}
		err := wait(ctx, ordersView, c.OrderID, commitTimeout.Milliseconds(), read)
		return committed(found), err
	}
}
