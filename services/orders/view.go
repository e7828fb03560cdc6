package orders

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
	partitions "lonja/kit/streams"
)

// The orders view holds every order with its payment, and where on the streams the events about
// it are. Columns that hold JSON are copied to answers as they are. No row depends on how the
// streams interleave, since each stream writes its own rows and columns. Its persisted name is
// "book".
//
// Its rows are kept for ever, so ids are short (see projection.CompactID), and an order's number
// is that of its row: each index holds it anyway, and so each is sorted by it. Earlier versions had a
// table "orders" with other columns. A query that took it for this one would show wrong rows
// until the view is rebuilt, so this one has another name.
var ordersDefinition = projection.Definition{
	Name: "book",
	Schema: `
CREATE TABLE placed_orders (
	number        INTEGER PRIMARY KEY,      -- the sequence at which it was placed: the greatest is the newest
	id            NOT NULL UNIQUE,          -- compact
	customer      NOT NULL,                 -- compact
	status        INTEGER NOT NULL,         -- its place in statuses
	created       TEXT NOT NULL,
	updated       TEXT NOT NULL,
	cancel_reason TEXT NOT NULL DEFAULT '', -- JSON
	goods         TEXT NOT NULL             -- JSON: some members of a query.OrderView
);
CREATE INDEX orders_of_customer ON placed_orders (customer);
CREATE INDEX orders_of_customer_by_status ON placed_orders (customer, status);
CREATE INDEX orders_by_status ON placed_orders (status);
CREATE TABLE payments (
	order_id PRIMARY KEY,      -- compact
	id       NOT NULL,         -- compact; empty when it follows from the order's
	status   TEXT NOT NULL,
	provider TEXT NOT NULL,    -- JSON
	amount   TEXT NOT NULL,    -- JSON
	url      TEXT NOT NULL,    -- JSON, without its quotes
	is_path  INTEGER NOT NULL, -- whether the url lacks an origin
	refunded INTEGER NOT NULL DEFAULT 0 -- how much went back, in minor units
) WITHOUT ROWID;
CREATE TABLE refunds (         -- as ORDERS says
	order_id  NOT NULL,        -- compact
	id        NOT NULL,        -- compact
	amount    INTEGER NOT NULL,
	lines     TEXT NOT NULL,   -- JSON
	reason    TEXT NOT NULL,
	status    TEXT NOT NULL,
	requested NOT NULL,        -- see timeColumn
	updated   NOT NULL,
	PRIMARY KEY (order_id, id)
) WITHOUT ROWID;
CREATE TABLE payment_refunds ( -- as PAYMENTS says
	order_id  NOT NULL,        -- compact
	id        NOT NULL,        -- compact
	amount    INTEGER NOT NULL,
	status    TEXT NOT NULL,
	detail    TEXT NOT NULL,
	requested NOT NULL,        -- see timeColumn
	updated   NOT NULL,
	PRIMARY KEY (order_id, id)
) WITHOUT ROWID;
CREATE TABLE positions (
	order_id NOT NULL,          -- compact
	stream   INTEGER NOT NULL,  -- its place in streams
	sequence INTEGER NOT NULL,
	status   INTEGER,           -- that the order has since, or commits; NULL for other events
	time     ,                  -- of an event with a status: see timeColumn
	PRIMARY KEY (order_id, stream, sequence)
) WITHOUT ROWID;`,
	Reads: []projection.Source{
		{Stream: "ORDERS", Subjects: []string{"events.order.>"}},
		{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}},
		{Stream: "INVENTORY", Subjects: []string{
			"events.stock.*.reserved", "events.stock.*.refused", "events.stock.*.committed",
			"events.stock.*.released", "events.stock.*.returned", "events.stock.*.restocked"}},
	},
	Project:     projectOrders,
	LateIndexes: true, // rows are found by their ids only
}

