package payments

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/kit/service"
)

// bank is a provider whose page must be asked for. It is like a real one: equal keys get the same
// answer, and the answer may be lost after it took effect.
type bank struct {
	mu      sync.Mutex
	pages   map[string]Page // by key
	opened  []Attempt
	closed  []string
	refunds map[string]Refund // by key
	// fault is asked before (and, if after is true, once more after) each call takes effect.
	fault func(call string, after bool) error
}

func newBank() *bank { return &bank{pages: map[string]Page{}, refunds: map[string]Refund{}} }

func (*bank) Name() string                    { return "bank" }
func (*bank) Link(id events.PaymentID) string { return "" }

func (*bank) Units(m events.Money) (int64, string, error) { return m.Amount, m.Currency, nil }

func (b *bank) call(name string, effect func()) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fault == nil {
		effect()
		return nil
	}
	if err := b.fault(name, false); err != nil {
		return err
	}
	effect()
	return b.fault(name, true)
}

func (b *bank) Open(_ context.Context, key string, a Attempt) (page Page, err error) {
	err = b.call("open", func() {
		var known bool
		if page, known = b.pages[key]; !known {
			ref := "page_" + strconv.Itoa(a.Number)
			page = Page{Reference: ref, URL: "https://bank.example/" + ref}
			b.pages[key], b.opened = page, append(b.opened, a)
		}
	})
	return page, err
}

func (b *bank) Close(_ context.Context, _ string, page string) error {
	return b.call("close", func() {
		if !slices.Contains(b.closed, page) {
			b.closed = append(b.closed, page)
		}
	})
}

func (b *bank) Refund(_ context.Context, key string, r Refund) error {
	return b.call("refund", func() { b.refunds[key] = r })
}

// says returns a report of the bank.
func says(outcome string, attempt int) command.ReportPayment {
	n := strconv.Itoa(attempt)
	c := command.ReportPayment{Provider: "bank", Outcome: outcome, PaymentID: id, Attempt: attempt, Reference: "page_" + n, Report: "evt_" + outcome + n}
	if outcome == command.Pay {
		c.Capture, c.Amount, c.Currency = "money_"+n, amount.Amount, amount.Currency
	}
	return c
}

var bankActor = eventlog.Actor{ID: command.ProviderActor("bank")}

func atBank(t *testing.T, b *bank, config Config) till {
	t.Helper()
	config.Providers = []Provider{b, Sandbox()}
	shop := open(t, New(config))
	shop.Record("ORDERS", awaiting)
	if r := await[events.PaymentRequested](shop); r.Provider != "bank" || r.URL != "" {
		t.Fatalf("requested %+v", r)
	}
	return shop
}

func TestPages_AreOpenedOnceAndShown(t *testing.T) {
	b := newBank()
	lost := true
	b.fault = func(call string, after bool) error { // the first answer is lost
		if call == "open" && after && lost {
			lost = false
			return errors.New("the connection broke off")
		}
		return nil
	}
	shop := atBank(t, b, Config{})
	page := await[events.PaymentOpened](shop)
	if page.Attempt != 1 || page.Reference != "page_1" || len(b.opened) != 1 {
		t.Errorf("opened %+v; the bank has %v", page, b.opened)
	}
	a := b.opened[0]
	if a.PaymentID != id || a.OrderID != order || a.Amount != amount || time.Until(a.ExpiresAt) < 14*time.Minute {
		t.Errorf("the bank was asked for %+v", a)
	}
	var p query.PaymentView
	shop.Get(query.Payment{PaymentID: id}, anyone, eventlog.Position("PAYMENTS", shop.recorded()), &p)
	if p.URL != page.URL || p.Provider != "bank" || p.Status != query.PaymentPending {
		t.Errorf("shown as %+v", p)
	}
	shop.Fails(pays, anyone, errs.Conflict) // the sandbox must not settle what is paid elsewhere
}

func TestPages_AreClosedWhenNobodyNeedsThem(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		when   func(till)
	}{
		"expired": {Config{Deadline: 2 * time.Second}, func(till) {}},
		"voided":  {Config{}, func(s till) { s.Record("ORDERS", cancelled) }},
		"retried": {Config{}, func(s till) { s.Do(command.RetryPayment{PaymentID: id, Provider: "sandbox"}, anyone, nil) }},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank()
			shop := atBank(t, b, c.config)
			await[events.PaymentOpened](shop)
			c.when(shop)
			if closed := await[events.PaymentPageClosed](shop); closed.Attempt != 1 || !slices.Equal(b.closed, []string{"page_1"}) {
				t.Errorf("closed %+v; the bank has closed %v", closed, b.closed)
			}
		})
	}
}

