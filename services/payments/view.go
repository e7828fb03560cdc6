package payments

import (
	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The payments view holds every payment that was ever requested, with its status. Expires is the
// deadline in microseconds since 1970, and requested the number of payment.requested.
var paymentsDefinition = projection.Definition{
	Name: "payments",
	Schema: `
CREATE TABLE payments (
	id        TEXT PRIMARY KEY,
	order_id  TEXT NOT NULL,
	provider  TEXT NOT NULL,
	status    TEXT NOT NULL,
	amount    INTEGER NOT NULL,
	currency  TEXT NOT NULL,
	url       TEXT NOT NULL,
	expires   INTEGER NOT NULL,
	requested INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX due ON payments (expires, requested) WHERE status = 'pending';`,
	Reads:   []projection.Source{{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}}},
	Project: project,
}

// pastDeadline selects the payments that still wait for their money; see service.Timer.
const pastDeadline = `SELECT expires, requested FROM payments WHERE status = 'pending' AND (expires, requested) > (?1, ?2)
	ORDER BY expires, requested LIMIT ?3`

func project(tx *projection.Tx, r eventlog.Record) error {
	if e, ok := r.Event.(events.PaymentRequested); ok {
		return tx.Exec(`INSERT OR REPLACE INTO payments (id, order_id, provider, status, amount, currency, url, expires, requested) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			string(e.PaymentID), string(e.OrderID), e.Provider, query.PaymentStatusAfter(e), e.Amount.Amount, e.Amount.Currency, e.URL,
			e.ExpiresAt.UnixMicro(), int64(r.Number))
	}
	// A payment that was voided before it was requested has no row, and needs none.
	return tx.Exec(`UPDATE payments SET status = ? WHERE id = ?`, query.PaymentStatusAfter(r.Event), r.Event.EntityID())
}
