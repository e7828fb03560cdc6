package orders

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/decider"
	"lonja/kit/errs"
	"lonja/kit/eventlog"
	"lonja/shop/shoptest"
)

// paidOrder is Ana's order: three lanterns at 3.39 and a clock at 6.00, which are 16.17 in all.
var paidOrder = []events.Event{anasOrder(anOrder), awaiting(anOrder), paid(anOrder)}

func requestedRefund(id events.RefundID, amount int64, lines ...events.RefundLine) events.OrderRefundRequested {
	return events.OrderRefundRequested{OrderID: anOrder, RefundID: id, Amount: gbp(amount), Lines: lines}
}

func failedRefund(id events.RefundID, amount int64) events.OrderRefundFailed {
	return events.OrderRefundFailed{OrderID: anOrder, RefundID: id, Amount: gbp(amount)}
}

func refundLine(sku events.SKU, n, amount int64, restock bool) events.RefundLine {
	return events.RefundLine{SKU: sku, Quantity: n, Restock: restock, Amount: gbp(amount)}
}

func byLines(lines ...command.ReturnedLine) command.RefundOrder {
	return command.RefundOrder{OrderID: anOrder, Lines: lines}
}

func byAmount(m events.Money) command.RefundOrder {
	return command.RefundOrder{OrderID: anOrder, Amount: &m}
}

