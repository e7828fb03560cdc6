package query

import (
	"time"

	"lonja/events"
)

// Receipt asks receipts for the ReceiptView of a paid order. A customer sees only their own.
type Receipt struct {
	OrderID events.OrderID `json:"order_id"`
}

// ReceiptView is a receipt with what it is for, and the credit notes to it.
type ReceiptView struct {
	Number     int64              `json:"number" minimum:"1"`
	OrderID    events.OrderID     `json:"order_id"`
	CustomerID events.UserID      `json:"customer_id"`
	OrderedAt  time.Time          `json:"ordered_at"`
	PaidAt     time.Time          `json:"paid_at"`
	IssuedAt   time.Time          `json:"issued_at"`
	Items      []events.OrderItem `json:"items"`
	TotalItems int64              `json:"total_items"`
	Total      events.Money       `json:"total"`
	// Credits are the credit notes, oldest first, and Balance what is left of the total after
	// them.
	Credits []CreditNote `json:"credits"`
	Balance events.Money `json:"balance"`
}

// CreditNote says that money of a receipt was given back.
type CreditNote struct {
	Number   int64        `json:"number" minimum:"1"`
	IssuedAt time.Time    `json:"issued_at"`
	Amount   events.Money `json:"amount"`
}

func (Receipt) QueryName() string { return "receipts.receipt" }
