package client

import (
	"context"
	"net/http"
	"time"
)

// Receipt is the receipt of a paid order. Balance is what is left of the total after the credit
// notes.
type Receipt struct {
	Number     int64        `json:"number"` // receipts are numbered from 1 without a gap
	OrderID    string       `json:"order_id"`
	CustomerID string       `json:"customer_id"`
	OrderedAt  time.Time    `json:"ordered_at"`
	PaidAt     time.Time    `json:"paid_at"`
	IssuedAt   time.Time    `json:"issued_at"`
	Items      []OrderItem  `json:"items"`
	TotalItems int64        `json:"total_items"` // pieces
	Total      Money        `json:"total"`
	Credits    []CreditNote `json:"credits"` // oldest first
	Balance    Money        `json:"balance"`
}

// CreditNote says that money of a receipt was given back. Credit notes have numbers of their own,
// from 1 without a gap.
type CreditNote struct {
	Number   int64     `json:"number"`
	IssuedAt time.Time `json:"issued_at"`
	Amount   Money     `json:"amount"`
}

// GetReceipt returns the receipt of an order, for its customer or staff. The error is [NotFound]
// until the order is paid.
func (c *Client) GetReceipt(ctx context.Context, orderID string, options ...CallOption) (*Receipt, error) {
	return call[Receipt](ctx, c, request{method: http.MethodGet, path: in("/api/orders/", orderID, "/receipt"), user: true}, options)
}
