package orders

import (
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The prices view is what can be ordered, and at which price: this service's own copy of
// the catalogue, so that orders can be placed while catalog is down. Its persisted name is
// "offers".
var pricesDefinition = projection.Definition{
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
	Project: projectPrices,
}

func projectPrices(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.ProductCreated:
		return putPrice(tx, e.Product, r.Time)
	case events.ProductChanged:
		return putPrice(tx, e.Product, r.Time)
	case events.ProductRestored:
		return putPrice(tx, e.Product, r.Time)
	case events.ProductArchived:
		return tx.Exec(`UPDATE offers SET listed = 0 WHERE sku = ?`, string(e.SKU))
	}
	return nil
}

// putPrice puts a product's row. The time since which a price holds moves only when the
// price changes.
func putPrice(tx *projection.Tx, p events.Product, at time.Time) error {
	return tx.Exec(`INSERT INTO offers (sku, name, amount, currency, since, listed) VALUES (?, ?, ?, ?, ?, 1)
		ON CONFLICT (sku) DO UPDATE SET name = excluded.name, amount = excluded.amount, currency = excluded.currency, listed = 1,
			since = iif(amount = excluded.amount AND currency = excluded.currency, since, excluded.since)`,
		string(p.SKU), p.Name, p.Price.Amount, p.Price.Currency, at.UnixMicro())
}
