package client

import (
	"context"
	"net/http"
)

// PaymentStatus is the status of a payment.
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

// Payment is a payment, as anybody with its link sees it.
type Payment struct {
	ID       string        `json:"id"`
	OrderID  string        `json:"order_id"`
	Provider string        `json:"provider"`
	Status   PaymentStatus `json:"status"`
	Amount   Money         `json:"amount"`
	URL      string        `json:"url"`
}

// The outcomes for SettlePayment.
const (
	Pay     = "pay"
	Decline = "decline"
)

// GetPayment returns a payment of the sandbox provider.
func (c *Client) GetPayment(ctx context.Context, id string, options ...CallOption) (*Payment, error) {
	return call[Payment](ctx, c, request{method: http.MethodGet, path: in("/sandbox/payments/", id, "")}, options)
}

// SettlePayment does what a customer does on the sandbox provider's page: outcome is Pay or
// Decline. Anybody who knows the payment's ID may do so, logged in or not. The error is
// [Conflict] if the payment has another final status already.
func (c *Client) SettlePayment(ctx context.Context, id, outcome string, options ...CallOption) (*Payment, error) {
	return call[Payment](ctx, c, request{method: http.MethodPost, path: in("/sandbox/payments/", id, ""),
		body: map[string]string{"outcome": outcome}}, options)
}
