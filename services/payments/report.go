package payments

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"lonja/events"
	"lonja/events/command"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/projection"
)

// report records what a provider reports. A report is never rejected for what it says: what does
// not fit is recorded for a person to look at. Reports come late, in any order and more than
// once.
func (all providers) report(p payment, c command.ReportPayment, m decider.Meta) (events.Event, error) {
	if m.Actor.ID != command.ProviderActor(c.Provider) {
		return nil, errs.New(errs.Forbidden, "only %s may report this", c.Provider)
	}
	switch {
	case !p.requested():
		return needsAttention(p, events.PaymentID(m.EntityID), 0, events.FlaggedUnknownPayment, "%s reports %q (%s) about a payment that was not requested", c.Provider, c.Outcome, c.Report), nil
	case c.Outcome == command.Dispute:
		return needsAttention(p, p.request.PaymentID, c.Attempt, events.FlaggedDispute, "%s reports a dispute about %s (%s)", c.Provider, moneyOf(c), c.Capture), nil
	case c.Outcome == command.RefundFailure:
		return needsAttention(p, p.request.PaymentID, c.Attempt, events.FlaggedRefund, "%s could not give back %s of %s", c.Provider, moneyOf(c), c.Capture), nil
	case !fits(p, c):
		return needsAttention(p, p.request.PaymentID, 0, events.FlaggedUnknownPage, "%s reports %q about the page %s, which is none of attempt %d", c.Provider, c.Outcome, c.Reference, c.Attempt), nil
	}
	switch c.Outcome {
	case command.Pay:
		return all.reportPaid(p, c)
	case command.Decline:
		return fail(p, c.Attempt, events.AttemptDeclined, ""), nil
	}
	return fail(p, c.Attempt, events.AttemptExpired, ""), nil // command.Expire
}

// fits reports whether a report is about the page of one of the payment's attempts. The report may
// come before payment.opened does, so a page that is not known yet fits.
func fits(p payment, c command.ReportPayment) bool {
	if c.Attempt < 1 || c.Attempt > len(p.attempts) {
		return false
	}
	a := p.attempts[c.Attempt-1]
	return a.provider == c.Provider && (a.reference == "" || a.reference == c.Reference)
}

// reportPaid records money that a provider has. Money that is not what was requested is recorded
// for a person. The error is errs.Unavailable where the provider is not configured: nobody knows
// how it counts.
func (all providers) reportPaid(p payment, c command.ReportPayment) (events.Event, error) {
	provider, wanted := all.named(c.Provider), p.request.Amount
	if provider == nil {
		return nil, errs.New(errs.Unavailable, "the provider %s is not configured; run payments with it in --payments", c.Provider)
	}
	amount, currency, err := provider.Units(wanted)
	if err != nil || c.Amount != amount || !strings.EqualFold(c.Currency, currency) {
		return needsAttention(p, p.request.PaymentID, c.Attempt, events.FlaggedAmount, "%s reports %s for %s; %s were requested", c.Provider, moneyOf(c), c.Reference, wanted), nil
	}
	captured, err := capture(p, c.Attempt, c.Capture)
	if err != nil {
		return needsAttention(p, p.request.PaymentID, c.Attempt, events.FlaggedNotPayable, "%s has taken %s (%s), but %v", c.Provider, wanted, c.Capture, err), nil
	}
	return captured, nil
}

// needsAttention returns the event that a payment needs attention, nil if that is recorded already.
func needsAttention(p payment, id events.PaymentID, n int, reason, format string, args ...any) events.Event {
	e := events.PaymentFlagged{PaymentID: id, OrderID: p.request.OrderID, Attempt: max(n, 0), Reason: reason, Detail: plain(fmt.Sprintf(format, args...))}
	if slices.Contains(p.flags, flagOf(e)) {
		return nil
	}
	return e
}

// targetOf returns the payment that a report is about: the one that it names, or that whose money
// it is about. If there is none, it is an id that no order's payment has, so that nothing is
// dropped.
func targetOf(paymentsView *projection.View) func(context.Context, command.ReportPayment) (string, error) {
	return func(ctx context.Context, c command.ReportPayment) (string, error) {
		if c.PaymentID != "" {
			return string(c.PaymentID), nil
		}
		if c.Capture != "" {
			var id string
			found, err := paymentsView.Get(ctx, `SELECT payment FROM captures WHERE capture = ?`, []any{c.Capture}, &id)
			if found || err != nil {
				return id, err
			}
		}
		about := c.Reference
		if about == "" {
			about = c.Capture
		}
		if about == "" {
			about = c.Report
		}
		sum := sha256.Sum256([]byte(c.Provider + "\n" + about))
		return "pay_unknown_" + hex.EncodeToString(sum[:16]), nil
	}
}

// moneyOf returns the amount of a report, as a text: as the provider counts it.
func moneyOf(c command.ReportPayment) string { return fmt.Sprintf("%d %q", c.Amount, c.Currency) }
