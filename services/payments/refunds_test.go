package payments

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

// answer is what came of asking the provider for a refund: done if err is nil.
type answer struct {
	of  events.PaymentRefundRequested
	err error
}

func pounds(pence int64) events.Money { return events.Money{Amount: pence, Currency: "GBP"} }

func asks(refund events.RefundID, pence int64) events.OrderRefundRequested {
	return events.OrderRefundRequested{OrderID: order, RefundID: refund, Amount: pounds(pence)}
}

func part(refund events.RefundID, pence int64) events.PaymentRefundRequested {
	return events.PaymentRefundRequested{PaymentID: id, OrderID: order, RefundID: refund, Amount: pounds(pence)}
}

func done(refund events.RefundID, pence int64, partial bool) events.PaymentRefunded {
	return events.PaymentRefunded{PaymentID: id, OrderID: order, RefundID: refund, Amount: pounds(pence), Partial: partial}
}

func refusedFor(refund events.RefundID, pence int64, detail string, unknown bool) events.PaymentRefundFailed {
	return events.PaymentRefundFailed{PaymentID: id, OrderID: order, RefundID: refund, Amount: pounds(pence), Detail: detail, Unknown: unknown}
}

func TestRefund_InParts(t *testing.T) {
	type log = []events.Event
	paid := log{requested, captured} // 1695
	closed := errors.New("the account is closed")
	for _, c := range []struct {
		name  string
		given log
		when  any
		then  events.Event
	}{
		{"a part", paid, asks("ref_1", 95), part("ref_1", 95)},
		{"again, while it is asked for", append(paid[:2:2], part("ref_1", 95)), asks("ref_1", 95), nil},
		{"it goes back", append(paid[:2:2], part("ref_1", 95)), answer{of: part("ref_1", 95)}, done("ref_1", 95, true)},
		{"again, when it is done", append(paid[:2:2], part("ref_1", 95), done("ref_1", 95, true)), asks("ref_1", 95), nil},
		{"answered again", append(paid[:2:2], part("ref_1", 95), done("ref_1", 95, true)), answer{of: part("ref_1", 95)}, nil},
		{"the rest", append(paid[:2:2], part("ref_1", 95), done("ref_1", 95, true)), asks("ref_2", 1600), part("ref_2", 1600)},
		{"the rest goes back", append(paid[:2:2], part("ref_1", 95), done("ref_1", 95, true), part("ref_2", 1600)), answer{of: part("ref_2", 1600)}, done("ref_2", 1600, false)},
		{"the first of two goes back last", append(paid[:2:2], part("ref_1", 95), part("ref_2", 1600), done("ref_2", 1600, true)), answer{of: part("ref_1", 95)}, done("ref_1", 95, false)},
		{"too much", append(paid[:2:2], part("ref_1", 95)), asks("ref_2", 1601), refusedFor("ref_2", 1601, "of the payment's 16.95 GBP, 16.00 GBP are left to refund", false)},
		{"in another currency", paid, events.OrderRefundRequested{OrderID: order, RefundID: "ref_1", Amount: events.Money{Amount: 1, Currency: "EUR"}},
			events.PaymentRefundFailed{PaymentID: id, OrderID: order, RefundID: "ref_1", Amount: events.Money{Amount: 1, Currency: "EUR"}, Detail: "of the payment's 16.95 GBP, 16.95 GBP are left to refund"}},
		{"refused", append(paid[:2:2], part("ref_1", 95)), answer{part("ref_1", 95), service.Permanent(closed)}, refusedFor("ref_1", 95, "the account is closed", false)},
		{"not answered", append(paid[:2:2], part("ref_1", 95)), answer{part("ref_1", 95), closed}, refusedFor("ref_1", 95, "the account is closed", true)},
		{"tried again", append(paid[:2:2], part("ref_1", 95), refusedFor("ref_1", 95, "no", false)), asks("ref_1", 95), part("ref_1", 95)},
		{"what failed is free", append(paid[:2:2], part("ref_1", 95), refusedFor("ref_1", 95, "no", false)), asks("ref_2", 1695), part("ref_2", 1695)},
		{"and then cannot be tried again", append(paid[:2:2], part("ref_1", 95), refusedFor("ref_1", 95, "no", false), part("ref_2", 1695)), asks("ref_1", 95),
			refusedFor("ref_1", 95, "of the payment's 16.95 GBP, 0.00 GBP are left to refund", false)},
		{"the order is cancelled: the rest", append(paid[:2:2], part("ref_1", 95)), cancelled, part("ref_ana", 1600)},
		{"a part overtaken by the cancellation", append(paid[:2:2], goesBack), asks("ref_1", 95), refusedFor("ref_1", 95, "of the payment's 16.95 GBP, 0.00 GBP are left to refund", false)},
		{"the cancellation's was refused: it is tried again", append(paid[:2:2], goesBack, refusedFor("ref_ana", 1695, "no", false)), asks("ref_ana", 1695), goesBack},
		{"an earlier version gave all back", append(paid[:2:2], returned), asks("ref_1", 1), refusedFor("ref_1", 1, "of the payment's 16.95 GBP, 0.00 GBP are left to refund", false)},
		{"and nothing is left to cancel", append(paid[:2:2], part("ref_1", 1695), done("ref_1", 1695, false)), cancelled, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			then, err := decide(given(c.given...), c.when)
			if err != nil || !reflect.DeepEqual(then, c.then) {
				t.Errorf("got  %+v %v\nwant %+v", then, err, c.then)
			}
			if then != nil && then.Check() != nil {
				t.Errorf("the event is invalid: %v", then.Check())
			}
		})
	}
	if _, err := decide(given(requested), asks("ref_1", 1)); err == nil {
		t.Error("money that never came was refunded")
	}
}

