package main

import (
	"slices"

	"lonja/events"
)

// checkLog checks what must be true of the log alone: no gap, stock never
// below zero at any point, money and goods of every order in agreement with
// its status. It is written anew on purpose, and shares nothing with the services.
func (t *trial) checkLog() {
	for _, d := range t.log.damaged {
		t.wrong("%s", d)
	}
	t.checkStock()
	for id, facts := range t.log.order {
		t.checkOrder(id, facts)
	}
}

func (t *trial) checkStock() {
	onHand, reserved := map[events.SKU]int64{}, map[events.SKU]int64{}
	for _, f := range t.log.all {
		if e, ok := f.event.(events.StockCounted); ok {
			onHand[e.SKU] = e.OnHand
		}
		if e, ok := f.event.(events.StockAdjusted); ok {
			onHand[e.SKU] += e.Delta
		}
		lines, hand, held := movement(f.event)
		for _, l := range lines {
			onHand[l.SKU] += hand * l.Quantity
			reserved[l.SKU] += held * l.Quantity
			if onHand[l.SKU] < reserved[l.SKU] || reserved[l.SKU] < 0 {
				t.wrong("%s:%d leaves %d of %s on hand, and %d reserved", f.stream, f.sequence, onHand[l.SKU], l.SKU, reserved[l.SKU])
			}
		}
	}
}

// movement is what an event does to each piece of its lines.
func movement(e events.Event) (lines []events.Quantity, onHand, reserved int64) {
	switch e := e.(type) {
	case events.StockReserved:
		return e.Lines, 0, 1
	case events.StockReleased:
		return e.Lines, 0, -1
	case events.StockCommitted:
		if e.FromAvailable {
			return e.Lines, -1, 0
		}
		return e.Lines, -1, -1
	case events.StockReturned:
		return e.Lines, 1, 0
	}
	return nil, 0, 0
}

// follows is which status an order may have before each of its events.
var follows = map[string][]string{
	"order.placed":           {""},
	"order.awaiting_payment": {"placed"},
	"order.paid":             {"awaiting_payment"},
	"order.shipped":          {"paid"},
	"order.delivered":        {"shipped"},
	"order.cancelled":        {"placed", "awaiting_payment", "paid"},
}

// statusIn is the status that an order has after its events.
func statusIn(facts []fact) (status string) {
	for _, f := range facts {
		if follows[f.typ] != nil {
			status = f.typ[len("order."):]
		}
	}
	return status
}

func (t *trial) checkOrder(id string, facts []fact) {
	status, times := "", map[string]int{}
	var held int64 // pieces set aside or taken for the order
	for _, f := range facts {
		times[f.typ]++
		if may := follows[f.typ]; may != nil {
			if !slices.Contains(may, status) {
				t.wrong("order %s: %s after %q", id, f.typ, status)
			}
			status = f.typ[len("order."):]
		}
		lines, onHand, reserved := movement(f.event)
		for _, l := range lines {
			switch {
			case reserved > 0 || onHand < 0 && reserved == 0: // set aside, or taken at once
				held += l.Quantity
			case onHand == 0 || onHand > 0: // given back
				held -= l.Quantity
			}
		}
	}
	captured, refunded := times["payment.captured"], times["payment.refunded"]
	for typ, n := range times {
		if n > 1 && typ != "stock.released" && typ != "stock.refused" {
			t.wrong("order %s: %s %d times", id, typ, n)
		}
	}
	switch status {
	case "placed", "":
		t.wrong("order %s is still %q although all is at rest", id, status)
	case "awaiting_payment":
		if captured > 0 || held <= 0 {
			t.wrong("order %s awaits payment with %d captured and %d pieces held", id, captured, held)
		}
	case "paid", "shipped", "delivered":
		if captured != 1 || refunded != 0 || held <= 0 || times["stock.committed"] != 1 {
			t.wrong("order %s is %s with %d captured, %d refunded, %d pieces held", id, status, captured, refunded, held)
		}
	case "cancelled":
		if captured != refunded || held != 0 {
			t.wrong("order %s is cancelled with %d captured, %d refunded, %d pieces held", id, captured, refunded, held)
		}
	}
}
