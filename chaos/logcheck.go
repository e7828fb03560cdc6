package main

import (
	"slices"

	"lonja/events"
)

// checkLog checks the log alone: it has no gap, stock is never negative, and the
// money and stock of every order agree with its status. It deliberately shares no
// code with the services or with audit.
func (t *trial) checkLog() {
	for _, d := range t.log.damaged {
		t.fail("%s", d)
	}
	t.checkStock()
	t.checkNumbers()
	for id, recorded := range t.log.order {
		t.checkOrder(id, recorded)
	}
}

func (t *trial) checkStock() {
	onHand, reserved := map[events.SKU]int64{}, map[events.SKU]int64{}
	for _, f := range t.log.all {
		if e, ok := f.data.(events.StockCounted); ok {
			onHand[e.SKU] = e.OnHand
		}
		if e, ok := f.data.(events.StockAdjusted); ok {
			onHand[e.SKU] += e.Delta
		}
		lines, hand, held := movement(f.data)
		for _, l := range lines {
			onHand[l.SKU] += hand * l.Quantity
			reserved[l.SKU] += held * l.Quantity
			if onHand[l.SKU] < reserved[l.SKU] || reserved[l.SKU] < 0 {
				t.fail("%s:%d leaves %d of %s on hand, and %d reserved", f.stream, f.sequence, onHand[l.SKU], l.SKU, reserved[l.SKU])
			}
		}
	}
}

// checkNumbers checks that receipts and credit notes are numbered 1, 2, 3 and so on.
func (t *trial) checkNumbers() {
	receipts, credits := int64(0), int64(0)
	for _, f := range t.log.all {
		switch e := f.data.(type) {
		case events.ReceiptIssued:
			if receipts++; e.Number != receipts {
				t.fail("%s:%d is receipt %d, after %d others", f.stream, f.sequence, e.Number, receipts-1)
			}
		case events.ReceiptCredited:
			if credits++; e.Number != credits {
				t.fail("%s:%d is credit note %d, after %d others", f.stream, f.sequence, e.Number, credits-1)
			}
		}
	}
}

// checkReceipt checks that an order has a receipt if it was paid, and a credit note if that money
// was given back. Times counts its events.
func (t *trial) checkReceipt(id string, times map[string]int) {
	paid, notes := times["order.paid"], 0
	if paid > 0 {
		notes = times["payment.refunded"]
	}
	if issued, credited := times["receipt.issued"], times["receipt.credited"]; issued != paid || credited != notes {
		t.fail("order %s was paid %d times and has %d receipts, %d credit notes; want %d and %d", id, paid, issued, credited, paid, notes)
	}
}

// movement returns an event's lines, and how it changes the stock for each piece.
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
	case events.StockRestocked:
		return e.Lines, 1, 0
	}
	return nil, 0, 0
}

// predecessors lists the statuses that an order may have before each event.
var predecessors = map[string][]string{
	"order.placed":           {""},
	"order.awaiting_payment": {"placed"},
	"order.paid":             {"awaiting_payment"},
	"order.shipped":          {"paid"},
	"order.delivered":        {"shipped"},
	"order.cancelled":        {"placed", "awaiting_payment", "paid"},
}

// statusIn returns the status of an order after its events.
func statusIn(recorded []event) (status string) {
	for _, f := range recorded {
		if predecessors[f.typ] != nil {
			status = f.typ[len("order."):]
		}
	}
	return status
}

// repeated lists what may be recorded several times of an order.
var repeated = []string{"stock.released", "stock.refused", "stock.restocked", "order.refund_requested", "order.refund_failed",
	"payment.refund_requested", "payment.refund_failed", "payment.refunded", "receipt.credited", "payment.attempt_failed", "payment.retried"}

// moneyIn returns how much was captured for an order and how much of it went back, in minor units.
func moneyIn(recorded []event) (captured, refunded int64) {
	for _, f := range recorded {
		switch e := f.data.(type) {
		case events.PaymentCaptured:
			captured += e.Amount.Amount
		case events.PaymentRefunded:
			refunded += e.Amount.Amount
		}
	}
	return captured, refunded
}

func (t *trial) checkOrder(id string, recorded []event) {
	status, times := "", map[string]int{}
	var held int64 // pieces reserved or taken for the order
	for _, f := range recorded {
		times[f.typ]++
		if may := predecessors[f.typ]; may != nil {
			if !slices.Contains(may, status) {
				t.fail("order %s: %s after %q", id, f.typ, status)
			}
			status = f.typ[len("order."):]
		}
		lines, onHand, reserved := movement(f.data)
		for _, l := range lines {
			switch {
			case reserved > 0 || onHand < 0 && reserved == 0: // reserved, or taken at once
				held += l.Quantity
			case onHand == 0 || onHand > 0: // given back
				held -= l.Quantity
			}
		}
	}
	captured, refunded := moneyIn(recorded)
	for typ, n := range times {
		if n > 1 && !slices.Contains(repeated, typ) {
			t.fail("order %s: %s %d times", id, typ, n)
		}
	}
	t.checkReceipt(id, times)
	switch status {
	case "placed", "":
		t.fail("order %s is still %q although the shop is idle", id, status)
	case "awaiting_payment":
		if captured > 0 || held <= 0 {
			t.fail("order %s awaits payment with %d captured and %d pieces held", id, captured, held)
		}
	case "paid", "shipped", "delivered":
		if captured == 0 || times["payment.captured"] != 1 || refunded > captured || held < 0 || held == 0 && times["stock.restocked"] == 0 || times["stock.committed"] != 1 {
			t.fail("order %s is %s with %d captured, %d refunded, %d pieces held", id, status, captured, refunded, held)
		}
	case "cancelled":
		if captured != refunded || held != 0 {
			t.fail("order %s is cancelled with %d captured, %d refunded, %d pieces held", id, captured, refunded, held)
		}
	}
}
