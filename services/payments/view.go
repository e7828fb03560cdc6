package payments

import (
	"cmp"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/eventlog"
	"lonja/kit/projection"
)

// The payments view holds every payment that was ever requested, with its status and its last
// attempt. Expires is the deadline in microseconds since 1970, and requested the number of
// payment.requested.
//
// The other tables are empty for payments in the sandbox, whose pages nobody has to be asked for:
// what a provider has yet to be asked for (when it is due in microseconds since 1970, and the number of
// the event that calls for it), the names of captured money, and what a person has to look at.
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
	requested INTEGER NOT NULL,
	attempt   INTEGER NOT NULL,
	failed    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX due ON payments (expires, requested) WHERE status = 'pending';
CREATE TABLE pages (           -- of attempts that are not over, or are to be closed
	payment   TEXT NOT NULL,
	attempt   INTEGER NOT NULL,
	opening   INTEGER,         -- the event after which it is asked for; NULL once it is there
	open_due  INTEGER,
	closing   INTEGER,         -- the event after which it is closed; NULL while it is in use
	close_due INTEGER,
	PRIMARY KEY (payment, attempt)
) WITHOUT ROWID;
CREATE INDEX to_open ON pages (open_due, opening) WHERE opening IS NOT NULL;
CREATE INDEX to_close ON pages (close_due, closing) WHERE closing IS NOT NULL;
CREATE TABLE returns ( -- of money that came a second time
	payment TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	due     INTEGER NOT NULL,
	number  INTEGER NOT NULL,
	PRIMARY KEY (payment, attempt)
) WITHOUT ROWID;
CREATE INDEX to_return ON returns (due, number);
CREATE TABLE captures (
	capture TEXT PRIMARY KEY, -- the provider's name for the money
	payment TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE flags (
	number  INTEGER PRIMARY KEY, -- of payment.flagged
	payment TEXT NOT NULL,
	attempt INTEGER NOT NULL,
	reason  TEXT NOT NULL,
	detail  TEXT NOT NULL,
	time    INTEGER NOT NULL     -- in microseconds since 1970
);`,
	Reads:   []projection.Source{{Stream: "PAYMENTS", Subjects: []string{"events.payment.>"}}},
	Project: project,
}

// What is still to be done; see service.Timer.
const (
	// pastDeadline selects the payments that still wait for their money.
	pastDeadline = `SELECT expires, requested FROM payments WHERE status = 'pending' AND (expires, requested) > (?1, ?2)
	ORDER BY expires, requested LIMIT ?3`
	pagesToOpen = `SELECT open_due, opening FROM pages WHERE opening IS NOT NULL AND (open_due, opening) > (?1, ?2)
	ORDER BY open_due, opening LIMIT ?3`
	pagesToClose = `SELECT close_due, closing FROM pages WHERE closing IS NOT NULL AND (close_due, closing) > (?1, ?2)
	ORDER BY close_due, closing LIMIT ?3`
	capturesToReturn = `SELECT due, number FROM returns WHERE (due, number) > (?1, ?2) ORDER BY due, number LIMIT ?3`
)

func project(tx *projection.Tx, r eventlog.Record) error {
	id := r.Event.EntityID()
	switch e := r.Event.(type) {
	case events.PaymentRequested:
		if err := tx.Exec(`INSERT OR REPLACE INTO payments (id, order_id, provider, status, amount, currency, url, expires, requested, attempt, failed)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, '')`,
			id, string(e.OrderID), e.Provider, query.PaymentPending, e.Amount.Amount, e.Amount.Currency, e.URL,
			e.ExpiresAt.UnixMicro(), int64(r.Number)); err != nil || e.URL != "" {
			return err
		}
		return askForPage(tx, r, 1)
	case events.PaymentOpened:
		return openPage(tx, r, e)
	case events.PaymentAttemptFailed:
		if err := tx.Exec(`UPDATE payments SET failed = ?, url = '' WHERE id = ? AND attempt = ?`, e.Reason, id, e.Attempt); err != nil {
			return err
		}
		return tx.Exec(`DELETE FROM pages WHERE payment = ? AND attempt = ? AND closing IS NULL`, id, e.Attempt)
	case events.PaymentRetried:
		return retryPayment(tx, r, e)
	case events.PaymentPageClosed:
		return tx.Exec(`DELETE FROM pages WHERE payment = ? AND attempt = ?`, id, e.Attempt)
	case events.PaymentFlagged:
		return putFlag(tx, r, e)
	}
	// A payment that was voided before it was requested has no row, and needs none.
	if status := query.PaymentStatusAfter(r.Event); status != "" {
		if err := tx.Exec(`UPDATE payments SET status = ? WHERE id = ?`, status, id); err != nil {
			return err
		}
	}
	switch e := r.Event.(type) {
	case events.PaymentCaptured:
		return capturedMoney(tx, r, e)
	case events.PaymentRefunded:
		return tx.Exec(`DELETE FROM returns WHERE payment = ? AND attempt = ?`, id, e.Attempt)
	case events.PaymentExpired, events.PaymentVoided:
		return leavePages(tx, r, 0)
	}
	return nil
}

// askForPage notes that a provider has to be asked for the page of an attempt.
func askForPage(tx *projection.Tx, r eventlog.Record, n int) error {
	return tx.Exec(`INSERT OR REPLACE INTO pages (payment, attempt, opening, open_due) VALUES (?, ?, ?, ?)`,
		r.Event.EntityID(), n, int64(r.Number), r.Time.UnixMicro())
}

// openPage notes the page of an attempt. That of an attempt that is over is to be closed.
func openPage(tx *projection.Tx, r eventlog.Record, e events.PaymentOpened) error {
	if err := tx.Exec(`INSERT OR REPLACE INTO pages (payment, attempt) VALUES (?, ?)`, string(e.PaymentID), e.Attempt); err != nil {
		return err
	}
	if err := tx.Exec(`UPDATE payments SET url = ? WHERE id = ? AND attempt = ? AND failed = ''`, e.URL, string(e.PaymentID), e.Attempt); err != nil {
		return err
	}
	return tx.Exec(`UPDATE pages SET closing = ?, close_due = ? WHERE payment = ? AND attempt = ?
		AND NOT EXISTS (SELECT 1 FROM payments WHERE id = payment AND status = 'pending' AND payments.attempt = pages.attempt AND failed = '')`,
		int64(r.Number), r.Time.UnixMicro(), string(e.PaymentID), e.Attempt)
}

// leavePages notes that the pages of a payment are to be closed, but for that of the attempt that
// took the money. Nothing has to be opened any more.
func leavePages(tx *projection.Tx, r eventlog.Record, paid int) error {
	id := r.Event.EntityID()
	if err := tx.Exec(`DELETE FROM pages WHERE payment = ? AND (opening IS NOT NULL OR attempt = ?)`, id, paid); err != nil {
		return err
	}
	return tx.Exec(`UPDATE pages SET closing = ?, close_due = ? WHERE payment = ? AND closing IS NULL`, int64(r.Number), r.Time.UnixMicro(), id)
}

func retryPayment(tx *projection.Tx, r eventlog.Record, e events.PaymentRetried) error {
	if err := leavePages(tx, r, 0); err != nil {
		return err
	}
	if err := tx.Exec(`UPDATE payments SET provider = ?, url = ?, attempt = ?, failed = '' WHERE id = ?`, e.Provider, e.URL, e.Attempt, string(e.PaymentID)); err != nil || e.URL != "" {
		return err
	}
	return askForPage(tx, r, e.Attempt)
}

func capturedMoney(tx *projection.Tx, r eventlog.Record, e events.PaymentCaptured) error {
	n := cmp.Or(e.Attempt, 1)
	if err := leavePages(tx, r, n); err != nil {
		return err
	}
	if e.Again {
		if err := tx.Exec(`INSERT OR REPLACE INTO returns (payment, attempt, due, number) VALUES (?, ?, ?, ?)`,
			string(e.PaymentID), n, r.Time.UnixMicro(), int64(r.Number)); err != nil {
			return err
		}
	}
	if e.Capture == "" {
		return nil
	}
	return tx.Exec(`INSERT OR REPLACE INTO captures (capture, payment) VALUES (?, ?)`, e.Capture, string(e.PaymentID))
}

func putFlag(tx *projection.Tx, r eventlog.Record, e events.PaymentFlagged) error {
	switch e.Reason {
	case events.FlaggedNotClosed: // it was given up
		if err := tx.Exec(`DELETE FROM pages WHERE payment = ? AND attempt = ?`, string(e.PaymentID), e.Attempt); err != nil {
			return err
		}
	case events.FlaggedRefund:
		if err := tx.Exec(`DELETE FROM returns WHERE payment = ? AND attempt = ?`, string(e.PaymentID), e.Attempt); err != nil {
			return err
		}
	}
	return tx.Exec(`INSERT INTO flags (number, payment, attempt, reason, detail, time) VALUES (?, ?, ?, ?, ?, ?)`,
		int64(r.Number), string(e.PaymentID), e.Attempt, e.Reason, e.Detail, r.Time.UnixMicro())
}