func TestRefund_WhatGoesBack(t *testing.T) {
	type log = []events.Event
	after := func(later ...events.Event) log { return append(slices.Clone(paidOrder), later...) }
	m := decider.Meta{EntityID: string(anOrder), CommandID: "a command", Actor: rita, Now: noon}
	own := events.RefundID(eventlog.NewEntityID("ref_", m.CommandID))
	lamps := func(n int64, restock bool) command.ReturnedLine {
		return command.ReturnedLine{SKU: "lantern", Quantity: n, Restock: restock}
	}
	for name, c := range map[string]struct {
		given   log
		command command.Command
		then    events.Event
		code    errs.Code
		field   string
	}{
		"the rest is all at first":           {paidOrder, command.RefundOrder{OrderID: anOrder}, requestedRefund(own, 1617), "", ""},
		"the rest after a part":              {after(requestedRefund("ref_1", 600)), command.RefundOrder{OrderID: anOrder}, requestedRefund(own, 1017), "", ""},
		"the rest after a part that failed":  {after(requestedRefund("ref_1", 600), failedRefund("ref_1", 600)), command.RefundOrder{OrderID: anOrder}, requestedRefund(own, 1617), "", ""},
		"nothing is left":                    {after(requestedRefund("ref_1", 1617)), command.RefundOrder{OrderID: anOrder}, nil, errs.Conflict, ""},
		"an amount":                          {paidOrder, byAmount(gbp(17)), requestedRefund(own, 17), "", ""},
		"an amount, with a reason":           {paidOrder, command.RefundOrder{OrderID: anOrder, Reason: "late"}, events.OrderRefundRequested{OrderID: anOrder, RefundID: own, Amount: gbp(1617), Reason: "late"}, "", ""},
		"all that is left":                   {after(requestedRefund("ref_1", 600)), byAmount(gbp(1017)), requestedRefund(own, 1017), "", ""},
		"more than is left":                  {after(requestedRefund("ref_1", 600)), byAmount(gbp(1018)), nil, errs.Conflict, ""},
		"another currency":                   {paidOrder, byAmount(events.Money{Amount: 1, Currency: "EUR"}), nil, errs.Invalid, "amount.currency"},
		"lines of several items":             {paidOrder, byLines(lamps(3, true)), requestedRefund(own, 1017, refundLine("lantern", 3, 1017, true)), "", ""},
		"one SKU in two lines":               {paidOrder, byLines(lamps(1, true), lamps(2, false)), requestedRefund(own, 1017, refundLine("lantern", 1, 339, true), refundLine("lantern", 2, 678, false)), "", ""},
		"after the order was delivered":      {after(shipped(anOrder), delivered(anOrder)), byLines(lamps(1, false)), requestedRefund(own, 339, refundLine("lantern", 1, 339, false)), "", ""},
		"more pieces than ordered":           {paidOrder, byLines(lamps(1, false), lamps(3, false)), nil, errs.Invalid, "lines[1].quantity"},
		"more pieces than there can be":      {paidOrder, byLines(lamps(events.MaxQuantity, false), lamps(events.MaxQuantity, false)), nil, errs.Invalid, "lines[0].quantity"},
		"more pieces than are left":          {after(requestedRefund("ref_1", 678, refundLine("lantern", 2, 678, false))), byLines(lamps(2, false)), nil, errs.Conflict, "lines[0].quantity"},
		"pieces that a failed one has freed": {after(requestedRefund("ref_1", 678, refundLine("lantern", 2, 678, false)), failedRefund("ref_1", 678)), byLines(lamps(3, false)), requestedRefund(own, 1017, refundLine("lantern", 3, 1017, false)), "", ""},
		"pieces that went into stock before": {after(requestedRefund("ref_1", 678, refundLine("lantern", 2, 678, true)), failedRefund("ref_1", 678)), byLines(lamps(2, true)), nil, errs.Conflict, "lines[0].restock"},
		"money that is gone, by lines":       {after(requestedRefund("ref_1", 1300)), byLines(lamps(1, false)), nil, errs.Conflict, ""},
		"what was not ordered":               {paidOrder, byLines(command.ReturnedLine{SKU: "lamp", Quantity: 1}), nil, errs.Invalid, "lines[0].sku"},

		"a failed one is tried again": {after(requestedRefund("ref_1", 339, refundLine("lantern", 1, 339, true)), failedRefund("ref_1", 339)), command.RetryRefund{OrderID: anOrder, RefundID: "ref_1"},
			requestedRefund("ref_1", 339, refundLine("lantern", 1, 339, true)), "", ""},
		"one of a cancellation is tried again":     {after(ended(anOrder), failedRefund("ref_x", 1617)), command.RetryRefund{OrderID: anOrder, RefundID: "ref_x"}, requestedRefund("ref_x", 1617), "", ""},
		"one that has not failed":                  {after(requestedRefund("ref_1", 339)), command.RetryRefund{OrderID: anOrder, RefundID: "ref_1"}, nil, errs.Conflict, ""},
		"one that nobody knows":                    {paidOrder, command.RetryRefund{OrderID: anOrder, RefundID: "ref_1"}, nil, errs.NotFound, ""},
		"one whose money was refunded meanwhile":   {after(requestedRefund("ref_1", 339), failedRefund("ref_1", 339), requestedRefund("ref_2", 1300)), command.RetryRefund{OrderID: anOrder, RefundID: "ref_1"}, nil, errs.Conflict, ""},
		"one whose pieces were refunded meanwhile": {after(requestedRefund("ref_1", 600, refundLine("clock", 1, 600, false)), failedRefund("ref_1", 600), requestedRefund("ref_2", 600, refundLine("clock", 1, 600, false))), command.RetryRefund{OrderID: anOrder, RefundID: "ref_1"}, nil, errs.Conflict, "lines[0].quantity"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.command.Check(); err != nil {
				t.Fatal(err)
			}
			got, err := refunding(given(c.given...), c.command, m)
			if c.code != "" {
				var named interface{ Field() string }
				e, coded := errs.As(err)
				if !coded || e.Code != c.code || c.field != "" && e.Field != c.field && !(errors.As(err, &named) && named.Field() == c.field) {
					t.Errorf("got %+v %v, want %s about %q", got, err, c.code, c.field)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.then) {
				t.Errorf("got  %+v %v\nwant %+v", got, err, c.then)
			}
			if got != nil && got.Check() != nil {
				t.Errorf("the event is invalid: %v", got.Check())
			}
		})
	}
}

// refunding calls the decision about a command.
func refunding(o order, c command.Command, m decider.Meta) (events.Event, error) {
	event, err := events.Event(nil), error(nil)
	switch c := c.(type) {
	case command.RefundOrder:
		event, err = refundOrder(o, c, m)
	case command.RetryRefund:
		event, err = retryRefund(o, c, m)
	}
	if err != nil {
		return nil, err
	}
	return event, nil
}

