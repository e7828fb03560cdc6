package client

import (
	"context"
	"net/http"
)

// PaymentStatus is how far a payment is.
type PaymentStatus string

// The statuses of a payment.
const (
	PaymentPending  PaymentStatus = "pending"
	PaymentCaptured PaymentStatus = "captured"
	PaymentDeclined PaymentStatus = "declined"
	PaymentExpired  PaymentStatus = "expired"
	PaymentVoided   PaymentStatus = "voided"
	PaymentRefunded PaymentStatus = "refunded"
)

// OrderPayment is an order's payment. URL is where the customer pays.
type OrderPayment struct {
	ID       string        `json:"id"`
	Provider string        `json:"provider"`
	Status   PaymentStatus `json:"status"`
	Amount   Money         `json:"amount"`
	URL      string        `json:"url"`
}

// Payment is a payment as everybody sees it who has its link.
type Payment struct {
	ID       string        `json:"id"`
	OrderID  string        `json:"order_id"`
	Provider string        `json:"provider"`
	Status   PaymentStatus `json:"status"`
	Amount   Money         `json:"amount"`
	URL      string        `json:"url"`
}

// What the sandbox provider may be told.
const (
	Pay     = "pay"
	Decline = "decline"
)

// GetPayment returns a payment of the sandbox provider.
func (c *Client) GetPayment(ctx context.Context, id string, options ...CallOption) (*Payment, error) {
	return call[Payment](ctx, c, request{method: http.MethodGet, path: in("/sandbox/payments/", id, "")}, options)
}

// SettlePayment does what a customer does on the sandbox provider's page: Pay or
// Decline. Whoever knows a payment's ID may, logged in or not. It is a [Conflict]
// when the payment has ended in another way.
func (c *Client) SettlePayment(ctx context.Context, id, outcome string, options ...CallOption) (*Payment, error) {
	return call[Payment](ctx, c, request{method: http.MethodPost, path: in("/sandbox/payments/", id, ""),
		body: map[string]string{"outcome": outcome}}, options)
}
