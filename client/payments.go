package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
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
	// PaymentPartiallyRefunded is the status after some of the money went back.
	PaymentPartiallyRefunded PaymentStatus = "partially_refunded"
)

// OrderPayment is an order's payment, with the provider and the URL of the last attempt. URL is where
// the customer pays; it is empty while the provider has no page yet, and once the attempt has failed.
type OrderPayment struct {
	ID       string        `json:"id"`
	Provider string        `json:"provider"`
	Status   PaymentStatus `json:"status"`
	Amount   Money         `json:"amount"`
	URL      string        `json:"url"`
	// Attempts are all attempts to pay, once one has failed or was replaced.
	Attempts []PaymentAttempt `json:"attempts,omitempty"`
}

// AttemptStatus is the status of an attempt to pay.
type AttemptStatus string

// The statuses of an attempt to pay.
const (
	AttemptOpen        AttemptStatus = "open"
	AttemptCaptured    AttemptStatus = "captured"
	AttemptDeclined    AttemptStatus = "declined"
	AttemptExpired     AttemptStatus = "expired"
	AttemptUnavailable AttemptStatus = "unavailable" // the provider had no page
	AttemptReplaced    AttemptStatus = "replaced"    // by the next one
)

// PaymentAttempt is one attempt to pay for an order, at one provider.
type PaymentAttempt struct {
	Number   int           `json:"number"`
	Provider string        `json:"provider"`
	Status   AttemptStatus `json:"status"`
}

// PaymentFlag says why a payment needs a person's attention. OrderID, Provider, Status and Amount are
// missing if the shop never requested such a payment.
type PaymentFlag struct {
	PaymentID string        `json:"payment_id"`
	OrderID   string        `json:"order_id,omitempty"`
	Provider  string        `json:"provider,omitempty"`
	Status    PaymentStatus `json:"status,omitempty"`
	Amount    *Money        `json:"amount,omitempty"`
	Attempt   int           `json:"attempt,omitempty"`
	Reason    string        `json:"reason"` // such as "wrong_amount"
	Detail    string        `json:"detail"`
	Time      time.Time     `json:"time"`
}

// RetryPayment makes one more attempt to pay for an order, after one that failed or instead of one,
// with a provider; "" means the one before. The error is [Conflict] if there is nothing to pay any
// more. Wait for the payment's URL with [Wait].
func (c *Client) RetryPayment(ctx context.Context, orderID, provider string, options ...CallOption) (*Order, error) {
	body := map[string]string{}
	if provider != "" {
		body["provider"] = provider
	}
	return call[Order](ctx, c, request{method: http.MethodPost, path: in("/api/orders/", orderID, "/payments"), user: true, keyed: true, waits: true, body: body}, options)
}

// ListFlaggedPayments returns one page of the payments that need a person's attention, newest first,
// for staff.
func (c *Client) ListFlaggedPayments(ctx context.Context, p Paging, options ...CallOption) (*List[PaymentFlag], error) {
	return call[List[PaymentFlag]](ctx, c, request{method: http.MethodGet, path: "/api/payments", user: true,
		query: p.values(url.Values{"attention": {"true"}})}, options)
}

// Payment is a payment, as anybody with its link sees it.
type Payment struct {
	ID       string        `json:"id"`
	OrderID  string        `json:"order_id"`
	Provider string        `json:"provider"`
	Status   PaymentStatus `json:"status"`
	Amount   Money         `json:"amount"`
	URL      string        `json:"url"`
	Failed   AttemptStatus `json:"failed,omitempty"` // what the last attempt failed of, while another one may follow
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