func TestRefund_EveryoneInEveryStatus(t *testing.T) {
	for _, row := range []struct{ who, outcomes string }{
		//       unknown   placed    awaiting  paid      shipped   delivered cancelled
		{"rita", "not_found conflict conflict requested requested requested conflict"},
		{"root", "not_found conflict conflict requested requested requested conflict"},
		{"ana", "not_found forbidden forbidden forbidden forbidden forbidden forbidden"},
		{"bea", "not_found not_found not_found not_found not_found not_found not_found"},
	} {
		for i, want := range strings.Fields(row.outcomes) {
			m := decider.Meta{EntityID: string(anOrder), CommandID: "c", Actor: people[row.who], Now: noon}
			event, err := refunding(everyStatus[i], command.RefundOrder{OrderID: anOrder}, m)
			got := outcome(nil, err)
			if event != nil {
				got = "requested"
			}
			if got != want {
				t.Errorf("%s refunds an order that is %q: %s, want %s", row.who, everyStatus[i].Status, got, want)
			}
		}
	}
	if _, err := refundOrder(given(paidOrder...), command.RefundOrder{OrderID: anOrder}, decider.Meta{}); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("nobody refunds: %v", err)
	}
}

func TestRefund_OfAnOrderHasAMaximum(t *testing.T) {
	log := slices.Clone(paidOrder)
	for n := range events.MaxRefunds {
		log = append(log, requestedRefund(events.RefundID(fmt.Sprint("ref_", n)), 1))
	}
	if _, err := refundOrder(given(log...), command.RefundOrder{OrderID: anOrder}, decider.Meta{CommandID: "c", Actor: rita}); !errs.Is(err, errs.Conflict) {
		t.Errorf("got %v", err)
	}
}

func TestReact_AFailedRefundIsNotedOnce(t *testing.T) {
	fails := events.PaymentRefundFailed{PaymentID: "pay_1", OrderID: anOrder, RefundID: "ref_1", Amount: gbp(339), Detail: "no"}
	for name, c := range map[string]struct {
		o    order
		want events.Event
	}{
		"requested":              {given(append(paidOrder[:3:3], requestedRefund("ref_1", 339))...), failedRefund("ref_1", 339)},
		"tried again":            {given(append(paidOrder[:3:3], requestedRefund("ref_1", 339), failedRefund("ref_1", 339), requestedRefund("ref_1", 339))...), failedRefund("ref_1", 339)},
		"failed already":         {given(append(paidOrder[:3:3], requestedRefund("ref_1", 339), failedRefund("ref_1", 339))...), nil},
		"that of a cancellation": {given(append(paidOrder[:3:3], ended(anOrder))...), failedRefund("ref_1", 339)},
		"of no order":            {given(), nil},
	} {
		if got, err := onRefundFailed(c.o, fails, decider.Meta{}); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, c.want)
		}
	}
}