// After a refusal, the provider is asked under another key; after no answer, under the same one.
func TestRefund_HasTheKeyOfItsTry(t *testing.T) {
	keyAfter := func(before ...events.Event) string {
		t.Helper()
		ask, needed := planRefund(given(append([]events.Event{requested, captured, part("ref_1", 95)}, before...)...), part("ref_1", 95))
		if !needed || ask.Refund != (Refund{ID: "ref_1", PaymentID: id, OrderID: order, Amount: pounds(95)}) || ask.provider != "sandbox" {
			t.Fatalf("planned %+v, %t", ask, needed)
		}
		return ask.key
	}
	first := keyAfter()
	if unknown := keyAfter(refusedFor("ref_1", 95, "no answer", true), part("ref_1", 95)); unknown != first {
		t.Errorf("after no answer, the key is %s, and was %s", unknown, first)
	}
	if refused := keyAfter(refusedFor("ref_1", 95, "no", false), part("ref_1", 95)); refused == first {
		t.Errorf("after a refusal, the key is still %s", refused)
	}
	if _, needed := planRefund(given(requested, captured, part("ref_1", 95), refusedFor("ref_1", 95, "no", false)), part("ref_1", 95)); needed {
		t.Error("a refund that has failed is asked for")
	}
}

func TestRefund_ADetailCanBeRecorded(t *testing.T) {
	for _, text := range []string{"", " \n", "declined\x00\nby the \xff bank", strings.Repeat("ä", 2_000)} {
		if err := refusedFor("ref_1", 95, plainReason(errors.New(text)), false).Check(); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

// refunder is a provider that answers a refund as the test says.
type refunder struct {
	sandbox
	mu     sync.Mutex
	keys   []string
	answer func(key string, r Refund) error
}

func (b *refunder) Refund(_ context.Context, key string, r Refund) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keys = append(b.keys, key)
	if b.answer != nil {
		return b.answer(key, r)
	}
	return nil
}

func (b *refunder) asked() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.keys)
}

// at returns payments with the refunder as its sandbox.
func (b *refunder) at(change func(*service.Effect)) *service.Service {
	s := New(Config{Providers: []Provider{b}})
	i := slices.IndexFunc(s.Effects, func(e service.Effect) bool { return e.Name == "payments-refunds" })
	s.Effects[i].Pause = 10 * time.Millisecond
	if change != nil {
		change(&s.Effects[i])
	}
	return s
}

// pays brings a payment to captured.
func (s till) pays() {
	s.t.Helper()
	s.Record("ORDERS", awaiting)
	await[events.PaymentRequested](s)
	s.settles(command.Pay, query.PaymentCaptured)
}

func TestRefund_GoesBackInPartsAndThenTheRest(t *testing.T) {
	shop, b := open(t), &refunder{}
	for _, replica := range []string{"a", "b"} {
		shop.Run(b.at(nil), replica, t.TempDir())
	}
	shop.pays()
	shop.Record("ORDERS", asks("ref_1", 95))
	shop.Record("ORDERS", asks("ref_1", 95)) // by hand, as if somebody had tried a dead letter again
	if e := await[events.PaymentRefunded](shop); e != done("ref_1", 95, true) {
		t.Errorf("recorded %+v", e)
	}
	shop.is(query.PaymentPartiallyRefunded)
	shop.Record("ORDERS", cancelled)
	awaitRefund(shop, "ref_ana")
	shop.is(query.PaymentRefunded)
	if got, want := b.asked(), []string{"ref_1-1", "ref_ana-1"}; !slices.Equal(got, want) {
		t.Errorf("the provider was asked for %v, want %v", got, want)
	}
}

