package orders

import (
	"context"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// The offers are what may be ordered and for how much: this service's own
// notes of the catalogue, so that an order can be taken while catalog is down.
var offersDefinition = projection.Definition{
	Name: "offers",
	Schema: `
CREATE TABLE offers (
	sku      TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	amount   INTEGER NOT NULL,
	currency TEXT NOT NULL,
	since    INTEGER NOT NULL, -- that it costs this, in microseconds of Unix time
	listed   INTEGER NOT NULL
) WITHOUT ROWID;`,
	Reads:   []projection.Source{{Stream: "CATALOG", Subjects: []string{"events.product.>"}}},
	Project: projectOffers,
}

func projectOffers(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.ProductCreated:
		return note(tx, e.Product, r.Time)
	case events.ProductChanged:
		return note(tx, e.Product, r.Time)
	case events.ProductRestored:
		return note(tx, e.Product, r.Time)
	case events.ProductArchived:
		return tx.Exec(`UPDATE offers SET listed = 0 WHERE sku = ?`, string(e.SKU))
	}
	return nil
}

func note(tx *projection.Tx, p events.Product, at time.Time) error {
	return tx.Exec(`INSERT INTO offers (sku, name, amount, currency, since, listed) VALUES (?, ?, ?, ?, ?, 1)
		ON CONFLICT (sku) DO UPDATE SET name = excluded.name, amount = excluded.amount, currency = excluded.currency, listed = 1,
			since = iif(amount = excluded.amount AND currency = excluded.currency, since, excluded.since)`,
		string(p.SKU), p.Name, p.Price.Amount, p.Price.Currency, at.UnixMicro())
}

// lookUp finds what an order asks for, and leaves out what is not on offer. What
// an order would be refused for is true of all that is recorded: a price that the
// customer saw may be newer than these notes.
func lookUp(prices *projection.View) func(context.Context, command.PlaceOrder) (offers, error) {
	return func(ctx context.Context, c command.PlaceOrder) (offers, error) {
		known, err := noted(ctx, prices, c)
		if err != nil || known.serve(c) {
			return known, err
		}
		if err := prices.CatchUp(ctx); err != nil {
			return nil, err
		}
		return noted(ctx, prices, c)
	}
}

// noted reads what is on offer. Rows of before there was a since will do for an
// order that comes at once.
func noted(ctx context.Context, prices *projection.View, c command.PlaceOrder) (offers, error) {
	changed, args := "0", []any{""}
	if left := service.DeferredAt(ctx); !left.IsZero() {
		changed, args = "since > ?2", []any{"", left.UnixMicro()}
	}
	query := `SELECT name, amount, currency, ` + changed + ` FROM offers WHERE sku = ?1 AND listed = 1`
	known := make(offers, len(c.Items))
	for _, wanted := range c.Items {
		if _, again := known[wanted.SKU]; again {
			continue
		}
		args[0] = string(wanted.SKU)
		var o offer
		found, err := prices.Get(ctx, query, args, &o.name, &o.price.Amount, &o.price.Currency, &o.changed)
		if err != nil {
			return nil, err
		}
		if found {
			known[wanted.SKU] = o
		}
	}
	return known, nil
}
