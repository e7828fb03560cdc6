package payments

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// till is a shop that runs payments, with steps and checks for its tests.
type till struct {
	*shoptest.Shop
	t *testing.T
}

var anyone = eventlog.Actor{}

func open(t *testing.T, services ...*service.Service) till {
	return till{shoptest.Start(t, services...), t}
}

// settles reports an outcome and checks the status in the answer.
func (s till) settles(outcome, status string) {
	s.t.Helper()
	var p query.PaymentView
	s.Do(command.SettlePayment{PaymentID: id, Outcome: outcome}, anyone, &p)
	if p.Status != status || p.Amount != amount {
		s.t.Errorf("%s: got %+v, want %s", outcome, p, status)
	}
}

// is checks the payment's status once the view has caught up with the log.
func (s till) is(status string) {
	s.t.Helper()
	var got query.PaymentView
	s.Get(query.Payment{PaymentID: id}, anyone, eventlog.Position("PAYMENTS", s.recorded()), &got)
	want := query.PaymentView{ID: id, OrderID: order, Provider: "sandbox", Status: status, Amount: amount, URL: "/sandbox/payments/pay_ana"}
	if got != want {
		s.t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// recorded returns how many events payments has recorded.
func (s till) recorded() uint64 {
	s.t.Helper()
	return s.stream().CachedInfo().State.LastSeq
}

func (s till) stream() jetstream.Stream {
	s.t.Helper()
	stream, err := s.JS.Stream(s.t.Context(), "PAYMENTS")
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

func await[E events.Event](s till) E {
	s.t.Helper()
	return shoptest.Await(s.Shop, func(e E) bool { return e.EntityID() == string(id) })
}

func TestPayment_IsCapturedAndRefunded(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	shop.Record("ORDERS", awaiting)
	requested := await[events.PaymentRequested](shop)
	if left := time.Until(requested.ExpiresAt); left < 14*time.Minute || left > 15*time.Minute {
		t.Errorf("the deadline is in %s, want 15 minutes", left)
	}
	shop.is(query.PaymentPending)
	shop.settles(command.Pay, query.PaymentCaptured)
	shop.is(query.PaymentCaptured)

	before := shop.recorded()
	shop.settles(command.Pay, query.PaymentCaptured)
	if shop.recorded() != before {
		t.Error("paid twice")
	}
	shop.Fails(declines, anyone, errs.Conflict)

	shop.Record("ORDERS", cancelled)
	if e := await[events.PaymentRefunded](shop); e != wentBack {
		t.Errorf("recorded %+v", e)
	}
	shop.is(query.PaymentRefunded)
}

// What is declined can be tried again until the deadline.
func TestPayment_IsTriedAgainAfterADecline(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	shop.Record("ORDERS", awaiting)
	await[events.PaymentRequested](shop)
	shop.settles(command.Decline, query.PaymentPending)
	shop.Fails(pays, anyone, errs.Conflict)
	var p query.PaymentView
	shop.Get(query.Payment{PaymentID: id}, anyone, eventlog.Position("PAYMENTS", shop.recorded()), &p)
	if p.Status != query.PaymentPending || p.Failed != query.AttemptDeclined || p.URL != "" {
		t.Errorf("after a decline: %+v", p)
	}
	shop.Fails(command.RetryPayment{PaymentID: id, Provider: "nobody"}, anyone, errs.Invalid)
	p = query.PaymentView{}
	shop.Do(retries, anyone, &p)
	if p.Failed != "" || p.URL == "" {
		t.Errorf("tried again: %+v", p)
	}
	shop.is(query.PaymentPending)
	shop.settles(command.Pay, query.PaymentCaptured)
	shop.Fails(retries, anyone, errs.Conflict)
}

// A payment that an earlier version recorded as declined is over.
func TestPayment_OfAnOldLogStaysDeclined(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	requested := requested
	requested.ExpiresAt = time.Now().Add(time.Hour)
	shop.Record("PAYMENTS", requested)
	shop.Record("PAYMENTS", declined)
	shop.Fails(pays, anyone, errs.Conflict)
	shop.Fails(retries, anyone, errs.Conflict)
	shop.is(query.PaymentDeclined)
}

func TestPayment_IsCapturedAfterTheDeadline(t *testing.T) {
	shop := open(t, New(Config{Deadline: time.Second, Providers: []Provider{Sandbox()}}))
	shop.Record("ORDERS", awaiting)
	await[events.PaymentExpired](shop)
	shop.is(query.PaymentExpired)
	shop.settles(command.Pay, query.PaymentCaptured)
}

// The index of what is due holds only the payments that are pending.
func TestPayment_DeadlinesAreFoundByAnIndex(t *testing.T) {
	payments := New(Config{Providers: []Provider{Sandbox()}})
	shop := open(t, payments)
	shop.Record("ORDERS", awaiting)
	await[events.PaymentRequested](shop)
	shop.is(query.PaymentPending)
	var plan string
	var skip int
	if _, err := payments.Views[0].Get(t.Context(), `EXPLAIN QUERY PLAN `+pastDeadline, []any{0, 0, 10},
		&skip, &skip, &skip, &plan); err != nil || plan != "SEARCH payments USING COVERING INDEX due ((expires,requested)>(?,?))" {
		t.Errorf("what is due is found by %q, %v", plan, err)
	}
}

func TestPayment_CapturedForACancelledOrderIsRefunded(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	shop.Record("ORDERS", awaiting)
	await[events.PaymentRequested](shop)
	shop.Record("ORDERS", cancelled)
	await[events.PaymentVoided](shop)
	shop.is(query.PaymentVoided)

	shop.settles(command.Pay, query.PaymentCaptured)
	if captured := await[events.PaymentCaptured](shop); !captured.Unwanted {
		t.Errorf("the order is cancelled, but: %+v", captured)
	}
	await[events.PaymentRefunded](shop)
	shop.is(query.PaymentRefunded)
}

func TestPayment_IsNotRequestedAfterTheCancellation(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	shop.Record("ORDERS", cancelled)
	await[events.PaymentVoided](shop)
	shop.Fails(pays, anyone, errs.NotFound)
	_, err := shop.Query(t.Context(), query.Payment{PaymentID: id}, eventlog.Envelope{After: eventlog.Position("PAYMENTS", shop.recorded())})
	if !errs.Is(err, errs.NotFound) {
		t.Errorf("a payment that was never requested: %v", err)
	}
}

func TestPayment_UnknownIsNotFound(t *testing.T) {
	shop := open(t, New(Config{Providers: []Provider{Sandbox()}}))
	shop.Fails(pays, anyone, errs.NotFound)
	for id, code := range map[events.PaymentID]errs.Code{"pay_nobody": errs.NotFound, "pay nobody": errs.Invalid, "": errs.Invalid} {
		if _, err := shop.Query(t.Context(), query.Payment{PaymentID: id}, eventlog.Envelope{}); !errs.Is(err, code) {
			t.Errorf("%q: got %v, want %s", id, err, code)
		}
	}
}

// Without the sandbox, nobody can settle a payment, over HTTP or over NATS.
func TestSettle_IsForbiddenWithoutTheSandbox(t *testing.T) {
	shop := open(t, New(Config{}))
	shop.Record("ORDERS", awaiting)
	await[events.PaymentRequested](shop)
	before := shop.recorded()
	shop.Fails(pays, anyone, errs.Forbidden)
	shop.Fails(declines, anyone, errs.Forbidden)
	if shop.recorded() != before {
		t.Error("an event was recorded")
	}
	shop.is(query.PaymentPending)
}
