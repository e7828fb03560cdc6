package payments

import (
	"cmp"
	"slices"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/decider"
)

// payment is the state of one payment, on which everything about it is decided. Its status
// is one of query's, or "" when it has no events that give it one. A payment that was voided
// before it was requested has no request.
type payment struct {
	request  events.PaymentRequested
	status   string
	attempts []attempt    // the first is number 1; never changed in place, since states are shared
	flags    []string     // reasons and details of what was flagged, the newest last
	captured events.Money // the order's money that ever came
	taker    int          // the attempt that took it, 0 for none
	refunds  []refund     // of that money; never changed in place
}

// attempt is one attempt to pay, at one provider.
type attempt struct {
	provider  string
	reference string // the provider's name for its page, "" while there is none
	url       string
	ended     string // what it failed of, or query.AttemptReplaced; "" if it has not ended
	captured  bool
	capture   string // the provider's name for the money
}

// maxFlags bounds how many flags of a payment are told apart.
const maxFlags = 50

var paymentType = decider.EntityType[payment]{Subject: "events.payment", Stream: "PAYMENTS", Evolve: evolve}

func evolve(p payment, event events.Event, _ time.Time) payment {
	switch e := event.(type) {
	case events.PaymentRequested:
		p.request, p.attempts = e, []attempt{{provider: e.Provider, url: e.URL}}
	case events.PaymentOpened:
		p = p.change(e.Attempt, func(a *attempt) { a.reference, a.url = e.Reference, e.URL })
	case events.PaymentAttemptFailed:
		p = p.change(e.Attempt, func(a *attempt) { a.ended, a.url = e.Reason, "" })
	case events.PaymentRetried:
		p = p.change(e.Attempt-1, func(a *attempt) { a.ended = cmp.Or(a.ended, query.AttemptReplaced) })
		p.attempts = append(p.attempts, attempt{provider: e.Provider, url: e.URL})
	case events.PaymentCaptured:
		n := cmp.Or(e.Attempt, 1)
		p = p.change(n, func(a *attempt) { a.captured, a.capture = true, e.Capture })
		if !e.Again {
			p.captured = events.Money{Amount: p.captured.Amount + e.Amount.Amount, Currency: e.Amount.Currency}
			if n <= len(p.attempts) {
				p.taker = n
			}
		}
	case events.PaymentFlagged:
		p.flags = append(slices.Clone(p.flags), flagOf(e))
		p.flags = p.flags[max(0, len(p.flags)-maxFlags):]
	}
	p.refunds = evolveRefunds(p.refunds, event)
	p.status = cmp.Or(query.PaymentStatusAfter(event), p.status)
	return p
}

// change returns the payment with an attempt changed. An attempt that there is not, of an event
// that was published by hand, changes nothing.
func (p payment) change(n int, change func(*attempt)) payment {
	if n < 1 || n > len(p.attempts) {
		return p
	}
	p.attempts = slices.Clone(p.attempts)
	change(&p.attempts[n-1])
	return p
}

// requested reports whether the money was ever requested.
func (p payment) requested() bool { return p.request.PaymentID != "" }

// last returns the last attempt.
func (p payment) last() attempt {
	if len(p.attempts) == 0 {
		return attempt{}
	}
	return p.attempts[len(p.attempts)-1]
}

// isOpen reports whether an attempt is the one by which the payment is expected.
func (p payment) isOpen(n int) bool {
	return p.status == query.PaymentPending && n == len(p.attempts) && p.last().ended == ""
}

// wasCaptured reports whether the money was captured by any attempt.
func (p payment) wasCaptured() bool {
	return slices.ContainsFunc(p.attempts, func(a attempt) bool { return a.captured })
}

func flagOf(e events.PaymentFlagged) string { return e.Reason + ": " + e.Detail }
