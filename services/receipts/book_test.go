package receipts

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"lonja/events"
	"lonja/kit/decider"
	"lonja/kit/eventlog"
	"lonja/kit/kittest"
)

func gbp(pence int64) events.Money { return events.Money{Amount: pence, Currency: "GBP"} }

func orderPaid(id events.OrderID, pence int64) events.OrderPaid {
	return events.OrderPaid{OrderID: id, PaymentID: events.PaymentFor(id), Amount: gbp(pence), Lines: []events.Quantity{{SKU: "lamp", Quantity: 1}}}
}

func refunded(id events.OrderID, pence int64) events.PaymentRefunded {
	return events.PaymentRefunded{PaymentID: events.PaymentFor(id), OrderID: id, Amount: gbp(pence)}
}

func issued(number int64, id events.OrderID, pence int64) events.ReceiptIssued {
	return events.ReceiptIssued{Number: number, OrderID: id, Amount: gbp(pence)}
}

func credited(number int64, id events.OrderID, receipt int64, refund string, pence int64) events.ReceiptCredited {
	return events.ReceiptCredited{Number: number, OrderID: id, Receipt: receipt, Refund: refund, Amount: gbp(pence)}
}

// given returns the book after some events, of which it holds so many.
func given(keeps int, recorded ...events.Event) *book {
	b := newBook(keeps)
	for i, e := range recorded {
		b = evolve(b, e, uint64(i+1))
	}
	return b
}

func list(recorded ...events.Event) []events.Event { return recorded }

func TestIssue(t *testing.T) {
	two := list(issued(1, "ord_ana", 339), issued(2, "ord_bo", 0))
	for _, test := range []struct {
		name  string
		given []events.Event
		keeps int
		when  events.OrderPaid
		found found
		then  events.Event
		asks  uint64 // what is to be looked up
	}{
		{name: "the first order that is paid has number 1", when: orderPaid("ord_ana", 339), then: issued(1, "ord_ana", 339)},
		{name: "the next one has the next number", given: two, when: orderPaid("ord_cy", 5), then: issued(3, "ord_cy", 5)},
		{name: "a free order has a receipt", when: orderPaid("ord_ana", 0), then: issued(1, "ord_ana", 0)},
		{name: "an order has one receipt", given: two, when: orderPaid("ord_ana", 339)},
		{name: "an order that the book holds is not looked up", given: two, keeps: 1, when: orderPaid("ord_bo", 0)},
		{name: "an order that the book has forgotten is looked up", given: two, keeps: 1, when: orderPaid("ord_ana", 339), asks: 1},
		{name: "what was looked up before it was forgotten says nothing", given: append(two, issued(3, "ord_cy", 1)), keeps: 1, when: orderPaid("ord_ana", 339), found: found{through: 1}, asks: 2},
		{name: "a forgotten order has one receipt", given: two, keeps: 1, when: orderPaid("ord_ana", 339), found: found{true, 1}},
		{name: "a new order gets a number once it is known to be new", given: two, keeps: 1, when: orderPaid("ord_cy", 5), found: found{through: 1}, then: issued(3, "ord_cy", 5)},
	} {
		t.Run(test.name, func(t *testing.T) {
			then, err := issue(given(cmp.Or(test.keeps, 10), test.given...), test.when, test.found, decider.Meta{})
			checkDecision(t, then, err, test.then, test.asks)
		})
	}
}

// checkDecision checks what a decision led to: an event, nothing, or a question.
func checkDecision(t *testing.T, then events.Event, err error, want events.Event, asks uint64) {
	t.Helper()
	var more *decider.NeedsLookup
	switch asked := errors.As(err, &more); {
	case err != nil && !asked:
		t.Error(err)
	case asked && more.Through != asks, asks > 0 && !asked:
		t.Errorf("got %v, want what was recorded up to %d to be looked up", err, asks)
	case !reflect.DeepEqual(then, want):
		t.Errorf("got %+v, want %+v", then, want)
	}
}

func TestCredit(t *testing.T) {
	two := list(credited(1, "ord_ana", 7, "e1", 100), credited(2, "ord_ana", 7, "e2", 239))
	for _, test := range []struct {
		name  string
		given []events.Event
		keeps int
		when  events.PaymentRefunded
		found refund
		then  events.Event
		asks  uint64
	}{
		{name: "the first refund has number 1", when: refunded("ord_ana", 339), found: refund{id: "e1", receipt: 7}, then: credited(1, "ord_ana", 7, "e1", 339)},
		{name: "an order may have several refunds", given: two[:1], when: refunded("ord_ana", 239), found: refund{id: "e2", receipt: 7}, then: credited(2, "ord_ana", 7, "e2", 239)},
		{name: "a refund has one credit note", given: two, when: refunded("ord_ana", 100), found: refund{id: "e1", receipt: 7}},
		{name: "two refunds of one amount are two", given: two, when: refunded("ord_ana", 100), found: refund{id: "e3", receipt: 7}, then: credited(3, "ord_ana", 7, "e3", 100)},
		{name: "what was never paid has none", given: two, when: refunded("ord_bo", 100), found: refund{id: "e3"}},
		{name: "a forgotten refund is looked up", given: two, keeps: 1, when: refunded("ord_ana", 100), found: refund{id: "e1", receipt: 7}, asks: 1},
		{name: "a forgotten refund has one credit note", given: two, keeps: 1, when: refunded("ord_ana", 100), found: refund{id: "e1", receipt: 7, found: found{true, 1}}},
		{name: "a new refund gets a number once it is known to be new", given: two, keeps: 1, when: refunded("ord_bo", 9), found: refund{id: "e3", receipt: 8, found: found{through: 1}}, then: credited(3, "ord_bo", 8, "e3", 9)},
	} {
		t.Run(test.name, func(t *testing.T) {
			then, err := credit(given(cmp.Or(test.keeps, 10), test.given...), test.when, test.found, decider.Meta{})
			checkDecision(t, then, err, test.then, test.asks)
		})
	}
}

