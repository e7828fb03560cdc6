package receipts

import (
	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The receipts view holds where on the streams the events are that make up a receipt. What these
// say is read from the log: a copy would be as large as the log itself, and a receipt is seldom
// asked for. Decisions ask the view which entries the books have; see lookups.go.
//
// Each stream writes its own tables, so no row depends on how they interleave. Columns that end in
// "at", placed and paid are numbers of events (eventlog.Record.Number).
var receiptsDefinition = projection.Definition{
	Name: "receipts",
	Schema: `
CREATE TABLE orders (
	id        PRIMARY KEY,               -- compact
	customer,                            -- compact
	placed    INTEGER,
	paid      INTEGER,                   -- NULL until the order is paid
	cancelled INTEGER NOT NULL DEFAULT 0 -- whether it is
) WITHOUT ROWID;
CREATE TABLE receipts (
	order_id  PRIMARY KEY,               -- compact
	number    INTEGER NOT NULL,
	issued_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE credits (
	refund      TEXT PRIMARY KEY,        -- the id of the event payment.refunded
	order_id    NOT NULL,                -- compact
	credited_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX credits_of_order ON credits (order_id, credited_at);`,
	Reads: []projection.Source{
		{Stream: "RECEIPTS", Subjects: []string{"events.receipt.>"}},
		{Stream: "ORDERS", Subjects: []string{"events.order.*.placed", "events.order.*.paid", "events.order.*.cancelled"}},
	},
	Project:     project,
	LateIndexes: true, // rows are found by their keys only
}

func orderKey(id events.OrderID) any { return projection.CompactID("ord_", string(id)) }

func customerKey(id string) any { return projection.CompactID("usr_", id) }

func project(tx *projection.Tx, r eventlog.Record) error {
	number := int64(r.Number)
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		return tx.Exec(`INSERT INTO orders (id, customer, placed) VALUES (?1, ?2, ?3)
			ON CONFLICT (id) DO UPDATE SET customer = ?2, placed = ?3`, orderKey(e.OrderID), customerKey(string(e.CustomerID)), number)
	case events.OrderPaid:
		return tx.Exec(`INSERT INTO orders (id, paid) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET paid = ifnull(paid, ?2)`, orderKey(e.OrderID), number)
	case events.OrderCancelled:
		return tx.Exec(`INSERT INTO orders (id, cancelled) VALUES (?, 1) ON CONFLICT (id) DO UPDATE SET cancelled = 1`, orderKey(e.OrderID))
	case events.ReceiptIssued:
		tx.MarkChanged(string(e.OrderID))
		return tx.Exec(`INSERT OR IGNORE INTO receipts (order_id, number, issued_at) VALUES (?, ?, ?)`, orderKey(e.OrderID), e.Number, number)
	case events.ReceiptCredited:
		return tx.Exec(`INSERT OR IGNORE INTO credits (refund, order_id, credited_at) VALUES (?, ?, ?)`, e.Refund, orderKey(e.OrderID), number)
	}
	return nil
}
