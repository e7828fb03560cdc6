package orders

import (
	"encoding/json"
	"strings"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The orders view holds every order with its payment, and every event about it on any
// stream (the table "facts"). Columns that hold JSON are copied to answers as they are. No
// row depends on how the streams interleave, since each stream writes its own rows and
// columns. Its persisted name is "book".
var ordersDefinition = projection.Definition{
	Name: "book",
	Schema: `
CREATE TABLE orders (
	id            TEXT PRIMARY KEY,
	placed        INTEGER NOT NULL, -- the sequence at which it was: the greatest is the newest
	customer      TEXT NOT NULL,
	status        TEXT NOT NULL,
	created       TEXT NOT NULL,
	updated       TEXT NOT NULL,
	cancel_reason TEXT NOT NULL DEFAULT '', -- JSON
	goods         TEXT NOT NULL             -- JSON: some members of a query.OrderView
);
CREATE INDEX orders_newest ON orders (placed);
CREATE INDEX orders_by_customer ON orders (customer, placed);
CREATE INDEX orders_by_status ON orders (status, placed);
CREATE TABLE payments (
	order_id TEXT PRIMARY KEY,
	id       TEXT NOT NULL,
	status   TEXT NOT NULL,
	provider TEXT NOT NULL,    -- JSON
	amount   TEXT NOT NULL,    -- JSON
	url      TEXT NOT NULL,    -- JSON, without its quotes
	is_path  INTEGER NOT NULL  -- whether the url lacks an origin
);
CREATE TABLE facts (
	order_id     TEXT NOT NULL,
	stream       TEXT NOT NULL,
	sequence     INTEGER NOT NULL,
	status       TEXT NOT NULL, -- that the order has since; empty when this does not change it
	type         TEXT NOT NULL,
	time         TEXT NOT NULL,
	actor        TEXT NOT NULL,
	event_id     TEXT NOT NULL,
	causation_id TEXT NOT NULL,
	data         TEXT NOT NULL  -- JSON
);
CREATE INDEX facts_of_order ON facts (order_id, stream, sequence);`,
	Reads: []projection.Source{
		{Stream: "ORDERS", Subjects: []string{"events.order.>"}},
		{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}},
		{Stream: "INVENTORY", Subjects: []string{
			"events.stock.*.reserved", "events.stock.*.refused", "events.stock.*.committed",
			"events.stock.*.released", "events.stock.*.returned"}},
	},
	Project: projectOrders,
}

func projectOrders(tx *projection.Tx, r eventlog.Record) error {
	event, ok := r.Event.(events.OfOrder)
	if !ok {
		return nil
	}
	tx.MarkChanged(string(event.Order()))
	if err := tx.Exec(`INSERT INTO facts (order_id, stream, sequence, status, type, time, actor, event_id, causation_id, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(event.Order()), r.Stream, r.Sequence, statusAfter(event), r.Type, formatTime(r.Time), r.Actor.ID, r.ID, r.Causation, string(r.Data)); err != nil {
		return err
	}
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		return putOrder(tx, e, r)
	case events.PaymentRequested:
		return putPayment(tx, e)
	case events.OrderCancelled:
		if err := tx.Exec(`UPDATE orders SET cancel_reason = ? WHERE id = ?`, quoted(e.Reason), string(e.OrderID)); err != nil {
			return err
		}
	}
	if status := statusAfter(event); status != unknown {
		return tx.Exec(`UPDATE orders SET status = ?, updated = ? WHERE id = ?`, status, formatTime(r.Time), string(event.Order()))
	}
	if status := query.PaymentStatusAfter(event); status != unknown {
		return tx.Exec(`UPDATE payments SET status = ? WHERE order_id = ?`, status, string(event.Order()))
	}
	return nil
}

// putOrder writes an order's row. A second order.placed for it, published by hand, replaces
// the row, as it replaces the state in evolve.
func putOrder(tx *projection.Tx, e events.OrderPlaced, r eventlog.Record) error {
	goods, err := json.Marshal(struct {
		Currency   string             `json:"currency"`
		Total      events.Money       `json:"total"`
		TotalItems int64              `json:"total_items"`
		Items      []events.OrderItem `json:"items"`
	}{e.Total.Currency, e.Total, e.TotalItems, e.Items})
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT OR REPLACE INTO orders (id, placed, customer, status, created, updated, goods) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		string(e.OrderID), r.Sequence, string(e.CustomerID), query.Placed, formatTime(r.Time), formatTime(r.Time), string(goods[1:len(goods)-1]))
}

func putPayment(tx *projection.Tx, e events.PaymentRequested) error {
	amount, err := json.Marshal(e.Amount)
	if err != nil {
		return err
	}
	return tx.Exec(`INSERT OR REPLACE INTO payments (order_id, id, status, provider, amount, url, is_path) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		string(e.OrderID), string(e.PaymentID), query.PaymentPending, quoted(e.Provider), string(amount),
		unquoted(e.URL), strings.HasPrefix(e.URL, "/"))
}

// formatTime returns a time as it is in JSON, without the quotes.
func formatTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// quoted returns a text as JSON.
func quoted(s string) string {
	b, _ := json.Marshal(s) // never fails for a string
	return string(b)
}

// unquoted returns a text as JSON, without the quotes around it.
func unquoted(s string) string {
	q := quoted(s)
	return q[1 : len(q)-1]
}