// Nothing is decided before the receipt was looked up, also while the book has no entry.
func TestCredit_LooksTheReceiptUp(t *testing.T) {
	_, err := credit(newBook(10), refunded("ord_ana", 339), refund{}, decider.Meta{})
	if !errors.As(err, new(*decider.NeedsLookup)) {
		t.Errorf("got %v", err)
	}
}

// TestBook_NumbersHaveNoGaps has orders paid again and again, in a book that forgets nearly all.
// Rows lag, what was looked up is old, and the book is read from a snapshot at any time.
func TestBook_NumbersHaveNoGaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keeps := rapid.IntRange(1, 3).Draw(t, "keeps")
		var log []events.Event
		b, number, lookedUp := newBook(keeps), map[events.OrderID]int64{}, map[events.OrderID]found{}
		find := func(id events.OrderID, through int) found {
			n := number[id]
			return found{n > 0 && n <= int64(through), uint64(through)} // the number is the sequence, too
		}
		anOrder := rapid.Custom(func(t *rapid.T) events.OrderID {
			return events.OrderID(fmt.Sprintf("ord_%d", rapid.IntRange(0, 9).Draw(t, "order")))
		})
		t.Repeat(map[string]func(*rapid.T){
			"looked up": func(t *rapid.T) {
				id := anOrder.Draw(t, "id")
				lookedUp[id] = find(id, rapid.IntRange(0, len(log)).Draw(t, "through"))
			},
			"restart": func(t *rapid.T) {
				n := rapid.IntRange(0, len(log)).Draw(t, "snapshot")
				data, err := encodeBook(given(keeps, log[:n]...))()
				if err != nil {
					t.Fatal(err)
				}
				if b, err = decodeBook(data, keeps); err != nil {
					t.Fatal(err)
				}
				for i, e := range log[n:] {
					b = evolve(b, e, uint64(n+i+1))
				}
			},
			"paid": func(t *rapid.T) {
				id := anOrder.Draw(t, "id")
				then, err := issue(b, orderPaid(id, 1), lookedUp[id], decider.Meta{})
				var more *decider.NeedsLookup
				if errors.As(err, &more) {
					lookedUp[id] = find(id, rapid.IntRange(int(more.Through), len(log)).Draw(t, "rows"))
					then, err = issue(b, orderPaid(id, 1), lookedUp[id], decider.Meta{})
				}
				switch {
				case err != nil:
					t.Fatal(err)
				case (then == nil) != (number[id] > 0):
					t.Fatalf("%s has receipt %d, and then %+v", id, number[id], then)
				case then == nil:
					return
				case !reflect.DeepEqual(then, issued(int64(len(log)+1), id, 1)):
					t.Fatalf("after %d receipts: %+v", len(log), then)
				}
				log = append(log, then)
				number[id], b = int64(len(log)), evolve(b, then, uint64(len(log)))
			},
			"": func(t *rapid.T) {
				if len(b.newest) > keeps || len(b.entries) > keeps {
					t.Fatalf("it holds %d entries, %d keys", len(b.newest), len(b.entries))
				}
			},
		})
	})
}

// A book's memory depends on the window only.
func TestBook_OldEntriesTakeNoMemory(t *testing.T) {
	b := newBook(keptEntries)
	for n := range int64(4 * keptEntries) {
		b = evolve(b, issued(n+1, events.OrderID(fmt.Sprintf("ord_%032x", n)), 1), uint64(n+1))
	}
	if len(b.entries) != keptEntries || len(b.newest) != keptEntries || cap(b.newest) > 4*keptEntries || b.floor != 3*keptEntries || b.last != 4*keptEntries {
		t.Errorf("the book holds %d entries, %d (%d) newest, and has forgotten up to %d of %d", len(b.entries), len(b.newest), cap(b.newest), b.floor, b.last)
	}
}

// TestBook_GoldenFold folds one of each kind of event, and so many that the first are forgotten. Add
// events at the end when there are new kinds.
func TestBook_GoldenFold(t *testing.T) {
	golden := list(issued(1, "ord_ana", 339), credited(2, "ord_ana", 1, "e1", 339))
	for n := range int64(keptEntries) {
		golden = append(golden, issued(n+3, events.OrderID(fmt.Sprintf("ord_%d", n)), n))
	}
	golden = append(golden, issued(keptEntries+3, "ord_0", 1), credited(keptEntries+4, "ord_1", 4, "e2", 1))
	var records []eventlog.Record
	for i, e := range golden {
		records = append(records, eventlog.Record{Sequence: uint64(i + 1), Event: e})
	}
	kittest.CheckFold(t, bookTypeOf(keptEntries), records, "1:1bd02f3efbba507c")
}
