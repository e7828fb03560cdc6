// Package inventory is the service that owns the stock: what is on hand, what is reserved
// for which order, and what has left with an order.
//
// It records on the stream INVENTORY, and reacts to the events of orders. It guarantees:
//
//   - The stock is never oversold. All stock of a location is one entity, a ledger, so an
//     order's lines are reserved together or not at all, by one conditional append.
//   - An order takes stock at most once and gives it back at most once, in whatever order
//     its events arrive and however often. An order that is cancelled before it was seen is
//     recorded as released, so a late order.placed reserves nothing.
//   - Refunded pieces come back at most once, and what came back with a refund does not come back
//     again with a cancellation.
//   - A reservation that is not paid in time is released. A payment that comes later still
//     takes what is available; if too little is, the order is refused and so cancelled.
//
// Package catalog describes the files.
package inventory

import (
	"cmp"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// Config configures inventory. The zero Config works.
type Config struct {
	// ReservationTTL is how long an order's goods stay reserved; 0 means 20 minutes. It
	// should be longer than a payment's deadline.
	ReservationTTL time.Duration

	keeps int // orders that are not reserved, in the ledger; 0 means keptOrders
}

// New returns an inventory service that has not started. It runs once.
func New(config Config) *service.Service {
	stockView := projection.New(stockDefinition)
	reservationsView := projection.New(reservationsDefinition)
	stock := decider.New(stockTypeOf(cmp.Or(config.keeps, keptOrders))).RememberIn(reservationsView)
	orders := newOrderLookup(reservationsView, stock)
	return &service.Service{
		Name:  "inventory",
		Views: []*projection.View{stockView, reservationsView},
		Commands: []service.Command{
			service.HandleWith(stock, lookUpProduct(stockView, func(c command.CountStock) events.SKU { return c.SKU }), count).ReplyWithCommand(replyToCount),
			service.HandleWith(stock, lookUpProduct(stockView, func(c command.AdjustStock) events.SKU { return c.SKU }), adjust).Reply(reply),
		},
		Reactions: []service.Reaction{
			{Consumer: "inventory-on-orders", Handlers: []service.Handler{
				service.ReactWith(stock, mainLocation[events.OrderPlaced], lookUpOrder[events.OrderPlaced](orders),
					reserve(cmp.Or(config.ReservationTTL, 20*time.Minute))).Idempotent(),
				service.ReactWith(stock, mainLocation[events.OrderPaid], lookUpOrder[events.OrderPaid](orders), commit).Idempotent(),
				service.ReactWith(stock, mainLocation[events.OrderCancelled], lookUpOrder[events.OrderCancelled](orders), release).Idempotent(),
				service.ReactWith(stock, mainLocation[events.OrderRefundRequested], lookUpOrder[events.OrderRefundRequested](orders), restock).Idempotent(),
			}},
		},
		Timers: []service.Timer{
			{Name: "inventory-expiry", Stream: stock.Stream(), View: reservationsView, Pending: unpaid, SetBy: "inventory-reminders", Handlers: []service.Handler{
				service.React(stock, mainLocation[events.StockReserved], expire).Idempotent(),
			}},
		},
		Queries: []service.Query{
			service.Answer(stockView, findStock(stockView)).ForEntity("CATALOG", func(q query.Stock) string { return "events.product." + string(q.SKU) + ".>" }),
		},
	}
}

// mainLocation returns the entity that reacts to an event: the only location there is.
func mainLocation[E events.Event](E) string { return string(events.MainLocation) }

// reply is the answer to a count or an adjustment: the level that the event carries. It is
// the same when the command is sent again, whatever happened since.
func reply(_ *ledger, event events.Event) any {
	switch e := event.(type) {
	case events.StockCounted:
		return query.NewStockView(e.Level)
	case events.StockAdjusted:
		return query.NewStockView(e.Level)
	}
	return nil
}

// replyToCount is reply, and the present level when the count changed nothing.
func replyToCount(l *ledger, c command.CountStock, event events.Event) any {
	if event == nil {
		return query.NewStockView(l.level(c.SKU))
	}
	return reply(l, event)
}
