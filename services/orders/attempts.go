package orders

import (
	"encoding/json"
	"fmt"
	"strings"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/projection"
)

// The column "provider" of the table payments holds JSON: the provider and, once an attempt has
// failed or was replaced, a further member with all of them: "stripe","attempts":[…]. It is
// copied to answers as it is, as goods is. So rows from before there were attempts are as those
// of now, and the view need not be rebuilt.

// isAttempt reports whether an event changes how an order can be paid, but not its payment's
// status.
func isAttempt(event events.Event) bool {
	switch event.(type) {
	case events.PaymentOpened, events.PaymentAttemptFailed, events.PaymentRetried:
		return true
	}
	return false
}

// projectAttempt changes what an order's row shows of the attempts to pay for it.
func projectAttempt(tx *projection.Tx, id any, event events.Event) error {
	switch e := event.(type) {
	case events.PaymentOpened:
		return changeAttempts(tx, id, func(p *paymentRow) {
			if e.Attempt == p.last() && p.Attempts.statusOf(e.Attempt) == query.AttemptOpen {
				p.url = e.URL
			}
		})
	case events.PaymentAttemptFailed:
		return changeAttempts(tx, id, func(p *paymentRow) { p.set(e.Attempt, e.Reason); p.url = "" })
	case events.PaymentRetried:
		return changeAttempts(tx, id, func(p *paymentRow) {
			if p.Attempts.statusOf(e.Attempt-1) == query.AttemptOpen {
				p.set(e.Attempt-1, query.AttemptReplaced)
			}
			p.all()
			p.Attempts = append(p.Attempts, query.PaymentAttempt{Number: e.Attempt, Provider: e.Provider, Status: query.AttemptOpen})
			p.Provider, p.url = e.Provider, e.URL
		})
	case events.PaymentCaptured:
		if e.Attempt == 0 {
			return nil // by the first and only one
		}
		return changeAttempts(tx, id, func(p *paymentRow) { p.set(e.Attempt, query.AttemptCaptured) })
	}
	return nil
}

// attempts are those of a row, sorted; nil if there is only the first, which is open.
type attempts []query.PaymentAttempt

func (a attempts) statusOf(n int) string {
	if n < 1 || n > len(a) {
		return query.AttemptOpen
	}
	return a[n-1].Status
}

// paymentRow is what a row of payments says about attempts.
type paymentRow struct {
	Provider string   `json:"provider"`
	Attempts attempts `json:"attempts,omitempty"`
	url      string
}

// last returns the number of the last attempt.
func (p *paymentRow) last() int { return max(1, len(p.Attempts)) }

// all makes the first attempt one of Attempts.
func (p *paymentRow) all() {
	if p.Attempts == nil {
		p.Attempts = attempts{{Number: 1, Provider: p.Provider, Status: query.AttemptOpen}}
	}
}

// set sets the status of an attempt. One that there is not, of an event that was published by
// hand, changes nothing.
func (p *paymentRow) set(n int, status string) {
	if p.all(); n >= 1 && n <= len(p.Attempts) {
		p.Attempts[n-1].Status = status
	}
}

// changeAttempts changes the row of an order's payment, if it has one.
func changeAttempts(tx *projection.Tx, id any, change func(*paymentRow)) error {
	var provider, url string
	var isPath bool
	found, err := tx.Get(`SELECT provider, url, is_path FROM payments WHERE order_id = ?`, []any{id}, &provider, &url, &isPath)
	if err != nil || !found {
		return err
	}
	var p paymentRow
	if err := json.Unmarshal([]byte(`{"provider":`+provider+`}`), &p); err != nil {
		return fmt.Errorf("the row of a payment holds no JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(`"`+url+`"`), &p.url); err != nil {
		return fmt.Errorf("the row of a payment holds no JSON: %w", err)
	}
	change(&p)
	provider = quoted(p.Provider)
	if p.Attempts != nil {
		list, err := json.Marshal(p.Attempts)
		if err != nil {
			return err
		}
		provider += `,"attempts":` + string(list)
	}
	return tx.Exec(`UPDATE payments SET provider = ?, url = ?, is_path = ? WHERE order_id = ?`,
		provider, unquoted(p.url), strings.HasPrefix(p.url, "/"), id)
}