// A page that comes when its attempt is over is closed.
func TestPages_ThatComeTooLateAreClosed(t *testing.T) {
	b := newBank()
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.fault = func(call string, after bool) error {
		if call == "open" && after {
			once.Do(func() { close(asked); <-answer })
		}
		return nil
	}
	shop := atBank(t, b, Config{})
	<-asked
	shop.Record("ORDERS", cancelled)
	await[events.PaymentVoided](shop)
	close(answer)
	await[events.PaymentOpened](shop)
	await[events.PaymentPageClosed](shop)
	if !slices.Equal(b.closed, []string{"page_1"}) {
		t.Errorf("the bank has closed %v", b.closed)
	}
}

// Half of the time to pay is for a provider that does not answer; the rest for another one.
func TestPages_ThatCannotBeHadLeaveTimeForAnotherProvider(t *testing.T) {
	for name, fault := range map[string]error{
		"permanent": service.Permanent(errors.New("no such\x00 \xff account\n")),
		"down":      errors.New("the bank is closed"),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank()
			b.fault = func(string, bool) error { return fault }
			shop := atBank(t, b, Config{Deadline: 6 * time.Second})
			if failed := await[events.PaymentAttemptFailed](shop); failed.Reason != events.AttemptUnavailable || failed.Attempt != 1 || failed.Detail == "" {
				t.Errorf("failed as %+v", failed)
			}
			shop.Do(command.RetryPayment{PaymentID: id, Provider: "sandbox"}, anyone, nil)
			shop.settles(command.Pay, query.PaymentCaptured)
		})
	}
}

func TestReport_MoneyIsCapturedOnceHoweverItIsReported(t *testing.T) {
	b := newBank()
	shop := atBank(t, b, Config{})
	// The webhook may be faster than the record of the page.
	shop.Do(says(command.Pay, 1), bankActor, nil)
	captured := await[events.PaymentCaptured](shop)
	if captured.Capture != "money_1" || captured.Unwanted || captured.Attempt != 0 {
		t.Errorf("captured %+v", captured)
	}
	before := shop.recorded()
	for _, outcome := range []string{command.Pay, command.Expire, command.Decline, command.Pay} {
		shop.Do(says(outcome, 1), bankActor, nil)
	}
	if n := len(shop.of(events.PaymentCaptured{})) + len(shop.of(events.PaymentFlagged{})) + len(shop.of(events.PaymentAttemptFailed{})); n != 1 {
		t.Errorf("the reports led to %d events of %d", n, shop.recorded()-before)
	}
}

// Both pages are paid: the second money goes back, and the order keeps the first.
func TestReport_MoneyOfAnotherPageGoesBack(t *testing.T) {
	b := newBank()
	shop := atBank(t, b, Config{})
	await[events.PaymentOpened](shop)
	shop.Do(command.RetryPayment{PaymentID: id}, anyone, nil)
	shop.Do(says(command.Pay, 2), bankActor, nil)
	shop.Do(says(command.Pay, 1), bankActor, nil)
	back := await[events.PaymentRefunded](shop)
	if !back.Again || back.Attempt != 1 || back.Amount != amount || len(b.refunds) != 1 {
		t.Errorf("gave back %+v; the bank %v", back, b.refunds)
	}
	for _, r := range b.refunds {
		if r.Capture != "money_1" || r.Amount != amount {
			t.Errorf("the bank gave back %+v", r)
		}
	}
	var p query.PaymentView
	shop.Get(query.Payment{PaymentID: id}, anyone, eventlog.Position("PAYMENTS", shop.recorded()), &p)
	if p.Status != query.PaymentCaptured {
		t.Errorf("the payment is %s", p.Status)
	}
}

