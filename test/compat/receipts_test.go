package compat

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"lonja/events"
	"lonja/test/harness"
)

// A log of a version without receipts gets one for each order that was ever paid, in the order of
// the log, and a credit note for each refund of such an order. A later start adds nothing.
func TestOldLog_GetsReceipts(t *testing.T) {
	forEachArchive(t, func(t *testing.T, data string, _ Record) {
		forgetPending(t, data)
		var books [2][]string
		for i := range books {
			p, _ := up(t, data)
			harness.Eventually(t, func() error {
				out, err := harness.Command(t, "audit", "--settled", "--nats", p.Said["nats"], "--data", data).CombinedOutput()
				if err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
			p.Stop()
			var want []string
			want, books[i] = receiptsIn(t, data)
			if !slices.Equal(books[i], want) || len(want) < 3 {
				t.Errorf("the receipts are\n%q, want\n%q", books[i], want)
			}
		}
		if !slices.Equal(books[0], books[1]) {
			t.Errorf("after another start the receipts are\n%q, and were\n%q", books[1], books[0])
		}
	})
}

// receiptsIn returns the receipts that a log should have, and those that it has. Credit notes
// come last, by their orders.
func receiptsIn(t *testing.T, data string) (want, got []string) {
	t.Helper()
	paid := map[events.OrderID]bool{}
	number := 0
	eachEvent(t, data, "ORDERS", func(e events.Event) {
		if e, is := e.(events.OrderPaid); is {
			number++
			want, paid[e.OrderID] = append(want, fmt.Sprintf("%d of %s: %s", number, e.OrderID, e.Amount)), true
		}
	})
	var wantCredits, credits []string
	eachEvent(t, data, "PAYMENTS", func(e events.Event) {
		if e, is := e.(events.PaymentRefunded); is && paid[e.OrderID] {
			wantCredits = append(wantCredits, fmt.Sprintf("credit of %s: %s", e.OrderID, e.Amount))
		}
	})
	eachEvent(t, data, "RECEIPTS", func(e events.Event) {
		switch e := e.(type) {
		case events.ReceiptIssued:
			got = append(got, fmt.Sprintf("%d of %s: %s", e.Number, e.OrderID, e.Amount))
		case events.ReceiptCredited:
			if credits = append(credits, fmt.Sprintf("credit of %s: %s", e.OrderID, e.Amount)); e.Number != int64(len(credits)) {
				t.Errorf("credit note %d comes after %d others", e.Number, len(credits)-1)
			}
		}
	})
	slices.Sort(wantCredits)
	slices.Sort(credits)
	return append(want, wantCredits...), append(got, credits...)
}

// eachEvent calls visit with the events of a stream.
func eachEvent(t *testing.T, data, name string, visit func(events.Event)) {
	t.Helper()
	onLog(t, data, func(ctx context.Context, js jetstream.JetStream) error {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return err
		}
		for seq := range stream.CachedInfo().State.LastSeq {
			m, err := stream.GetMsg(ctx, seq+1)
			if err != nil {
				return err
			}
			if e, err := events.Decode(m.Header.Get("ce-type"), m.Data); err == nil { // the log may hold what is no event
				visit(e)
			}
		}
		return nil
	})
}
