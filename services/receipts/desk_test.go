package receipts

import (
	"fmt"
	"testing"
	"time"

	"lonja/events"
	"lonja/kit/eventlog"
	"lonja/kit/service"
	"lonja/shop/shoptest"
)

var (
	ana  = eventlog.Actor{ID: "usr_ana", Roles: []string{events.Customer}}
	bo   = eventlog.Actor{ID: "usr_bo", Roles: []string{events.Customer}}
	rita = eventlog.Actor{ID: "usr_rita", Roles: []string{events.Staff}}
)

// desk is a shop that runs receipts, with steps and checks for its tests.
type desk struct {
	*shoptest.Shop
	t *testing.T
}

func open(t *testing.T, services ...*service.Service) desk {
	return desk{shoptest.Start(t, services...), t}
}

func number(n int) events.OrderID { return events.OrderID(fmt.Sprintf("ord_%d", n)) }

// places records that ana has placed an order of one lamp.
func (d desk) places(id events.OrderID, pence int64) string {
	d.t.Helper()
	return d.Record("ORDERS", events.OrderPlaced{OrderID: id, CustomerID: "usr_ana", Total: gbp(pence), TotalItems: 1,
		Items: []events.OrderItem{{SKU: "lamp", Name: "Lamp", Quantity: 1, UnitPrice: gbp(pence), LineTotal: gbp(pence)}}})
}

// pays records that orders are placed and paid.
func (d desk) pays(ids ...events.OrderID) {
	d.t.Helper()
	for _, id := range ids {
		d.places(id, 339)
		d.Record("ORDERS", orderPaid(id, 339))
	}
}

// log returns all that is recorded on RECEIPTS.
func (d desk) log() (recorded []eventlog.Record) {
	d.t.Helper()
	stream, err := d.JS.Stream(d.t.Context(), "RECEIPTS")
	if err != nil {
		d.t.Fatal(err)
	}
	log := eventlog.New(d.JS, shoptest.Codec)
	for seq := range stream.CachedInfo().State.LastSeq {
		r, err := log.At(d.t.Context(), "RECEIPTS", seq+1)
		if err != nil || r.Event == nil {
			d.t.Fatalf("RECEIPTS:%d: %v %v", seq+1, err, r.Err)
		}
		recorded = append(recorded, r)
	}
	return recorded
}

// books returns the keys of all entries by their numbers, and fails the test if a number is
// missing or comes twice, or if a key does.
func (d desk) books() (receipts, credits []string) {
	d.t.Helper()
	seen := map[string]bool{}
	for _, r := range d.log() {
		book := &receipts
		if _, is := r.Event.(events.ReceiptCredited); is {
			book = &credits
		}
		key, n := entryOf(r.Event)
		if n != int64(len(*book)+1) || seen[key] {
			d.t.Errorf("RECEIPTS:%d is %+v, after %d others", r.Sequence, r.Event, len(*book))
		}
		*book, seen[key] = append(*book, key), true
	}
	return receipts, credits
}

// awaitsReceipt waits for the receipt of an order.
func (d desk) awaitsReceipt(id events.OrderID) events.ReceiptIssued {
	d.t.Helper()
	return shoptest.Await(d.Shop, func(e events.ReceiptIssued) bool { return e.OrderID == id })
}

func (d desk) awaitsCredit(id events.OrderID, pence int64) events.ReceiptCredited {
	d.t.Helper()
	return shoptest.Await(d.Shop, func(e events.ReceiptCredited) bool { return e.OrderID == id && e.Amount == gbp(pence) })
}

// idAt returns the id of the event at a position.
func (d desk) idAt(stream, position string) string {
	d.t.Helper()
	var seq uint64
	if _, err := fmt.Sscanf(position, stream+":%d", &seq); err != nil {
		d.t.Fatal(err)
	}
	r, err := eventlog.New(d.JS, shoptest.Codec).At(d.t.Context(), stream, seq)
	if err != nil {
		d.t.Fatal(err)
	}
	return r.ID
}

// handled waits until a consumer has nothing left.
func (d desk) handled(consumer string) {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		cons, err := d.Streams.Ensure(d.t.Context(), d.JS, consumer)
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := cons.Info(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if info.NumPending == 0 && info.NumAckPending == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s has %d messages left", consumer, info.NumPending+uint64(info.NumAckPending))
		}
	}
}

// delivered waits until a consumer has delivered its first message so many times.
func (d desk) delivered(consumer string, times uint64) {
	d.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		cons, err := d.Streams.Ensure(d.t.Context(), d.JS, consumer)
		if err != nil {
			d.t.Fatal(err)
		}
		info, err := cons.Info(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if info.Delivered.Consumer >= times {
			return
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("%s has delivered %d times, want %d", consumer, info.Delivered.Consumer, times)
		}
	}
}
