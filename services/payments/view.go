package payments

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The payments view holds every payment that was ever requested, with its status.
var paymentsDefinition = projection.Definition{
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
	Reads:   []projection.Source{{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}}},
	Project: project,
}

func project(tx *projection.Tx, r eventlog.Record) error {
	if e, ok := r.Event.(events.PaymentRequested); ok {
		return tx.Exec(`INSERT OR REPLACE INTO payments (id, order_id, provider, status, amount, currency, url) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(e.PaymentID), string(e.OrderID), e.Provider, query.PaymentStatusAfter(e), e.Amount.Amount, e.Amount.Currency, e.URL)
	}
	// A payment that was voided before it was requested has no row, and needs none.
	return tx.Exec(`UPDATE payments SET status = ? WHERE id = ?`, query.PaymentStatusAfter(r.Event), r.Event.EntityID())
}
