package inventory

import (
	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The stock view is the stock as customers and staff see it. Every product of the catalogue
// has a row, also before any of it arrives. Its persisted name is "levels".
var stockDefinition = projection.Definition{
	Name: "levels",
	Schema: `
CREATE TABLE levels (
	sku      TEXT PRIMARY KEY,
	on_hand  INTEGER NOT NULL,
	reserved INTEGER NOT NULL
) WITHOUT ROWID;`,
	Reads: []projection.Source{
		{Stream: "INVENTORY", Subjects: []string{"events.stock.>"}},
		{Stream: "CATALOG", Subjects: []string{"events.product.*.created"}},
	},
	Project: project,
}

func project(tx *projection.Tx, r eventlog.Record) error {
	switch e := r.Event.(type) {
	case events.ProductCreated:
		return add(tx, e.SKU, 0, 0)
	case events.StockCounted:
		return set(tx, e.Level)
	case events.StockAdjusted:
		return set(tx, e.Level)
	}
	lines, onHand, reserved := moves(r.Event)
	for _, line := range lines {
		if err := add(tx, line.SKU, onHand*line.Quantity, reserved*line.Quantity); err != nil {
			return err
		}
	}
	return nil
}

func set(tx *projection.Tx, l events.Level) error {
	return tx.Exec(`INSERT INTO levels (sku, on_hand, reserved) VALUES (?, ?, ?)
		ON CONFLICT (sku) DO UPDATE SET on_hand = excluded.on_hand, reserved = excluded.reserved`,
		string(l.SKU), l.OnHand, l.Reserved)
}

func add(tx *projection.Tx, sku events.SKU, onHand, reserved int64) error {
	return tx.Exec(`INSERT INTO levels (sku, on_hand, reserved) VALUES (?, ?, ?)
		ON CONFLICT (sku) DO UPDATE SET on_hand = on_hand + excluded.on_hand, reserved = reserved + excluded.reserved`,
		string(sku), onHand, reserved)
}
