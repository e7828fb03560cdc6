package payments

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/projection"
	"lonja/kit/service"
)

// asked is what a provider is asked about: an attempt of a payment.
type asked struct {
	provider string
	attempt  Attempt
	page     string // the provider's name for its page
	capture  string // and for the money that it took
}

// pages asks for the page of an attempt whose provider has no link of its own. If there is none
// when half of the time to pay is over, the attempt has failed: the rest is for another one.
func (all providers) pages(payments *decider.Decider[payment], v *projection.View, deadline time.Duration) service.Effect {
	return service.Effect{
		Name: "payments-pages", Stream: paymentType.Stream, View: v, Pending: pagesToOpen, Patience: deadline / 2,
		Handlers: []service.Handler{
			service.Call(payments, events.PaymentRequested.EntityID, planFirstPage, all.open, recordPage[events.PaymentRequested]),
			service.Call(payments, events.PaymentRetried.EntityID, planPage, all.open, recordPage[events.PaymentRetried]),
		},
	}
}

func planFirstPage(p payment, _ events.PaymentRequested) (asked, bool) { return planOpen(p, 1) }

func planPage(p payment, e events.PaymentRetried) (asked, bool) { return planOpen(p, e.Attempt) }

func planOpen(p payment, n int) (asked, bool) {
	if !p.isOpen(n) || p.last().url != "" {
		return asked{}, false
	}
	return askedOf(p, n), true
}

// askedOf returns what to ask the provider of an attempt about it.
func askedOf(p payment, n int) asked {
	a, r := p.attempts[n-1], p.request
	return asked{provider: a.provider, page: a.reference, capture: a.capture,
		attempt: Attempt{PaymentID: r.PaymentID, OrderID: r.OrderID, Number: n, Amount: r.Amount, ExpiresAt: r.ExpiresAt}}
}

// ask calls a provider. One that is not configured here may be on another replica, so that is no
// permanent error.
func (all providers) ask(name string, call func(Provider) error) error {
	provider := all.named(name)
	if provider == nil {
		return fmt.Errorf("the provider %s is not configured; run payments with it in --payments", name)
	}
	return call(provider)
}

// opened is an attempt with its page.
type opened struct {
	asked
	Page
}

func (all providers) open(ctx context.Context, a service.Attempt, q asked) (o opened, err error) {
	o.asked = q
	q.attempt.AskedAt = a.Due
	err = all.ask(q.provider, func(p Provider) error {
		o.Page, err = p.Open(ctx, a.Key, q.attempt)
		return err
	})
	return o, err
}

// recordPage records an attempt's page, also when the attempt is over by now: it must be closed then.
func recordPage[E attempted](p payment, e E, o service.Outcome[opened], _ decider.Meta) (events.Event, error) {
	n := attemptOf(e)
	if o.Err != nil {
		return fail(p, n, events.AttemptUnavailable, plain(o.Err.Error())), nil
	}
	return events.PaymentOpened{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID, Attempt: n, Reference: o.Result.Reference, URL: o.Result.URL}, nil
}

// attempted is an event that begins an attempt.
type attempted interface {
	events.PaymentRequested | events.PaymentRetried
	events.Event
}

func attemptOf[E attempted](e E) int {
	if retried, ok := any(e).(events.PaymentRetried); ok {
		return retried.Attempt
	}
	return 1
}

// plain returns a text as an event may hold it: another provider's errors may be anything.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return fmt.Sprintf("%.300s", s)
}

// closing sees to it that a page takes no money when its attempt is over: the payment has ended,
// or another attempt takes its place. Money that was faster is captured all the same.
func (all providers) closing(payments *decider.Decider[payment], v *projection.View) service.Effect {
	return service.Effect{
		Name: "payments-closing", Stream: paymentType.Stream, View: v, Pending: pagesToClose,
		Handlers: []service.Handler{
			closes(all, payments, func(p payment, _ events.PaymentExpired) int { return len(p.attempts) }),
			closes(all, payments, func(p payment, _ events.PaymentVoided) int { return len(p.attempts) }),
			closes(all, payments, func(p payment, _ events.PaymentCaptured) int { return len(p.attempts) }),
			closes(all, payments, func(_ payment, e events.PaymentRetried) int { return e.Attempt - 1 }),
			closes(all, payments, func(_ payment, e events.PaymentOpened) int { return e.Attempt }),
		},
	}
}

// closes closes the page of the attempt that an event leaves behind.
func closes[E events.Event](all providers, payments *decider.Decider[payment], attempt func(payment, E) int) service.Handler {
	return service.Call(payments, func(e E) string { return e.EntityID() },
		func(p payment, e E) (asked, bool) {
			n := attempt(p, e)
			if n < 1 || n > len(p.attempts) || p.attempts[n-1].reference == "" {
				return asked{}, false
			}
			return askedOf(p, n), true
		},
		func(ctx context.Context, a service.Attempt, q asked) (asked, error) {
			return q, all.ask(q.provider, func(p Provider) error { return p.Close(ctx, a.Key, q.page) })
		},
		func(p payment, e E, o service.Outcome[asked], _ decider.Meta) (events.Event, error) {
			n := attempt(p, e)
			if o.Err != nil {
				return needsAttention(p, p.request.PaymentID, n, events.FlaggedNotClosed, "the page of attempt %d may still take money: %v", n, o.Err), nil
			}
			return events.PaymentPageClosed{PaymentID: p.request.PaymentID, OrderID: p.request.OrderID, Attempt: n}, nil
		})
}

// returns gives back money that came a second time.
func (all providers) returns(payments *decider.Decider[payment], v *projection.View) service.Effect {
	return service.Effect{
		Name: "payments-returns", Stream: paymentType.Stream, View: v, Pending: capturesToReturn,
		Handlers: []service.Handler{service.Call(payments, events.PaymentCaptured.EntityID,
			func(p payment, e events.PaymentCaptured) (asked, bool) {
				n := cmp.Or(e.Attempt, 1)
				if !e.Again || n > len(p.attempts) {
					return asked{}, false
				}
				return askedOf(p, n), true
			},
			func(ctx context.Context, a service.Attempt, q asked) (struct{}, error) {
				return struct{}{}, all.ask(q.provider, func(p Provider) error {
					return p.Refund(ctx, a.Key, Refund{PaymentID: q.attempt.PaymentID, OrderID: q.attempt.OrderID, Capture: q.capture, Amount: q.attempt.Amount})
				})
			},
			func(p payment, e events.PaymentCaptured, o service.Outcome[struct{}], _ decider.Meta) (events.Event, error) {
				if o.Err != nil {
					return needsAttention(p, e.PaymentID, cmp.Or(e.Attempt, 1), events.FlaggedRefund, "%s that came a second time could not be given back: %v", e.Amount, o.Err), nil
				}
				return events.PaymentRefunded{PaymentID: e.PaymentID, OrderID: e.OrderID, Amount: e.Amount, Again: true, Attempt: cmp.Or(e.Attempt, 1)}, nil
			})},
	}
}