// The view's rows hold places in these lists. So nothing may be moved in them; what is new comes
// last.
var (
	statuses = []string{query.Placed, query.AwaitingPayment, query.Paid, query.Shipped, query.Delivered, query.Cancelled}
	streams  = []string{"INVENTORY", "ORDERS", "PAYMENTS"}
)

// commits is the status of the position at which inventory committed an order's goods.
const commits = 100

// statusOf returns the column "status" for an event: nil if it has none.
func statusOf(event events.Event) any {
	if status := statusAfter(event); status != unknown {
		return slices.Index(statuses, status)
	}
	if _, committed := event.(events.StockCommitted); committed {
		return commits
	}
	return nil
}

func orderKey(id events.OrderID) any { return projection.CompactID("ord_", string(id)) }

func customerKey(id string) any { return projection.CompactID("usr_", id) }

func projectOrders(tx *projection.Tx, r eventlog.Record) error {
	event, ok := r.Event.(events.OfOrder)
	if !ok || event.Order() == "" {
		return nil
	}
	id, status := orderKey(event.Order()), statusOf(event)
	payment := query.PaymentStatusAfter(event)
	if status != nil || payment != "" || isAttempt(event) {
		tx.MarkChanged(string(event.Order())) // nobody waits for another event
	}
	var at any
	if status != nil {
		at = timeColumn(r.Time)
	}
	if err := tx.Exec(`INSERT INTO positions (order_id, stream, sequence, status, time) VALUES (?, ?, ?, ?, ?)`,
		id, slices.Index(streams, partitions.BaseOf(r.Stream)), r.Number, status, at); err != nil {
		return err
	}
	if err := projectRefunds(tx, event, r.Time); err != nil {
		return err
	}
	switch e := r.Event.(type) {
	case events.OrderPlaced:
		return putOrder(tx, e, r)
	case events.OrderCancelled:
		return tx.Exec(`UPDATE placed_orders SET status = ?, updated = ?, cancel_reason = ? WHERE id = ?`, status, formatTime(r.Time), quoted(e.Reason), id)
	case events.PaymentRequested:
		return putPayment(tx, e)
	}
	if statusAfter(event) != unknown {
		return tx.Exec(`UPDATE placed_orders SET status = ?, updated = ? WHERE id = ?`, status, formatTime(r.Time), id)
	}
	if payment != "" {
		if err := tx.Exec(`UPDATE payments SET status = ? WHERE order_id = ?`, payment, id); err != nil {
			return err
		}
	}
	return projectAttempt(tx, id, event)
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
	return tx.Exec(`INSERT OR REPLACE INTO placed_orders (number, id, customer, status, created, updated, goods) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		r.Number, orderKey(e.OrderID), customerKey(string(e.CustomerID)), statusOf(e), formatTime(r.Time), formatTime(r.Time), string(goods[1:len(goods)-1]))
}

func putPayment(tx *projection.Tx, e events.PaymentRequested) error {
	amount, err := json.Marshal(e.Amount)
	if err != nil {
		return err
	}
	id := any("")
	if e.PaymentID != events.PaymentFor(e.OrderID) {
		id = projection.CompactID("pay_", string(e.PaymentID))
	}
	return tx.Exec(`INSERT OR REPLACE INTO payments (order_id, id, status, provider, amount, url, is_path) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		orderKey(e.OrderID), id, query.PaymentPending, quoted(e.Provider), string(amount),
		unquoted(e.URL), strings.HasPrefix(e.URL, "/"))
}

// timeColumn returns a time as a number of nanoseconds since 1970, or as formatTime does if there is no
// such number.
func timeColumn(t time.Time) any {
	if n := t.UnixNano(); time.Unix(0, n).Equal(t) {
		return n
	}
	return formatTime(t)
}

// parseTime returns the time in a column that timeColumn made.
func parseTime(column any) (time.Time, error) {
	if n, ok := column.(int64); ok {
		return time.Unix(0, n).UTC(), nil
	}
	text, _ := column.(string)
	return time.Parse(time.RFC3339Nano, text)
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
