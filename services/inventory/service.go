// Package inventory keeps the stock: what is on hand, what is set aside for
// which order, and what has left.
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

// Config says how inventory behaves. The zero Config works.
type Config struct {
	// ReservationTTL is how long an order's goods are set aside; 0 means 20
	// minutes. It should be longer than a payment's deadline.
	ReservationTTL time.Duration
}

// New is the inventory service: all that it does.
func New(config Config) *service.Service {
	stock := decider.New(stockKind)
	levels := projection.New(levelsDefinition)
	return &service.Service{
		Name:  "inventory",
		Views: []*projection.View{levels},
		Commands: []service.Command{
			service.HandleWith(stock, catalogued(levels, func(c command.CountStock) events.SKU { return c.SKU }), count).ReplyToCommand(showCounted),
			service.HandleWith(stock, catalogued(levels, func(c command.AdjustStock) events.SKU { return c.SKU }), adjust).Reply(show),
		},
		Reactions: []service.Reaction{
			{Consumer: "inventory-on-orders", Handlers: []service.Handler{
				service.React(stock, here[events.OrderPlaced], reserve(cmp.Or(config.ReservationTTL, 20*time.Minute))),
				service.React(stock, here[events.OrderPaid], commit),
				service.React(stock, here[events.OrderCancelled], giveBack),
			}},
			{Consumer: "inventory-reminders", Handlers: []service.Handler{
				service.Remind("inventory-expiry", func(e events.StockReserved) time.Time { return e.ExpiresAt }),
			}},
			{Consumer: "inventory-expiry", Handlers: []service.Handler{
				service.React(stock, here[events.StockReserved], expire),
			}},
		},
		Queries: []service.Query{
			service.Answer(levels, findLevel(levels)).About("CATALOG", func(q query.Stock) string { return "events.product." + string(q.SKU) + ".>" }),
		},
	}
}

// here is the one location there is, whatever the event.
func here[E events.Event](E) string { return string(events.MainLocation) }

// show is the level that a count or an adjustment led to, as the event says it.
func show(_ *ledger, event events.Event) any {
	switch e := event.(type) {
	case events.StockCounted:
		return query.NewStockView(e.Level)
	case events.StockAdjusted:
		return query.NewStockView(e.Level)
	}
	return nil
}

// showCounted is show, and the level as it stands when counting changed nothing.
func showCounted(l *ledger, c command.CountStock, event events.Event) any {
	if event == nil {
		return query.NewStockView(l.level(c.SKU))
	}
	return show(l, event)
}