// Whatever is refunded, fails and is tried again, in any order: it never exceeds the total, no piece is
// refunded twice, and none goes into stock twice.
func TestRefund_NeverExceedsTheOrder(t *testing.T) {
	most := int64(0)
	rapid.Check(t, func(t *rapid.T) {
		log, ids := slices.Clone(paidOrder), []events.RefundID{}
		active := map[events.RefundID]events.OrderRefundRequested{}
		all := map[events.RefundID]events.OrderRefundRequested{}
		for n := range rapid.IntRange(1, 30).Draw(t, "steps") {
			var c command.Command
			refund := func() events.RefundID { return rapid.SampledFrom(ids).Draw(t, "refund") }
			switch what := rapid.IntRange(0, 4).Draw(t, "what"); {
			case what == 0:
				c = byAmount(gbp(rapid.Int64Range(1, 900).Draw(t, "amount")))
			case what == 1:
				c = byLines(command.ReturnedLine{SKU: "lantern", Quantity: rapid.Int64Range(1, 2).Draw(t, "lanterns"), Restock: rapid.Bool().Draw(t, "restock")},
					command.ReturnedLine{SKU: "clock", Quantity: 1, Restock: true})
			case what == 2:
				c = byLines(command.ReturnedLine{SKU: "lantern", Quantity: rapid.Int64Range(1, 3).Draw(t, "lanterns"), Restock: rapid.Bool().Draw(t, "restock")})
			case len(ids) == 0:
				continue
			case what == 3:
				c = command.RetryRefund{OrderID: anOrder, RefundID: refund()}
			case what == 4:
				r, is := active[refund()]
				if !is {
					continue
				}
				event, err := onRefundFailed(given(log...), events.PaymentRefundFailed{OrderID: anOrder, RefundID: r.RefundID, Amount: r.Amount}, decider.Meta{})
				if err != nil || event == nil {
					t.Fatalf("%s fails: %v %v", r.RefundID, event, err)
				}
				log = append(log, event)
				delete(active, r.RefundID)
				continue
			}
			event, err := refunding(given(log...), c, decider.Meta{CommandID: fmt.Sprint(n), Actor: rita, Now: noon})
			if err != nil {
				continue
			}
			e := event.(events.OrderRefundRequested)
			if _, is := active[e.RefundID]; is {
				t.Fatalf("%s is requested twice", e.RefundID)
			}
			log, ids, active[e.RefundID], all[e.RefundID] = append(log, e), append(ids, e.RefundID), e, e
			money, pieces, restocked := int64(0), map[events.SKU]int64{}, map[events.SKU]int64{}
			for _, r := range active {
				money += r.Amount.Amount
				for _, line := range r.Lines {
					pieces[line.SKU] += line.Quantity
				}
			}
			for _, r := range all {
				for _, q := range r.Restocked() {
					restocked[q.SKU] += q.Quantity
				}
			}
			if money > 1617 || pieces["lantern"] > 3 || pieces["clock"] > 1 || restocked["lantern"] > 3 || restocked["clock"] > 1 {
				t.Fatalf("%d are refunded, pieces %v, in stock %v, after %+v", money, pieces, restocked, log)
			}
			most = max(most, money)
		}
	})
	if most < 1000 {
		t.Fatalf("at most %d were refunded: the test proves nothing", most)
	}
}

// Twenty refunds at once, at two replicas: what they give back is exactly the total.
func TestRefund_ManyAtOnceNeverExceedTheTotal(t *testing.T) {
	shop := shoptest.Start(t, New(Config{}), New(Config{}))
	var after string
	for _, e := range paidOrder {
		after = shop.Record("ORDERS", e)
	}
	var refunding sync.WaitGroup
	var mu sync.Mutex
	total, refused := int64(0), 0
	for range 20 {
		refunding.Go(func() {
			reply, err := shop.Send(t.Context(), byAmount(gbp(200)), eventlog.Envelope{ID: eventlog.NewID(), Actor: rita, After: after})
			mu.Lock()
			defer mu.Unlock()
			if errs.Is(err, errs.Conflict) {
				refused++
				return
			}
			var r query.RefundView
			if err == nil {
				err = json.Unmarshal(reply.Body, &r)
			}
			if err != nil || r.Status != query.RefundRequested || r.Amount != gbp(200) || r.ID == "" || r.RequestedAt.IsZero() {
				t.Errorf("got %+v, %v", r, err)
			}
			total += r.Amount.Amount
		})
	}
	refunding.Wait()
	if total != 1600 || refused != 12 {
		t.Errorf("%d were refunded, and %d refused", total, refused)
	}
	// The same command again is answered the same, and the rest can still be refunded.
	env := eventlog.Envelope{ID: eventlog.NewID(), Actor: rita}
	rest, err := shop.Send(t.Context(), command.RefundOrder{OrderID: anOrder}, env)
	if err != nil {
		t.Fatal(err)
	}
	again, err := shop.Send(t.Context(), command.RefundOrder{OrderID: anOrder}, env)
	if err != nil || !again.Replayed || string(again.Body) != string(rest.Body) {
		t.Errorf("again: %s %v, want %s", again.Body, err, rest.Body)
	}
	shop.Fails(command.RefundOrder{OrderID: anOrder}, rita, errs.Conflict)
}

