package orders

import (
	"context"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/projection"
)

// allocated is whether inventory has committed an order's goods. It takes them
// back for a cancellation only: so what an older view says of an order that is
// paid still holds.
type allocated bool

// untilAllocated is how long a command waits for the goods of an order that was
// paid a moment ago: inventory commits them within milliseconds, unless it is away.
const untilAllocated = 3 * time.Second

// allocation finds out whether an order's goods are allocated. It says no only out
// of a book that has caught up with the log.
func allocation(book *projection.View) func(context.Context, command.ShipOrder) (allocated, error) {
	return func(ctx context.Context, c command.ShipOrder) (allocated, error) {
		var status string
		var committed bool
		look := func() (done bool, err error) {
			_, err = book.Get(ctx, `SELECT o.status, EXISTS (SELECT 1 FROM facts f WHERE f.order_id = o.id AND f.stream = 'INVENTORY' AND f.type = ?)
				FROM orders o WHERE o.id = ?`, []any{events.Type(events.StockCommitted{}), string(c.OrderID)}, &status, &committed)
			return committed || status != query.Paid, err
		}
		if _, err := look(); err != nil || committed {
			return allocated(committed), err
		}
		if err := book.CatchUp(ctx); err != nil {
			return false, err
		}
		err := wait(ctx, book, c.OrderID, untilAllocated.Milliseconds(), look)
		return allocated(committed), err
	}
}
