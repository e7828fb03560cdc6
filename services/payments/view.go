package payments

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/internal/eventlog"
	"lonja/internal/view"
)

// The book is every payment that was ever asked for, and what became of it.
var bookDefinition = view.Definition{
	Name: "payments",
	Schema: `
CREATE TABLE payments (
	id       TEXT PRIMARY KEY,
	order_id TEXT NOT NULL,
	provider TEXT NOT NULL,
	status   TEXT NOT NULL,
	amount   INTEGER NOT NULL,
	currency TEXT NOT NULL,
	url      TEXT NOT NULL
) WITHOUT ROWID;`,
	Reads:   []view.Source{{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}}},
	Project: project,
}

func project(tx *view.Tx, r eventlog.Recorded) error {
	if e, ok := r.Event.(events.PaymentRequested); ok {
		return tx.Exec(`INSERT OR REPLACE INTO payments (id, order_id, provider, status, amount, currency, url) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(e.PaymentID), string(e.OrderID), e.Provider, query.PaymentStatusAfter(e), e.Amount.Amount, e.Amount.Currency, e.URL)
	}
	// One that was voided before anything was asked for has no row, and needs none.
	return tx.Exec(`UPDATE payments SET status = ? WHERE id = ?`, query.PaymentStatusAfter(r.Event), r.Event.EntityID())
}