func TestReport_WhatDoesNotFitIsShownToStaff(t *testing.T) {
	b := newBank()
	shop := atBank(t, b, Config{})
	await[events.PaymentOpened](shop)
	wrongAmount, wrongPage, unknown, nameless, dispute := says(command.Pay, 1), says(command.Pay, 1), says(command.Pay, 1), says(command.Pay, 1), says(command.Dispute, 0)
	wrongAmount.Amount--
	wrongPage.Reference = "page_of_somebody"
	unknown.PaymentID, nameless.PaymentID, nameless.Capture = "pay_nobody", "", ""
	for _, c := range []command.ReportPayment{wrongAmount, wrongAmount, wrongPage, unknown, nameless} {
		shop.Do(c, bankActor, nil)
	}
	shop.Do(says(command.Pay, 1), bankActor, nil)
	dispute.PaymentID, dispute.Capture = "", "money_1" // found by the money
	if _, err := shop.Send(t.Context(), dispute, eventlog.Envelope{ID: eventlog.NewID(), Actor: bankActor, After: eventlog.Position("PAYMENTS", shop.recorded())}); err != nil {
		t.Fatal(err)
	}
	var list query.List[query.PaymentFlag]
	shop.Get(query.FlaggedPayments{}, eventlog.Actor{ID: "usr_1", Roles: []string{events.Staff}}, eventlog.Position("PAYMENTS", shop.recorded()), &list)
	var got []string
	for _, f := range list.Data {
		got = append(got, f.Reason)
		if known := f.PaymentID == id; known != (f.OrderID == order) || known != (f.Amount != nil) || f.Detail == "" || f.Time.IsZero() {
			t.Errorf("shown as %+v", f)
		}
	}
	want := []string{events.FlaggedDispute, events.FlaggedUnknownPayment, events.FlaggedUnknownPayment, events.FlaggedUnknownPage, events.FlaggedAmount}
	if !slices.Equal(got, want) {
		t.Errorf("flagged %v\nwant %v", got, want)
	}
	if _, err := shop.Query(t.Context(), query.FlaggedPayments{}, eventlog.Envelope{}); !errs.Is(err, errs.Forbidden) {
		t.Errorf("anybody may see it: %v", err)
	}
}

func TestReport_OnlyTheProviderMaySendIt(t *testing.T) {
	shop := atBank(t, newBank(), Config{})
	for _, actor := range []eventlog.Actor{anyone, {ID: "usr_1", Roles: []string{events.Admin}}, {ID: command.ProviderActor("stripe")}} {
		shop.Fails(says(command.Pay, 1), actor, errs.Forbidden)
	}
}

// What is to be asked is found in an index that holds nothing else.
func TestEffects_FindWhatIsPendingInAnIndex(t *testing.T) {
	payments := New(Config{})
	open(t, payments)
	for sql, want := range map[string]string{
		pagesToOpen:      "SEARCH pages USING COVERING INDEX to_open ((open_due,opening)>(?,?))",
		pagesToClose:     "SEARCH pages USING COVERING INDEX to_close ((close_due,closing)>(?,?))",
		capturesToReturn: "SEARCH returns USING COVERING INDEX to_return ((due,number)>(?,?))",
	} {
		var plan string
		var skip int
		if _, err := payments.Views[0].Get(t.Context(), `EXPLAIN QUERY PLAN `+sql, []any{0, 0, 10}, &skip, &skip, &skip, &plan); err != nil || plan != want {
			t.Errorf("%s\nis found by %q, %v", sql, plan, err)
		}
	}
}

// of returns the events on PAYMENTS of one type.
func (s till) of(zero events.Event) (all []events.Event) {
	s.t.Helper()
	for seq := uint64(1); seq <= s.recorded(); seq++ {
		m, err := s.stream().GetMsg(s.t.Context(), seq)
		if err != nil {
			s.t.Fatal(err)
		}
		if typ := m.Header.Get(eventlog.HeaderType); typ == events.Type(zero) {
			e, err := events.Decode(typ, m.Data)
			if err != nil {
				s.t.Fatal(err)
			}
			all = append(all, e)
		}
	}
	return all
}

// A replica stops between the bank's effect and the record of it. The next one asks under the same key,
// and the bank has one page.
func TestPages_AReplicaThatStopsBetweenCallAndRecord(t *testing.T) {
	b := newBank()
	taken, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.fault = func(call string, after bool) error {
		var err error
		if call == "open" && after {
			once.Do(func() { close(taken); <-goOn; err = errors.New("the program ends") })
		}
		return err
	}
	config := Config{Providers: []Provider{b}}
	shop, dir := open(t), t.TempDir()
	stop := shop.Run(New(config), "a", dir)
	shop.Record("ORDERS", awaiting)
	<-taken
	stopped := make(chan error)
	go func() { stopped <- stop() }()
	close(goOn)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	shop.Run(New(config), "b", dir)
	page := await[events.PaymentOpened](shop)
	if len(b.pages) != 1 || len(b.opened) != 1 || page.Reference != "page_1" || len(shop.of(events.PaymentOpened{})) != 1 {
		t.Errorf("recorded %+v; the bank has %v", page, b.pages)
	}
}
