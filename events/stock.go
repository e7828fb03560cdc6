package events

import (
	"fmt"
	"time"
)

// MaxQuantity is the maximum number of pieces of one SKU in a location or an order line, and
// of all pieces of an order.
const MaxQuantity = 1_000_000_000

// A location's stock is one entity, a ledger of all its SKUs. So one event reserves all lines
// of an order.

// Quantity is a number of pieces of a SKU.
type Quantity struct {
	SKU      SKU   `json:"sku"`
	Quantity int64 `json:"quantity" minimum:"1" maximum:"1000000000"`
}

// PerSKU returns one line for each SKU with the sum of its lines, in the order of first
// mention. It does not change lines, and never returns nil.
func PerSKU(lines []Quantity) []Quantity {
	at := make(map[SKU]int, len(lines))
	sums := make([]Quantity, 0, len(lines))
	for _, line := range lines {
		i, seen := at[line.SKU]
		if !seen {
			i = len(sums)
			at[line.SKU] = i
			sums = append(sums, Quantity{SKU: line.SKU})
		}
		sums[i].Quantity += line.Quantity
	}
	return sums
}

// Level is how much of a SKU a location holds. OnHand includes what is reserved.
type Level struct {
	SKU      SKU   `json:"sku"`
	OnHand   int64 `json:"on_hand" minimum:"0" maximum:"1000000000"`
	Reserved int64 `json:"reserved" minimum:"0" maximum:"1000000000"`
}

// Available returns what can still be reserved.
func (l Level) Available() int64 { return l.OnHand - l.Reserved }

// StockCounted is recorded when staff counted what is on hand. It carries the resulting
// level.
type StockCounted struct {
	Location LocationID `json:"location"`
	Level
}

// StockAdjusted is recorded when staff added pieces to what is on hand, or removed some. It
// carries the resulting level.
type StockAdjusted struct {
	Location LocationID `json:"location"`
	Level
	Delta  int64  `json:"delta"`
	Reason string `json:"reason" minLength:"1"`
}

// StockReserved is recorded when all lines of an order are reserved, until ExpiresAt.
type StockReserved struct {
	Location  LocationID `json:"location"`
	OrderID   OrderID    `json:"order_id"`
	Lines     []Quantity `json:"lines" minItems:"1"`
	ExpiresAt time.Time  `json:"expires_at"`
}

// StockRefused is recorded when too little is available for an order. Nothing of it is
// reserved, and the order is cancelled.
type StockRefused struct {
	Location LocationID `json:"location"`
	OrderID  OrderID    `json:"order_id"`
	// Shortages are the lines that are missing, at least one. They are only a note: no
	// reader needs them, so they are not checked, and can be anything or null in an event
	// that was published by hand.
	Shortages []Shortage `json:"shortages" nullable:"true"`
}

// Shortage is a line of an order that exceeds what is available.
type Shortage struct {
	SKU       SKU   `json:"sku"`
	Wanted    int64 `json:"wanted"`
	Available int64 `json:"available"`
}

// StockCommitted is recorded when a paid order's lines are taken off what is on hand.
type StockCommitted struct {
	Location LocationID `json:"location"`
	OrderID  OrderID    `json:"order_id"`
	Lines    []Quantity `json:"lines" minItems:"1"`
	// FromAvailable is true when the lines were not reserved, or no longer, and were taken
	// from what was available.
	FromAvailable bool `json:"from_available,omitempty"`
}

// Why stock was released: the values of StockReleased.Reason.
const (
	ReleasedCancelled = "cancelled" // the order was cancelled
	ReleasedExpired   = "expired"   // the order was not paid in time
)

// StockReleased is recorded when reserved lines become available again. Lines is empty when
// the order was cancelled before anything was reserved; nothing will be reserved for it.
type StockReleased struct {
	Location LocationID `json:"location"`
	OrderID  OrderID    `json:"order_id"`
	Lines    []Quantity `json:"lines" nullable:"true"`
	Reason   string     `json:"reason"`
}

// StockReturned is recorded when the lines of a paid order that was cancelled are on hand
// again.
type StockReturned struct {
	Location LocationID `json:"location"`
	OrderID  OrderID    `json:"order_id"`
	Lines    []Quantity `json:"lines" minItems:"1"`
}

func (StockCounted) EventName() string  { return "stock.counted.v1" }
func (e StockCounted) EntityID() string { return string(e.Location) }
func (e StockCounted) Check() error {
	return FirstOf(Token("location", e.Location), e.Level.check())
}

func (StockAdjusted) EventName() string  { return "stock.adjusted.v1" }
func (e StockAdjusted) EntityID() string { return string(e.Location) }
func (e StockAdjusted) Check() error {
	return FirstOf(Token("location", e.Location), e.Level.check(), Text("reason", e.Reason, 1, 200))
}

func (StockReserved) EventName() string  { return "stock.reserved.v1" }
func (e StockReserved) EntityID() string { return string(e.Location) }
func (e StockReserved) Order() OrderID   { return e.OrderID }
func (e StockReserved) Check() error     { return checkLines(e.Location, e.OrderID, e.Lines, 1) }

func (StockRefused) EventName() string  { return "stock.refused.v1" }
func (e StockRefused) EntityID() string { return string(e.Location) }
func (e StockRefused) Order() OrderID   { return e.OrderID }
func (e StockRefused) Check() error {
	return FirstOf(Token("location", e.Location), Token("order_id", e.OrderID))
}

func (StockCommitted) EventName() string  { return "stock.committed.v1" }
func (e StockCommitted) EntityID() string { return string(e.Location) }
func (e StockCommitted) Order() OrderID   { return e.OrderID }
func (e StockCommitted) Check() error     { return checkLines(e.Location, e.OrderID, e.Lines, 1) }

func (StockReleased) EventName() string  { return "stock.released.v1" }
func (e StockReleased) EntityID() string { return string(e.Location) }
func (e StockReleased) Order() OrderID   { return e.OrderID }
func (e StockReleased) Check() error     { return checkLines(e.Location, e.OrderID, e.Lines, 0) }

func (StockReturned) EventName() string  { return "stock.returned.v1" }
func (e StockReturned) EntityID() string { return string(e.Location) }
func (e StockReturned) Order() OrderID   { return e.OrderID }
func (e StockReturned) Check() error     { return checkLines(e.Location, e.OrderID, e.Lines, 1) }

func (l Level) check() error {
	switch {
	case l.OnHand < 0 || l.OnHand > MaxQuantity:
		return InvalidField("on_hand", "must be 0 to %d", int64(MaxQuantity))
	case l.Reserved < 0 || l.Reserved > l.OnHand:
		return InvalidField("reserved", "must be between 0 and on_hand")
	}
	return Token("sku", l.SKU)
}

func checkLines(at LocationID, id OrderID, lines []Quantity, least int) error {
	if len(lines) < least {
		return InvalidField("lines", "must not be empty")
	}
	for i, l := range lines {
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			return InvalidField(fmt.Sprintf("lines[%d].quantity", i), "must be 1 to %d", int64(MaxQuantity))
		}
		if err := Token("sku", l.SKU); err != nil {
			return InField(fmt.Sprintf("lines[%d]", i), err)
		}
	}
	return FirstOf(Token("location", at), Token("order_id", id))
}
