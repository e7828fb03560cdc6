package orders

import (
	"context"

	"lonja/events"
	"lonja/events/command"
	"lonja/internal/eventlog"
	"lonja/internal/view"
)

// The offers are what may be ordered and for how much: this service's own
// notes of the catalogue, so that an order can be taken while catalog is down.
var offersDefinition = view.Definition{
	Name: "offers",
	Schema: `
CREATE TABLE offers (
	sku      TEXT PRIMARY KEY,
	name     TEXT NOT NULL,
	amount   INTEGER NOT NULL,
	currency TEXT NOT NULL,
	listed   INTEGER NOT NULL
) WITHOUT ROWID;`,
	Reads:   []view.Source{{Stream: "CATALOG", Subjects: []string{"events.product.>"}}},
	Project: projectOffers,
}

func projectOffers(tx *view.Tx, r eventlog.Recorded) error {
	switch e := r.Event.(type) {
	case events.ProductCreated:
		return note(tx, e.Product)
	case events.ProductChanged:
		return note(tx, e.Product)
	case events.ProductArchived:
		return tx.Exec(`UPDATE offers SET listed = 0 WHERE sku = ?`, string(e.SKU))
	}
	return nil
}

func note(tx *view.Tx, p events.Product) error {
	return tx.Exec(`INSERT INTO offers (sku, name, amount, currency, listed) VALUES (?, ?, ?, ?, 1)
		ON CONFLICT (sku) DO UPDATE SET name = excluded.name, amount = excluded.amount, currency = excluded.currency, listed = 1`,
		string(p.SKU), p.Name, p.Price.Amount, p.Price.Currency)
}

// lookUp finds what an order asks for, and leaves out what is not on offer.
func lookUp(prices *view.View) func(context.Context, command.PlaceOrder) (offers, error) {
	return func(ctx context.Context, c command.PlaceOrder) (offers, error) {
		known := make(offers, len(c.Items))
		for _, wanted := range c.Items {
			if _, again := known[wanted.SKU]; again {
				continue
			}
			var o offer
			found, err := prices.Get(ctx, `SELECT name, amount, currency FROM offers WHERE sku = ? AND listed = 1`,
				[]any{string(wanted.SKU)}, &o.name, &o.price.Amount, &o.price.Currency)
			if err != nil {
				return nil, err
			}
			if found {
				known[wanted.SKU] = o
			}
		}
		return known, nil
	}
}