// However the streams interleave, a refund shows what is known of it, and its owner does not see what the
// provider said.
func TestRefunds_ShowWhatBecameOfThem(t *testing.T) {
	pay := events.PaymentFor(anOrder)
	asked := func(id events.RefundID, amount int64) events.Event {
		return events.PaymentRefundRequested{PaymentID: pay, OrderID: anOrder, RefundID: id, Amount: gbp(amount)}
	}
	done := events.PaymentRefunded{PaymentID: pay, OrderID: anOrder, RefundID: "ref_done", Amount: gbp(339), Partial: true}
	fails := events.PaymentRefundFailed{PaymentID: pay, OrderID: anOrder, RefundID: "ref_failed", Amount: gbp(17), Detail: "the account is closed"}
	auto := events.PaymentRefundFailed{PaymentID: pay, OrderID: anOrder, RefundID: events.RefundFor(anOrder, 1), Amount: gbp(61), Detail: "no"}
	orders := append(paidOrder[:3:3],
		requestedRefund("ref_done", 339, refundLine("lantern", 1, 339, true)), requestedRefund("ref_failed", 17), requestedRefund("ref_waits", 100),
		failedRefund("ref_failed", 17), failedRefund(auto.RefundID, 61), requestedRefund(auto.RefundID, 61))
	payments := []events.Event{requestedFor(query.OrderView{ID: anOrder, Total: gbp(1617)}), asked("ref_done", 339), done, asked("ref_failed", 17), fails, asked(auto.RefundID, 61), auto}

	for name, first := range map[string]string{"orders first": "ORDERS", "payments first": "PAYMENTS"} {
		t.Run(name, func(t *testing.T) {
			shop := shoptest.Start(t, quiet())
			last := map[string]string{}
			for _, stream := range []string{first, map[string]string{"ORDERS": "PAYMENTS", "PAYMENTS": "ORDERS"}[first]} {
				for _, e := range map[string][]events.Event{"ORDERS": orders, "PAYMENTS": payments}[stream] {
					last[stream] = shop.Record(stream, e)
				}
			}
			after := last["ORDERS"] + "." + last["PAYMENTS"]
			var got []query.RefundView
			shop.Get(query.OrderRefunds{OrderID: anOrder}, rita, after, &got)
			show := map[events.RefundID]string{}
			for _, r := range got {
				show[r.ID] = fmt.Sprintf("%s %s %d %s", r.Status, r.Amount, len(r.Lines), r.Problem)
				if r.OrderID != anOrder || r.RequestedAt.IsZero() || r.UpdatedAt.Before(r.RequestedAt) {
					t.Errorf("shown as %+v", r)
				}
			}
			want := map[events.RefundID]string{"ref_done": "refunded 3.39 GBP 1 ", "ref_failed": "failed 0.17 GBP 0 the account is closed",
				"ref_waits": "requested 1.00 GBP 0 ", auto.RefundID: "requested 0.61 GBP 0 "} // the last is tried again
			if !reflect.DeepEqual(show, want) {
				t.Errorf("got  %v\nwant %v", show, want)
			}
			var owners []query.RefundView
			shop.Get(query.OrderRefunds{OrderID: anOrder}, ana, after, &owners)
			if len(owners) != 4 || slices.ContainsFunc(owners, func(r query.RefundView) bool { return r.Problem != "" }) {
				t.Errorf("the owner sees %+v", owners)
			}
			var o query.OrderView
			shop.Get(query.Order{OrderID: anOrder}, ana, after, &o)
			if o.Refunded == nil || *o.Refunded != gbp(339) || o.Payment.Status != query.PaymentPartiallyRefunded {
				t.Errorf("the order shows %+v %+v", o.Refunded, o.Payment)
			}
			if _, err := shop.Query(t.Context(), query.OrderRefunds{OrderID: anOrder}, eventlog.Envelope{Actor: bea, After: after}); !errs.Is(err, errs.NotFound) {
				t.Errorf("another customer sees the refunds: %v", err)
			}
		})
	}
}