func awaitRefund(s till, refund events.RefundID) {
	s.t.Helper()
	shoptest.Await(s.Shop, func(e events.PaymentRefunded) bool { return e.RefundID == refund })
}

func TestRefund_ThatFailsIsFreeAndIsTriedAgain(t *testing.T) {
	shop, b := open(t), &refunder{}
	b.answer = func(key string, _ Refund) error {
		if key == "ref_1-1" {
			return service.Permanent(errors.New("the account is closed"))
		}
		return nil
	}
	shop.Run(b.at(nil), "a", t.TempDir())
	shop.pays()
	shop.Record("ORDERS", asks("ref_1", 95))
	if e := await[events.PaymentRefundFailed](shop); e != refusedFor("ref_1", 95, "the account is closed", false) {
		t.Errorf("recorded %+v", e)
	}
	shop.is(query.PaymentCaptured)
	shop.Record("ORDERS", asks("ref_1", 95))
	awaitRefund(shop, "ref_1")
	if got, want := b.asked(), []string{"ref_1-1", "ref_1-2"}; !slices.Equal(got, want) {
		t.Errorf("the provider was asked for %v, want %v", got, want)
	}
}

// A refund that got no answer for as long as the patience lasts is given up, and may have taken effect.
func TestRefund_WithoutAnAnswerIsGivenUp(t *testing.T) {
	shop, b := open(t), &refunder{answer: func(string, Refund) error { return errors.New("no answer") }}
	shop.Run(b.at(func(e *service.Effect) { e.Patience = time.Millisecond }), "a", t.TempDir())
	shop.pays()
	shop.Record("ORDERS", asks("ref_1", 95))
	if e := await[events.PaymentRefundFailed](shop); e != refusedFor("ref_1", 95, "no answer", true) {
		t.Errorf("recorded %+v", e)
	}
}

// The rows of what waits are found by their index alone, and go when the outcome is recorded.
func TestRefund_PendingOnesAreFoundByAnIndex(t *testing.T) {
	shop, b := open(t), &refunder{}
	payments := b.at(nil)
	shop.Run(payments, "a", t.TempDir())
	shop.pays()
	shop.Record("ORDERS", asks("ref_1", 95))
	awaitRefund(shop, "ref_1")
	view := payments.Views[1]
	if err := view.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	var plan string
	var skip, rows int
	if _, err := view.Get(t.Context(), `EXPLAIN QUERY PLAN `+pendingRefunds, []any{0, 0, 10}, &skip, &skip, &skip, &plan); err != nil ||
		plan != "SEARCH pending USING COVERING INDEX due ((due,requested)>(?,?))" {
		t.Errorf("what waits is found by %q, %v", plan, err)
	}
	if _, err := view.Get(t.Context(), `SELECT count(*) FROM pending`, nil, &rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
}

func TestRefund_OfAProviderThatIsNotConfiguredTellsWhatToDo(t *testing.T) {
	_, err := providers{Sandbox()}.refund(t.Context(), service.Attempt{}, askedRefund{provider: "bank"})
	if err == nil || service.IsPermanent(err) || !strings.Contains(err.Error(), "bank is not configured; run payments with it in --payments") {
		t.Errorf("got %v", err)
	}
}

// The order's money goes back by the provider that took it, whatever came a second time.
func TestRefund_IsAskedOfTheAttemptThatTookTheMoney(t *testing.T) {
	paid := events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Attempt: 2, Capture: "pi_2"}
	twice := events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Attempt: 1, Capture: "pi_1", Unwanted: true, Again: true}
	p := given(requested, events.PaymentRetried{PaymentID: id, OrderID: order, Attempt: 2, Provider: "bank", URL: "/b"}, paid, twice,
		events.PaymentRefunded{PaymentID: id, OrderID: order, Amount: amount, Again: true, Attempt: 1}, part("ref_1", 95))
	ask, needed := planRefund(p, part("ref_1", 95))
	if !needed || ask.provider != "bank" || ask.Capture != "pi_2" || p.left() != pounds(1600) || p.status != query.PaymentCaptured {
		t.Errorf("planned %+v %t, left %s, %s", ask, needed, p.left(), p.status)
	}
}

// A capture that was published by hand may name an attempt that there is not.
func TestRefund_OfAnAttemptThatThereIsNotIsNotAskedFor(t *testing.T) {
	p := given(requested, events.PaymentCaptured{PaymentID: id, OrderID: order, Amount: amount, Attempt: 7}, part("ref_1", 95))
	if ask, needed := planRefund(p, part("ref_1", 95)); needed {
		t.Errorf("planned %+v", ask)
	}
}
